"""The steps before a run: what is wrong with its configuration, and what it will cost."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config, dump_config
from rosetta.config.ladders import cautions
from rosetta.config.root import SMALL_MODEL
from rosetta.plan.checks import check_config
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.atomic import replacing


def check_step(config: Config, out: Path | None) -> None:
    """Check a configuration and the files that it names; write it whole if there is a path.

    It is a file that may be edited, so no digest is written beside it.

    Raises
    ------
    RosettaError
        With the key, the value and the fix, as `rosetta.plan.checks.check_config` does.
    """
    check_config(config)
    for caution in (*cautions(config), *small_models_in_many_jobs(config)):
        say(f"warning: {caution}")
    if out:
        with replacing(out) as temporary:
            temporary.write_text(dump_config(config), encoding="utf-8")


def plan_step(config: Config, paths: Paths, tflops: float | None, devices: int) -> str:
    """Return what a run will cost, and what it would by the other methods, as text.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    tflops : float or None
        Speed of a device; that of this machine's cores if None.
    devices : int
        Number of such devices.
    """
    from rosetta.plan.methods import compare_methods
    from rosetta.plan.sweep import plan_run

    check_config(config, need_sources=False)
    planned = plan_run(config, paths, tflops, devices)
    text = f"{planned.render()}\n{compare_methods(config, paths, planned)}"
    return "\n".join([text, *(f"note: {note}" for note in small_models_in_many_jobs(config))])


def small_models_in_many_jobs(config: Config) -> list[str]:
    """Return what to set where models count as large because nothing but their folders tells their
    size (`Config.is_small`); nothing where one of them is large, or of unknown size.
    """
    from rosetta.models.known_sizes import known_size
    from rosetta.models.weights_fit import listed

    if config.activations.shards_per_job != "auto" or config.store_mode != "kept":
        return []
    untold = [name for name in config.used_models() if config.told_size(name) is None]
    sizes = [known_size(config, Paths(Path(config.results)), name) for name in untold]
    if not untold or not all(size and size.n_parameters <= SMALL_MODEL for size in sizes):
        return []
    return [
        f"activations.shards_per_job: {listed(untold)} are small, but only their folders say "
        "so: every step of theirs is a job. `all` makes one job per model, and one per pair, which "
        "saves the time of starting the others."
    ]

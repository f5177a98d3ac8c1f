"""The steps before a run: what is wrong with its configuration, and what it will cost."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config, dump_config
from rosetta.config.ladders import cautions
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
    for caution in cautions(config):
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
    return f"{planned.render()}\n{compare_methods(config, paths, planned)}"

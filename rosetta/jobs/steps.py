"""The step that does the work of several stages in one process: what a rule of a bundle runs.

Each piece is the step of its stage, so what a bundle writes is what the stages' own rules write.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from string import Formatter

from rosetta.config import Config
from rosetta.errors import ConfigError
from rosetta.run.paths import Paths
from rosetta.run.pieces import Work, do_pieces
from rosetta.run.stages import RULES, files, rule_jobs
from rosetta.run.stages.record import Bundle, Wildcards


def job_step(config: Config, paths: Paths, rule: str, name: str) -> None:
    """Do the pieces of a bundle's job that are not there yet.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    rule : str
        The bundle (`rosetta.run.stages.bundles`).
    name : str
        The model or pair that the job is on; empty if there is one job.

    Raises
    ------
    ConfigError
        If the configuration asks for no such job.
    """
    bundle = RULES.get(rule)
    if not isinstance(bundle, Bundle):
        known = ", ".join(name for name, record in RULES.items() if isinstance(record, Bundle))
        raise ConfigError(f"{rule}: is no rule that does the work of several stages: {known}.")
    wildcards = [field for _, field, _, _ in Formatter().parse(bundle.job) if field]
    job = dict.fromkeys(wildcards, name)
    jobs = rule_jobs(config)[rule]
    if job not in jobs or (name and not job):
        known = ", ".join(value for each in jobs for value in each.values()) or "none"
        raise ConfigError(f"{rule}: the run has no job {name!r}; there are {known}.")
    do_pieces(config, paths, bundle.all_pieces(config, job), WORK)


def _step(part: str, name: str, *wildcards: str) -> Work:
    """Return the step of a stage, which takes some wildcards of a job beside the run.

    It is imported when it is due: a job on tables does not wait for torch.
    """

    def work(config: Config, paths: Paths, job: Wildcards) -> None:
        step = getattr(import_module(f"rosetta.{part}.steps"), name)
        step(config, paths, *(job[wildcard] for wildcard in wildcards))

    return work


def _anchors(config: Config, paths: Paths, job: Wildcards) -> None:
    from rosetta.matching.steps import anchors_step

    anchors_step(files.group_matches(config, paths, job), paths.rosetta(job["group"]))


def _fit(_config: Config, paths: Paths, _job: Wildcards) -> None:
    from rosetta.analysis.steps import fit_step

    made = {
        "out": "scaling",
        "pooled": "scaling_pooled",
        "nulls": "null_scaling",
        "rungs": "rungs",
        "floors": "floor_scaling",
    }
    read = (paths.table(name) for name in ("trainings", "replicates", "controls"))
    fit_step(*read, **{name: paths.table(table) for name, table in made.items()})


def _simulate(config: Config, paths: Paths, job: Wildcards) -> None:
    from rosetta.theory.steps import simulate_step

    simulate_step(config, paths, [job["beta"]], paths.theory_simulation(job["beta"]))


def _exponents(config: Config, paths: Paths, _job: Wildcards) -> None:
    from rosetta.theory.steps import exponents_step

    betas = config.theory.simulation.betas
    exponents_step(config, paths, list(map(paths.theory_simulation, betas)))


def _sweep(config: Config, paths: Paths, job: Wildcards) -> None:
    from rosetta.theory.steps import sweep_step

    point = job["parameter"], job["value"]
    sweep_step(config, paths, *point, paths.theory_sweep(*point))


def _sweep_table(config: Config, paths: Paths, _job: Wildcards) -> None:
    from rosetta.theory.steps import sweep_table_step

    parts = [paths.theory_sweep(*point) for point in config.theory.sweep.points()]
    sweep_table_step(parts, paths.table("theory_sweep"), paths.table("theory_sweep_exponents"))


def _ngrams(config: Config, paths: Paths, _job: Wildcards) -> None:
    from rosetta.theory.steps import ngrams_step

    ngrams_step(config, paths, paths.ngrams)


def _beta(config: Config, paths: Paths, _job: Wildcards) -> None:
    from rosetta.theory.steps import beta_step

    beta_step(config, paths, paths.table("theory_beta"))


def _compare(config: Config, paths: Paths, _job: Wildcards) -> None:
    from rosetta.theory.steps import compare_step

    compare_step(config, paths, paths.table("polarization"))


def _predict(config: Config, paths: Paths, _job: Wildcards) -> None:
    from rosetta.theory.steps import predict_step

    read = paths.table("theory_beta"), paths.table("counts")
    sizes, polarization = list(config.theory.predict_sizes), paths.table("polarization")
    predict_step(*read, sizes, polarization, paths.table("theory_predictions"))


def _pretrain(config: Config, paths: Paths, job: Wildcards) -> None:
    from rosetta.filtering.steps import pretrain_step

    name, seed = job["training"].rsplit("-", 1)
    pretrain_step(config, paths, name, int(seed))


# What does the work of a stage, where a job does that of several.
WORK: Mapping[str, Work] = {
    "tokenizer": _step("models", "tokenizer_step", "family"),
    "train_steps": _step("models", "train_steps_step", "model"),
    "train": _step("models", "train_step", "model"),
    "model": _step("models", "model_step", "model"),
    "activations": _step("activations", "activations_step", "model", "shard"),
    "generate": _step("activations", "activations_step", "model", "shard"),
    "captured": _step("activations", "captured_step", "model"),
    "twins": _step("activations", "twins_step", "model"),
    "image_twins": _step("activations", "activations_step", "model", "shard"),
    "vocabulary": _step("analysis", "vocabulary_step", "model"),
    "neurons": _step("analysis", "neurons_step", "model"),
    "correlate": _step("correlation", "neighbors_step", "pair", "job"),
    "nulls": _step("matching", "nulls_step", "control", "pair"),
    "intervals": _step("matching", "intervals_step", "pair"),
    "sweeps": _step("matching", "sweeps_step", "pair"),
    "match": _step("matching", "matches_step", "pair"),
    "image_neurons": _step("analysis", "image_neurons_step", "model"),
    "partner_images": _step("analysis", "partner_images_step", "pair"),
    "image_excerpts": _step("analysis", "image_excerpts_step", "group"),
    "place": _step("analysis", "place_step", "pair"),
    "contact_sheet": _step("report", "contact_sheet_step", "pair"),
    "anchors": _anchors,
    "contexts": _step("analysis", "contexts_step", "group"),
    "instruments": _step("instruments", "instruments_step", "pair"),
    "instrument_tables": _step("instruments", "instrument_tables_step"),
    "instrument_figures": _step("report", "instrument_figures_step"),
    "past": _step("emergence", "past_step", "pair"),
    "across_seeds": _step("emergence", "across_seeds_step"),
    "across_seeds_figures": _step("report", "across_seeds_figures_step"),
    "emergence": _step("emergence", "emergence_step"),
    "emergence_figures": _step("report", "emergence_figures_step"),
    "attribution": _step("analysis", "attribution_step", "pair"),
    "ablate": _step("ablation", "group_step", "group"),
    "attribution_tables": _step("analysis", "attribution_tables_step"),
    "attribution_figures": _step("report", "attribution_figures_step"),
    "ablation_tables": _step("ablation", "tables_step"),
    "ablation_figures": _step("report", "ablation_figures_step"),
    "sae": _step("sae", "sae_step", "model"),
    "sae_encode": _step("sae", "sae_encode_step", "model"),
    "sae_match": _step("sae", "sae_match_step", "pair"),
    "sae_tables": _step("sae", "sae_tables_step"),
    "sae_figures": _step("report", "sae_figures_step"),
    "counts": _step("analysis", "counts_step"),
    "control_tables": _step("analysis", "control_tables_step"),
    "fit": _fit,
    "describe": _step("analysis", "describe_step"),
    "findings": _step("analysis", "findings_step"),
    "figures": _step("report", "figures_step"),
    "control_figures": _step("report", "control_figures_step"),
    "neuron_figures": _step("report", "neuron_figures_step"),
    "place_maps": _step("report", "place_maps_step"),
    "theory_simulate": _simulate,
    "theory_exponents": _exponents,
    "theory_sweep": _sweep,
    "theory_sweep_table": _sweep_table,
    "theory_frontiers": _step("theory", "frontiers_step"),
    "theory_ngrams": _ngrams,
    "theory_beta": _beta,
    "theory_compare": _compare,
    "theory_predict": _predict,
    "theory_figures": _step("report", "theory_figures_step"),
    "filter_choose": _step("filtering", "choose_step"),
    "filter_pool": _step("filtering", "pool_step"),
    "filter_score": _step("filtering", "score_step", "shard"),
    "filter_select": _step("filtering", "select_step"),
    "filter_pretrain": _pretrain,
    "filter_tables": _step("filtering", "tables_step"),
    "filter_figure": _step("report", "filtering_figure_step"),
}

"""The costs of all jobs of a stage."""

from __future__ import annotations

from collections.abc import Callable

from rosetta.config import Config
from rosetta.plan.costs import filtering, models, pairs, theory
from rosetta.plan.costs.base import TABLES, Cost, Known
from rosetta.run.stages import job_names

MODEL_COSTS = {
    "train": models.train,
    "model": models.describe_model,
    "activations": models.activations,
    "twins": models.twins,
    "vocabulary": models.vocabulary,
    "neurons": models.neurons,
}
PAIR_COSTS = {
    "correlate": pairs.correlate,
    "intervals": pairs.intervals,
    "sweeps": pairs.sweeps,
}
GROUP_COSTS = {"contexts": models.contexts}
RUN_COSTS: dict[str, Callable[[Known], Cost]] = {
    "corpus": lambda known: Cost(TABLES, disk_bytes=known.extent.corpus_bytes),
    "filter_pool": filtering.filter_pool,
    "filter_score": filtering.filter_score,
    "filter_select": filtering.filter_select,
    "filter_choose": lambda _: Cost(TABLES),
    "theory_ngrams": lambda _: Cost(TABLES),
}


def pair_cost(known: Known, rule: str, pair: tuple[str, str], control: str = "") -> Cost:
    """Return the cost of a job on a pair; `control` is the null model of `nulls`."""
    return pairs.nulls(known, pair, control) if rule == "nulls" else PAIR_COSTS[rule](known, pair)


def stage_costs(known: Known, rule: str) -> list[Cost]:
    """Return the cost of every job of a rule, in the order of `rosetta.run.stages.job_names`."""
    config = known.config
    n_jobs = len(job_names(config)[rule])
    if not n_jobs:
        return []
    if rule in MODEL_COSTS:
        names = _models(config, rule)
        costs = [MODEL_COSTS[rule](known, name) for name in names]
        return [cost for cost in costs for _ in range(n_jobs // len(names))]
    if rule == "nulls":
        controls = config.controls.names
        return [pairs.nulls(known, pair, name) for name in controls for pair in config.pairs()]
    if rule in PAIR_COSTS:
        costs = [PAIR_COSTS[rule](known, pair) for pair in config.pairs()]
        return [cost for cost in costs for _ in range(n_jobs // len(config.pairs()))]
    if rule in GROUP_COSTS:
        return [GROUP_COSTS[rule](known, group) for group in config.groups()]
    if rule == "filter_pretrain" and config.filtering:
        return [filtering.filter_pretrain(known, name) for name, _ in config.filtering.trainings()]
    if rule == "theory_simulate":
        return [theory.theory_simulate(known, beta) for beta in config.theory.simulation.betas]
    if rule == "theory_sweep":
        return [theory.theory_sweep(known, *point) for point in config.theory.sweep.points()]
    return [RUN_COSTS.get(rule, lambda _: Cost())(known)] * n_jobs


def _models(config: Config, rule: str) -> list[str]:
    trained = [name for name in config.needed_models() if config.models[name].zoo]
    if rule == "train":
        return trained
    if rule == "model":
        return [name for name in config.needed_models() if name not in trained]
    return config.used_models()

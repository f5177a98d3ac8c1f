"""All stages, and what is looked up in their records: jobs, results, what made a result.

A digest of `made_by` is a rule's parameter, so editing the configuration reruns what depends on the
edit and nothing else; it also stands beside every result (`rosetta.run.provenance`), and manifests
tell the whole. Raise a stage's version when a change of the code changes its results: Snakemake
does not see edits inside the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from rosetta.config import Config
from rosetta.errors import StageError
from rosetta.run.stages import (
    activations,
    analysis,
    correlation,
    filtering,
    inputs,
    judging,
    matching,
    models,
    report,
    theory,
)
from rosetta.run.stages.record import Sized, Slice, Stage

_ORDER = (
    *inputs.STAGES,
    *models.STAGES,
    *activations.STAGES,
    *correlation.STAGES,
    *matching.STAGES,
    *analysis.STAGES,
    *judging.STAGES,
    report.VIEWER,
    *filtering.STAGES,
    *theory.STAGES,
    report.REPORT,
)
# By name, in the order in which status and report list them.
STAGES: Mapping[str, Stage] = MappingProxyType({stage.name: stage for stage in _ORDER})


def find_stage(name: str) -> Stage:
    """Return the record of a stage.

    Raises
    ------
    StageError
        If there is none of that name.
    """
    if name not in STAGES:
        known = ", ".join(STAGES)
        raise StageError(
            f"stage {name!r} is not in the registry. Add its record to a file of "
            f"rosetta/run/stages/, or use one of: {known}"
        )
    return STAGES[name]


def check_rules(config: Config, rules: Iterable[str]) -> None:
    """Check that rules and stages are the same.

    Parameters
    ----------
    config : Config
        The run.
    rules : iterable of str
        Names of the workflow's rules, without those that only collect files.

    Raises
    ------
    StageError
        If a rule has no record, or a stage with jobs has no rule.
    """
    rules = set(rules)
    for rule in sorted(rules):
        find_stage(rule)
    lacking = [name for name, stage in STAGES.items() if name not in rules and stage.jobs(config)]
    if lacking:
        raise StageError(
            f"no rule in workflow/rules/ runs these stages of rosetta/run/stages/: "
            f"{', '.join(lacking)}. Add a rule of that name."
        )


def made_by(config: Config, stage: str, name: str = "") -> Slice:
    """Return the version and configuration slice of a stage.

    Upstream results are not repeated here: a rule has them as inputs.

    Parameters
    ----------
    config : Config
        The run.
    stage : str
        The stage's name.
    name : str
        The model, family or null model that the slice is taken for (`Stage.slice_by`).
    """
    record = find_stage(stage)
    return {"stage": stage, "version": record.version, **record.config_slice(config, name)}


def job_names(config: Config) -> dict[str, list[str]]:
    """Return the names of the jobs of every stage that a configuration asks for."""
    return {name: stage.job_names(config) for name, stage in STAGES.items()}


def table_names(config: Config, *stages: str) -> list[str]:
    """Return the names of the tables of some stages, or of all, that a configuration asks for."""
    asked = [find_stage(name) for name in stages or STAGES]
    return [table for stage in asked if stage.jobs(config) for table in stage.tables]


def figure_names(config: Config, *stages: str) -> list[str]:
    """Return the names of the figures of some stages, or of all, that a configuration asks for."""
    asked = [find_stage(name) for name in stages or STAGES]
    return [name for stage in asked if stage.jobs(config) for name in stage.figure_names(config)]


def gains_from_gpu(config: Config, stage: str) -> bool:
    """Tell whether a GPU makes the jobs of a stage faster."""
    resources = find_stage(stage).resources
    if not isinstance(resources, Sized):
        return False
    return resources.gpu == "always" or (resources.gpu == "live" and config.store_mode == "live")

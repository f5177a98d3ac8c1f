"""All stages, and what is looked up in their records: jobs, results, what made a result.

A digest of `made_by` is a rule's parameter, so editing the configuration reruns what depends on the
edit and nothing else; it also stands beside every result (`rosetta.run.provenance`), and manifests
tell the whole. Raise a stage's version when a change of the code changes its results: Snakemake
does not see edits inside the package.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from rosetta.config import Config
from rosetta.errors import StageError
from rosetta.run.paths import Paths
from rosetta.run.stages import (
    ablation,
    activations,
    analysis,
    correlation,
    emergence,
    filtering,
    images,
    inputs,
    instruments,
    judging,
    matching,
    models,
    report,
    sae,
    seeds,
    theory,
)
from rosetta.run.stages.bundles import BUNDLES
from rosetta.run.stages.record import Bundle, Piece, Rule, Slice, Stage, Wildcards

Record = TypeVar("Record", bound=Rule)
_ORDER = (
    *inputs.STAGES,
    *models.STAGES,
    *activations.STAGES,
    *correlation.STAGES,
    *matching.STAGES,
    *analysis.STAGES,
    *instruments.STAGES,
    *emergence.STAGES,
    *seeds.STAGES,
    *judging.STAGES,
    *images.STAGES,
    *ablation.STAGES,
    *sae.STAGES,
    report.VIEWER,
    *filtering.STAGES,
    *theory.STAGES,
    report.REPORT,
)
# By name, in the order in which status and report list them.
STAGES: Mapping[str, Stage] = MappingProxyType({stage.name: stage for stage in _ORDER})
# What rules run: a stage, or a bundle of the work of several.
_RULES = (*STAGES.values(), *BUNDLES)
RULES: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in _RULES})


def find_stage(name: str) -> Stage:
    """Return the record of a stage.

    Raises
    ------
    StageError
        If there is none of that name.
    """
    return _found(name, STAGES)


def find_rule(name: str) -> Rule:
    """Return the record of what a rule runs: a stage, or a bundle.

    Raises
    ------
    StageError
        If there is none of that name.
    """
    return _found(name, RULES)


def _found(name: str, records: Mapping[str, Record]) -> Record:
    if name not in records:
        raise StageError(
            f"stage {name!r} is not in the registry. Add its record to a file of "
            f"rosetta/run/stages/, or use one of: {', '.join(records)}"
        )
    return records[name]


def pieces_of_job(config: Config, rule: str, job: Wildcards) -> list[Piece]:
    """Return what a rule's job does: one piece, if the rule runs a stage alone."""
    record = find_rule(rule)
    if isinstance(record, Bundle):
        return record.all_pieces(config, job)
    return [Piece(rule, job)]


def declared_files(config: Config, paths: Paths, rule: str, job: Wildcards) -> list[Path]:
    """Return the outputs that a rule declares; `job` may have wildcards in braces.

    A bundle does not declare what its further pieces write (`Bundle.others`).
    """
    record = find_rule(rule)
    pieces = record.pieces(config, job) if isinstance(record, Bundle) else [Piece(rule, job)]
    return _outputs(config, paths, pieces)


def _outputs(config: Config, paths: Paths, pieces: Iterable[Piece]) -> list[Path]:
    return [path for stage, on in pieces for path in STAGES[stage].outputs(config, paths, on)]


def undeclared_files(config: Config, paths: Paths, rule: str, job: Wildcards) -> list[Path]:
    """Return what a job writes and its rule does not declare: the files of further trainings.

    A job that reads one of them needs a declared file of the same job, too, and so waits for it.
    """
    record = find_rule(rule)
    return _outputs(config, paths, record.others(config, job)) if isinstance(record, Bundle) else []


def needed_files(
    config: Config, paths: Paths, rule: str, job: Wildcards, undeclared: Collection[Path]
) -> list[Path]:
    """Return the files that a rule's job needs: what its pieces read, and none of them writes.

    Those that no rule declares are left out (`undeclared_files`).
    """
    pieces = pieces_of_job(config, rule, job)
    read = [path for stage, on in pieces for path in STAGES[stage].inputs(config, paths, on)]
    left_out = {*_outputs(config, paths, pieces), *undeclared}
    return [path for path in dict.fromkeys(read) if path not in left_out]


def rule_jobs(config: Config) -> dict[str, list[Wildcards]]:
    """Return the wildcards of every job that a configuration asks for, by the rule.

    A stage's rule runs what no bundle does.
    """
    jobs: dict[str, list[Wildcards]] = {}
    bundled = set()
    for bundle in BUNDLES:
        jobs[bundle.name] = list(bundle.jobs(config))
        pieces = [piece for job in jobs[bundle.name] for piece in bundle.all_pieces(config, job)]
        bundled |= {_key(*piece) for piece in pieces}
    for name, stage in STAGES.items():
        if name not in jobs:
            jobs[name] = [job for job in stage.jobs(config) if _key(name, job) not in bundled]
    return {name: jobs[name] for name in RULES}


def _key(stage: str, job: Wildcards) -> tuple[str, frozenset[tuple[str, str]]]:
    return stage, frozenset((name, str(value)) for name, value in job.items())


def check_rules(config: Config, rules: Iterable[str]) -> None:
    """Check that rules and records are the same.

    Parameters
    ----------
    config : Config
        The run.
    rules : iterable of str
        Names of the workflow's rules, without those that only collect files.

    Raises
    ------
    StageError
        If a rule has no record, or a stage or bundle with jobs has no rule.
    """
    rules = set(rules)
    for rule in sorted(rules):
        find_rule(rule)
    lacking = [name for name, jobs in rule_jobs(config).items() if name not in rules and jobs]
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


def job_made_by(config: Config, rule: str, job: Wildcards) -> Slice:
    """Return what the results of a rule's job depend on: `made_by` of the stages of its pieces."""
    pieces = pieces_of_job(config, rule, job)
    parts = [made_by(config, stage, slice_name(stage, on)) for stage, on in pieces]
    return {"rule": rule, "pieces": parts}


def slice_name(stage: str, job: Wildcards) -> str:
    """Return what a stage's slice is taken for, in one of its jobs (`Stage.slice_by`)."""
    by = find_stage(stage).slice_by
    return str(job[by]) if by else ""


def job_names(config: Config) -> dict[str, list[str]]:
    """Return the names of the jobs that a configuration asks for, by the rule."""
    return {
        rule: [RULES[rule].job_pattern(config).format(**job) for job in jobs]
        for rule, jobs in rule_jobs(config).items()
    }


def table_names(config: Config, *stages: str) -> list[str]:
    """Return the names of the tables of some stages, or of all, that a configuration asks for."""
    asked = [find_stage(name) for name in stages or STAGES]
    return [table for stage in asked if stage.jobs(config) for table in stage.tables]


def figure_names(config: Config, *stages: str) -> list[str]:
    """Return the names of the figures of some stages, or of all, that a configuration asks for."""
    asked = [find_stage(name) for name in stages or STAGES]
    return [name for stage in asked if stage.jobs(config) for name in stage.figure_names(config)]

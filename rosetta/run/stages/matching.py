"""The stages that match neurons, of pairs and of groups."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config
from rosetta.config.training_ladders import step_pairs
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import Slice, Stage, Wildcards, per_group, per_pair_of_trainings


def _match(config: Config, _pair: str) -> Slice:
    return {"matching": config.matching.model_dump(mode="json", exclude={"instruments"})}


def _matched(config: Config) -> list[Wildcards]:
    steps: list[Wildcards] = [{"pair": pair} for pair in step_pairs(config)]
    return [*per_pair_of_trainings(config), *steps]


def _noted_from(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return what p-values and intervals come from, which further trainings have none of."""
    if not config.is_resampled(job["pair"]):
        return []
    return [*files.nulls(config, paths, job), paths.intervals(job["pair"])]


STAGES = (
    Stage(
        name="match",
        version=4,
        phase="results",
        reads=("correlate", "nulls", "intervals"),
        job="{pair}",
        jobs=_matched,
        config_slice=_match,
        local=True,
        inputs=files.both(files.neighbors, _noted_from),
        makes=files.one("matches", "pair"),
    ),
    Stage(
        name="anchors",
        version=1,
        phase="results",
        reads=("match",),
        job="{group}",
        jobs=per_group,
        local=True,
        inputs=files.group_matches,
        makes=files.one("rosetta", "group"),
    ),
)

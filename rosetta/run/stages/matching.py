"""The stages that match neurons, of pairs and of groups."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.run.stages.record import Slice, Stage, per_group, per_pair


def _match(config: Config, _pair: str) -> Slice:
    return {"matching": config.matching.model_dump(mode="json")}


STAGES = (
    Stage(
        name="match",
        version=4,
        phase="results",
        reads=("correlate", "nulls", "intervals"),
        job="{pair}",
        jobs=per_pair,
        config_slice=_match,
        local=True,
    ),
    Stage(
        name="anchors",
        version=1,
        phase="results",
        reads=("match",),
        job="{group}",
        jobs=per_group,
        local=True,
    ),
)

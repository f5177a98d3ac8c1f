"""The stages that make pages: the viewer and the report."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.run.stages.analysis import laddered
from rosetta.run.stages.record import Slice, Stage


def _whole(config: Config, _name: str) -> Slice:
    return {"config": config.model_dump(mode="json")}  # the report prints all of it


VIEWER = Stage(
    name="viewer",
    version=3,
    phase="results",
    reads=("nulls", "match", "vocabulary", "neurons", "contexts", "annotate"),
    config_slice=laddered,
)
REPORT = Stage(
    name="report",
    version=11,
    phase="results",
    reads=(
        "corpus",
        "train",
        "model",
        "match",
        "counts",
        "fit",
        "figures",
        "control_tables",
        "control_figures",
        "neurons",
        "describe",
        "neuron_figures",
        "filter_choose",
        "filter_tables",
        "filter_figure",
        "theory_exponents",
        "theory_sweep_table",
        "theory_frontiers",
        "theory_ngrams",
        "theory_beta",
        "theory_compare",
        "theory_predict",
        "theory_figures",
    ),
    config_slice=_whole,
    local=True,
    timed=False,  # it is being written when it tells the times
)

"""The stage that shows what image neurons fire on: the best matches of a pair."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config, group_name
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards


def _image_pairs(config: Config) -> list[Wildcards]:
    return [{"pair": group_name(pair)} for pair in config.pairs("images")]


def _sheet(config: Config, _pair: str) -> Slice:
    return {"n_matches": config.report.n_matches}


def _with_generators(config: Config) -> list[Wildcards]:
    return [{}] if config.judged_generators() else []


def _judged(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return what generators made, and the classifiers that judge it."""
    models = dict.fromkeys(name for pair in config.judged_generators() for name in pair)
    return [paths.image_set("heldout"), *map(paths.captured, models)]


STAGES = (
    Stage(
        name="generated_images",
        version=1,
        phase="results",
        reads=("images", "captured"),
        jobs=_with_generators,
        inputs=_judged,
        tables={"generated_images": "how good generators are, by a classifier of the run"},
    ),
    Stage(
        name="contact_sheet",
        version=1,
        phase="neurons",
        reads=("images", "generate", "activations", "captured", "match"),
        job="{pair}",
        jobs=_image_pairs,
        config_slice=_sheet,
        resources=Sized(by="pair"),
        inputs=files.both(files.samples, files.stores_of_models, files.one("matches", "pair")),
        makes=files.one("contact_sheet", "pair"),
    ),
)

"""The stages that make pages: the viewer and the report."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config
from rosetta.run.paths import Paths
from rosetta.run.stages import (
    ablation,
    analysis,
    emergence,
    files,
    filtering,
    images,
    instruments,
    judging,
    sae,
    seeds,
    theory,
)
from rosetta.run.stages.analysis import laddered
from rosetta.run.stages.record import Slice, Stage, Wildcards


def _whole(config: Config, _name: str) -> Slice:
    return {"config": config.model_dump(mode="json")}  # the report prints all of it


def _annotations(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [paths.annotations] if config.annotation else []


def _seen(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return what describes the texts and the images of the run."""
    texts = [paths.corpus_manifest] if "text" in config.modalities else []
    drawn = [paths.image_set("match")] if config.draws_images else []
    generators = filter(config.is_generator, config.all_models())
    places = [(name, shard) for name in generators for shard in range(config.activations.n_shards)]
    made = [paths.generated(name, config.activations.n_shards, shard) for name, shard in places]
    return [*texts, *drawn, *made]


def _told(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return all tables and figures that the configuration asks for."""
    made = [
        *analysis.STAGES,
        *instruments.STAGES,
        *emergence.STAGES,
        *seeds.STAGES,
        *images.STAGES,
        *judging.STAGES,
        *ablation.STAGES,
        *sae.STAGES,
        *theory.STAGES,
        *filtering.STAGES,
    ]
    asked = [stage for stage in made if stage.jobs(config)]
    figures = [paths.figure(name, "png") for stage in asked for name in stage.figure_names(config)]
    return [*(paths.table(name) for stage in asked for name in stage.tables), *figures]


VIEWER = Stage(
    name="viewer",
    version=5,
    phase="results",
    reads=(
        "nulls",
        "match",
        "anchors",
        "vocabulary",
        "neurons",
        "contexts",
        "annotate",
        "image_neurons",
        "image_excerpts",
        "train",
        "model",
    ),
    config_slice=laddered,
    inputs=files.both(
        _annotations,
        files.of_pairs("matches"),
        files.all_nulls,
        files.of_groups("excerpts", "text"),
        files.of_groups("image_excerpts", "images"),
        files.of_groups("rosetta"),
        files.profiles,
        files.image_profiles,
        files.of_models("model_manifest"),
    ),
    makes=files.one("viewer"),
)
REPORT = Stage(
    name="report",
    version=18,
    phase="results",
    reads=(
        "corpus",
        "images",
        "generate",
        "captured",
        "generated_images",
        "place_maps",
        "contact_sheet",
        "judge",
        "train",
        "model",
        "match",
        "anchors",
        "counts",
        "fit",
        "figures",
        "control_tables",
        "control_figures",
        "neurons",
        "describe",
        "findings",
        "neuron_figures",
        "instrument_tables",
        "instrument_figures",
        "emergence",
        "emergence_figures",
        "across_seeds",
        "across_seeds_figures",
        "attribution_tables",
        "attribution_figures",
        "ablation_tables",
        "ablation_figures",
        "sae_tables",
        "sae_figures",
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
    inputs=files.both(
        _seen,
        files.of_trainings("model_manifest"),
        files.of_pairs("matches"),
        files.of_groups("rosetta", "text"),
        files.of_models("contexts", "text"),
        files.of_models("captured", "images"),
        files.of_pairs("contact_sheet", "images"),
        _told,
    ),
    makes=files.one("report"),
    local=True,
    timed=False,  # it is being written when it tells the times
)

"""The stages that tell what neurons of images are like, and how good generated images are."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config, group_name, group_pairs
from rosetta.config.image_stores import encoders_of
from rosetta.config.names import generator_of_store
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import (
    Sized,
    Slice,
    Stage,
    Wildcards,
    per_group_of_images,
    per_image_model,
)


def _image_pairs(config: Config) -> list[Wildcards]:
    return [{"pair": group_name(pair)} for pair in config.pairs("images")]


def _profiled(config: Config, model: str) -> Slice:
    # Which encoders judge a model's images follows from the ladders.
    stores = config.stores_of_model(model)
    return {
        "firing_std": config.selectivity.firing_std,
        "n_contexts": config.specialization.n_contexts,
        "encoders": {store: encoders_of(config, store) for store in stores},
        **_scored(config, model),
    }


def _scored(config: Config, _name: str) -> Slice:
    # Left out where it is what it always was, so that results of before stay valid.
    score = config.selectivity.image_score
    return {} if score == "mean" else {"image_score": score}


def _shown(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the stores of a model, what they are of, and the models that judge the images."""
    names = config.stores_of_model(job["model"])
    encoders = dict.fromkeys(one for name in names for one in encoders_of(config, name))
    found = [path for name in names for path in files.stores(config, paths, {"model": name})]
    shown = [path for name in names for path in images_of(config, paths, name)]
    captured = [paths.captured(model) for model in (job["model"], *encoders)]
    return list(dict.fromkeys([*found, *shown, *captured, *map(paths.model_manifest, encoders)]))


def images_of(config: Config, paths: Paths, store: str) -> list[Path]:
    """Return the sets of images that stores are of, by their name."""
    generator = store if config.is_generator(store) else generator_of_store(store)
    if generator is None:
        return [paths.image_set("match")]
    n_shards = config.activations.n_shards
    return [paths.generated(generator, n_shards, shard) for shard in range(n_shards)]


def _images_of_pair(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    return images_of(config, paths, config.stores_of(job["pair"])[0])


def _profiles(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    places = (paths.neurons, paths.top_images, paths.monosemanticity, paths.factors)
    return [place(job["model"]) for place in places]


def _tops(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the top images of both models of a pair."""
    return [paths.top_images(model) for model in files.models(job)]


def _excerpts(config: Config, group: str) -> Slice:
    viewer = config.viewer
    shown = {"n_neurons": viewer.n_neurons, "n_contexts": viewer.n_contexts}
    return {**shown, **_scored(config, group)}


def _of_group(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the images that a group is shown, and what its neurons do on them."""
    models = files.models(job)
    pairs = [group_name(pair) for pair in group_pairs(tuple(models))]
    shown = images_of(config, paths, config.stores_of(pairs[0])[0])
    return [*shown, *map(paths.top_images, models), *map(paths.partner_images, pairs)]


def _grid(config: Config, _pair: str) -> Slice:
    return {"grid": config.alignment.grid}


def _compared(config: Config, _name: str) -> Slice:
    return {"pairs": [job["pair"] for job in _image_pairs(config)]}


def _places(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [paths.place(job["pair"]) for job in _image_pairs(config)]


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
        name="image_neurons",
        version=1,
        phase="neurons",
        reads=("images", "train", "model", "generate", "activations", "captured"),
        job="{model}",
        jobs=per_image_model,
        config_slice=_profiled,
        resources=Sized(by="model", gpu="always"),
        inputs=_shown,
        makes=_profiles,
    ),
    Stage(
        name="partner_images",
        version=1,
        phase="neurons",
        reads=("generate", "activations", "captured", "match", "image_neurons"),
        job="{pair}",
        jobs=_image_pairs,
        config_slice=_scored,
        resources=Sized(by="pair"),
        inputs=files.both(files.stores_of_models, _tops, files.one("matches", "pair")),
        makes=files.one("partner_images", "pair"),
    ),
    Stage(
        name="image_excerpts",
        version=1,
        phase="neurons",
        reads=(
            "images",
            "generate",
            "activations",
            "captured",
            "match",
            "anchors",
            "image_neurons",
            "partner_images",
        ),
        job="{group}",
        jobs=per_group_of_images,
        config_slice=_excerpts,
        resources=Sized(by="group"),
        inputs=files.both(
            _of_group,
            files.stores_of_models,
            files.captured,
            files.one("rosetta", "group"),
            files.group_matches,
        ),
        makes=files.one("image_excerpts", "group"),
    ),
    Stage(
        name="place",
        version=1,
        phase="neurons",
        reads=("generate", "activations", "captured", "match"),
        job="{pair}",
        jobs=_image_pairs,
        config_slice=_grid,
        resources=Sized(by="pair"),
        inputs=files.both(files.stores_of_models, files.captured, files.one("matches", "pair")),
        makes=files.one("place", "pair"),
    ),
    Stage(
        name="place_maps",
        version=1,
        phase="results",
        reads=("place",),
        jobs=lambda config: [{}] if _image_pairs(config) else [],
        config_slice=_compared,
        inputs=_places,
        tables={"place": "per pair of models that see images: how much of r place alone makes"},
        figures={"place": "where place alone correlates the matched neurons of models"},
        local=True,
    ),
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
        version=2,
        phase="neurons",
        reads=("images", "generate", "captured", "match", "image_neurons", "partner_images"),
        job="{pair}",
        jobs=_image_pairs,
        config_slice=_sheet,
        resources=Sized(by="pair"),
        inputs=files.both(
            _images_of_pair,
            files.captured,
            _tops,
            files.one("matches", "pair"),
            files.one("partner_images", "pair"),
        ),
        makes=files.one("contact_sheet", "pair"),
    ),
)

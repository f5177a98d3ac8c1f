"""Stores of models that see images: of images of the run, or of those that a generator makes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from rosetta.activations.image_capture import show_images
from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreCells, StoreDescription
from rosetta.config import Config
from rosetta.config.devices import AUTO
from rosetta.config.names import TWIN_SEPARATOR, generator_of_store, model_of_store
from rosetta.errors import ConfigError
from rosetta.inputs.images.image_sets import ImageSet, write_image_set
from rosetta.inputs.text.build import shard_bounds
from rosetta.models import sources
from rosetta.models.devices import best_device
from rosetta.models.image_models import load_image_model
from rosetta.models.model_manifest import checked_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.digests import hash64
from rosetta.storage.manifests import read_manifest


def capture_images(config: Config, paths: Paths, name: str, shard: int) -> None:
    """Capture one shard of stores of a model that sees images.

    A generator makes its images in the same pass, and they are written beside the stores. Its
    untrained twins make images of the same noise and labels, which are not kept: an untrained
    generator draws one grey image, so other twins are shown those of the trained one.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    name : str
        Name of the stores: that of a model, or `model@generator`.
    shard : int
        Number of the shard.

    Raises
    ------
    RosettaError
        If a manifest is missing, or a file is not the one that its manifest describes.
    """
    if config.activations.batch_size == AUTO:
        raise ConfigError(
            "activations.batch_size: auto fits texts to memory; give a number of images."
        )
    work = _Shard(config, paths, name, shard)
    if config.is_generator(name):
        _make_images(work)
    else:
        _show_images(work)


class _Shard:
    """A shard of stores that is to be written."""

    def __init__(self, config: Config, paths: Paths, name: str, shard: int) -> None:
        self.config, self.paths, self.name, self.shard = config, paths, name, shard
        self.n_shards = config.activations.n_shards
        model = model_of_store(name)
        self.source = sources.model_source(config, paths, model)
        self.manifest = checked_manifest(self.source, paths.model_manifest(model))
        self.path = paths.store_manifest(name, self.n_shards, shard)

    @property
    def batch_size(self) -> int:
        """Images per forward pass."""
        return int(self.config.activations.batch_size)

    def describe(self, images: Any) -> StoreDescription:
        """Return what the store is; `images` says what its images depend on."""
        made = made_by(self.config, "activations", self.name)
        return StoreDescription(
            shape=NeuronShape.of(self.manifest),
            dtype=self.config.activations.dtype,
            shard=self.shard,
            n_shards=self.n_shards,
            made_by={**made, "weights": self.manifest["weights"], "images": images},
            place=self.source.name,
        )


def _show_images(work: _Shard) -> None:
    """Capture a model on images of the run, or of a generator."""
    generator, settings = generator_of_store(work.name), work.config.activations
    if generator is None:
        path = work.paths.image_set("match")
        shown = ImageSet(path)
        n_images = min(shown.n_images, settings.max_images or shown.n_images)
        low, high = shard_bounds(n_images, work.n_shards, work.shard)
        images = read_manifest(path, "images")["files"]
    else:
        shown = ImageSet(work.paths.generated(generator, work.n_shards, work.shard))
        low, high = 0, shown.n_images
        images = shown.manifest["made_by"]
    model = load_image_model(work.source, where=best_device())
    size = work.batch_size
    batches = (shown.pixels(i, min(i + size, high)) for i in range(low, high, size))
    ids = shown.table["id"].to_numpy()[low:high]
    cells = StoreCells(image_ids=ids, grid=model.grid, image_size=shown.size, step=None)
    write_store(work.path, show_images(model, batches), cells, work.describe(images))


def _make_images(work: _Shard) -> None:
    """Capture a generator while it makes images, and write them."""
    from rosetta.models.generator_inputs import balanced_labels
    from rosetta.models.generators import generate_shard, load_generator

    made = work.config.images.generated
    generator = load_generator(work.source, best_device())
    twin_of, separator, _ = work.name.partition(TWIN_SEPARATOR)
    low, high = shard_bounds(made.n_images, work.n_shards, work.shard)
    index = np.arange(low, high)
    labels = balanced_labels(made.n_images, generator.n_classes)[low:high]
    seeds = [hash64("image", made.seed, i) % 2**63 for i in index.tolist()]
    if separator:
        made_here = ImageSet(work.paths.generated(twin_of, work.n_shards, work.shard))
        ids, images = made_here.table["id"].to_numpy(), made_here.manifest["made_by"]
    else:
        weights = work.manifest["weights"]
        drawn = zip(seeds, labels.tolist(), strict=True)
        ids = np.array([hash64("generated", weights, *one) for one in drawn], np.uint64)
        images = {"generator": weights, **made.model_dump(mode="json")}
    kept: list[np.ndarray] = []

    def activations() -> Iterator[torch.Tensor]:
        for pixels, values in generate_shard(generator, seeds, labels.tolist(), work.batch_size):
            kept.append(pixels)
            yield values

    cells = StoreCells(
        image_ids=ids, grid=generator.grid, image_size=generator.size, step=generator.step
    )
    write_store(work.path, activations(), cells, work.describe(images))
    if not separator:
        names = _class_names(work, generator.n_classes)
        classes = [names[label] for label in labels.tolist()]
        table = {"id": ids, "label": labels, "domain": classes, "caption": classes}
        described = pd.DataFrame({**table, "source": work.source.name, "index": index})
        _write_images(work, described, kept, images, names)


def _class_names(work: _Shard, n_classes: int) -> list[str]:
    """Return the names of a generator's classes: its own, those of the images that it learnt from,
    or numbers.
    """
    if "classes" in work.manifest:
        return list(work.manifest["classes"])
    if work.config.entry(work.name).zoo is None:
        return list(map(str, range(n_classes)))
    learnt = read_manifest(work.paths.image_set("train"), "images")
    return list(learnt["facts"]["classes"])


def _write_images(
    work: _Shard,
    table: pd.DataFrame,
    pixels: list[np.ndarray],
    made: dict[str, Any],
    classes: list[str],
) -> None:
    path: Path = work.paths.generated(work.name, work.n_shards, work.shard)
    facts = {"classes": classes, "shard": work.shard, "n_shards": work.n_shards}
    write_image_set(path, table, pixels, made_by=made, facts=facts)

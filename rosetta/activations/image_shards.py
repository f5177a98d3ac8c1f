"""Stores of models that see images: of images of the run, or of those that a generator makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from rosetta.activations.image_capture import show_images
from rosetta.activations.rows import ShardRows
from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreCells, StoreDescription
from rosetta.config import Config
from rosetta.config.devices import AUTO
from rosetta.config.names import TWIN_SEPARATOR, generator_of_store, model_of_store
from rosetta.errors import ConfigError
from rosetta.inputs.images.image_sets import ImageSet, write_image_set
from rosetta.inputs.text.build import shard_bounds
from rosetta.models import sources
from rosetta.models.devices import CPU, best_device
from rosetta.models.generator_inputs import balanced_labels
from rosetta.models.generators import Generator, generate_shard, load_generator
from rosetta.models.image_models import ImageModel, load_image_model
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
    rows = image_rows(config, paths, name, shard)
    path = paths.store_manifest(name, config.activations.n_shards, shard)
    if not isinstance(rows, _Made):
        write_store(path, rows.batches()[1], rows.positions(), rows.description)
        return
    kept: list[np.ndarray] = []
    values = rows.made(kept.append)
    write_store(path, values, rows.positions(), rows.description)
    if not rows.is_twin:
        _write_images(rows, kept)


def make_images(config: Config, paths: Paths, name: str, shard: int) -> None:
    """Have a generator make the images of one shard; its activations are not kept."""
    rows = image_rows(config, paths, name, shard)
    assert isinstance(rows, _Made), "only a generator makes images"
    if not rows.is_twin:
        kept: list[np.ndarray] = []
        for _ in rows.made(kept.append):
            pass
        _write_images(rows, kept)


def image_rows(config: Config, paths: Paths, name: str, shard: int) -> ShardRows:
    """Return the rows of a shard of stores of a model that sees images, or makes them.

    Parameters and errors are those of `capture_images`.
    """
    if config.activations.batch_size == AUTO:
        raise ConfigError(
            "activations.batch_size: auto fits texts to memory; give a number of images."
        )
    return (_Made if config.is_generator(name) else _Shown)(config, paths, name, shard)


class _Shard:
    """A shard of stores, and its model."""

    def __init__(self, config: Config, paths: Paths, name: str, shard: int) -> None:
        self.config, self.paths, self.name, self.shard = config, paths, name, shard
        self.n_shards = config.activations.n_shards
        model = model_of_store(name)
        self.source = sources.model_source(config, paths, model)
        self.manifest = checked_manifest(self.source, paths.model_manifest(model))

    @property
    def batch_size(self) -> int:
        """Images per forward pass."""
        return int(self.config.activations.batch_size)

    def first_of_batch(self, row: int, n_cells: int) -> int:
        """Return the first image of the batch that a row is of."""
        return row // n_cells // self.batch_size * self.batch_size

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


@dataclass(frozen=True)
class _Images:
    """Images that a model is shown: a range of a set, and what they depend on."""

    of: ImageSet
    low: int
    high: int
    made_by: Any


class _Shown(_Shard):
    """The rows of a model that is shown images of the run, or a generator's."""

    @property
    def description(self) -> StoreDescription:
        """What the store is of."""
        return self.describe(self._images.made_by)

    def positions(self) -> StoreCells:
        """Return the cells of the images."""
        shown, model = self._images, self._model
        ids = shown.of.table["id"].to_numpy()[shown.low : shown.high]
        return StoreCells(image_ids=ids, grid=model.grid, image_size=shown.of.size, step=None)

    def batches(
        self, first_row: int = 0, where: torch.device = CPU
    ) -> tuple[int, Iterator[torch.Tensor]]:
        """Show the model its images, from the batch with a row on."""
        shown, size, n_cells = self._images, self.batch_size, self._model.n_cells
        first = self.first_of_batch(first_row, n_cells)
        starts = range(shown.low + first, shown.high, size)
        pixels = (shown.of.pixels(i, min(i + size, shown.high)) for i in starts)
        return first * n_cells, show_images(self._model, pixels, where)

    @cached_property
    def _images(self) -> _Images:
        generator, settings = generator_of_store(self.name), self.config.activations
        if generator is not None:
            made = ImageSet(self.paths.generated(generator, self.n_shards, self.shard))
            return _Images(made, 0, made.n_images, made.manifest["made_by"])
        path = self.paths.image_set("match")
        drawn = ImageSet(path)
        n_images = min(drawn.n_images, settings.max_images or drawn.n_images)
        low, high = shard_bounds(n_images, self.n_shards, self.shard)
        return _Images(drawn, low, high, read_manifest(path, "images")["files"])

    @cached_property
    def _model(self) -> ImageModel:
        return load_image_model(self.source, where=best_device())


class _Made(_Shard):
    """The rows of a generator, which makes an image of each seed and label."""

    @property
    def is_twin(self) -> bool:
        """Whether the generator is an untrained twin, whose images nobody is shown."""
        return TWIN_SEPARATOR in self.name

    @property
    def description(self) -> StoreDescription:
        """What the store is of."""
        if self.is_twin:
            return self.describe(self._made_by_trained.manifest["made_by"])
        generated = self.config.images.generated.model_dump(mode="json")
        return self.describe({"generator": self.manifest["weights"], **generated})

    def positions(self) -> StoreCells:
        """Return the cells of the images."""
        made = self.generator
        return StoreCells(self.ids, grid=made.grid, image_size=made.size, step=made.step)

    def batches(
        self, first_row: int = 0, where: torch.device = CPU
    ) -> tuple[int, Iterator[torch.Tensor]]:
        """Make the images again, from the batch with a row on."""
        height, width = self.generator.grid
        first = self.first_of_batch(first_row, height * width)
        return first * height * width, self.made(lambda _: None, first, where)

    def made(
        self, keep: Callable[[np.ndarray], None], first: int = 0, where: torch.device = CPU
    ) -> Iterator[torch.Tensor]:
        """Yield the activations of making images, from one on; `keep` is given their pixels."""
        seeds, labels = self.seeds[first:], self.labels[first:].tolist()
        size = self.batch_size
        for pixels, values in generate_shard(self.generator, seeds, labels, size, where):
            keep(pixels)
            yield values

    @property
    def index(self) -> np.ndarray:
        """Numbers of the shard's images among all that the generator makes."""
        n_images = self.config.images.generated.n_images
        return np.arange(*shard_bounds(n_images, self.n_shards, self.shard))

    @property
    def seeds(self) -> list[int]:
        """The seed of each image's noise."""
        seed = self.config.images.generated.seed
        return [hash64("image", seed, i) % 2**63 for i in self.index.tolist()]

    @property
    def labels(self) -> np.ndarray:
        """The class of each image."""
        n_images = self.config.images.generated.n_images
        return balanced_labels(n_images, self.generator.n_classes)[self.index]

    @property
    def ids(self) -> np.ndarray:
        """The id of each image; of a twin, those of what the trained generator made."""
        if self.is_twin:
            return self._made_by_trained.table["id"].to_numpy()
        weights = self.manifest["weights"]
        drawn = zip(self.seeds, self.labels.tolist(), strict=True)
        return np.array([hash64("generated", weights, *one) for one in drawn], np.uint64)

    @cached_property
    def generator(self) -> Generator:
        """The loaded generator."""
        return load_generator(self.source, best_device())

    @property
    def _made_by_trained(self) -> ImageSet:
        trained = self.name.partition(TWIN_SEPARATOR)[0]
        return ImageSet(self.paths.generated(trained, self.n_shards, self.shard))

    @property
    def class_names(self) -> list[str]:
        """Names of its classes: its own, those of the images that it learnt from, or numbers."""
        if "classes" in self.manifest:
            return list(self.manifest["classes"])
        if self.config.entry(self.name).zoo is None:
            return list(map(str, range(self.generator.n_classes)))
        learnt = read_manifest(self.paths.image_set("train"), "images")
        return list(learnt["facts"]["classes"])


def _write_images(made: _Made, pixels: list[np.ndarray]) -> None:
    """Write the images that a generator made in a shard."""
    names, labels = made.class_names, made.labels
    classes = [names[label] for label in labels.tolist()]
    table = {"id": made.ids, "label": labels, "domain": classes, "caption": classes}
    described = pd.DataFrame({**table, "source": made.source.name, "index": made.index})
    path: Path = made.paths.generated(made.name, made.n_shards, made.shard)
    facts = {"classes": names, "shard": made.shard, "n_shards": made.n_shards}
    images = made.description.made_by["images"]
    write_image_set(path, described, pixels, made_by=images, facts=facts)

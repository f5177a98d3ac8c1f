"""Models that generate images, and the activations of the pass that makes each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from rosetta.errors import ModelError
from rosetta.models.devices import CPU
from rosetta.models.diffusion.generator import PipelineGenerator
from rosetta.models.diffusion.loading import facts_of, load_pipeline, settings_of
from rosetta.models.forward_pass import FEWER_IMAGES, forward_pass
from rosetta.models.generator_inputs import check_labels
from rosetta.models.generator_sites import CellSite, recording, stacked
from rosetta.models.loading import load_model
from rosetta.models.neurons import NeuronShape
from rosetta.models.pmf.generator import PmfGenerator
from rosetta.models.sources import ModelSource


class Generator(Protocol):
    """A loaded model that makes images of classes.

    Attributes
    ----------
    place : str
        What messages name as the culprit.
    n_classes : int
        Labels that it has, from 0.
    size : int
        Pixels of a side of its images, S.
    grid : tuple of int
        Rows and columns of cells, H and W.
    shape : NeuronShape
        Its neurons.
    call, step : int, str
        Which step of generation is captured: its number from 0, and in words.
    """

    @property
    def place(self) -> str: ...  # noqa: D102
    @property
    def n_classes(self) -> int: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    @property
    def grid(self) -> tuple[int, int]: ...  # noqa: D102
    @property
    def shape(self) -> NeuronShape: ...  # noqa: D102
    @property
    def call(self) -> int: ...  # noqa: D102
    @property
    def step(self) -> str: ...  # noqa: D102

    def sites(self) -> list[CellSite]:
        """Return where the neurons are, by layer."""
        ...

    def generate(self, seeds: Sequence[int], labels: Sequence[int]) -> torch.Tensor:
        """Return images (n, 3, S, S) in [−1, 1], each a function of the weights, its seed and its
        label alone.
        """
        ...


# By the `model_type` of the configuration; each stands in
# `rosetta.models.architectures.generators`, too.
GENERATORS: dict[str, Callable[[Any, str], Generator]] = {"pmf": PmfGenerator}


def load_generator(source: ModelSource, device: torch.device = CPU) -> Generator:
    """Load a generator of images, from safetensors or a seed.

    An untrained twin is run on the seeds and labels of its trained model for its activations. Its
    images are not used: that of a pMF makes one grey image of whatever noise, since the gates of
    its layers start at zero. That of a pipeline has a random transformer and trained other parts.

    Parameters
    ----------
    source : ModelSource
        The model; with `untrained_seed` one of random weights.
    device : device
        Takes all of it.

    Raises
    ------
    RosettaError
        If it generates no images, cannot be loaded, its weights do not fit it, or a setting of a
        pipeline does not.
    """
    if source.pipeline is not None:
        facts = facts_of(source)
        pipeline = load_pipeline(source, facts, device)
        return PipelineGenerator(pipeline, facts, settings_of(source), source.place)
    model = load_model(source, device)
    if model.config.model_type not in GENERATORS:
        raise ModelError(
            f"{source.place}: {model.config.model_type} generates no images. Architectures that "
            f"do: {', '.join(GENERATORS)}."
        )
    return GENERATORS[model.config.model_type](model, source.place)


def generate_shard(
    generator: Generator,
    seeds: Sequence[int],
    labels: Sequence[int],
    batch_size: int,
    where: torch.device = CPU,
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    """Yield images in batches, with the activations of the pass that made them.

    Every pass makes `batch_size` images: the last batch is filled up with copies that are not
    yielded. A library may choose how it sums by the size of a batch, and then an image differs in
    its last bits; at one batch size it never does.

    Parameters
    ----------
    generator : Generator
        The generator.
    seeds, labels : sequence of int
        By image.
    batch_size : int
        Images per pass.
    where : torch.device
        Where the activations go.

    Yields
    ------
    pixels : ndarray of uint8, shape (n, S, S, 3)
        Red, green, blue.
    activations : Tensor, shape (n_layers, n · H · W, d_mlp)
        Of the step `generator.step`, in the precision of the pass.

    Raises
    ------
    ModelError
        If the generator has no class of a label, an image is not finite, the architecture is not
        what its table says, or the GPU does not hold a batch.
    """
    check_labels(labels, generator.n_classes, generator.place)
    seeds, labels = np.asarray(seeds, dtype=np.int64), np.asarray(labels, dtype=np.int64)
    return _batches(generator, seeds, labels, batch_size, where)


@torch.inference_mode()
def _batches(
    generator: Generator,
    seeds: np.ndarray,
    labels: np.ndarray,
    batch_size: int,
    where: torch.device,
) -> Iterator[tuple[np.ndarray, torch.Tensor]]:
    n_layers, d_mlp = generator.shape.n_layers, generator.shape.d_mlp
    n_cells = generator.grid[0] * generator.grid[1]
    sites = generator.sites()
    for start in range(0, len(seeds), batch_size):
        numbers = np.arange(start, start + batch_size)
        n_images = int((numbers < len(seeds)).sum())
        numbers = numbers.clip(max=len(seeds) - 1)
        drawn = seeds[numbers].tolist(), labels[numbers].tolist()
        shown = f"{generator.place}: {batch_size} image(s)"
        alone = forward_pass(sites[0].module, shown, FEWER_IMAGES, where)
        with alone, recording(sites, generator.call, where) as kept:
            images = generator.generate(*drawn)
        activations = stacked(kept, (n_layers, batch_size * n_cells, d_mlp), generator.place)
        yield quantised(images[:n_images], generator.place), activations[:, : n_images * n_cells]


def quantised(images: torch.Tensor, place: str) -> np.ndarray:
    """Return 8-bit pixels (n, S, S, 3) of images (n, 3, S, S) in [−1, 1], rounded to the nearest.

    Raises
    ------
    ModelError
        If a value is not finite.
    """
    if not torch.isfinite(images).all():
        raise ModelError(
            f"{place}: made an image with values that are not finite: its training diverged, or "
            "its weights are damaged. Give another model."
        )
    levels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).contiguous().numpy()

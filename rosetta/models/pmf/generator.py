"""A loaded pMF as a generator of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rosetta.models.generator_inputs import check_labels, image_noise
from rosetta.models.generator_sites import CellSite
from rosetta.models.loading_within_memory import input_device
from rosetta.models.neurons import NeuronShape
from rosetta.models.pmf.model import PmfModel


@dataclass(frozen=True)
class PmfGenerator:
    """A generator (`rosetta.models.generators.Generator`) that is a pMF.

    The neurons are those of the patches in its last step: the input of each layer's `mlp.w2`,
    without the prefix tokens. A published model makes one step.

    Attributes
    ----------
    module : PmfModel
        In evaluation mode.
    place : str
        What messages name as the culprit.
    """

    module: PmfModel
    place: str

    @property
    def n_classes(self) -> int:
        """Labels that it has, from 0."""
        return self.module.config.n_classes

    @property
    def size(self) -> int:
        """Pixels of a side of its images."""
        return self.module.config.image_size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.module.config.grid

    @property
    def shape(self) -> NeuronShape:
        """Its neurons."""
        config = self.module.config
        return NeuronShape(config.num_hidden_layers, config.intermediate_size)

    @property
    def call(self) -> int:
        """Number of the captured step, from 0: the last one."""
        return self.module.config.n_steps - 1

    @property
    def step(self) -> str:
        """The captured step in words."""
        n_steps = self.module.config.n_steps
        return f"{n_steps} of {n_steps}, t = {1 / n_steps:g} to 0"

    def sites(self) -> list[CellSite]:
        """Return where the neurons are, by layer."""
        n_prefix = self.module.config.n_prefix
        return [
            CellSite(block.mlp.w2, lambda tokens: tokens[:, n_prefix:])
            for block in self.module.blocks
        ]

    def generate(self, seeds: Sequence[int], labels: Sequence[int]) -> torch.Tensor:
        """Return one image per seed and label, (n, 3, S, S) in [−1, 1], on the CPU.

        Raises
        ------
        ModelError
            If there is no class of a label.
        """
        check_labels(labels, self.n_classes, self.place)
        noise = image_noise(seeds, labels, (3, self.size, self.size))
        device = input_device(self.module)
        images = self.module.sample(
            noise.to(device, self.module.dtype), torch.as_tensor(labels).to(device)
        )
        return images.float().clamp(-1, 1).cpu()

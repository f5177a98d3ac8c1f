"""A loaded pipeline of diffusers as a generator of images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from rosetta.config.pipelines import Pipeline
from rosetta.errors import ModelError
from rosetta.models.diffusion.facts import PipelineFacts, prompt_of
from rosetta.models.diffusion.sites import diffusion_sites
from rosetta.models.generator_inputs import check_labels, image_noise, noise_source
from rosetta.models.generator_sites import CellSite
from rosetta.models.neurons import NeuronShape


@dataclass(frozen=True)
class PipelineGenerator:
    """A generator (`rosetta.models.generators.Generator`) that is a pipeline of diffusers.

    Attributes
    ----------
    pipeline : DiffusionPipeline
        With its parts in evaluation mode.
    facts : PipelineFacts
        What it makes.
    settings : Pipeline
        How.
    place : str
        What messages name as the culprit.
    """

    pipeline: Any
    facts: PipelineFacts
    settings: Pipeline
    place: str

    @property
    def n_classes(self) -> int:
        """Labels that it has, from 0."""
        return len(self.facts.classes)

    @property
    def size(self) -> int:
        """Pixels of a side of its images."""
        return self.facts.size

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        return self.facts.grid

    @property
    def shape(self) -> NeuronShape:
        """Its neurons."""
        return self.facts.shape

    @property
    def call(self) -> int:
        """Number of the captured call of the transformer, from 0: the step's first one."""
        return (self.settings.captured_number - 1) * self.facts.calls_per_step

    @property
    def step(self) -> str:
        """The captured step in words."""
        return f"{self.settings.captured_number} of {self.settings.steps}"

    def sites(self) -> list[CellSite]:
        """Return where the neurons are, by layer.

        Raises
        ------
        ModelError
            If the transformer has others than its configuration tells.
        """
        return diffusion_sites(self.pipeline.transformer, self.facts, self.place)

    def generate(self, seeds: Sequence[int], labels: Sequence[int]) -> torch.Tensor:
        """Return one image per seed and label, (n, 3, S, S) in [−1, 1], on the CPU.

        Raises
        ------
        ModelError
            If there is no class of a label, an image depends on more than its seed and label, or
            the transformer does not run once per step.
        """
        check_labels(labels, self.n_classes, self.place)
        with self._checked():
            images = self.pipeline(
                **self._condition(labels),
                **self._noise(seeds, labels),
                num_inference_steps=self.settings.steps,
                guidance_scale=self.settings.guidance,
                output_type="pt",
                return_dict=False,
                **self.facts.architecture.options(self.settings.steps),
            )[0]
        return images.float().cpu() * 2 - 1

    def _condition(self, labels: Sequence[int]) -> dict[str, Any]:
        """Return what the pipeline is asked for."""
        if self.facts.architecture.labels:
            return {"class_labels": list(labels)}
        names = (self.facts.classes[label] for label in labels)
        prompts = [prompt_of(self.settings, name) for name in names]
        return {"prompt": prompts, "height": self.size, "width": self.size}

    def _noise(self, seeds: Sequence[int], labels: Sequence[int]) -> dict[str, Any]:
        """Return what images are made from, each from its seed and label alone.

        A pipeline that is given no noise draws its own, and some schedulers draw more at every
        step: of the sources, one per image.
        """
        sources = [noise_source(*one) for one in zip(seeds, labels, strict=True)]
        shape = self.facts.noise_shape
        given = {} if shape is None else {"latents": image_noise(seeds, labels, shape)}
        return {"generator": sources, **given}

    @contextmanager
    def _checked(self) -> Iterator[None]:
        """Check that a generation draws from no stream that all images share, and that it calls the
        transformer as often as the captured step is counted by.
        """
        calls: list[None] = []
        hook = self.pipeline.transformer.register_forward_pre_hook(lambda *_: calls.append(None))
        before = _shared_streams()
        try:
            yield
        finally:
            hook.remove()
        scheduler = type(self.pipeline.scheduler).__name__
        if any(not torch.equal(a, b) for a, b in zip(before, _shared_streams(), strict=True)):
            raise ModelError(
                f"{self.place}: scheduler {scheduler} draws noise that all images of a batch "
                "share. Give the pipeline one that draws none, such as DDIMScheduler."
            )
        wanted = self.settings.steps * self.facts.calls_per_step
        if len(calls) != wanted:
            raise ModelError(
                f"{self.place}: scheduler {scheduler} runs the transformer {len(calls)} times in "
                f"{self.settings.steps} steps, where {wanted} was expected. Give the pipeline one "
                "that runs it once per step, such as DDIMScheduler."
            )


def _shared_streams() -> list[torch.Tensor]:
    """Return the state of every stream of random numbers that is not an image's own."""
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    return [torch.get_rng_state(), *on_gpus]

"""Pipelines of diffusers that make images: one table, keyed by the pipeline's class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Configuration = Mapping[str, Any]  # the content of a config.json


@dataclass(frozen=True)
class Layers:
    """Layers of one kind in a transformer.

    Attributes
    ----------
    blocks : str
        Name of their list.
    module : str
        Path in each, of the module whose input holds the neurons.
    number : str
        Key of their number in the transformer's configuration.
    after_attention : bool
        Whether the output of attention comes before the neurons among the features of that input.
        It is as wide as the module's output.
    """

    blocks: str
    module: str
    number: str = "num_layers"
    after_attention: bool = False


@dataclass(frozen=True)
class PipelineArchitecture:
    """How a class of pipelines makes images, and where its neurons are.

    Attributes
    ----------
    transformer : str
        Its transformer's class.
    layers : tuple of Layers
        In the order in which layers are counted.
    mlp_ratio : callable
        From the transformer's configuration to d_mlp / d_model.
    patch : callable
        From the transformer's configuration to the latents along a side of a cell.
    labels : str or None
        Key of the number of class labels in the transformer's configuration; None of a pipeline
        that is given prompts.
    conditional : {'first', 'last'} or None
        Which half has the condition, of a batch that guidance doubles; None if it doubles none.
    calls_when_guided : int
        Calls of the transformer per step where guidance is on. The first has the condition.
    heeds_guidance : callable
        From `model_index.json` and the transformer's configuration to whether the guidance scale
        changes anything.
    latents : callable or None
        From the channels of a latent and cells, or latents, along a side to the shape in which an
        image's noise is given; None of a pipeline that draws it itself.
    options : callable
        From the number of steps to what the pipeline is told beside.
    """

    transformer: str
    layers: tuple[Layers, ...]
    mlp_ratio: Callable[[Configuration], float]
    patch: Callable[[Configuration], int]
    labels: str | None = None
    conditional: Literal["first", "last"] | None = None
    calls_when_guided: int = 1
    heeds_guidance: Callable[[Configuration, Configuration], bool] = lambda _index, _config: True
    latents: Callable[[int, int, int], tuple[int, ...]] | None = None
    options: Callable[[int], dict[str, Any]] = lambda _steps: {}


def _fourfold(_config: Configuration) -> float:
    return 4


def _patch_size(config: Configuration) -> int:
    return config["patch_size"]


def _two(_config: Configuration) -> int:
    return 2


def _image(channels: int, _cells: int, side: int) -> tuple[int, ...]:
    return channels, side, side


def _for_sana(steps: int) -> dict[str, Any]:
    """Return what keeps images at the size that is asked for, instead of one of those of training,
    from which the result would be shrunk; the time between two steps is known for two only.
    """
    between = {} if steps == 2 else {"intermediate_timesteps": None}
    return {"use_resolution_binning": False, **between}


_DOUBLE = Layers("transformer_blocks", "ff.net.2")

# The text stream of SD3 and FLUX (`ff_context`) has no cells and is left out.
PIPELINES: dict[str, PipelineArchitecture] = {
    "DiTPipeline": PipelineArchitecture(
        "DiTTransformer2DModel",
        (_DOUBLE,),
        _fourfold,
        _patch_size,
        labels="num_embeds_ada_norm",
        conditional="first",
    ),
    # Its MLP is made of convolutions: a neuron sees the cells around its own, too.
    "SanaSprintPipeline": PipelineArchitecture(
        "SanaTransformer2DModel",
        (Layers("transformer_blocks", "ff.conv_point"),),
        lambda config: config.get("mlp_ratio", 2.5),
        _patch_size,
        latents=_image,
        options=_for_sana,
    ),
    "StableDiffusion3Pipeline": PipelineArchitecture(
        "SD3Transformer2DModel",
        (_DOUBLE,),
        _fourfold,
        _patch_size,
        conditional="last",
        latents=_image,
    ),
    "FluxPipeline": PipelineArchitecture(
        "FluxTransformer2DModel",
        (
            _DOUBLE,
            Layers("single_transformer_blocks", "proj_out", "num_single_layers", True),
        ),
        _fourfold,
        _two,
        heeds_guidance=lambda _, config: bool(config.get("guidance_embeds")),
        latents=lambda channels, cells, _: (cells**2, channels),
    ),
    "Flux2KleinPipeline": PipelineArchitecture(
        "Flux2Transformer2DModel",
        (
            Layers("transformer_blocks", "ff.linear_out"),
            Layers("single_transformer_blocks", "attn.to_out", "num_single_layers", True),
        ),
        lambda config: config.get("mlp_ratio", 3.0),
        _two,
        calls_when_guided=2,
        heeds_guidance=lambda index, _: not index.get("is_distilled"),
        latents=lambda channels, cells, _: (channels, cells, cells),
    ),
}

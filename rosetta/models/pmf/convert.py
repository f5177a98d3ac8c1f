"""From a published pMF checkpoint, a pickled dictionary of tensors, to a folder of safetensors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from rosetta.errors import ModelError, brief
from rosetta.models.pmf.config import PmfConfig
from rosetta.models.pmf.model import PmfModel
from rosetta.models.published_weights import fill, save

# Of the models for images of 256 pixels, whose patches have 16; with the conditions that they are
# sampled with. Their d_mlp is read off the checkpoint: int(8 d_model / 3), in some rounded up.
SIZES: dict[str, dict[str, Any]] = {
    "B": {
        "hidden_size": 768,
        "num_hidden_layers": 16,
        "num_attention_heads": 12,
        "bottleneck": 128,
        "guidance": 7.5,
        "guidance_interval": (0.1, 0.8),
    },
    "L": {
        "hidden_size": 1024,
        "num_hidden_layers": 32,
        "num_attention_heads": 16,
        "bottleneck": 128,
        "guidance": 7.0,
        "guidance_interval": (0.2, 0.7),
    },
    "H": {
        "hidden_size": 1280,
        "num_hidden_layers": 48,
        "num_attention_heads": 16,
        "bottleneck": 256,
        "guidance": 7.0,
        "guidance_interval": (0.2, 0.6),
        "noise_scale": 2.0,
    },
}
COMMON: dict[str, Any] = {
    "image_size": 256,
    "patch_size": 16,
    "n_classes": 1000,
    "n_class_tokens": 8,
    "n_guidance_tokens": 4,
    "n_interval_tokens": 2,
    "n_time_tokens": 4,
}
N_HEAD_LAYERS = 8  # the last layers, which are called `u_heads`
# The head that only training needs, and angles that follow from the configuration.
_LEFT_OUT = re.compile(r"^net\.(v_heads\.|v_final_layer\.|rope_freqs$)")
_WIDTH_FROM = "net.shared_blocks.0.mlp.w1._flax_linear.weight"


def convert_pmf(checkpoint: Path, out: Path, size: Literal["B", "L", "H"]) -> None:
    """Write a published pMF checkpoint as a folder of `config.json` and safetensors.

    Parameters
    ----------
    checkpoint : Path
        The `.pt` file. Nothing but tensors is read of it; code in it is never run.
    out : Path
        The folder; one that is there is replaced.
    size : {'B', 'L', 'H'}
        Which of the published models for 256 pixels it is.

    Raises
    ------
    ModelError
        If the file is not such a dictionary, its names and shapes are not those of the size, or it
        lies in the folder.
    """
    found = _tensors(checkpoint)
    config = _config(found, checkpoint, size)
    with torch.device("meta"):
        model = PmfModel(config)
    advice = f"it is no pMF-{size} for 256 pixels. Give the size that it is."
    needed = {name: weight for name, weight in found.items() if not _LEFT_OUT.match(name)}
    fill(model, needed, dict(published_names(model)), checkpoint, advice)
    save(model, out, checkpoint)


def _tensors(checkpoint: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds: of files, of archives, of what is no tensor
        raise ModelError(
            f"{checkpoint}: is no checkpoint of tensors ({brief(error)}). Give a pMF's .pt file."
        ) from None
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ModelError(f"{checkpoint}: is no dictionary of named tensors. Give a pMF's .pt file.")
    return content


def _config(found: dict[str, Tensor], checkpoint: Path, size: str) -> PmfConfig:
    if _WIDTH_FROM not in found:
        raise ModelError(f"{checkpoint}: lacks {_WIDTH_FROM}. Give a pMF's .pt file.")
    return PmfConfig(**COMMON, **SIZES[size], intermediate_size=len(found[_WIDTH_FROM]))


def published_names(model: PmfModel) -> Iterator[tuple[str, str]]:
    """Yield the name of each parameter of a model, and what a published checkpoint calls it.

    Its layers are shared ones and then those of the head. Linear maps and tables are wrapped, but
    for those that embed patches, which are convolutions.
    """
    n_shared = model.config.num_hidden_layers - N_HEAD_LAYERS
    for path, module in model.named_modules():
        wrapper = {nn.Linear: "_flax_linear.", nn.Embedding: "_flax_embedding."}.get(type(module))
        wrapped = "" if wrapper is None or path.startswith("x_embedder.") else wrapper
        for name, _ in module.named_parameters(recurse=False):
            ours = f"{path}.{name}" if path else name
            theirs = f"{path}.{wrapped}{name}" if path else name
            yield ours, "net." + _published_block(theirs, n_shared)


def _published_block(name: str, n_shared: int) -> str:
    """Return a name with its layer in the published count, `blocks.9.…` as `u_heads.1.…`."""

    def published(match: re.Match[str]) -> str:
        layer = int(match[1])
        return f"shared_blocks.{layer}." if layer < n_shared else f"u_heads.{layer - n_shared}."

    return re.sub(r"^blocks\.(\d+)\.", published, name)

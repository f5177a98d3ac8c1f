"""From published safetensors of EVA-02-CLIP-E to a folder that can be loaded."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from rosetta.errors import ModelError
from rosetta.models.eva02.config import Eva02Config
from rosetta.models.eva02.model import Eva02Model
from rosetta.models.published_weights import fill, save

PUBLISHED = Eva02Config()  # E and E+ are of the same sizes
BOTH_TOWERS = "visual.trunk."  # before the vision tower's names, in files with a text tower
# The text tower, what compares the two, and the projection into their common space.
_LEFT_OUT = re.compile(r"^(text\.|logit_(scale|bias)$|(visual\.trunk\.)?head\.)")
_ADVICE = (
    "it is no EVA-02-CLIP-E/14 for 224 pixels. Give the safetensors file of "
    "timm/eva02_enormous_patch14_clip_224.laion2b, or of its E+."
)


def convert_eva(checkpoint: Path, out: Path) -> None:
    """Write the vision tower of a published EVA-02-CLIP-E as a folder of `config.json` and weights.

    The weights keep their names, but for the prefix `visual.trunk.` of files with both towers, and
    their precision.

    Parameters
    ----------
    checkpoint : Path
        timm's `model.safetensors`, or OpenCLIP's `open_clip_model.safetensors`.
    out : Path
        The folder; one that is there is replaced.

    Raises
    ------
    ModelError
        If the file is no safetensors, its names and shapes are not the model's, or it lies in the
        folder.
    """
    found = _tensors(checkpoint)
    with torch.device("meta"):
        model = Eva02Model(PUBLISHED)
    prefix = BOTH_TOWERS if any(name.startswith(BOTH_TOWERS) for name in found) else ""
    names = {name: prefix + name for name, _ in model.named_parameters()}
    fill(model, found, names, checkpoint, _ADVICE)
    save(model, out, checkpoint)


def _tensors(checkpoint: Path) -> dict[str, Tensor]:
    """Return the weights of a file that are not left out; they stay in the file until needed."""
    try:
        with safe_open(checkpoint, framework="pt") as file:
            names = [name for name in file.keys() if not _LEFT_OUT.match(name)]  # noqa: SIM118
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelError(
            f"{checkpoint}: is no safetensors file that can be read ({error}). Give a file of "
            "safetensors, not of pickles, whole."
        ) from None

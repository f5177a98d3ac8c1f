"""Positions of patches that the library leaves out of a model of random weights."""

from __future__ import annotations

from typing import Any

import torch
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEDecoder, ViTMAEEmbeddings


@torch.no_grad()
def place_patches(model: Any) -> None:
    """Give a new ViT-MAE its frozen positions, sines and cosines of rows and columns.

    The library (5.23) skips those of the encoder, and sets those of the decoder to zero after it
    has computed them. Without them neither can tell where a patch lies.
    """
    for part in model.modules():
        if isinstance(part, ViTMAEEmbeddings):
            part.patch_embeddings.projection._is_hf_initialized = False  # or it is skipped again
            part.initialize_weights()
        elif isinstance(part, ViTMAEDecoder):
            part.initialize_weights(part.decoder_pos_embed.shape[1] - 1)

"""The configuration of the vision tower of EVA-02-CLIP-E."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from rosetta.errors import ModelError


@strict
class Eva02Config(PreTrainedConfig):
    """Sizes of an EVA-02 vision tower of the kind E; the defaults are the published model's.

    EVA-02 B and L are of another kind: gated MLPs, rotary positions, norms before attention and
    MLP.

    Parameters
    ----------
    image_size, patch_size : int
        Pixels of a side.
    num_channels : int
        Colours of a pixel.
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        d_model, n_layers, attention heads and d_mlp.
    hidden_act : str
        The MLP's activation function, by transformers' name.
    layer_norm_eps : float
        ε of all norms.
    initializer_range : float
        Standard deviation of random weights.

    Raises
    ------
    ModelError
        If the sizes do not go together.
    """

    model_type = "eva02_enormous"

    image_size: int = 224
    patch_size: int = 14
    num_channels: int = 3
    hidden_size: int = 1792
    num_hidden_layers: int = 64
    num_attention_heads: int = 16
    intermediate_size: int = 15360
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02

    def __post_init__(self, **others: Any) -> None:
        super().__post_init__(**others)
        if self.image_size % self.patch_size or self.hidden_size % self.num_attention_heads:
            raise ModelError(
                f"config.json of an eva02_enormous: patches (patch_size {self.patch_size}) must "
                f"tile the image (image_size {self.image_size}), and heads (num_attention_heads "
                f"{self.num_attention_heads}) the features (hidden_size {self.hidden_size})."
            )

    @property
    def side(self) -> int:
        """Rows of patches, and columns."""
        return self.image_size // self.patch_size


AutoConfig.register(Eva02Config.model_type, Eva02Config, exist_ok=True)

"""The configuration of a pMF generator, of the published sizes or of a micro model."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig

from rosetta.errors import ModelError


@strict
class PmfConfig(PreTrainedConfig):
    """Sizes of a pMF, and how it is sampled.

    The sequence is prefix tokens, of each condition some, and then one token per patch, row by
    row. A condition without tokens is not given to the model at all. The defaults are a micro model
    of 32 × 32 pixels.

    Parameters
    ----------
    image_size, patch_size : int
        Pixels of a side.
    n_classes : int
        Labels 0 to n_classes − 1. One row more of the table of labels means *no class*.
    hidden_size, num_hidden_layers, num_attention_heads, intermediate_size : int
        d_model, n_layers, attention heads and d_mlp.
    bottleneck : int or None
        Channels between the two linear maps from a patch to its token; None for a single map.
    n_class_tokens, n_guidance_tokens, n_interval_tokens, n_time_tokens : int
        Prefix tokens of the class, of the guidance ω, of each end of the interval of guidance, and
        of the time step t − r.
    guidance : float
        ω, which the published models take as a condition.
    guidance_interval : tuple of float
        (t_min, t_max): the times between which guidance was applied in training.
    noise_scale : float
        Standard deviation of the noise.
    average : bool
        Whether it was trained to predict average velocities. False: by flow matching alone, where
        r = t, so it is told h = 0 at each step and needs several.
    n_steps : int
        Equal steps from t = 1 to 0 in which an image is sampled.

    Raises
    ------
    ModelError
        If the sizes do not go together.
    """

    model_type = "pmf"

    image_size: int = 32
    patch_size: int = 4
    n_classes: int = 16
    hidden_size: int = 64
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 256
    bottleneck: int | None = None
    n_class_tokens: int = 1
    n_guidance_tokens: int = 0
    n_interval_tokens: int = 0
    n_time_tokens: int = 1
    guidance: float | int = 1.0
    guidance_interval: tuple[float, ...] | list[float] = (0.0, 1.0)
    noise_scale: float | int = 1.0
    average: bool = True
    n_steps: int = 1

    def __post_init__(self, **others: Any) -> None:
        self.guidance_interval = tuple(self.guidance_interval)
        super().__post_init__(**others)
        self._check()

    def _check(self) -> None:
        """Check that patches tile the image, and that heads tile the hidden size."""
        heads = 4 * self.num_attention_heads
        wrong = {
            "patch_size": self.image_size % self.patch_size != 0,
            "num_attention_heads": self.hidden_size % heads != 0,
            "n_class_tokens": self.n_class_tokens < 1,
            "n_time_tokens": self.n_time_tokens < 1,
            "n_steps": self.n_steps < 1,
        }
        if any(wrong.values()):
            named = ", ".join(
                f"{key} {getattr(self, key)}" for key, is_wrong in wrong.items() if is_wrong
            )
            raise ModelError(
                f"config.json of a pmf: {named} cannot be. Patches must tile the image "
                f"({self.image_size} pixels), hidden_size ({self.hidden_size}) must be a multiple "
                "of 4 × num_attention_heads, and there is at least one class token, time token and "
                "step."
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        side = self.image_size // self.patch_size
        return side, side

    @property
    def n_prefix(self) -> int:
        """Tokens before the first patch."""
        return (
            self.n_class_tokens
            + self.n_guidance_tokens
            + 2 * self.n_interval_tokens
            + self.n_time_tokens
        )


AutoConfig.register(PmfConfig.model_type, PmfConfig, exist_ok=True)

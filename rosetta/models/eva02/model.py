"""The vision tower of EVA-02-CLIP-E.

Written after Sun et al. 2023, "EVA-CLIP: Improved Training Techniques for CLIP at Scale"
(arXiv 2303.15389), and after the published weights, whose names its parameters have
(`rosetta.models.eva02.convert`). transformers does not have it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import BaseModelOutput

from rosetta.models.eva02.config import Eva02Config


class PatchEmbedding(nn.Module):
    """From the pixels of each patch to its token."""

    def __init__(self, config: Eva02Config) -> None:
        super().__init__()
        size = config.patch_size
        self.proj = nn.Conv2d(config.num_channels, config.hidden_size, size, stride=size)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return tokens (n, hidden_size, H, W) of images (n, 3, height, width)."""
        return self.proj(pixel_values)


class Attention(nn.Module):
    """Attention of all tokens to all; queries and values have a bias, keys have none."""

    def __init__(self, config: Eva02Config) -> None:
        super().__init__()
        d = config.hidden_size
        self.n_heads = config.num_attention_heads
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.q_bias, self.v_bias = nn.Parameter(torch.empty(d)), nn.Parameter(torch.empty(d))
        self.proj = nn.Linear(d, d)

    def forward(self, x: Tensor) -> Tensor:
        """Return what tokens (n, n_tokens, hidden_size) take from each other, of the same shape."""
        # `qkv` is called rather than its weight read: it may be off-loaded between calls.
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (
            part.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for part in (q + self.q_bias, k, v + self.v_bias)
        )
        taken = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(taken.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """fc2(act(fc1 x)); the input of `fc2` is the layer's neurons."""

    def __init__(self, config: Eva02Config) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer's neurons add, before its norm."""
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    """A layer: what attention and MLP read is not normalised, and what they add is."""

    def __init__(self, config: Eva02Config) -> None:
        super().__init__()
        self.attn, self.mlp = Attention(config), Mlp(config)
        self.norm1 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.norm2 = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """Return the residual stream after the layer."""
        x = x + self.norm1(self.attn(x))
        return x + self.norm2(self.mlp(x))


class Eva02Model(PreTrainedModel):
    """The vision tower: a class token and one token per patch, row by row, through all layers.

    The published model's projection into the space that images and captions share (`head`) reads
    the class token after the last norm. No neuron depends on it, so it is not here.
    """

    config_class = Eva02Config
    base_model_prefix = ""
    main_input_name = "pixel_values"
    _no_split_modules = ("Block",)
    config: Eva02Config

    def __init__(self, config: Eva02Config) -> None:
        super().__init__(config)
        d = config.hidden_size
        self.patch_embed = PatchEmbedding(config)
        self.cls_token = nn.Parameter(torch.empty(1, 1, d))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + config.side**2, d))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(d, config.layer_norm_eps)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw the weights of a module, and those that it has outside of linear maps and norms."""
        super()._init_weights(module)
        if isinstance(module, Attention):
            init.zeros_(module.q_bias)
            init.zeros_(module.v_bias)
        elif module is self:
            init.normal_(self.cls_token, std=self.config.initializer_range)
            init.normal_(self.pos_embed, std=self.config.initializer_range)

    def get_input_embeddings(self) -> nn.Module:
        """Return what makes tokens of patches."""
        return self.patch_embed

    def forward(self, pixel_values: Tensor) -> BaseModelOutput:
        """Return the tokens after the last norm, the class token first.

        Parameters
        ----------
        pixel_values : Tensor, shape (n, 3, height, width)
            Of whole patches.

        Returns
        -------
        BaseModelOutput
            `last_hidden_state`, of shape (n, 1 + H·W, hidden_size).
        """
        cells = self.patch_embed(pixel_values)
        rows, columns = cells.shape[2:]
        patches = cells.flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        x = x + self._positions(rows, columns)
        for block in self.blocks:
            x = block(x)
        return BaseModelOutput(last_hidden_state=self.norm(x))

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Return position embeddings (1, 1 + rows · columns, hidden_size).

        On another grid than the configuration's those of patches are interpolated (bicubic,
        antialiased), and the class token keeps its own.
        """
        side = self.config.side
        if (rows, columns) == (side, side):
            return self.pos_embed
        of_class, of_patches = self.pos_embed[:, :1], self.pos_embed[:, 1:]
        table = of_patches.unflatten(1, (side, side)).permute(0, 3, 1, 2)
        precision = torch.promote_types(table.dtype, torch.float32)  # at least single
        fitted = functional.interpolate(
            table.to(precision), (rows, columns), mode="bicubic", antialias=True
        ).to(table.dtype)
        return torch.cat([of_class, fitted.flatten(2).transpose(1, 2)], dim=1)


AutoModel.register(Eva02Config, Eva02Model, exist_ok=True)

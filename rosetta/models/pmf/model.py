"""The network of a pMF generator, its average velocity, and sampling.

Written after Lu et al. 2026, "One-step Latent-free Image Generation with Pixel Mean Flows"
(arXiv 2601.22158). Times run from t = 0, the image, to t = 1, noise: z_t = (1 − t) x + t e.
The published weights are brought into its form by `rosetta.models.pmf.convert`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init

from rosetta.models.pmf.config import PmfConfig

FREQUENCIES = 256  # sines and cosines of a number that is a condition
MAX_PERIOD = 10_000.0  # of these, and of rotary positions
NORM_EPS = 1e-6
SMALLEST_TIME = 0.05  # below, the velocity is not divided by t any more
MATRIX_SCALE = 0.32  # at the start, √n_in times the standard deviation of a layer's matrix
POSITION_SPREAD = 0.02


class PatchEmbedding(nn.Module):
    """From the pixels of each patch to its token: one linear map, or two with a bottleneck."""

    def __init__(self, config: PmfConfig) -> None:
        super().__init__()
        self.patch_size = config.patch_size
        n_pixels = 3 * config.patch_size**2
        self.proj1 = nn.Linear(n_pixels, config.bottleneck or config.hidden_size)
        self.proj2 = (
            nn.Linear(config.bottleneck, config.hidden_size) if config.bottleneck else nn.Identity()
        )

    def draw_weights(self) -> None:
        """Draw them so that variances are kept, as the published training does."""
        for part in (self.proj1, self.proj2):
            if isinstance(part, nn.Linear):
                init.xavier_uniform_(part.weight)
                init.zeros_(part.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens (n, H·W, hidden_size) of images (n, 3, S, S), row by row."""
        p = self.patch_size
        patches = images.unfold(2, p, p).unfold(3, p, p)  # n, 3, H, W, p, p
        return self.proj2(self.proj1(patches.permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)))


class NumberEmbedding(nn.Module):
    """From a number per image, such as a time, to a vector: sines and cosines, then an MLP."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(FREQUENCIES, hidden_size), nn.SiLU(), nn.Linear(hidden_size, hidden_size)
        )

    def draw_weights(self) -> None:
        """Draw them so that variances are kept."""
        _draw_scaled(self.mlp, 1.0)

    def forward(self, numbers: Tensor) -> Tensor:
        """Return (n, hidden_size) of numbers (n,)."""
        half = FREQUENCIES // 2
        steps = torch.arange(half, device=numbers.device, dtype=torch.float32) / half
        angles = numbers[:, None] * torch.exp(-math.log(MAX_PERIOD) * steps)
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        return self.mlp(waves.to(self.mlp[0].weight.dtype))


class LabelEmbedding(nn.Module):
    """A vector per class, and one more for *no class*."""

    def __init__(self, config: PmfConfig) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(config.n_classes + 1, config.hidden_size)

    def draw_weights(self) -> None:
        """Draw vectors of about unit length."""
        init.normal_(self.embedding_table.weight, std=self.embedding_table.embedding_dim**-0.5)

    def forward(self, labels: Tensor) -> Tensor:
        """Return (n, hidden_size) of labels (n,)."""
        return self.embedding_table(labels)


class Attention(nn.Module):
    """Attention whose queries and keys are normalised per head, with rotary positions.

    Written as two products and a softmax: the fused kernel of a processor has no forward-mode
    derivative, which training takes (`rosetta.models.zoo.meanflow_loss`).
    """

    def __init__(self, config: PmfConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.n_heads = config.num_attention_heads
        self.q_proj, self.k_proj = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.v_proj, self.out_proj = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.q_norm = nn.RMSNorm(d // self.n_heads, NORM_EPS)
        self.k_norm = nn.RMSNorm(d // self.n_heads, NORM_EPS)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return what tokens (n, n_tokens, hidden_size) take from each other, of the same shape."""
        q, k, v = (
            project(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q, k = rotated(self.q_norm(q), *rotation), rotated(self.k_norm(k), *rotation)
        scores = (q / math.sqrt(q.shape[-1])) @ k.mT
        precision = torch.promote_types(scores.dtype, torch.float32)  # at least single
        shares = scores.softmax(-1, dtype=precision).to(v.dtype)
        return self.out_proj((shares @ v).transpose(1, 2).flatten(2))


def rotated(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn each pair of neighbouring features by its angle.

    Parameters
    ----------
    x : Tensor, shape (n, n_heads, n_tokens, d_head)
    cosines, sines : Tensor, shape (n_tokens, d_head / 2)
    """
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    turned = first * cosines - second * sines, first * sines + second * cosines
    return torch.stack(turned, dim=-1).flatten(-2)


def rotation_of(config: PmfConfig, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines (n_tokens, d_head / 2) of rotary positions in two dimensions.

    The first half of a head's pairs turns with the patch's row, the second half with its column,
    and prefix tokens are not turned.
    """
    d_half = config.hidden_size // config.num_attention_heads // 2
    exponents = torch.arange(0, d_half, 2, device=like.device, dtype=torch.float32) / d_half
    side = config.grid[0]
    angles = torch.arange(side, device=like.device)[:, None] * MAX_PERIOD**-exponents
    rows = angles[:, None].expand(side, side, -1)
    columns = angles[None].expand(side, side, -1)
    of_patches = torch.cat([rows, columns], dim=-1).flatten(0, 1)
    of_all = torch.cat([of_patches.new_zeros(config.n_prefix, d_half), of_patches])
    return of_all.cos().to(like.dtype), of_all.sin().to(like.dtype)


class GatedMlp(nn.Module):
    """w2(silu(w1 x) ⊙ w3 x); the input of `w2` is the layer's neurons."""

    def __init__(self, config: PmfConfig) -> None:
        super().__init__()
        self.w1 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w3 = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.w2 = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer's neurons add, before its gate."""
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    """A layer: attention and MLP, each added to the residual stream through a vector of gates."""

    def __init__(self, config: PmfConfig) -> None:
        super().__init__()
        self.norm1, self.attn = nn.RMSNorm(config.hidden_size, NORM_EPS), Attention(config)
        self.norm2, self.mlp = nn.RMSNorm(config.hidden_size, NORM_EPS), GatedMlp(config)
        self.attn_scale = nn.Parameter(torch.zeros(config.hidden_size))
        self.mlp_scale = nn.Parameter(torch.zeros(config.hidden_size))

    def draw_weights(self) -> None:
        """Draw the matrices, and close the gates."""
        _draw_scaled(self, MATRIX_SCALE)
        init.zeros_(self.attn_scale)
        init.zeros_(self.mlp_scale)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return the residual stream after the layer."""
        x = x + self.attn_scale * self.attn(self.norm1(x), rotation)
        return x + self.mlp_scale * self.mlp(self.norm2(x))


class FinalLayer(nn.Module):
    """From a patch's token to its pixels."""

    def __init__(self, config: PmfConfig) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(config.hidden_size, NORM_EPS)
        self.linear = nn.Linear(config.hidden_size, 3 * config.patch_size**2)

    def draw_weights(self) -> None:
        """Begin with a grey image."""
        init.zeros_(self.linear.weight)
        init.zeros_(self.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, H·W, patch_size² · 3), channels innermost."""
        return self.linear(self.norm(x))


def _draw_scaled(module: nn.Module, scale: float) -> None:
    """Draw all matrices within a module with a standard deviation of `scale` / √n_in."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            init.normal_(part.weight, std=scale / math.sqrt(part.in_features))
            if part.bias is not None:
                init.zeros_(part.bias)


class PmfModel(PreTrainedModel):
    """A pMF: predicts the image x̂ = f(z_t, h, y) from a noisy one, h = t − r and its class.

    The time t itself is not given to the network. At the start the gates of all layers and the last
    linear map are zero, so x̂ = 0 whatever the input.
    """

    config_class = PmfConfig
    base_model_prefix = ""
    main_input_name = "noisy"
    _no_split_modules = ("Block",)
    config: PmfConfig

    def __init__(self, config: PmfConfig) -> None:
        super().__init__(config)
        d = config.hidden_size
        self.x_embedder = PatchEmbedding(config)
        self.y_embedder, self.h_embedder = LabelEmbedding(config), NumberEmbedding(d)
        self.class_tokens = nn.Parameter(torch.empty(1, config.n_class_tokens, d))
        self.time_tokens = nn.Parameter(torch.empty(1, config.n_time_tokens, d))
        if config.n_guidance_tokens:
            self.omega_embedder = NumberEmbedding(d)
            self.omega_tokens = nn.Parameter(torch.empty(1, config.n_guidance_tokens, d))
        if config.n_interval_tokens:
            self.cfg_t_start_embedder, self.cfg_t_end_embedder = (
                NumberEmbedding(d),
                NumberEmbedding(d),
            )
            self.t_min_tokens = nn.Parameter(torch.empty(1, config.n_interval_tokens, d))
            self.t_max_tokens = nn.Parameter(torch.empty(1, config.n_interval_tokens, d))
        n_tokens = config.n_prefix + math.prod(config.grid)
        self.pos_embed = nn.Parameter(torch.empty(1, n_tokens, d))
        self.blocks = nn.ModuleList([Block(config) for _ in range(config.num_hidden_layers)])
        self.u_final_layer = FinalLayer(config)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Draw all weights, as the published training does at its start.

        At once, because of classes that are not its own transformers skips modules that have no
        parameters but in other modules.
        """
        if module is not self:
            return
        for part in self.modules():
            if hasattr(part, "draw_weights"):
                part.draw_weights()
        for name, parameter in self.named_parameters(recurse=False):
            spread = POSITION_SPREAD if name == "pos_embed" else self.config.hidden_size**-0.5
            init.normal_(parameter, std=spread)

    def get_input_embeddings(self) -> nn.Embedding:
        """Return the table of labels."""
        return self.y_embedder.embedding_table

    def forward(self, noisy: Tensor, duration: Tensor, labels: Tensor) -> Tensor:
        """Return the predicted image x̂.

        Parameters
        ----------
        noisy : Tensor, shape (n, 3, S, S)
            z_t.
        duration : Tensor, shape (n,)
            h = t − r.
        labels : Tensor of int64, shape (n,)
            Classes.

        Returns
        -------
        Tensor, shape (n, 3, S, S)
        """
        x = torch.cat([*self._prefix(duration, labels), self.x_embedder(noisy)], dim=1)
        x = x + self.pos_embed
        rotation = rotation_of(self.config, x)
        for block in self.blocks:
            x = block(x, rotation)
        return self._image(self.u_final_layer(x[:, self.config.n_prefix :]))

    def _prefix(self, duration: Tensor, labels: Tensor) -> list[Tensor]:
        """Return the tokens of each condition, (n, n_tokens of it, hidden_size)."""
        config = self.config
        given = [(self.class_tokens, self.y_embedder(labels))]
        if config.n_guidance_tokens:
            strength = torch.full_like(duration, 1 - 1 / config.guidance)
            given += [(self.omega_tokens, self.omega_embedder(strength))]
        if config.n_interval_tokens:
            low, high = (torch.full_like(duration, end) for end in config.guidance_interval)
            given += [
                (self.t_min_tokens, self.cfg_t_start_embedder(low)),
                (self.t_max_tokens, self.cfg_t_end_embedder(high)),
            ]
        given += [(self.time_tokens, self.h_embedder(duration))]
        return [tokens + condition[:, None] for tokens, condition in given]

    def _image(self, patches: Tensor) -> Tensor:
        """Return images (n, 3, S, S) of patches (n, H·W, p² · 3)."""
        (rows, columns), p = self.config.grid, self.config.patch_size
        tiled = patches.unflatten(1, (rows, columns)).unflatten(3, (p, p, 3))
        return tiled.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)

    def velocity(self, noisy: Tensor, t: Tensor, duration: Tensor, labels: Tensor) -> Tensor:
        """Return the average velocity u = (z_t − x̂) / max(t, 0.05) between t − h and t.

        Parameters
        ----------
        noisy, duration, labels
            As of `forward`.
        t : Tensor, shape (n,)
        """
        predicted = self(noisy, duration, labels)
        return (noisy - predicted) / t.clamp(min=SMALLEST_TIME)[:, None, None, None]

    @torch.no_grad()
    def sample(self, noise: Tensor, labels: Tensor) -> Tensor:
        """Return images of standard normal noise: z_r = z_t − (t − r) u, in `n_steps` equal steps.

        Parameters
        ----------
        noise : Tensor, shape (n, 3, S, S)
        labels : Tensor of int64, shape (n,)

        Returns
        -------
        Tensor, shape (n, 3, S, S)
            Not limited to [−1, 1], in which images lie.
        """
        z = noise * self.config.noise_scale
        times = torch.linspace(1, 0, self.config.n_steps + 1, device=z.device, dtype=z.dtype)
        for t, r in pairwise(times):
            told = t - r if self.config.average else torch.zeros_like(t)
            z = z - (t - r) * self.velocity(z, t.expand(len(z)), told.expand(len(z)), labels)
        return z


AutoModel.register(PmfConfig, PmfModel, exist_ok=True)

"""A TopK sparse autoencoder, and what its training minimises (Gao et al. 2024).

With y standard activations, z the k largest positive entries of E (y − b) + e, and ŷ = Dᵀ z + b, a
step minimises

    mean (y − ŷ)² + w · Σ (r − r̂)² / Σ r²,   r = y − ŷ,

where r̂ = Dᵀ z' is made by the largest `aux_k` of the dead features alone (AuxK), which so learn
what is left and come to life. Dead is a feature that was not active for `dead_after` steps. Rows of
D, the features' directions, keep length 1, and E begins as D.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from rosetta.config.sae import Sae
from rosetta.sae.dictionary import Dictionary, strongest


@dataclass(frozen=True)
class Recipe:
    """What of the configuration an autoencoder is trained by.

    Attributes
    ----------
    n_features, k, aux_k : int
        Features, those active at a position, and dead ones that explain what is left.
    aux_weight : float
        Weight of what these leave.
    dead_after : int
        Steps after which a feature that was never active is taken for dead.
    """

    n_features: int
    k: int
    aux_k: int
    aux_weight: float
    dead_after: int

    @classmethod
    def of(cls, settings: Sae, d_in: int) -> Recipe:
        """Return the recipe for d_in inputs."""
        n_features = settings.width * d_in
        aux_k = settings.aux_k or max(1, d_in // 2)
        return cls(n_features, settings.k, aux_k, settings.aux_weight, settings.dead_after)


class TopKAutoencoder(nn.Module):
    """A TopK autoencoder of standard activations while it is trained.

    Parameters
    ----------
    d_in : int
        Inputs.
    recipe : Recipe
        Its size, and what is minimised.
    seed : int
        Of the first directions.

    Attributes
    ----------
    silent : Tensor of int64, shape (F,)
        Steps since each feature was active.
    """

    def __init__(self, d_in: int, recipe: Recipe, seed: int) -> None:
        super().__init__()
        drawn = torch.Generator().manual_seed(seed)
        directions = torch.randn(recipe.n_features, d_in, generator=drawn)
        directions = nn.functional.normalize(directions, dim=1)
        self.encoder = nn.Parameter(directions.clone())
        self.encoder_bias = nn.Parameter(torch.zeros(recipe.n_features))
        self.decoder = nn.Parameter(directions)
        self.bias = nn.Parameter(torch.zeros(d_in))
        self.silent = torch.zeros(recipe.n_features, dtype=torch.int64)
        self.recipe = recipe

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.decoder.device

    def loss(self, y: torch.Tensor) -> tuple[torch.Tensor, float]:
        """Return what is minimised of standard activations (n, d), and the mean square of what is
        left of them, dead neurons included; note which features are active.
        """
        before = torch.addmm(self.encoder_bias, y - self.bias, self.encoder.T)
        z = strongest(before, self.recipe.k)
        left = y - torch.addmm(self.bias, z, self.decoder)
        unexplained = left.square().mean()
        auxiliary = self._auxiliary(before, left.detach())
        with torch.no_grad():
            self.silent += 1
            self.silent[(z > 0).any(dim=0)] = 0
        total = unexplained + self.recipe.aux_weight * auxiliary
        return total, float(unexplained.detach())

    def _auxiliary(self, before: torch.Tensor, left: torch.Tensor) -> torch.Tensor:
        """Return the share of what is left that dead features leave, too; 0 if none is dead."""
        dead = torch.nonzero(self.silent >= self.recipe.dead_after)[:, 0]
        size = left.square().sum()
        if not len(dead) or not size:
            return left.new_zeros(())
        z = strongest(before[:, dead], self.recipe.aux_k)
        share: torch.Tensor = (left - z @ self.decoder[dead]).square().sum() / size
        return share

    def dictionary(self) -> Dictionary:
        """Return its weights as they are, which a further step would change in it, too."""
        parts = (self.encoder, self.encoder_bias, self.decoder, self.bias)
        encoder, encoder_bias, decoder, bias = (part.detach() for part in parts)
        return Dictionary(encoder, encoder_bias, decoder, bias, centred=True, k=self.recipe.k)


class UnitAdam(torch.optim.Adam):
    """Adam that keeps the rows of one parameter at length 1.

    What of a gradient would only change their length is left out before the step.

    Parameters
    ----------
    parameters : iterable of Parameter
        All that is trained.
    directions : Parameter, shape (F, d)
        Whose rows have length 1.
    rate : float
        The learning rate.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], directions: nn.Parameter, rate: float
    ) -> None:
        super().__init__(parameters, lr=rate)
        self._directions = directions

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make one step."""
        rows, gradient = self._directions, self._directions.grad
        if gradient is not None:
            gradient -= (gradient * rows).sum(dim=1, keepdim=True) * rows
        told = super().step(closure)
        rows.div_(rows.norm(dim=1, keepdim=True))
        return told

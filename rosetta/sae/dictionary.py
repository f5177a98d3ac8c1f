"""A sparse autoencoder as arrays: features of activations, and activations of features.

    z = σ(E (x − c) + e),   x̂ = Dᵀ z + b,

with b for c where the decoder's bias is subtracted first, and 0 otherwise. σ keeps the k largest
positive values of a row (`topk`), those above a threshold per feature (`jumprelu`), or all positive
ones (`standard`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from rosetta.sae.sizes import FEATURES_AT_ONCE


@dataclass(frozen=True)
class Dictionary:
    """The weights of a sparse autoencoder of d inputs and F features, in float32.

    Attributes
    ----------
    encoder : Tensor, shape (F, d)
        E.
    encoder_bias : Tensor, shape (F,)
        e.
    decoder : Tensor, shape (F, d)
        D: what one unit of each feature adds to the inputs.
    decoder_bias : Tensor, shape (d,)
        b.
    centred : bool
        Whether b is subtracted from the inputs.
    k : int or None
        Features that may be active at a position; None for all.
    threshold : Tensor, shape (F,), or None
        What each feature has to exceed to be active; None for 0.
    """

    encoder: torch.Tensor
    encoder_bias: torch.Tensor
    decoder: torch.Tensor
    decoder_bias: torch.Tensor
    centred: bool
    k: int | None = None
    threshold: torch.Tensor | None = None

    @property
    def n_features(self) -> int:
        """Number F of features."""
        return len(self.encoder)

    @property
    def d_in(self) -> int:
        """Number d of inputs."""
        return self.encoder.shape[1]

    @property
    def kind(self) -> str:
        """What SAELens calls its architecture."""
        if self.k is not None:
            return "topk"
        return "standard" if self.threshold is None else "jumprelu"

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Return features z (n, F) of activations (n, d), none below 0."""
        shifted = x - self.decoder_bias if self.centred else x
        before = torch.addmm(self.encoder_bias, shifted, self.encoder.T)
        if self.threshold is not None:
            before = before.masked_fill(before <= self.threshold, 0.0)
        return before.relu_() if self.k is None else strongest(before, self.k)

    def decode(self, z: torch.Tensor) -> torch.Tensor:
        """Return what features (n, F) make of the activations, shape (n, d)."""
        return torch.addmm(self.decoder_bias, z, self.decoder)


def strongest(before: torch.Tensor, k: int) -> torch.Tensor:
    """Return rows with all but their k largest values set to 0, and what is below 0 too.

    Parameters
    ----------
    before : Tensor, shape (n, F)
        Values of features before any is left out.
    k : int
        How many are kept.
    """
    kept = before.topk(min(k, before.shape[1]), dim=1)
    return torch.zeros_like(before).scatter(1, kept.indices, kept.values.relu())


@dataclass(frozen=True)
class Standard:
    """What makes the inputs standard: the mean and the standard deviation of every neuron.

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (d,)
        Of all positions; the scale of a neuron that never changes is 1.
    dead : ndarray of bool, shape (d,)
        Whether the neuron never changes.
    """

    mean: np.ndarray
    scale: np.ndarray
    dead: np.ndarray

    @classmethod
    def of(cls, mean: np.ndarray, std: np.ndarray) -> Standard:
        """Return it from means and standard deviations."""
        dead = std == 0
        return cls(mean, np.where(dead, 1.0, std), dead)

    def part(self, low: int, high: int) -> Standard:
        """Return that of a range of neurons."""
        cut = slice(low, high)
        return Standard(self.mean[cut], self.scale[cut], self.dead[cut])

    def tensors(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and scale in float32."""
        return torch.from_numpy(self.mean).float(), torch.from_numpy(self.scale).float()


def in_own_units(of_standard: Dictionary, standard: Standard) -> Dictionary:
    """Return the dictionary that does with activations what another does with standard ones.

    With x = m + s y, E (y − c) + e = (E / s) x + e − E (m / s + c), and m + s (Dᵀ z + b) is what it
    decodes. Sums are in float64, a block of features at a time.
    """
    mean, scale = torch.from_numpy(standard.mean), torch.from_numpy(standard.scale)
    bias = of_standard.decoder_bias.double()
    shift = mean / scale + (bias if of_standard.centred else 0.0)
    parts = (of_standard.encoder, of_standard.encoder_bias, of_standard.decoder)
    encoder, encoder_bias, decoder = (torch.empty_like(part) for part in parts)
    for low in range(0, of_standard.n_features, FEATURES_AT_ONCE):
        some = slice(low, low + FEATURES_AT_ONCE)
        rows = of_standard.encoder[some].double()
        encoder[some] = (rows / scale).float()
        encoder_bias[some] = (of_standard.encoder_bias[some].double() - rows @ shift).float()
        decoder[some] = (of_standard.decoder[some].double() * scale).float()
    return Dictionary(
        encoder,
        encoder_bias,
        decoder,
        (mean + scale * bias).float(),
        centred=False,
        k=of_standard.k,
        threshold=of_standard.threshold,
    )

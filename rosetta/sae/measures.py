"""What an autoencoder says of single neurons, and how much of the activations it explains.

Neurons are compared by their columns of the decoder, w_u: what one unit of each feature adds to
neuron u. Features that are active at no position are left out of them, for their directions are
those that training began with.

* `unexplained`: Σ (x_u − x̂_u)² / Σ (x_u − μ_u)² over held-out positions, with the mean of all
  positions; 1 where that is more, because then the mean alone does better, which explains nothing.
  Without this bound the few neurons that hardly change there would be all that a mean tells of.
* `participation`: (Σ_f w_fu²)² / Σ_f w_fu⁴, the number of features that a neuron's activation
  takes: 1 if all comes from one, n if n add as much each.
* `interference`: the largest |cos(w_u, w_v)| with another neuron v that is not dead.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from rosetta.progress import bar
from rosetta.sae.columns import SAE_MEASURES
from rosetta.sae.dictionary import Dictionary, Standard
from rosetta.sae.rows import CountedRows
from rosetta.sae.sizes import FEATURES_AT_ONCE

UNITS_AT_ONCE = 1024  # neurons whose cosines with all others are in memory


@dataclass(frozen=True)
class Fit:
    """How well an autoencoder does on held-out positions, and which features are ever active.

    Attributes
    ----------
    fires : ndarray of int64, shape (F,)
        Positions, of all, at which each feature is active.
    n_active : int
        Active features, summed over held-out positions.
    error, total : ndarray of float64, shape (d,)
        Per neuron, sums over held-out positions of squared errors and of squared deviations from
        the mean, in standard units.
    sample_error, sample_total : ndarray of float64, shape (n_samples,)
        The same per sample, summed over neurons.
    """

    fires: np.ndarray
    n_active: int
    error: np.ndarray
    total: np.ndarray
    sample_error: np.ndarray
    sample_total: np.ndarray

    @property
    def n_live(self) -> int:
        """Features that are active at some position."""
        return int(np.count_nonzero(self.fires))


@torch.no_grad()
def fit_of(
    dictionary: Dictionary,
    rows: CountedRows,
    heldout: np.ndarray,
    neurons: tuple[int, int],
    standard: Standard,
) -> Fit:
    """Apply an autoencoder to all rows, in one pass.

    Parameters
    ----------
    dictionary : Dictionary
        The autoencoder of these neurons.
    rows : CountedRows
        All rows that count.
    heldout : ndarray of bool, shape (n_rows,)
        Which are held out.
    neurons : (int, int)
        Range of neurons.
    standard : Standard
        Their means and deviations.
    """
    d, n_samples = dictionary.d_in, len(rows.clusters)
    fires, n_active = np.zeros(dictionary.n_features, np.int64), 0
    error, total = np.zeros(d), np.zeros(d)
    by_sample = np.zeros((2, n_samples))
    mean, scale = (part.double() for part in standard.tensors())
    with bar(total=len(rows), label="encode", unit="pos") as shown:
        for first, values in rows.blocks(*neurons):
            z = dictionary.encode(values)
            fires += (z > 0).sum(dim=0).numpy()
            kept = torch.from_numpy(heldout[first : first + len(values)])
            if bool(kept.any()):
                z, x = z[kept], values[kept].double()
                left = ((x - dictionary.decode(z).double()) / scale).square()
                around = ((x - mean) / scale).square()
                n_active += int((z > 0).sum())
                error += left.sum(dim=0).numpy()
                total += around.sum(dim=0).numpy()
                sample = rows.sample[first : first + len(values)][kept.numpy()]
                for sums, part in zip(by_sample, (left, around), strict=True):
                    sums += np.bincount(sample, part.sum(dim=1).numpy(), n_samples)
            shown.update(len(values))
    return Fit(fires, n_active, error, total, *by_sample)


def neuron_measures(dictionary: Dictionary, fit: Fit, dead: np.ndarray) -> pd.DataFrame:
    """Return `SAE_MEASURES` of all neurons that an autoencoder reads, in their order.

    NaN of dead neurons; `unexplained` also of those that do not change on held-out positions, and
    the others where no feature adds to a neuron, or no other neuron is there.

    Parameters
    ----------
    dictionary : Dictionary
        The autoencoder.
    fit : Fit
        What it does.
    dead : ndarray of bool, shape (d,)
        Neurons that never change.
    """
    columns = _Columns(dictionary.decoder, fit.fires > 0, dead)
    squares, fourths = np.zeros(len(dead)), np.zeros(len(dead))
    for block in columns.blocks():
        square = block.square()
        squares += square.sum(dim=0).numpy()
        fourths += square.square().sum(dim=0).numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        unexplained = np.where(fit.total > 0, np.minimum(fit.error / fit.total, 1.0), np.nan)
        participation = squares**2 / fourths
    found = {
        "unexplained": np.where(dead, np.nan, unexplained),
        "participation": participation,
        "interference": _interference(columns, torch.from_numpy(np.sqrt(squares))),
    }
    return pd.DataFrame(found)[SAE_MEASURES]


class _Columns(NamedTuple):
    """What live features add to neurons that are not dead: 0 to the others."""

    decoder: torch.Tensor
    live: np.ndarray
    dead: np.ndarray

    def blocks(self) -> Iterator[torch.Tensor]:
        """Yield blocks of features of it in float64, (n_live of the block, d)."""
        for low in range(0, len(self.live), FEATURES_AT_ONCE):
            some = slice(low, low + FEATURES_AT_ONCE)
            block = self.decoder[some][torch.from_numpy(self.live[some])].double()
            block[:, torch.from_numpy(self.dead)] = 0.0
            yield block


def _interference(columns: _Columns, lengths: torch.Tensor) -> np.ndarray:
    """Return the largest |cosine| of each column with another one; NaN of zero columns.

    Parameters
    ----------
    columns : _Columns
        Columns of the decoder, read once for every `UNITS_AT_ONCE` of them.
    lengths : Tensor of float64, shape (d,)
        Their lengths.
    """
    there = lengths > 0
    divisors = torch.where(there, lengths, 1.0)
    largest = torch.full((len(lengths),), torch.nan, dtype=torch.float64)
    if int(there.sum()) < 2:
        return largest.numpy()
    for low in range(0, len(lengths), UNITS_AT_ONCE):
        high = min(low + UNITS_AT_ONCE, len(lengths))
        cosines = torch.zeros(high - low, len(lengths))
        for block in columns.blocks():
            units = (block / divisors).float()
            cosines.addmm_(units[:, low:high].T, units)
        cosines.abs_()
        cosines[torch.arange(len(cosines)), low + torch.arange(len(cosines))] = 0.0
        largest[low : low + len(cosines)] = cosines.max(dim=1).values.double()
    largest[~there] = torch.nan
    return largest.clamp(max=1.0).numpy()

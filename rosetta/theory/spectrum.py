"""β from the activations: the decay of a model's activation covariance spectrum (docs/theory.md, section 5.1).

No matching takes part: one model, its own activations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from rosetta.activations.live import LiveStore
from rosetta.activations.store import Store
from rosetta.analysis.positions import runs_the_model
from rosetta.moments import Moments
from rosetta.progress import bar


@dataclass
class Covariance:
    """Sums of shifted observations, from which their covariance follows.

    Attributes
    ----------
    count : int
    total : ndarray of float64, shape (n,)
    products : ndarray of float64, shape (n, n)
    """

    count: int
    total: np.ndarray
    products: np.ndarray

    @classmethod
    def zeros(cls, n: int) -> Covariance:
        """Return the sums over no observation."""
        return cls(0, np.zeros(n), np.zeros((n, n)))

    def add(self, rows: np.ndarray) -> None:
        """Add observations (n_rows, n), shifted by a constant near their mean so that nothing cancels."""
        self.count += len(rows)
        self.total += rows.sum(axis=0)
        self.products += rows.T @ rows

    def matrix(self) -> np.ndarray:
        """Return the covariance matrix (division by the count)."""
        count = max(self.count, 1)
        return self.products / count - np.outer(self.total, self.total) / count**2


def sample_units(n_neurons: int, max_units: int, seed: int) -> np.ndarray:
    """Return a sorted random sample of flat neuron indices (layer · d_mlp + unit); all of them if they are few.

    A random sample keeps the spectrum's leading part: with n of N neurons, λ_r of the sample is about n/N times that
    of the whole while r is well below n.
    """
    if n_neurons <= max_units:
        return np.arange(n_neurons)
    return np.sort(np.random.default_rng([seed, n_neurons]).choice(n_neurons, max_units, replace=False))


def covariance_halves(stores: list[Store | LiveStore], units: np.ndarray) -> tuple[Covariance, Covariance]:
    """Return the covariance sums of a sample of neurons over the even and over the odd documents.

    Every chunk is read once (a live store runs its model once); positions without bytes take no part.
    """
    pilot = Moments.zeros((stores[0].n_layers * stores[0].d_mlp,))
    for store in stores:
        pilot = pilot.merge(store.moments())
    center = pilot.mean[units]
    halves = Covariance.zeros(len(units)), Covariance.zeros(len(units))
    first_document = 0
    for store in stores:
        kept = store.read("byte_end") > store.read("byte_start")
        parity = (store.read("document_index") + first_document) % 2
        with bar(total=store.n_positions, label=f"covariance {store.path.stem}", unit="pos") as shown:
            for start, sampled in _sampled_blocks(store, units):
                values = sampled - center
                rows = slice(start, start + len(values))
                for half in (0, 1):
                    halves[half].add(values[kept[rows] & (parity[rows] == half)])
                shown.update(len(values))
        first_document += len(store.read("document_ids"))
    return halves


def cross_validated_spectrum(halves: tuple[Covariance, Covariance]) -> np.ndarray:
    """Return the variance of one half along the principal axes of the other, both ways averaged, by rank.

    Eigenvalues of one sample are too large in front and too small behind, because axes are chosen to fit its noise.
    On the other half they are not chosen, so what is measured is unbiased (after Stringer et al. 2019).

    Returns
    -------
    ndarray of float64, shape (n_units,)
        May be slightly out of order, and tiny values may be negative by rounding.
    """
    first, second = (half.matrix() for half in halves)
    spectra = []
    for own, other in ((first, second), (second, first)):
        axes = np.linalg.eigh(own).eigenvectors[:, ::-1]
        spectra.append(np.einsum("ij,ij->j", axes, other @ axes))
    return np.mean(spectra, axis=0)


def _sampled_blocks(store: Store | LiveStore, units: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the sampled neurons in blocks of rows: the first row, and values as float64 (n_rows, n_units).

    Of a written store, one layer of a block is in memory at a time: the block of all layers of a large model would be
    gigabytes. A live store yields a batch of documents, which its model's forward pass holds anyway.
    """
    layers = [units[units // store.d_mlp == layer] % store.d_mlp for layer in range(store.n_layers)]
    if runs_the_model(store):
        for start, parts in store.chunks(0, store.n_layers * store.d_mlp):
            yield start, np.concatenate([_columns(v, own) for (_, v), own in zip(parts, layers, strict=True)], axis=1)
        return
    step = store.manifest["holds"]["chunks"][0]
    for start in range(0, store.n_positions, step):
        rows = slice(start, start + step)
        sampled = [(layer, own) for layer, own in enumerate(layers) if len(own)]
        parts = (_columns(store.activations(layer, rows, slice(0, store.d_mlp)), own) for layer, own in sampled)
        yield start, np.concatenate(list(parts), axis=1)


def _columns(values: torch.Tensor, units: np.ndarray) -> np.ndarray:
    return values[:, torch.from_numpy(units)].double().numpy()

"""All instruments on the halves of a pair's samples.

On every half all of them are judged; what needs a fit is fitted on the other half. So what is
compared differs by the instrument alone: not by samples, positions or null model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch

from rosetta.config.instruments import Instruments
from rosetta.config.matching import Instrument
from rosetta.correlation.resample import Replicate, mutual_nearest
from rosetta.instruments.assignment import assigned_pairs
from rosetta.instruments.cca import canonical
from rosetta.instruments.principal import HalfMoments, ProjectedSums
from rosetta.instruments.procrustes import procrustes_matches
from rosetta.instruments.soft import soft_matches
from rosetta.instruments.sums import BlockSums

FOUND_COLUMNS = [
    "instrument",
    "null",
    "half_sample",
    "layer_a",
    "unit_a",
    "layer_b",
    "unit_b",
    "r",
]
NO_LAYER = -1  # of a rotated coordinate, which lies in no layer


@dataclass(frozen=True)
class PairMeasures:
    """What the instruments read: the sums of a pair.

    Attributes
    ----------
    sums : BlockSums
        Of activations.
    projected : ProjectedSums
        The same in principal components.
    ranks : BlockSums, optional
        Of ranks, where Spearman's correlation is asked for.
    """

    sums: BlockSums
    projected: ProjectedSums
    ranks: BlockSums | None = None


class JudgedHalf:
    """What instruments read of a half on which they are judged; each part is made when asked for.

    Parameters
    ----------
    measures : PairMeasures
        The sums.
    judged : ndarray of bool, shape (n_blocks,)
        Blocks of the half.
    settings : Instruments
        How instruments are set.
    k : int
        Mutual k-nearest neighbours match.
    """

    def __init__(
        self, measures: PairMeasures, judged: np.ndarray, settings: Instruments, k: int
    ) -> None:
        self._measures, self._judged, self._settings, self._k = measures, judged, settings, k
        self._r = measures.sums.correlations(judged)
        self._moments: tuple[HalfMoments, HalfMoments] | None = None
        self.facts: dict[str, float] = {}

    def found(self, name: Instrument) -> Replicate:
        """Return what an instrument matches; what else it tells goes into `facts`."""
        make: Mapping[str, Callable[[], Replicate]] = {
            "mutual_nearest": partial(mutual_nearest, self._r, self._k),
            "absolute": lambda: mutual_nearest(absolute(self._r), self._k),
            "spearman": self._spearman,
            "procrustes": lambda: procrustes_matches(*self._fitted_and_judged(), self._k),
            "cca": self._cca,
            "soft": self._soft,
            "hungarian": partial(assigned_pairs, self._r),
        }
        return make[name]()

    def _fitted_and_judged(self) -> tuple[HalfMoments, HalfMoments]:
        if self._moments is None:
            halves = (~self._judged, self._judged)
            of_fit, of_judged = map(self._measures.projected.half, halves)
            self._moments = of_fit, of_judged
        return self._moments

    def _spearman(self) -> Replicate:
        assert self._measures.ranks is not None
        return mutual_nearest(self._measures.ranks.correlations(self._judged), self._k)

    def _cca(self) -> Replicate:
        of = canonical(*self._fitted_and_judged())
        self.facts |= {"svcca": of.mean, "pwcca": of.weighted}
        return of.found

    def _soft(self) -> Replicate:
        settings = self._settings
        of = soft_matches(
            self._r, settings.soft_smoothing, settings.soft_price, settings.soft_neighbors
        )
        self.facts |= {"soft_mass": of.mass, "soft_error": of.error}
        return of.found


def absolute(r: torch.Tensor) -> torch.Tensor:
    """Return |r|, and -inf where it is not defined."""
    return torch.where(torch.isneginf(r), r, r.abs())


def measure_halves(
    measures: PairMeasures,
    halves: np.ndarray,
    names: Sequence[Instrument],
    settings: Instruments,
    k: int,
) -> Iterator[tuple[int, Instrument, Replicate, dict[str, float]]]:
    """Yield half, instrument, what it found and what else it tells.

    Parameters
    ----------
    measures : PairMeasures
        The sums.
    halves : ndarray of bool, shape (R, n_blocks)
        Halves to judge on (`rosetta.correlation.resample.half_samples`), or some of them.
    names : sequence of str
        The instruments.
    settings, k
        As in `JudgedHalf`.
    """
    for number, half in enumerate(halves):
        judged = JudgedHalf(measures, half, settings, k)
        for name in names:
            judged.facts = {}
            found = judged.found(name)
            yield number, name, found, judged.facts


def found_table(
    found: Replicate, d_mlp: tuple[int, int], known: Mapping[str, Any], *, rotated: bool
) -> pd.DataFrame:
    """Return what an instrument found as rows of `FOUND_COLUMNS`.

    Parameters
    ----------
    found : Replicate
        Flat neuron indices in A and B, and scores.
    d_mlp : (int, int)
        Neurons per layer of either model.
    known : mapping
        instrument, null and half.
    rotated : bool
        Whether `v` are rotated coordinates, which have a number and no layer (`NO_LAYER`).
    """
    layer_b, unit_b = np.divmod(found.v, d_mlp[1])
    if rotated:
        layer_b, unit_b = np.full(len(found.v), NO_LAYER), found.v
    layer_a, unit_a = np.divmod(found.u, d_mlp[0])
    places = {"layer_a": layer_a, "unit_a": unit_a, "layer_b": layer_b, "unit_b": unit_b}
    table = pd.DataFrame({name: place.astype(np.int32) for name, place in places.items()})
    return table.assign(r=found.r, **known)[FOUND_COLUMNS]

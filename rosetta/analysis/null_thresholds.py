"""Null distributions of the matched r, and one threshold per ladder and null."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.analysis.intervals import fisher_z
from rosetta.analysis.tails import is_readable, tail_quantile
from rosetta.config import Config, group_name, group_pairs
from rosetta.config.controls import CALIBRATING
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64
from rosetta.storage.tables import read_parquet

NULL_COLUMNS = ["seed", *MATCH_COLUMNS]
PLAIN = "plain"  # the statistic that counts all matches
# What the null models are called.
NULL_TITLES = {
    "permutation": "permuted positions",
    "documents": "exchanged samples",
    "untrained": "untrained twins",
}
STATISTICS = (PLAIN, *(f"above_{name}" for name in CALIBRATING))
# Under these, one seed exchanges the same positions or samples in all rungs; twins are each model's
# own.
ONE_DRAW = ("permutation", "documents")


def tail_probability(r: np.ndarray, null_r: np.ndarray) -> np.ndarray:
    """Return the empirical probability (1 + #{null ≥ r}) / (1 + n) for each r."""
    ordered = np.sort(null_r)
    reaching = len(ordered) - np.searchsorted(ordered, r, side="left")
    return (1 + reaching) / (1 + len(ordered))


def read_nulls(config: Config, paths: Paths, pair: str) -> dict[str, pd.DataFrame]:
    """Return a pair's matches under every null model that the configuration has, by its name."""
    return {
        name: read_parquet(paths.null_matches(name, pair), NULL_COLUMNS)
        for name in config.controls.names
    }


@dataclass(frozen=True)
class LadderNull:
    """The matches of all rungs and pairs of a ladder under a null model.

    Attributes
    ----------
    r : ndarray, shape (n,)
        Their correlations, in ascending order.
    rung, seed : ndarray of int64, shape (n,)
        Rung and number of the seed that each is of.
    n_rungs, n_seeds : int
        How many there are.
    one_draw : bool
        Whether one seed makes the same exchange in all rungs.
    """

    r: np.ndarray
    rung: np.ndarray
    seed: np.ndarray
    n_rungs: int
    n_seeds: int
    one_draw: bool

    @classmethod
    def of(cls, rungs: list[pd.DataFrame], seeds: list[int], *, one_draw: bool) -> LadderNull:
        """Join the null matches of every rung (columns `seed` and `r`), of all its pairs."""
        number = pd.Series(range(len(seeds)), index=seeds)
        found = pd.concat([part.assign(rung=i) for i, part in enumerate(rungs)]).sort_values(
            "r", kind="stable"
        )
        seed = number.reindex(found["seed"]).to_numpy(np.int64)
        return cls(
            found["r"].to_numpy(),
            found["rung"].to_numpy(np.int64),
            seed,
            len(rungs),
            len(seeds),
            one_draw,
        )

    def threshold(self, quantile: float) -> float:
        """Return what r has to exceed; NaN with fewer null matches than `tails.MIN_TAIL`.

        Every rung weighs the same, because each weighs as much in the exponent: by matches, the
        threshold would be that of the largest rung. It is read on the scale of Fisher's transform,
        off a smooth tail (`tails.tail_quantile`).
        """
        weights = self._weights(np.ones((self.n_rungs, self.n_seeds)))
        if not is_readable(self.r, weights, quantile):
            return float("nan")
        return float(np.tanh(self._z(weights, quantile)))

    def redrawn(self, quantile: float, n_pairs: int, name: str) -> np.ndarray:
        """Return thresholds of resamples of the null, (2 · n_pairs,): their spread is the error.

        Matches of one seed share hubs, so whole seeds are drawn, again in every rung unless all
        rungs share them: one fewer than there are, with replacement, which makes the spread that of
        independent seeds also when they are few (Rao and Wu 1988). Each is followed by its mirror
        image about the threshold itself (of Fisher's transform), as each half-sample is by its
        complement. NaN where a single seed has matches, which tells nothing of the error, and where
        those of a draw have none, of which no threshold can be read. `name` determines the draws,
        so nulls with as many seeds are drawn alike under one name, rung by rung.
        """
        center, unknown = self.threshold(quantile), np.full(2 * n_pairs, np.nan)
        if len(np.unique(self.seed)) < 2 or np.isnan(center):
            return unknown
        found = []
        for number in range(n_pairs):
            # Each number has draws of its own, so that ladders of more and of fewer rungs stay in
            # step.
            rng = np.random.default_rng(hash64(name, number))
            drawn = rng.integers(
                self.n_seeds, size=(1 if self.one_draw else self.n_rungs, self.n_seeds - 1)
            )
            times = np.array([np.bincount(row, minlength=self.n_seeds) for row in drawn], float)
            weights = self._weights(np.broadcast_to(times, (self.n_rungs, self.n_seeds)))
            if not weights.any():
                return unknown
            found.append(self._z(weights, quantile))
        mirrored = 2 * np.arctanh(center) - np.array(found)
        return np.tanh(np.stack([found, mirrored], axis=1).ravel())

    def _weights(self, times: np.ndarray) -> np.ndarray:
        """Return weights of sum 1 from how often each rung's seeds count; rungs without a match
        have none.
        """
        weights = times[self.rung, self.seed]
        totals = np.bincount(self.rung, weights, self.n_rungs)
        return weights / totals[self.rung].clip(1) / max(np.count_nonzero(totals), 1)

    def _z(self, weights: np.ndarray, quantile: float) -> float:
        """Return the threshold on the scale of Fisher's transform."""
        return tail_quantile(fisher_z(self.r[weights > 0]), weights[weights > 0], quantile)


def read_ladder_nulls(config: Config, paths: Paths, ladder: str) -> dict[str, LadderNull]:
    """Return a ladder's matches under every calibrating null, by statistic (`above_…`)."""
    found = {}
    for name in CALIBRATING:
        if seeds := config.controls.seeds(name):
            rungs = rung_nulls(config, paths, ladder, name)
            found[f"above_{name}"] = LadderNull.of(rungs, seeds, one_draw=name in ONE_DRAW)
    return found


def rung_nulls(config: Config, paths: Paths, ladder: str, control: str) -> list[pd.DataFrame]:
    """Return the matches of all rungs of a ladder under a null model: columns `seed` and `r`."""
    rungs = []
    for rung in config.ladders[ladder]:
        pairs = map(group_name, group_pairs(tuple(rung)))
        files = [paths.null_matches(control, pair) for pair in pairs]
        rungs.append(pd.concat([read_parquet(file, NULL_COLUMNS)[["seed", "r"]] for file in files]))
    return rungs

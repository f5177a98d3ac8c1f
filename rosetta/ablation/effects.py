"""What ablations cost, with intervals over held-out samples and over draws.

A loss is a ratio of two sums over samples: of bits, and of bytes (of images: 1 each). Differences
are taken sample by sample, so both sides of one are on the same samples, and clusters of samples
are resampled whole (`rosetta.analysis.bootstrap`).

A matched population is many draws. Its number is their mean, and its error has two parts: that of
the samples, of the mean over draws; and that of the draws, of their losses on all samples. They are
resampled independently of each other, and their squared errors add. Sampling noise is a part of
what draws differ by, so the sum is on the safe side.

The Rosetta Neurons are one set, which differs from the mean of n draws as a further draw would: by
more than the error of that mean. Were losses sums over neurons, and each drawn neuron one of k that
match its target, then the target would differ from these k with variance σ² (1 + 1/k), but draws
from one another with σ² (1 − 1/k) each. 1/k is the share s of a draw that another draw has too,
Σ π² / Σ π with π a neuron's chance to be drawn, whatever overlaps. So with the variance v of draws,
that of the difference is v (1 + s) / (1 − s) + v / n.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rosetta.ablation.columns import (
    ACCURACY,
    BITS_PER_BYTE,
    EFFECT_COLUMNS,
    LOSS,
    LOSS_COLUMNS,
    WHOLE,
)
from rosetta.ablation.populations import MATCHED, NONE, ROSETTA
from rosetta.analysis.bootstrap import Estimate, mean_estimate
from rosetta.analysis.intervals import CONFIDENCE
from rosetta.config import Bootstrap

QUANTILES = (0.025, 0.975)  # of draws
Side = tuple[str, str]  # a treatment and a population
INTACT: Side = (NONE, NONE)
ROUNDING = 1e-9  # of losses, which float32 passes make and float64 sums


@dataclass(frozen=True)
class Losses:
    """What samples cost one model, treatment by treatment.

    Attributes
    ----------
    totals : dict of Side to ndarray of float64, shape (n_draws, n_samples)
        By treatment and population: of every sample what is summed.
    sizes : ndarray of float64, shape (n_samples,)
        What the sums are divided by.
    clusters : ndarray of int64, shape (n_samples,)
        Samples of one number are parts of one whole.
    name : tuple of str
        Names the resamples.
    overlap : float
        Mean share of a draw's neurons that another draw has too.
    """

    totals: dict[Side, np.ndarray]
    sizes: np.ndarray
    clusters: np.ndarray
    name: tuple[str, ...]
    overlap: float = 0.0

    def value(self, treatment: str, population: str) -> np.ndarray:
        """Return the losses of a population's draws on all samples, (n_draws,)."""
        return self.totals[treatment, population].sum(axis=1) / self.sizes.sum()

    def differences(
        self, contrasts: list[tuple[Side, Side]], settings: Bootstrap
    ) -> list[Estimate]:
        """Return by what each first side's mean loss is above the second's, with its error.

        All are resampled alike. Against the Rosetta Neurons, draws tell how much one set differs
        from another; where they are all the same, nothing tells it, and there is no interval.
        """
        moved = np.column_stack([self._mean(one) - self._mean(other) for one, other in contrasts])
        known = self.sizes > 0
        ratios = np.divide(moved.T, self.sizes, out=np.full(moved.T.shape, np.nan), where=known).T
        samples = mean_estimate(
            ratios, settings, *self.name, weights=self.sizes, clusters=self.clusters
        )
        found = [samples[k : k + 1] for k in range(len(contrasts))]
        for k, sides in enumerate(contrasts):
            of_one_set = any(population == ROSETTA for _, population in sides)
            for side in sides:
                if side[1] == MATCHED and (of_one_set or self._draws_differ(side)):
                    error = self._of_draws(side, settings)
                    found[k] = found[k] - (error * self._one_set(side) if of_one_set else error)
        return found

    def _mean(self, side: Side) -> np.ndarray:
        return self.totals[side].mean(axis=0)

    def _draws_differ(self, side: Side) -> bool:
        """Tell whether there are draws that differ, by more than rounding leaves."""
        values = self.value(*side)
        return bool(np.ptp(values) > ROUNDING * np.abs(values).max())

    def _of_draws(self, side: Side, settings: Bootstrap) -> Estimate:
        """Return what the mean over draws is in error by, around 0."""
        values = self.value(*side)
        if not self._draws_differ(side):
            values = np.zeros(len(values))
        return mean_estimate((values - values.mean())[:, None], settings, "draws", *self.name)

    def _one_set(self, side: Side) -> float:
        """Return how many times the error of the mean over draws one more set differs from it."""
        return math.sqrt(len(self.totals[side]) * self.spread + 1)

    @property
    def spread(self) -> float:
        """How many times the variance of draws is that of targets about the draws' mean."""
        # All draws are the same at 1, and nothing that they say is used.
        return (1 + self.overlap) / (1 - self.overlap) if self.overlap < 1 else 1.0

    def p_draws(self, side: Side) -> float:
        """Return the p of the Rosetta Neurons among draws that differ as much as sets do."""
        draws = self.value(*side)
        if not self._draws_differ(side):
            return math.nan
        spread = draws.mean() + math.sqrt(self.spread) * (draws - draws.mean())
        return draw_probability(self.value(side[0], ROSETTA)[0], spread)


def effect_table(
    losses: pd.DataFrame, settings: Bootstrap, model: str, overlap: float = 0.0
) -> pd.DataFrame:
    """Return what ablations cost a model, on all held-out samples and by domain.

    Parameters
    ----------
    losses : DataFrame
        `LOSS_COLUMNS` of one model.
    settings : Bootstrap
        Number of resamples, seed, and clusters below which there is no interval.
    model : str
        With the seed, it determines the resamples.
    overlap : float
        Mean share of a draw's neurons that another draw has too, from 0 to 1.

    Returns
    -------
    DataFrame
        `EFFECT_COLUMNS`. `difference` is from the intact model, `rosetta_excess` what the Rosetta
        Neurons' loss (or accuracy) under the same treatment is above the population's.
        `draws_low` and `draws_high` hold the differences of 95% of the draws, and `p_draws` is the
        two-sided share of draws, the Rosetta Neurons among them, that are as extreme as these, if
        draws differ as much as sets do; NaN where all draws cost the same.
    """
    domains = [one for one in losses["domain"].unique() if one]
    rows: list[dict[str, Any]] = []
    parts = [(WHOLE, losses)]
    if len(domains) > 1:
        parts += [(name, losses[losses["domain"] == name]) for name in sorted(domains)]
    for domain, part in parts:
        for measure, column in _measures(part):
            of = _losses(part, column, (model, measure, domain), overlap)
            place = {"measure": measure, "domain": domain, "n_samples": len(of.sizes)}
            rows += [{**place, **row} for row in _rows(of, settings)]
    return pd.DataFrame(rows, columns=EFFECT_COLUMNS)


def told_effects(
    losses: pd.DataFrame, facts: dict[str, Any], settings: Bootstrap, model: str
) -> pd.DataFrame:
    """Return what is told of a model: its effects, and what each treatment ablates.

    Parameters
    ----------
    losses : DataFrame
        `LOSS_COLUMNS` of the model.
    facts : dict
        What `rosetta.ablation.measure.facts_told` returned.
    settings : Bootstrap
        Of the intervals.
    model : str
        With the seed, it determines the resamples.

    Returns
    -------
    DataFrame
        `NAMED_COLUMNS` without `method`.
    """
    composition = pd.DataFrame(facts["composition"])
    overlap = composition.loc[composition["population"] == MATCHED, "draws_overlap"].max()
    effects = effect_table(losses, settings, model, 0.0 if pd.isna(overlap) else overlap)
    joined = effects.merge(composition, on=["treatment", "population"], how="left")
    return joined.assign(model=model, n_neurons=facts["n_neurons"], layers=facts["layers"])


def _measures(losses: pd.DataFrame) -> list[tuple[str, str]]:
    """Return what is measured, and of which column."""
    if losses["right"].notna().any():
        return [(LOSS, "bits"), (ACCURACY, "right")]
    return [(BITS_PER_BYTE, "bits")]


def _losses(part: pd.DataFrame, column: str, name: tuple[str, ...], overlap: float) -> Losses:
    intact = part[part["population"] == NONE]
    clusters = pd.factorize(intact["cluster"])[0]
    totals = {}
    for key, rows in part.groupby(["treatment", "population"], sort=False):
        wide = rows.pivot(index="draw", columns="sample", values=column)
        totals[key] = wide[intact["sample"]].to_numpy(np.float64)
    return Losses(totals, intact["size"].to_numpy(np.float64), clusters, name, overlap)


def _rows(losses: Losses, settings: Bootstrap) -> Iterator[dict[str, Any]]:
    contrasts = [
        (name, side, other)
        for side in losses.totals
        for name, other in (("difference", INTACT), ("rosetta_excess", (side[0], ROSETTA)))
        if side not in (INTACT, other) and other in losses.totals
    ]
    # What Rosetta Neurons cost is the first of the two sides, whatever it is compared with.
    sides = [(side, o) if name == "difference" else (o, side) for name, side, o in contrasts]
    found = losses.differences(sides, settings)
    told: dict[Side, dict[str, Any]] = {side: {} for side in losses.totals}
    for (name, side, _), estimate in zip(contrasts, found, strict=True):
        told[side] |= _told(name, estimate)
    for side, row in told.items():
        values = losses.value(*side)
        if side[1] == MATCHED:
            low, high = np.quantile(values - losses.value(*INTACT), QUANTILES)
            row |= {"draws_low": low, "draws_high": high, "p_draws": losses.p_draws(side)}
        treatment, population = side
        place = {"treatment": treatment, "population": population}
        yield {**place, "n_draws": len(values), "value": values.mean(), **row}


def _told(name: str, estimate: Estimate) -> dict[str, float]:
    low, high = estimate.interval()
    return {name: estimate.value[0], f"{name}_ci_low": low[0], f"{name}_ci_high": high[0]}


def draw_probability(value: float, draws: np.ndarray) -> float:
    """Return the two-sided p of a value among draws: it and they are exchangeable if being a
    Rosetta Neuron makes no difference to neurons that match.
    """
    beyond = min((draws >= value).sum(), (draws <= value).sum())
    return float(min(1.0, 2 * (1 + beyond) / (1 + len(draws))))


def verdict(row: pd.Series) -> int:
    """Return 1 if Rosetta Neurons are shown to cost more than a population, -1 if less, or else 0.

    The interval of the difference holds no 0. Of draws that match, the Rosetta Neurons must also be
    among the most extreme 5%; or, where p cannot be so low, more extreme than all.

    Parameters
    ----------
    row : Series
        `EFFECT_COLUMNS` of that population.
    """
    if row["population"] == MATCHED:
        lowest = draw_probability(math.inf, np.zeros(int(row["n_draws"])))
        if not row["p_draws"] <= max(1 - CONFIDENCE, lowest) + ROUNDING:
            return 0
    low, high = row["rosetta_excess_ci_low"], row["rosetta_excess_ci_high"]
    return int(low > 0) - int(high < 0)


def loss_table(
    samples: pd.DataFrame,
    treated: list[tuple[str, str, int]],
    bits: np.ndarray,
    right: np.ndarray | None,
    model: str,
) -> pd.DataFrame:
    """Return `LOSS_COLUMNS` of a model.

    Parameters
    ----------
    samples : DataFrame
        Held-out samples: sample, domain, cluster, size (bytes; of images 1).
    treated : list of (treatment, population, draw)
        What was done to the model.
    bits : ndarray, shape (n_treatments, n_samples)
        What every sample costs.
    right : ndarray or None, shape (n_treatments, n_samples)
        Whether its class was told, of images.
    model : str
        Its name.
    """
    n = len(samples)
    names = pd.DataFrame(treated, columns=["treatment", "population", "draw"])
    table = names.loc[names.index.repeat(n)].reset_index(drop=True)
    repeated = samples.loc[np.tile(samples.index, len(treated))].reset_index(drop=True)
    table = pd.concat([table, repeated], axis=1).assign(model=model, bits=bits.ravel())
    table["right"] = np.nan if right is None else right.ravel()
    return table[LOSS_COLUMNS]

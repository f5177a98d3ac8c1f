"""How many trainings of one recipe share a neuron, and whether another family shares it too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats

from rosetta.analysis.null_counts import mean_interval


@dataclass(frozen=True)
class Shared:
    """Which neurons of each training of a model have partners in which others.

    Attributes
    ----------
    own : ndarray of bool, shape (n_trainings, n_trainings, n_neurons)
        Whether a neuron of the first training is matched in the second; False where these are one.
    alive : ndarray of bool, shape (n_trainings, n_neurons)
        Whether a neuron has any variance. The others can have no partner, and are left out.
    elsewhere : dict of str to ndarray of bool, shape (n_trainings, n_other_trainings, n_neurons)
        The same as `own` in trainings of models of other families.
    """

    own: np.ndarray
    alive: np.ndarray
    elsewhere: dict[str, np.ndarray]

    @property
    def n_trainings(self) -> int:
        """Trainings of the model."""
        return len(self.own)

    @property
    def n_neurons(self) -> int:
        """Neurons of each training."""
        return int(self.own.shape[2])

    @cached_property
    def n_partners(self) -> list[np.ndarray]:
        """Per training: in how many others each living neuron has a partner, (n_living,)."""
        return [own[:, alive].sum(axis=0) for own, alive in zip(self.own, self.alive, strict=True)]

    def there(self, other: str) -> list[np.ndarray]:
        """Return per training in which share of another model's trainings each living neuron has a
        partner, (n_living,).
        """
        found = self.elsewhere[other]
        return [one[:, alive].mean(axis=0) for one, alive in zip(found, self.alive, strict=True)]


def by_chance(rates: np.ndarray) -> np.ndarray:
    """Return how likely a neuron has 0, 1, … partners if matches fall on neurons at random.

    Parameters
    ----------
    rates : ndarray, shape (n_others,)
        Share of the neurons that are matched in each of the other trainings.

    Returns
    -------
    ndarray, shape (n_others + 1,)
        Of a sum of independent Bernoulli variables (Poisson's binomial distribution).
    """
    found = np.ones(1)
    for rate in rates:
        found = np.convolve(found, [1 - rate, rate])
    return found


def _rates(shared: Shared) -> np.ndarray:
    """Return the share of living neurons that are matched in each other training, (n, n − 1)."""
    n, n_alive = shared.n_trainings, shared.alive.sum(axis=1)
    rates = shared.own.sum(axis=2) / np.maximum(n_alive, 1)[:, None]
    others: np.ndarray = rates[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    return others


def over_trainings(values: np.ndarray, name: str, low: float, high: float) -> dict[str, float]:
    """Return the mean of one value per training with its 95% interval (Student's t), within limits;
    trainings without a value are left out.
    """
    known = pd.Series(values[np.isfinite(values)], dtype=float)
    mean, half = mean_interval(known)
    ends = np.clip((mean - half, mean + half), low, high)
    return {name: mean, f"{name}_ci_low": float(ends[0]), f"{name}_ci_high": float(ends[1])}


def summary(shared: Shared) -> dict[str, float]:
    """Return how much of a model its trainings share.

    `share` is the mean share of other trainings in which a living neuron has a partner, `in_all`
    the share of these that have one in all of them, beside `in_all_by_chance`. `dispersion` is the
    variance of the number of partners over that of matches that fall on neurons at random: 1 if
    having a partner in one training says nothing of another one.
    """
    rates, others = _rates(shared), shared.n_trainings - 1
    in_all = np.array([(one == others).mean() if len(one) else np.nan for one in shared.n_partners])
    random = (rates * (1 - rates)).sum(axis=1)
    variance = np.array([one.var() if len(one) else np.nan for one in shared.n_partners])
    dispersion = np.divide(variance, random, out=np.full(len(random), np.nan), where=random > 0)
    return {
        **over_trainings(rates.mean(axis=1), "share", 0, 1),
        **over_trainings(in_all, "in_all", 0, 1),
        "in_all_by_chance": float(rates.prod(axis=1).mean()),
        **over_trainings(dispersion, "dispersion", 0, np.inf),
    }


def unit_counts(shared: Shared) -> pd.DataFrame:
    """Return how many neurons of a training have so many partners, mean over trainings with 95%
    interval, and how many would by chance.
    """
    others, rows = shared.n_trainings - 1, []
    n_alive = shared.alive.sum(axis=1)
    pairs = zip(_rates(shared), n_alive, strict=True)
    chance = np.mean([by_chance(rates) * living for rates, living in pairs], axis=0)
    for n in range(others + 1):
        counts = np.array([float((one == n).sum()) for one in shared.n_partners])
        told = over_trainings(counts, "neurons", 0, shared.n_neurons)
        rows.append({"n_partners": n, **told, "by_chance": float(chance[n])})
    return pd.DataFrame(rows)


def family_counts(shared: Shared) -> pd.DataFrame:
    """Return whether what a model's trainings share is what other families share.

    One row per other model and number of partners among the own trainings: `elsewhere` is the mean
    share of the other model's trainings in which such neurons have a partner, with its interval
    over trainings. `rank_correlation` is Spearman's, over the neurons of a training, of the number
    of partners here and there; the same in all rows of another model.
    """
    rows = []
    for other in shared.elsewhere:
        there = shared.there(other)
        told = over_trainings(_rank_correlations(shared.n_partners, there), *_CORRELATION)
        for n in range(shared.n_trainings):
            mine = [one == n for one in shared.n_partners]
            share = np.array(
                [
                    values[chosen].mean() if chosen.any() else np.nan
                    for values, chosen in zip(there, mine, strict=True)
                ]
            )
            elsewhere = over_trainings(share, "elsewhere", 0, 1)
            row = {
                "other": other,
                "n_partners": n,
                "n_neurons": sum(int(one.sum()) for one in mine),
            }
            rows.append({**row, **elsewhere, **told})
    return pd.DataFrame(rows)


_CORRELATION = ("rank_correlation", -1, 1)


def _rank_correlations(n_partners: list[np.ndarray], there: list[np.ndarray]) -> np.ndarray:
    """Return Spearman's correlation per training; NaN where all neurons are alike."""
    found = np.full(len(n_partners), np.nan)
    for i, (mine, theirs) in enumerate(zip(n_partners, there, strict=True)):
        if len(mine) and np.ptp(mine) and np.ptp(theirs):
            found[i] = stats.spearmanr(mine, theirs).statistic
    return found


def neuron_counts(shared: Shared, trainings: list[str], d_mlp: int) -> pd.DataFrame:
    """Return in how many other trainings each living neuron has a partner, with the 95% interval of
    the share that it would have of many trainings (Wilson's).
    """
    others = shared.n_trainings - 1
    ends = [stats.binomtest(k, others).proportion_ci(method="wilson") for k in range(others + 1)]
    parts = []
    for name, alive, partners in zip(trainings, shared.alive, shared.n_partners, strict=True):
        units = np.flatnonzero(alive)
        parts.append(
            pd.DataFrame(
                {
                    "training": name,
                    "layer": units // d_mlp,
                    "unit": units % d_mlp,
                    "n_others": others,
                    "n_partners": partners,
                    "share": partners / others,
                    "share_ci_low": [ends[k].low for k in partners],
                    "share_ci_high": [ends[k].high for k in partners],
                }
            )
        )
    return pd.concat(parts, ignore_index=True)

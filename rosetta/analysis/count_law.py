"""The scaling law |R| = c · x^α of counts, zeros included, with trainings as random effects.

The count y of a group of models, in rung r of ladder l, has the log mean

    log μ = log c_l + α log x + u_r + Σ_m t_m + e,    y ~ Poisson(μ),

with an effect of the rung, one of every training m of the group, which all groups that hold this
training share, and one of its own (`scatter`). Each multiplies counts by a factor of mean 1, with a
variance per kind; c · x^α is the mean count over the effects (`mixed_model` has the fit).

The 95% interval of α is for the law that other trainings of the same recipe, at other sizes, would
follow. It is never narrower than that of Poisson counts about an exact law. Rungs that happen to
lie on a line, and trainings that happen to agree, do not get an interval of no width.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from rosetta.analysis.scatter import Scatter, own_trainings
from rosetta.config import PAIR_SEPARATOR

FEW = 5  # matches, below which a rung is named beside the law
NAN = float("nan")


@dataclass(frozen=True)
class CountLaw:
    """A law fitted to counts, of one ladder or of several with the same exponent.

    Attributes
    ----------
    alpha : float
        The exponent; NaN if it cannot be told.
    half_width : float
        Half of its 95% interval; NaN without degrees of freedom.
    df : float
        Degrees of freedom of the interval; infinite where only Poisson's variance is left.
    freedom : int
        Rungs less coefficients, which are α and a height per ladder.
    variances : dict of str to float
        By kind of effect (`scatter`), its variance on the scale of logarithms. Kinds that the
        design cannot tell from others are missing: they are part of these.
    dispersion : float
        Variance of the logarithm of one group's count beyond Poisson's: the sum over its effects;
        NaN without freedom, like the variances.
    heights : dict of str to float
        By ladder, the prefactor c.
    center : float
        Mean logarithm of the sizes.
    covariance : ndarray, shape (1 + ladders, 1 + ladders)
        Of α and the logarithms of the counts at the mean size, by ladder.
    n_rungs, n_groups, n_trainings : int
        What the fit is of: sizes of ladders, counts, and models.
    reason : str
        Why the exponent cannot be told; empty if it can.
    """

    alpha: float = NAN
    half_width: float = NAN
    df: float = NAN
    freedom: int = 0
    variances: dict[str, float] = field(default_factory=dict)
    dispersion: float = NAN
    heights: dict[str, float] = field(default_factory=dict)
    center: float = NAN
    covariance: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    n_rungs: int = 0
    n_groups: int = 0
    n_trainings: int = 0
    reason: str = ""

    def sigma(self, kind: str) -> float:
        """Return the standard deviation of a kind of effects; NaN if it cannot be told apart."""
        return float(np.sqrt(self.variances.get(kind, NAN)))

    def band(self, ladder: str, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the mean counts of a ladder at some sizes, and the ends of the 95% band of the
        law, each of the shape of sizes.
        """
        row = np.zeros((len(sizes), len(self.covariance)))
        row[:, 0] = np.log(sizes) - self.center
        row[:, 1 + list(self.heights).index(ladder)] = 1
        logs = np.log(self.heights[ladder]) + self.alpha * np.log(sizes)
        error = np.sqrt(np.einsum("ij,jk,ik->i", row, self.covariance, row))
        # As wide as that of α in standard errors, so that band and interval say the same.
        half = self.half_width * error / np.sqrt(self.covariance[0, 0])
        return np.exp(logs), np.exp(logs - half), np.exp(logs + half)


def fit_count_law(
    sizes: np.ndarray,
    counts: np.ndarray,
    ladders: Sequence[str] | None = None,
    rungs: Sequence[Hashable] | None = None,
    models: Sequence[Sequence[Hashable]] | None = None,
    like: CountLaw | None = None,
) -> CountLaw:
    """Fit one exponent, and a height per ladder, to counts of groups.

    Parameters
    ----------
    sizes, counts : ndarray, shape (n,)
        Neurons per model, and counts ≥ 0: sums or means of counts serve too.
    ladders : sequence of str, optional
        The ladder of each; all of one if not given. A ladder without any match says nothing of the
        exponent and is excluded.
    rungs : sequence, optional
        What tells the rungs of a ladder apart; the size if not given.
    models : sequence of sequences, optional
        The trainings of each group; each has its own if not given.
    like : CountLaw, optional
        A law of the same groups whose variances are taken. Only α and the heights are fitted then,
        and there is no interval: for counts of the same trainings on other documents.
    """
    sizes, counts = np.asarray(sizes, dtype=float), np.asarray(counts, dtype=float)
    names = np.array(ladders if ladders is not None else [""] * len(counts), dtype=object)
    places = list(zip(names, sizes if rungs is None else rungs, strict=True))
    members = own_trainings(len(counts)) if models is None else list(models)
    heights, reason = _fitted_ladders(sizes, counts, names)
    used = np.flatnonzero(np.isin(names, heights)) if heights else np.arange(len(counts))
    places, members = [places[i] for i in used], [members[i] for i in used]
    told = {
        "n_rungs": len(set(places)),
        "n_groups": len(used),
        "n_trainings": len({model for group in members for model in group}),
        "reason": reason,
    }
    if reason:
        return CountLaw(**told)
    center = float(np.log(sizes[used]).mean())
    columns = [np.log(sizes[used]) - center, *(names[used] == name for name in heights)]
    design = np.column_stack(columns).astype(float)
    scatter = Scatter.of(design, places, members)
    freedom = told["n_rungs"] - design.shape[1]
    known = None if like is None else like.variances
    found = scatter.fit(design, counts[used], freedom, known=known)
    half, df = found.half_width(np.eye(design.shape[1])[0], freedom if like is None else 0)
    beta, theta = found.coefficients, found.model.variances
    told_scatter = freedom > 0 or known is not None
    return CountLaw(
        alpha=float(beta[0]),
        half_width=half,
        df=df,
        freedom=freedom,
        variances=dict(zip(scatter.names, map(float, theta), strict=True)) if told_scatter else {},
        dispersion=float(scatter.per_count @ theta) if told_scatter else NAN,
        heights=dict(zip(heights, map(float, np.exp(beta[1:] - beta[0] * center)), strict=True)),
        center=center,
        covariance=found.model.weighting.covariance,
        **told,
    )


def _fitted_ladders(
    sizes: np.ndarray, counts: np.ndarray, names: np.ndarray
) -> tuple[list[str], str]:
    """Return the ladders that tell of an exponent, and why there is none if there is none."""
    if not len(counts):
        return [], "there is no rung"
    if np.isnan(counts).any():
        return [], "not counted: the threshold cannot be read"
    found = [name for name in dict.fromkeys(names) if counts[names == name].any()]
    if not found:
        return [], "no rung has a match"
    if all(len(np.unique(sizes[(names == name) & (counts > 0)])) < 2 for name in found):
        return [], "matches at one size only"
    return found, ""


def law_of(points: pd.DataFrame, like: CountLaw | None = None) -> CountLaw:
    """Fit the law of a table of counts (`fit_count_law`).

    Parameters
    ----------
    points : DataFrame
        One row per group: n_neurons and count, and, where they are known, ladder, rung and models,
        the names of the group's trainings.
    like : CountLaw, optional
        As in `fit_count_law`.
    """
    ladders = points["ladder"].tolist() if "ladder" in points else None
    sizes, counts = points["n_neurons"].to_numpy(), points["count"].to_numpy()
    return fit_count_law(sizes, counts, ladders, **groups_of(points), like=like)


def groups_of(points: pd.DataFrame) -> dict[str, list | None]:
    """Return the rungs and the trainings of a table's groups, as `fit_count_law` takes them; None
    where the table does not have them.
    """
    models = None
    if "models" in points:
        models = [group.split(PAIR_SEPARATOR) for group in points["models"]]
    return {"rungs": points["rung"].tolist() if "rung" in points else None, "models": models}

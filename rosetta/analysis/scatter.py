"""Where the counts of groups of models scatter about a law, and what of it a design can tell apart.

* A *training* is one model with its weights. Its effect is in the counts of all groups that hold
  it, in whatever ladder.
* A *rung* is one size of one ladder. Its effect is in the counts of all groups of the rung: how far
  the size lies from the law, whichever trainings are taken.
* The *residual* is each count's own.

With one group per rung, the effect of the rung is the residual's: the two are told apart by other
groups of the rung only. Effects that cannot be told apart are one, and the interval of the law is
the same whatever it is called.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from rosetta.analysis.mixed_model import MixedFit, fit_mixed
from rosetta.analysis.restricted_likelihood import Factors

RESIDUAL, RUNG, TRAINING = "residual", "rung", "training"
_TOLD_APART = 1e-6  # smallest eigenvalue of the cosines of the kinds' covariances


@dataclass(frozen=True)
class Scatter:
    """The kinds of effects that a design can tell apart.

    Attributes
    ----------
    names : list of str
        Of `RESIDUAL`, `RUNG`, `TRAINING`, those that are kept.
    factors : list of ndarray, each of shape (n, q)
        Which effects of the kind each count has.
    merged : dict of str to float
        The kinds that are part of the others, and how many effects of each a count has (its mean).
    """

    names: list[str]
    factors: Factors
    merged: dict[str, float]

    @classmethod
    def of(
        cls,
        design: np.ndarray,
        rungs: Sequence[Hashable],
        models: Sequence[Sequence[Hashable]],
    ) -> Scatter:
        """Return the kinds of effects of n counts.

        A kind is kept if its covariance, seen beside the design, is no combination of those before
        it: residual, rung, training. Of one training of the first model and two of the second per
        rung, for example, rung and residual hold whatever trainings do.

        Parameters
        ----------
        design : ndarray, shape (n, p)
            What the law explains.
        rungs : sequence
            The rung of each count.
        models : sequence of sequences
            The trainings of each count's group.
        """
        kinds = {
            RESIDUAL: np.eye(len(design)),
            RUNG: _members([(rung,) for rung in rungs]),
            TRAINING: _members(models),
        }
        residue = np.eye(len(design)) - design @ np.linalg.pinv(design)
        kept: dict[str, np.ndarray] = {}
        seen: list[np.ndarray] = []
        for name, factor in kinds.items():
            left = residue @ factor
            covariance = (left @ left.T).ravel()
            length = float(np.linalg.norm(covariance))
            if length < _TOLD_APART:
                continue
            directions = [*seen, covariance / length]
            cosines = np.array(directions) @ np.array(directions).T
            if np.linalg.eigvalsh(cosines)[0] > _TOLD_APART:
                kept[name], seen = factor, directions
        merged = {
            name: float(factor.sum() / len(factor))
            for name, factor in kinds.items()
            if name not in kept
        }
        return cls(list(kept), list(kept.values()), merged)

    def fit(
        self,
        design: np.ndarray,
        counts: np.ndarray,
        freedom: int,
        offset: np.ndarray | float = 0.0,
        known: dict[str, float] | None = None,
    ) -> MixedFit:
        """Fit counts by a design, with these effects (`rosetta.analysis.mixed_model`).

        Parameters
        ----------
        design, counts, offset
            As in `fit_mixed`.
        freedom : int
            Independent counts less coefficients. Without any, counts tell nothing of variances,
            which are taken to be 0.
        known : dict of str to float, optional
            The variances by kind, where they are known; 0 of other kinds. Those of merged kinds are
            the residual's: of one group per rung, a count scatters by all of them.
        """
        variances = None if freedom > 0 else np.zeros(len(self.names))
        if known is not None:
            rest = sum(known.get(name, 0.0) * n for name, n in self.merged.items())
            extra = {RESIDUAL: rest}
            variances = np.array(
                [known.get(name, 0.0) + extra.get(name, 0.0) for name in self.names]
            )
        return fit_mixed(design, counts, self.factors, offset, variances)

    @property
    def per_count(self) -> np.ndarray:
        """How many effects of each kind a count has (its mean), shape (k,)."""
        return np.array([factor.sum() / len(factor) for factor in self.factors])


def own_trainings(n: int) -> list[Sequence[Hashable]]:
    """Return the trainings of n groups of which nothing is known: one of its own each."""
    return [(number,) for number in range(n)]


def _members(groups: Sequence[Sequence[Hashable]]) -> np.ndarray:
    """Return which units each group holds, 0 or 1, shape (n, n_units)."""
    column: dict[Hashable, int] = {}
    for group in groups:
        for unit in group:
            column.setdefault(unit, len(column))
    found = np.zeros((len(groups), len(column)))
    for row, group in enumerate(groups):
        found[row, [column[unit] for unit in group]] = 1
    return found

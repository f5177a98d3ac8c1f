"""How long matches last over a training: cohorts, Kaplan and Meier's estimator, half-lives.

Of matches at growing steps, `present` says which are there at which step, bool of shape
(n_matches, n_steps). A match is born at the first step at which it is there. It is lost at a step
if it is there neither then nor at any later one, of which there is one at least: so one look at
which it misses the threshold is no loss, and the last step only tells whether what was missing
before is back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from rosetta.analysis.intervals import t_quantile


def changes(present: np.ndarray) -> np.ndarray:
    """Return how many matches are gained, kept and lost since the step before, (3, n_steps).

    Nothing is known of the first step: NaN.
    """
    before, now = present[:, :-1], present[:, 1:]
    found = np.full((3, present.shape[1]), np.nan)
    for row, some in enumerate((now & ~before, now & before, before & ~now)):
        found[row, 1:] = some.sum(axis=0)
    return found


class Cohorts(NamedTuple):
    """Matches by the step at which they are born.

    Attributes
    ----------
    n_born : ndarray of int64, shape (n_steps,)
        How many are born at each step.
    n_left : ndarray of int64, shape (n_steps, n_steps)
        How many of those born at the one step are there at the other; 0 before they are born.
    """

    n_born: np.ndarray
    n_left: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Share of those born at the one step that are there at the other; NaN of none."""
        born = self.n_born[:, None].astype(float)
        shares: np.ndarray = np.divide(
            self.n_left, born, out=np.full(self.n_left.shape, np.nan), where=born > 0
        )
        return shares


def cohorts(present: np.ndarray) -> Cohorts:
    """Return matches by the step at which they are born, also those that were lost meanwhile."""
    n_steps = present.shape[1]
    born = present.argmax(axis=1)
    members = np.equal.outer(born, np.arange(n_steps)) & present.any(axis=1, keepdims=True)
    n_left = members.T.astype(np.int64) @ present.astype(np.int64)
    return Cohorts(members.sum(axis=0), n_left)


def lifetimes(present: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the age at which each match is lost, or was seen last, and whether it is lost.

    Ages are doublings of the tokens that were read when it was born: log2(tokens / tokens then).
    What is there at the first step is left out, because nobody saw how long before it was born.
    Others are followed up to the step before the last, which is the last one at which a loss can be
    told; what is born then or later is left out, too.

    Returns
    -------
    age : ndarray of float64, shape (n,)
        Of lost matches, that of the step from which on they are not there any more.
    lost : ndarray of bool, shape (n,)
    """
    n_steps = present.shape[1]
    born, end = present.argmax(axis=1), n_steps - 2
    followed = present.any(axis=1) & (born > 0) & (born < end)
    present, born = present[followed], born[followed]
    seen_last = n_steps - 1 - present[:, ::-1].argmax(axis=1)
    until = np.minimum(seen_last + 1, end)
    # Rounded, so that equal ages of different births are one.
    return np.round(np.log2(tokens[until] / tokens[born]), 9), seen_last < end


def kaplan_meier(age: np.ndarray, lost: np.ndarray) -> pd.DataFrame:
    """Return the share of matches that last beyond each age (Kaplan and Meier 1958).

    S(t) = Π over ages t_i ≤ t of (1 − d_i / n_i), where d_i are lost at the age t_i and n_i were
    there until then and not yet censored. Intervals are Greenwood's, on the scale of log(−log S).

    Parameters
    ----------
    age : ndarray, shape (n,)
        At which each was lost, or seen for the last time.
    lost : ndarray of bool, shape (n,)
        Whether it was lost; otherwise it is censored, after what is lost at the same age.

    Returns
    -------
    DataFrame
        doublings (age, from 0), at_risk, lost, survival, survival_greenwood_low and _high; one row
        per age at which any is lost. NaN intervals where S is 0 or 1.
    """
    ages = np.concatenate([[0.0], np.unique(age[lost])])
    at_risk = np.array([(age >= one).sum() for one in ages])
    n_lost = np.array([(lost & (age == one)).sum() for one in ages])
    survival = np.cumprod(1 - np.divide(n_lost, at_risk, out=np.zeros(len(ages)), where=n_lost > 0))
    left = at_risk - n_lost
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(np.where(n_lost > 0, n_lost / (at_risk * left), 0.0))
        half = t_quantile(np.inf) * np.sqrt(variance) / np.abs(np.log(survival))
        low, high = survival ** np.exp(half), survival ** np.exp(-half)
    known = (survival > 0) & (survival < 1)
    return pd.DataFrame(
        {
            "doublings": ages,
            "at_risk": at_risk,
            "lost": n_lost,
            "survival": survival,
            "survival_greenwood_low": np.where(known, low, np.nan),
            "survival_greenwood_high": np.where(known, high, np.nan),
        }
    )


def survival_at(curve: pd.DataFrame, ages: np.ndarray) -> np.ndarray:
    """Return the share that lasts beyond each of some ages, shape (n,)."""
    row = np.searchsorted(curve["doublings"].to_numpy(), ages, side="right") - 1
    found: np.ndarray = curve["survival"].to_numpy()[row]
    return found


def half_life(curve: pd.DataFrame) -> tuple[float, float, float]:
    """Return the first age beyond which no more than half last, and its 95% interval.

    The interval holds all ages at which Greenwood's interval of the share holds one half
    (Brookmeyer and Crowley 1982). NaN where the curve, or the end of its interval, stays above.

    Returns
    -------
    half_life, low, high : float
    """
    ages = curve["doublings"].to_numpy()

    def first(shares: pd.Series) -> float:
        reached = np.flatnonzero((shares <= 0.5).to_numpy())
        return float(ages[reached[0]]) if len(reached) else float("nan")

    # Once all are lost, both ends are 0.
    low = curve["survival_greenwood_low"].where(curve["survival"] > 0, 0.0)
    high = curve["survival_greenwood_high"].where(curve["survival"] > 0, 0.0)
    return first(curve["survival"]), first(low), first(high)

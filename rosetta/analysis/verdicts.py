"""Verdicts on all findings of a run: p-values, corrected for their number (Holm 1979).

A finding is supported if its p, corrected, is at most 5%: then the chance that a run supports
anything that is not so is at most 5%, however many ladders and statistics it judges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

from rosetta.analysis.intervals import CONFIDENCE, t_quantile

FINDING_COLUMNS = [
    "ladder",
    "finding",
    "statistic",
    "verdict",
    "value",
    "ci_low",
    "ci_high",
    "p",
    "p_corrected",
    "n_verdicts",
    "sentence",
]
LEVEL = 1 - CONFIDENCE
SUPPORTED, NOT_SUPPORTED, UNDECIDED, DERIVED = (
    "supported",
    "not supported",
    "cannot be judged",
    "derived",
)


@dataclass(frozen=True)
class Evidence:
    """What a run says to a claim about a ladder, before it is judged.

    Attributes
    ----------
    ladder : str
        Name of the ladder.
    finding : {'count sublinear', 'share falling', 'polarization', 'specialization', \
'monosemanticity'}
        The claim.
    statistic : str
        Which Rosetta Neurons it is judged on: `plain` for all, `above_…` for those whose matches
        are above that null.
    numbers : str
        The measurement in words; where it cannot be judged, why.
    seen, unseen : str
        How the sentence begins if the claim is supported, and if not.
    value, low, high : float
        The deciding number and its 95% interval; NaN where it cannot be judged.
    p : float
        Two-sided p of the claim, below 0.05 where the interval lies on the claim's side; NaN
        likewise.
    against : bool
        Whether a part of the measurement speaks against the claim: then no p supports it.
    """

    ladder: str
    finding: str
    statistic: str
    numbers: str
    seen: str = ""
    unseen: str = ""
    value: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    against: bool = False

    @property
    def decided(self) -> bool:
        """Whether there is a number to judge."""
        return bool(np.isfinite(self.p))

    @property
    def key(self) -> tuple:
        """What two statistics share that are the same test."""
        return self.ladder, self.finding, self.value, self.low, self.high, self.p


def p_above(value: float, low: float, freedom: float, bound: float = 0.0) -> float:
    """Return the two-sided p of a value above a bound, from its interval's lower end."""
    if not low < value:  # no interval, or one without width
        return float("nan")
    distance = (value - bound) / (value - low) * t_quantile(freedom)
    return float(min(1.0, 2 * stdtr(freedom, -distance)))


def p_below(value: float, high: float, freedom: float, bound: float = 0.0) -> float:
    """Return the two-sided p of a value below a bound, from its interval's upper end."""
    return p_above(-value, -high, freedom, -bound)


def holm(p: np.ndarray) -> np.ndarray:
    """Return p-values (m,) corrected for their number by Holm's method."""
    order = np.argsort(p, kind="stable")
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return corrected


def judge(evidence: list[Evidence], derived: set[str]) -> pd.DataFrame:
    """Return `FINDING_COLUMNS` of all findings of a run.

    Judged, and counted for the correction, are those of ladders that are not derived; statistics
    with the same numbers are one test.

    Parameters
    ----------
    evidence : list of Evidence
        Of all ladders and statistics.
    derived : set of str
        Ladders that are not judged (`rosetta.config.references.derived_ladders`).
    """
    tests = {one.key: one.p for one in evidence if one.decided and one.ladder not in derived}
    corrected = dict(zip(tests, holm(np.array(list(tests.values()))), strict=True))
    rows = [_row(one, corrected.get(one.key, float("nan")), len(tests)) for one in evidence]
    return pd.DataFrame(rows, columns=FINDING_COLUMNS)


def _row(one: Evidence, corrected: float, n: int) -> tuple:
    numbers = (one.value, one.low, one.high, one.p, corrected, n)
    if not one.decided:
        verdict, sentence = UNDECIDED, one.numbers
    elif not np.isfinite(corrected):
        verdict = DERIVED
        sentence = (
            "Not judged, because the ladder's matches are those of ladders of pairs: "
            f"{one.numbers}."
        )
    else:
        verdict = SUPPORTED if corrected <= LEVEL and not one.against else NOT_SUPPORTED
        start = one.seen if verdict == SUPPORTED else one.unseen
        sentence = (
            f"{start}: {one.numbers}; p = {one.p:.2g}, and {corrected:.2g} corrected for "
            f"{n} verdicts."
        )
    return one.ladder, one.finding, one.statistic, verdict, *numbers, sentence

"""Whether two judges agree: Cohen's κ (Cohen 1960) with its interval.

The standard error is that of Fleiss, Cohen and Everitt (1969), which holds for any κ, not only for
no agreement. It is asymptotic: of a few neurons, or of judges that always agree, it is too small.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd

from rosetta.analysis.intervals import t_quantile

NEURON_KEYS = ["store", "layer", "unit"]
SAID = "is_monosemantic"
EXACT, ALL = "exact", ""  # names of the exact judge, and of all stores together


@dataclass(frozen=True)
class Agreement:
    """How far two judges say the same of the same neurons.

    Attributes
    ----------
    n : int
        Neurons that both judge.
    both, first_only, second_only, neither : int
        Of these, how many are monosemantic to both, to one, or to neither.
    agreement : float
        Share of which both say the same; NaN without neurons.
    kappa, ci_low, ci_high : float
        Cohen's κ and its 95% interval. Where a judge says one thing of all neurons, κ is 0 whatever
        the other says, and has no interval (NaN); where both say the same one thing, they would
        agree fully by chance, and there is no κ.
    """

    n: int
    both: int
    first_only: int
    second_only: int
    neither: int
    agreement: float
    kappa: float
    ci_low: float
    ci_high: float


AGREEMENT_COLUMNS = ["judge", "other", "store", *(one.name for one in fields(Agreement))]


def agreement_of(first: np.ndarray, second: np.ndarray) -> Agreement:
    """Return how far two judges agree.

    Parameters
    ----------
    first, second : ndarray of bool, shape (n,)
        What either says of the same neurons.
    """
    counts = np.array(
        [
            [np.sum(first & second), np.sum(first & ~second)],
            [np.sum(~first & second), np.sum(~first & ~second)],
        ]
    )
    n = int(counts.sum())
    share = np.trace(counts) / n if n else np.nan
    (both, first_only), (second_only, neither) = counts.tolist()
    kappa, low, high = _kappa(counts)
    return Agreement(n, both, first_only, second_only, neither, float(share), kappa, low, high)


def _kappa(counts: np.ndarray) -> tuple[float, float, float]:
    """Return κ and its interval, from the counts of what both say (n_categories, n_categories)."""
    n = counts.sum()
    if not n:
        return np.nan, np.nan, np.nan
    p = counts / n
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    observed, expected = np.trace(p), float(rows @ columns)
    if expected == 1.0:
        return np.nan, np.nan, np.nan
    kappa = (observed - expected) / (1 - expected)
    if n in counts.sum(axis=0) or n in counts.sum(axis=1):
        return float(kappa), np.nan, np.nan
    # With the share of row i and column j in the sums: p_{.i} + p_{j.}.
    sums = columns[:, None] + rows[None, :]
    same = float(np.diag(p) @ (1 - np.diag(sums) * (1 - kappa)) ** 2)
    apart = p * sums**2
    differing = (1 - kappa) ** 2 * float(apart.sum() - np.trace(apart))
    center = (kappa - expected * (1 - kappa)) ** 2
    variance = max(0.0, same + differing - center) / (n * (1 - expected) ** 2)
    half = t_quantile(np.inf) * variance**0.5
    return float(kappa), float(kappa - half), float(kappa + half)


def judges_agreement(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Return how far two judges agree, per store and on all neurons together.

    Parameters
    ----------
    first, second : DataFrame
        `verdicts.VERDICT_COLUMNS`, of one judge and number of images each. Neurons that one of
        them did not answer are left out.

    Returns
    -------
    DataFrame
        `AGREEMENT_COLUMNS`, `store` empty for all together; no row if both answered for no neuron.
    """
    joined = _answered(first).merge(
        _answered(second), on=NEURON_KEYS, suffixes=("", "_other"), validate="one_to_one"
    )
    return _by_store(joined.rename(columns={"judge_other": "other"}))


def exact_agreement(verdicts: pd.DataFrame, explained: pd.DataFrame) -> pd.DataFrame:
    """Return how far a judge agrees with the exact judge of drawn images, `other` 'exact'.

    Parameters
    ----------
    verdicts : DataFrame
        `verdicts.VERDICT_COLUMNS`, of one judge and number of images.
    explained : DataFrame
        `store`, `layer`, `unit` and `is_explained`: whether a factor, or two together, explain the
        neuron (`rosetta.analysis.factor_explanations`). Neurons that are not in it are left out.

    Returns
    -------
    DataFrame
        `AGREEMENT_COLUMNS`: `first_only` are neurons that the judge alone finds monosemantic,
        `second_only` those that are explained although it does not. No row without neurons.
    """
    exact = explained[[*NEURON_KEYS, "is_explained"]].assign(other=EXACT)
    exact = exact.rename(columns={"is_explained": f"{SAID}_other"})
    return _by_store(_answered(verdicts).merge(exact, on=NEURON_KEYS, validate="one_to_one"))


def _answered(verdicts: pd.DataFrame) -> pd.DataFrame:
    return verdicts.loc[verdicts[SAID].notna(), [*NEURON_KEYS, "judge", SAID]]


def _by_store(joined: pd.DataFrame) -> pd.DataFrame:
    parts = [*joined.groupby("store", sort=False), *([(ALL, joined)] if len(joined) else [])]
    rows = []
    for store, part in parts:
        names = {"judge": part["judge"].iloc[0], "other": part["other"].iloc[0], "store": store}
        found = agreement_of(part[SAID].to_numpy(bool), part[f"{SAID}_other"].to_numpy(bool))
        rows.append({**names, **asdict(found)})
    return pd.DataFrame(rows, columns=AGREEMENT_COLUMNS)

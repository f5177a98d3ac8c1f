"""How well a filter finds the target domain, where documents are labelled (method, section 10)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.filtering.select import percentile_place

RECOVERY_COLUMNS = [
    "filter",
    "seed",
    "precision",
    "recall",
    "f1",
    "average_precision",
    "selected_documents",
    "selected_tokens",
]
SHARE_COLUMNS = [
    "filter",
    "seed",
    "domain",
    "pool_documents",
    "pool_tokens",
    "selected_documents",
    "selected_tokens",
    "share",
]
PERCENTILE_COLUMNS = [
    "filter",
    "seed",
    "percentile",
    "score_threshold",
    "selected_documents",
    "precision",
    "recall",
]
# From nearly everything to nearly nothing; the gates that are used in practice lie above 90.
PERCENTILES = (*range(10, 90, 10), *range(90, 100), 99.5, 99.9)


def recovery(selected: np.ndarray, is_target: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Return precision, recall, F1 and average precision; each document counts alike.

    Parameters
    ----------
    selected, is_target : ndarray of bool, shape (n_documents,)
        What was taken, and what should have been.
    scores : ndarray of float64, shape (n_documents,)
        By which documents were taken. Average precision is Σ (R_i − R_{i−1}) P_i over the distinct
        scores, highest first, whatever the number taken.

    Returns
    -------
    dict of str to float
        NaN where nothing was taken (precision) or nothing should have been (recall, average
        precision).
    """
    from sklearn.metrics import average_precision_score

    hits = int((selected & is_target).sum())
    precision = hits / selected.sum() if selected.any() else float("nan")
    recall = hits / is_target.sum() if is_target.any() else float("nan")
    return {
        "precision": precision,
        "recall": recall,
        "f1": 2 * hits / (selected.sum() + is_target.sum())
        if selected.any() and is_target.any()
        else float("nan"),
        "average_precision": float(average_precision_score(is_target, scores))
        if is_target.any()
        else float("nan"),
    }


def percentile_sweep(is_target: np.ndarray, scores: np.ndarray) -> pd.DataFrame:
    """Return what the gate takes at each of `PERCENTILES`, and how well that finds the target.

    The gate takes documents whose score exceeds a percentile of all scores; each document counts
    alike.

    Parameters
    ----------
    is_target : ndarray of bool, shape (n_documents,)
    scores : ndarray of float64, shape (n_documents,)

    Returns
    -------
    DataFrame
        `PERCENTILE_COLUMNS` from the percentile on. Precision is NaN where nothing is taken, recall
        where there is no target.
    """
    order = np.argsort(scores, kind="stable")
    ascending, hits_from = scores[order], np.cumsum(is_target[order][::-1])[::-1]
    rows, n, n_target = [], len(scores), int(is_target.sum())
    for percentile in PERCENTILES:
        threshold = ascending[percentile_place(percentile, n)]
        first = int(np.searchsorted(ascending, threshold, side="right"))
        taken, hits = n - first, int(hits_from[first]) if first < n else 0
        precision = hits / taken if taken else float("nan")
        recall = hits / n_target if n_target else float("nan")
        rows.append((percentile, threshold, taken, precision, recall))
    return pd.DataFrame(rows, columns=PERCENTILE_COLUMNS[2:])


def domain_shares(domains: pd.Series, tokens: np.ndarray, selected: np.ndarray) -> pd.DataFrame:
    """Return what the pool holds and a filter took per domain, and its `share` of the selection.

    Parameters
    ----------
    domains : Series of str
        Domain of every document.
    tokens : ndarray of int64, shape (n_documents,)
        Tokens of every document.
    selected : ndarray of bool, shape (n_documents,)
        What was taken.
    """
    rows = pd.DataFrame(
        {
            "domain": np.asarray(domains, dtype=object),
            "pool_documents": 1,
            "pool_tokens": tokens,
            "selected_documents": selected.astype(int),
            "selected_tokens": np.where(selected, tokens, 0),
        }
    )
    table = rows.groupby("domain", as_index=False).sum()
    return table.assign(share=table["selected_tokens"] / max(1, table["selected_tokens"].sum()))

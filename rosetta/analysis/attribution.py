"""Whether partners of a match do the same to a model's output: a confirmation of the match.

What a neuron of activation 1 adds to the logit of entry s of the vocabulary is w_out · u_s, its
direct logit attribution. Two models have other vocabularies, but share strings: entries that say
the same in both. Over these, a pair's score is the Pearson correlation of the two attributions. It
is signed, and centred because a constant added to all logits changes no probability.

The correlation needs no table of strings. With U_a, U_b the directions of the shared strings, each
less its mean, and C_ab = U_aᵀ U_b,

    score(u, v) = w_uᵀ C_ab w_v / √(w_uᵀ C_aa w_u · w_vᵀ C_bb w_v).

The activations of matched neurons had no part in it, and the score had none in the match. Scores of
random pairs between the same two layers say what is usual there: of any two neurons both promote
what is frequent. They are drawn among living neurons: dead ones can be in no match, and many still
have the output weights of before the training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.columns import ATTRIBUTION_COLUMNS, MATCH_NEURONS
from rosetta.analysis.intervals import CONFIDENCE
from rosetta.config.ablation import Attribution
from rosetta.storage.digests import hash64

MIN_STRINGS = 20  # of fewer, a correlation says little: there are no scores then
R_BINS = (-1.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # by which confirmation is told
FDR = 0.05


@dataclass(frozen=True)
class Attributions:
    """What the scores of two models' neurons follow from.

    Attributes
    ----------
    a, b : sequence of ndarray, each of shape (d_mlp, d_model)
        Output weights of both, layer by layer.
    within_a, within_b : ndarray of float64, shape (d_model, d_model)
        C_aa and C_bb.
    across : ndarray of float64, shape (d_model of a, d_model of b)
        C_ab.
    n_strings : int
        Strings that both vocabularies have.
    """

    a: Sequence[np.ndarray]
    b: Sequence[np.ndarray]
    within_a: np.ndarray
    within_b: np.ndarray
    across: np.ndarray
    n_strings: int

    @classmethod
    def of(
        cls,
        weights: tuple[Sequence[np.ndarray], Sequence[np.ndarray]],
        directions: tuple[np.ndarray, np.ndarray],
    ) -> Attributions:
        """Return those of two models.

        Parameters
        ----------
        weights : pair of sequences of ndarray, each of shape (d_mlp, d_model)
            Output weights of every layer.
        directions : pair of ndarray, each of shape (n_strings, d_model)
            Unembedding vectors of the shared strings, in one order.
        """
        u_a, u_b = (
            one - one.mean(axis=0, keepdims=True) if len(one) else one
            for one in (np.asarray(part, dtype=np.float64) for part in directions)
        )
        return cls(*weights, u_a.T @ u_a, u_b.T @ u_b, u_a.T @ u_b, len(u_a))

    def scores(self, pairs: pd.DataFrame) -> np.ndarray:
        """Return the scores of pairs of neurons; NaN where one writes the same to all strings.

        Parameters
        ----------
        pairs : DataFrame
            layer_a, unit_a, layer_b, unit_b.
        """
        found = np.full(len(pairs), np.nan)
        if self.n_strings < MIN_STRINGS:
            return found
        layers = [pairs["layer_a"].to_numpy(), pairs["layer_b"].to_numpy()]
        units = [pairs["unit_a"].to_numpy(), pairs["unit_b"].to_numpy()]
        for layer_a, layer_b in sorted(set(zip(*layers, strict=True))):
            here = np.flatnonzero((layers[0] == layer_a) & (layers[1] == layer_b))
            w_a = self.a[layer_a][units[0][here]].astype(np.float64)
            w_b = self.b[layer_b][units[1][here]].astype(np.float64)
            found[here] = _correlations(self, w_a, w_b)
        return found


def _correlations(of: Attributions, w_a: np.ndarray, w_b: np.ndarray) -> np.ndarray:
    both = ((w_a @ of.across) * w_b).sum(axis=1)
    own_a, own_b = (
        ((w @ within) * w).sum(axis=1) for w, within in ((w_a, of.within_a), (w_b, of.within_b))
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        found = both / np.sqrt(own_a * own_b)
    return np.where((own_a > 0) & (own_b > 0), np.clip(found, -1, 1), np.nan)


def living(neurons: pd.DataFrame, n_layers: int) -> np.ndarray:
    """Return which neurons of a model ever change, bool (n_layers, d_mlp).

    Parameters
    ----------
    neurons : DataFrame
        `rosetta.analysis.columns.NEURON_COLUMNS` of all neurons, by layer and unit.
    n_layers : int
        The model's layers.
    """
    alive: np.ndarray = neurons["activation_variance"].to_numpy() > 0
    return alive.reshape(n_layers, -1)


def attribution_table(
    matches: pd.DataFrame,
    of: Attributions,
    alive: tuple[np.ndarray, np.ndarray],
    settings: Attribution,
    pair: str,
) -> pd.DataFrame:
    """Return the score of every match, beside those of random pairs of the same two layers.

    Parameters
    ----------
    matches : DataFrame
        `MATCH_NEURONS` of a pair of models.
    of : Attributions
        The same models'.
    alive : pair of ndarray of bool, each of shape (n_layers, d_mlp)
        Which neurons of both ever change: those that random pairs are drawn from.
    settings : Attribution
        Random pairs, quantile, seed.
    pair : str
        With the seed and the layers, it determines the random pairs.

    Returns
    -------
    DataFrame
        `ATTRIBUTION_COLUMNS`. `threshold` is the quantile of half of the random pairs, `p` the
        share (1 + #{null ≥ score}) / (1 + n) of all of them; `q` are these p corrected for the
        number of matches (Benjamini and Hochberg 1995). `null_confirmed` is the share of the other
        half of the random pairs that is above the threshold.
    """
    from scipy.stats import false_discovery_control  # takes a second to import

    table = matches[MATCH_NEURONS].reset_index(drop=True).assign(score=of.scores(matches))
    columns = {name: np.full(len(table), np.nan) for name in ("threshold", "p", "null_confirmed")}
    for (layer_a, layer_b), rows in table.groupby(["layer_a", "layer_b"]):
        layers = int(layer_a), int(layer_b)
        living = [np.flatnonzero(one[k]) for one, k in zip(alive, layers, strict=True)]
        rng = np.random.default_rng(hash64("attribution", settings.seed, pair, *layers))
        units = [rng.choice(own, size=settings.n_random) for own in living]
        null = _null_scores(of, layers, units, matches)
        if not len(null):
            continue
        first, second = null[::2], null[1::2]
        at, score = rows.index.to_numpy(), rows["score"].to_numpy()
        threshold = np.quantile(first, settings.quantile)
        columns["threshold"][at] = threshold
        columns["null_confirmed"][at] = (second > threshold).mean()
        reaching = len(null) - np.searchsorted(np.sort(null), score, side="left")
        columns["p"][at] = np.where(np.isnan(score), np.nan, (1 + reaching) / (1 + len(null)))
    table = table.assign(**columns, q=np.nan)
    known = table["p"].notna().to_numpy()
    if known.any():
        table.loc[known, "q"] = false_discovery_control(table.loc[known, "p"])
    compared = known & table["threshold"].notna().to_numpy()
    table["confirmed"] = np.where(compared, table["score"] > table["threshold"], np.nan)
    return table[ATTRIBUTION_COLUMNS]


def _null_scores(
    of: Attributions, layers: tuple[int, int], units: list[np.ndarray], matches: pd.DataFrame
) -> np.ndarray:
    """Return the scores of pairs of units of two layers that are no matches."""
    layer_a, layer_b = layers
    width = len(of.b[layer_b])
    own = matches[(matches["layer_a"] == layer_a) & (matches["layer_b"] == layer_b)]
    matched = own["unit_a"].to_numpy(np.int64) * width + own["unit_b"].to_numpy(np.int64)
    kept = ~np.isin(units[0] * width + units[1], matched)
    names = {"layer_a": layer_a, "unit_a": units[0][kept]}
    drawn = pd.DataFrame({**names, "layer_b": layer_b, "unit_b": units[1][kept]})
    scores = of.scores(drawn)
    return scores[~np.isnan(scores)]


def confirmation_rows(table: pd.DataFrame, n_strings: int) -> list[dict[str, Any]]:
    """Return what is told of a pair of models: of all of its matches, and by their r.

    Intervals are exact ones of a share (Clopper and Pearson 1934), over matches; that of the null
    is of as many random pairs as there are matches.
    """
    known = table[table["confirmed"].notna()]
    rows = [_row(known, R_BINS[0], R_BINS[-1], n_strings)]
    for low, high in pairwise(R_BINS):
        inside = (known["r"] > low) & (known["r"] <= high)
        rows.append(_row(known[inside], low, high, n_strings))
    return rows


def _row(known: pd.DataFrame, r_low: float, r_high: float, n_strings: int) -> dict[str, Any]:
    n = len(known)
    row: dict[str, Any] = {"r_low": r_low, "r_high": r_high, "n_strings": n_strings, "matches": n}
    if not n:
        return row
    for name in ("confirmed", "null_confirmed"):
        share = float(known[name].astype(float).mean())
        low, high = share_interval(share, n)
        row |= {name: share, f"{name}_ci_low": low, f"{name}_ci_high": high}
    significant = float((known["q"] <= FDR).mean())
    return row | {"share_significant": significant, "mean_score": float(known["score"].mean())}


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Return the exact 95% interval of a share of n (Clopper and Pearson 1934)."""
    from scipy.stats import binomtest  # takes a second to import

    found = binomtest(round(share * n), n).proportion_ci(CONFIDENCE)
    return float(found.low), float(found.high)

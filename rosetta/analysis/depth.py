"""Where in depth Rosetta Neurons lie (method, section 9; Dravid 2026, section 5.2)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtr

from rosetta.analysis.intervals import CONFIDENCE
from rosetta.analysis.populations import Rung
from rosetta.config import Bootstrap
from rosetta.models.neurons import NeuronShape

MOST_BINS = 12
DEPTH_COLUMNS = [
    "ladder",
    "rung",
    "model",
    "n_neurons",
    "statistic",
    "n_bins",
    "bin",
    "n_layers",
    "share",
    "ci_low",
    "ci_high",
    "n",
    "share_all",
]
LAYER_PAIR_COLUMNS = ["model_a", "layer_a", "model_b", "layer_b", "matches", "mean_r"]
AGREEMENT_COLUMNS = ["model_a", "model_b", "matches", "distance", "expected", "p"]


def depth_bins(n_layers: int) -> np.ndarray:
    """Return the bin of every layer: layer / (L − 1) in equal bins, the last of which is closed.

    There are `MOST_BINS`, or as many as layers where these are fewer: no bin is without a layer.
    """
    n_bins = min(MOST_BINS, n_layers)
    return np.minimum(np.arange(n_layers) * n_bins // max(n_layers - 1, 1), n_bins - 1)


def depth_table(rungs: list[Rung], settings: Bootstrap) -> pd.DataFrame:
    """Return the share of Rosetta Neurons per model, rung, statistic and bin of depth.

    `statistic` is `plain` for all Rosetta Neurons, `above_…` for those whose matches are above that
    null. `n_layers` is the number of the model's layers in the bin, `n` its number of Rosetta
    Neurons, and `share_all` the bin's share of all its neurons: what the share would be if Rosetta
    Neurons were spread evenly. Intervals are Wilson's; there is none for fewer neurons than
    `settings.min_clusters`.
    """
    rows = []
    for rung in rungs:
        for one in rung.sample:
            model, shape = one.population.model, one.population.shape
            bins = depth_bins(shape.n_layers)
            layers = np.bincount(bins)
            of_neuron = bins[one.population.neurons["layer"].to_numpy()]
            for statistic, mask in one.by_statistic().items():
                inside = np.bincount(of_neuron[mask], minlength=len(layers))
                n = int(inside.sum())
                place = (rung.ladder, rung.number, model, shape.n_neurons, statistic, len(layers))
                rows += [
                    (
                        *place,
                        i,
                        layers[i],
                        *_share(int(inside[i]), n, settings),
                        n,
                        layers[i] / shape.n_layers,
                    )
                    for i in range(len(layers))
                ]
    return pd.DataFrame(rows, columns=DEPTH_COLUMNS)


def _share(inside: int, n: int, settings: Bootstrap) -> tuple[float, float, float]:
    """Return a share of n with the ends of its interval (Wilson 1927)."""
    from scipy.stats import binomtest  # takes a second to import

    share = inside / n if n else float("nan")
    if n < settings.min_clusters:
        return share, float("nan"), float("nan")
    return share, *binomtest(inside, n).proportion_ci(CONFIDENCE, method="wilson")


def layer_pairs(matches: pd.DataFrame, shape_a: NeuronShape, shape_b: NeuronShape) -> pd.DataFrame:
    """Return the number of matches and their mean r for every pair of layers of two models."""
    counted = matches.groupby(["layer_a", "layer_b"])["r"].agg(["size", "mean"])
    every = pd.MultiIndex.from_product(
        [range(shape_a.n_layers), range(shape_b.n_layers)], names=["layer_a", "layer_b"]
    )
    table = (
        counted.reindex(every).reset_index().rename(columns={"size": "matches", "mean": "mean_r"})
    )
    return table.assign(matches=table["matches"].fillna(0).astype(int))


def depth_agreement(pairs: pd.DataFrame, settings: Bootstrap) -> pd.DataFrame:
    """Return, per pair of models, the depth distance of matched neurons, and by chance.

    `distance` is the mean of |layer_a / (L_a − 1) − layer_b / (L_b − 1)| over the matches,
    `expected` its mean if the same neurons were matched with each other at random, whatever their
    layers. p is two-sided, of the permutation test with the moments of all permutations
    (Hoeffding 1951) and a normal distribution; NaN for fewer matches than `settings.min_clusters`,
    and for models of one layer.

    Parameters
    ----------
    pairs : DataFrame
        `LAYER_PAIR_COLUMNS`, all pairs of layers of every pair of models.
    settings : Bootstrap
        Its `min_clusters`.
    """
    rows = []
    for names, part in pairs.groupby(["model_a", "model_b"], sort=False):
        counts = part.pivot(index="layer_a", columns="layer_b", values="matches").to_numpy(float)
        depth_a, depth_b = (np.arange(n) / max(n - 1, 1) for n in counts.shape)
        rows.append(
            (
                *names,
                int(counts.sum()),
                *_agreement(counts, np.abs(depth_a[:, None] - depth_b), settings),
            )
        )
    return pd.DataFrame(rows, columns=AGREEMENT_COLUMNS)


def _agreement(
    counts: np.ndarray, distance: np.ndarray, settings: Bootstrap
) -> tuple[float, float, float]:
    """Return mean distance, its expectation and p, of counts and distances of pairs of layers (L_a,
    L_b).
    """
    n = counts.sum()
    if not n:
        return float("nan"), float("nan"), float("nan")
    a, b = counts.sum(axis=1) / n, counts.sum(axis=0) / n
    measured, expected = float((counts * distance).sum() / n), float(a @ distance @ b)
    if n < settings.min_clusters:
        return measured, expected, float("nan")
    centred = distance - (distance @ b)[:, None] - a @ distance + expected
    error = np.sqrt(float(a @ np.square(centred) @ b) / (n - 1))
    p = 2 * ndtr(-abs(measured - expected) / error) if error > 1e-12 else float("nan")
    return measured, expected, float(p)

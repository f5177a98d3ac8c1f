"""Which domains neurons read highest on (method, section 9; Dravid 2026, section 5.2)."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pandas as pd
import yaml

from rosetta.config import Specialization
from rosetta.errors import ConfigError
from rosetta.storage.digests import hash64


def categories_of(
    domains: list[str], mapping: str | dict[str, str] | None
) -> tuple[list[str], np.ndarray]:
    """Return the categories of a corpus and the category of each of its domains.

    Parameters
    ----------
    domains : list of str
        Domains of the corpus.
    mapping : 'pile', dict or None
        From domain to category: the one that ships for the Pile, or one's own. None keeps every
        domain apart.

    Returns
    -------
    names : list of str
        Categories, in the order of the mapping.
    category : ndarray of int64, shape (n_domains,)
        Index into `names`.

    Raises
    ------
    ConfigError
        If the mapping lacks a domain.
    """
    if mapping == "pile":
        mapping = yaml.safe_load(
            (resources.files("rosetta.analysis") / "pile_categories.yaml").read_text("utf-8")
        )
    if mapping is None:
        mapping = {domain: domain or "(none)" for domain in domains}
    missing = [domain for domain in domains if domain not in mapping]
    if missing:
        has = f"It has {', '.join(mapping)}."
        raise ConfigError(
            f"specialization.categories: has no category for {', '.join(map(repr, missing))}. "
            f"Add them. {has}"
        )
    names = list(
        dict.fromkeys(category for domain, category in mapping.items() if domain in domains)
    )
    return names, np.array([names.index(mapping[domain]) for domain in domains], dtype=np.int64)


def normalized_fire(
    tops: pd.DataFrame,
    means: np.ndarray,
    d_mlp: int,
    category: dict[str, int],
    totals: np.ndarray,
    value: str = "value",
) -> np.ndarray:
    """Return NormalizedFire(c) = (share of top activations in c) / (share of all text in c).

    Of models that see images: of all images. A context or image at which the neuron does not exceed
    its own mean is no activation and does not count: a sparse neuron may have fewer activating
    documents than contexts.

    Parameters
    ----------
    tops : DataFrame
        Top contexts of the model (`columns.CONTEXT_COLUMNS`), or its top images by their mean
        (`columns.TOP_IMAGE_COLUMNS`).
    means : ndarray, shape (n_neurons,)
        Mean activations, in the order of (layer, unit).
    d_mlp : int
        Units per layer.
    category : dict
        From domain to the index of its category.
    totals : ndarray, shape (n_categories,)
        Tokens, or images, in each category.
    value : str
        Column of `tops` with the activation: `value` of contexts, `score` of images.

    Returns
    -------
    ndarray of float64, shape (n_neurons, n_categories)
        NaN for neurons without any activation, and for empty categories.
    """
    neuron = tops["layer"].to_numpy(np.int64) * d_mlp + tops["unit"].to_numpy(np.int64)
    activating = tops[value].to_numpy() > means[neuron]
    column = tops["domain"].map(category).to_numpy(np.int64)
    flat = (neuron * len(totals) + column)[activating]
    counts = np.bincount(flat, minlength=len(means) * len(totals)).reshape(len(means), len(totals))
    with np.errstate(divide="ignore", invalid="ignore"):
        return (counts / counts.sum(axis=1, keepdims=True)) / (totals / totals.sum())


def expected_shift(
    fire: np.ndarray, categories: list[str], directions: dict[str, str]
) -> np.ndarray:
    """Return mean NormalizedFire of rising categories minus falling ones.

    Parameters
    ----------
    fire : ndarray, shape (n_neurons, n_categories)
        NormalizedFire; a category that is NaN throughout, without tokens, is excluded.
    categories : list of str
        Names of the columns.
    directions : dict
        From category to `rises` or `falls` (`specialization.directions`). Of a direction that no
        category has, nothing is taken.

    Returns
    -------
    ndarray of float64, shape (n_neurons,)
        NaN if no category has a direction.
    """
    weights = np.zeros(len(categories))
    for direction, sign in (("rises", 1.0), ("falls", -1.0)):
        mine = np.array([directions.get(name) == direction for name in categories]) & np.isfinite(
            fire
        ).any(axis=0)
        weights[mine] = sign / max(mine.sum(), 1)
    used = weights != 0
    return fire[:, used] @ weights[used] if used.any() else np.full(len(fire), np.nan)


def random_draws(candidates: np.ndarray, settings: Specialization, *name: str | int) -> np.ndarray:
    """Return how often `n_draws` samples of at most `n_random` each hold each candidate.

    Each sample is without replacement, so with no more than `n_random` candidates it is all of
    them.

    Parameters
    ----------
    candidates : ndarray of bool, shape (n_neurons,)
        The non-Rosetta neurons.
    settings : Specialization
        Sizes and seed.
    *name : str or int
        What the draws are for.

    Returns
    -------
    ndarray of int64, shape (n_neurons,)
    """
    rng = np.random.default_rng(hash64(settings.seed, "baseline", *name))
    indices = np.flatnonzero(candidates)
    times = np.zeros(len(candidates), dtype=np.int64)
    for _ in range(settings.n_draws):
        times[rng.choice(indices, size=min(settings.n_random, len(indices)), replace=False)] += 1
    return times

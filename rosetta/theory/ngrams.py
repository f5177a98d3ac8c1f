"""β from the corpus: the decay of the loss that n-grams save (docs/theory.md, 5.1).

The feature "after c comes w" saves, over its back-off, p(c w) · log₂[p(w | c) / p(w | c′)] bits
per word, where c′ is c without its first word; a single word saves against the uniform
distribution. These are contributions to the expected log-likelihood, the objective that the
allocation model weighs by w_r.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import digamma

from rosetta.config.theory import TheoryDecay
from rosetta.progress import say
from rosetta.theory.decay import Decay, fit_decay

WORD = re.compile(r"\w+|[^\w\s]")
# Beyond this share of the features, ranked by what they save, the list is cut short by `min_count`
# and bends down.
LAST_SHARE = 0.5
MIN_BLOCKS = 4  # so that both halves keep a block whichever is left out


@dataclass(frozen=True)
class Order:
    """All n-grams of one length, numbered.

    Attributes
    ----------
    ids : ndarray of int64, shape (n_occurrences,)
        Which n-gram occurs, in the order of the text.
    block : ndarray of int64, shape (n_occurrences,)
        Which block of documents it occurs in.
    context, shorter : ndarray of int64, shape (n_ngrams,)
        Number of the n-gram without its last word, and without its first, among those one word
        shorter. Both are 0 for single words: the empty context.
    """

    ids: np.ndarray
    block: np.ndarray
    context: np.ndarray
    shorter: np.ndarray


class Saved(NamedTuple):
    """What the n-grams of one length save on some blocks.

    Attributes
    ----------
    counts : ndarray of int64, shape (n_ngrams,)
        How often each occurs there.
    bits : ndarray of float64, shape (n_ngrams,)
        Bits per word that it saves over its back-off; 0 if it does not occur.
    """

    counts: np.ndarray
    bits: np.ndarray


@dataclass(frozen=True)
class NgramDecay:
    """The decay of a corpus's features, which are its n-grams of up to `order` words.

    Attributes
    ----------
    order : int
        Longest n-gram.
    curve : ndarray of float64, shape (n_features,)
        Bits per word saved by the feature of each rank, the mean of both ways of splitting the
        blocks.
    decay : Decay
        Fitted between `first_rank` and half of the features.
    standard_error : float
        Delete-one-block jackknife; NaN with fewer than `MIN_BLOCKS` blocks.
    """

    order: int
    curve: np.ndarray
    decay: Decay
    standard_error: float


def ngram_decays(
    texts: Sequence[str], clusters: Sequence[str], settings: TheoryDecay
) -> list[NgramDecay]:
    """Return the decay of what n-grams save, per longest n-gram up to `max_order`.

    Parameters
    ----------
    texts : sequence of str
        Documents.
    clusters : sequence of str
        What each document is a part of (`rosetta.inputs.text.documents.cluster_of`); parts of one
        share a block.
    settings : TheoryDecay
        Orders, ranks, counts, and the blocks that are wanted; there are no more than clusters.
    """
    blocks = deal_in_turn(clusters, settings.n_blocks)
    n_blocks = int(blocks.max()) + 1 if len(blocks) else 0
    orders = count_ngrams(texts, blocks, settings.max_order)
    curves = _curves(orders, np.ones(n_blocks, bool), settings.min_count)
    decays = [fit_curve(curve, settings) for curve in curves]
    errors = [math.nan] * len(curves)
    if n_blocks < MIN_BLOCKS:
        say(
            f"theory.decay: the text has {n_blocks} cluster(s) of documents, too few for an "
            "interval of beta"
        )
    else:
        errors = _jackknife_errors(orders, n_blocks, settings)
    return [
        NgramDecay(i + 1, *found)
        for i, found in enumerate(zip(curves, decays, errors, strict=True))
    ]


def _jackknife_errors(orders: list[Order], n_blocks: int, settings: TheoryDecay) -> list[float]:
    """Return the standard error of every order's β, from the text without each block in turn."""
    left_out = [
        [fit_curve(curve, settings).beta for curve in _curves(orders, kept, settings.min_count)]
        for kept in ~np.eye(n_blocks, dtype=bool)
    ]
    errors: list[float] = np.sqrt((n_blocks - 1) * np.array(left_out).var(axis=0)).tolist()
    return errors


def fit_curve(curve: np.ndarray, settings: TheoryDecay) -> Decay:
    """Fit the decay of a curve over the range of ranks that is used."""
    return fit_decay(curve, settings.first_rank, int(len(curve) * LAST_SHARE))


def deal_in_turn(clusters: Sequence[str], n_blocks: int) -> np.ndarray:
    """Return the block of every document; clusters are dealt in order of appearance.

    Documents in random order make every block a like sample of the corpus, and independent of the
    others. There is no second store to agree with, so order serves where
    `rosetta.alignment.samples.deal` goes by size and hash.
    """
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(cluster, len(numbers)) % n_blocks for cluster in clusters],
        dtype=np.int64,
    )


def count_ngrams(texts: Sequence[str], blocks: np.ndarray, max_order: int) -> list[Order]:
    """Number the n-grams of up to `max_order` words, none across documents.

    `blocks` has the number of every document's block.
    """
    numbers: dict[str, int] = {}
    per_document = [
        [numbers.setdefault(word, len(numbers)) for word in WORD.findall(text)] for text in texts
    ]
    words = np.array(
        [number for numbers_of in per_document for number in numbers_of], dtype=np.int64
    )
    document = np.repeat(np.arange(len(texts)), [len(numbers_of) for numbers_of in per_document])
    nothing = np.zeros(len(numbers), dtype=np.int64)
    orders = [Order(words, blocks[document], nothing, nothing)]
    # number of the n-gram that starts at each word; -1 where the document ends before it does
    starting_at = words
    for length in range(2, max_order + 1):
        begins = np.flatnonzero(document[: len(words) - length + 1] == document[length - 1 :])
        codes = starting_at[begins] * len(numbers) + words[begins + length - 1]
        _, first, ids = np.unique(codes, return_index=True, return_inverse=True)
        context, shorter = starting_at[begins[first]], starting_at[begins[first] + 1]
        orders.append(Order(ids, blocks[document[begins]], context, shorter))
        starting_at = np.full(len(words), -1, dtype=np.int64)
        starting_at[begins] = ids
    return orders


def saved_on(orders: list[Order], blocks: np.ndarray) -> list[Saved]:
    """Return what n-grams of every length save on some blocks, fitted on others.

    Logarithms of counts are digamma functions of them: E[k ψ(k)] = m (log m + E₁(m)) for a Poisson
    count k of mean m, so that rare n-grams are not overrated, as they are by E[k log k] > m log m.

    Parameters
    ----------
    orders : list of Order
        What `count_ngrams` returned.
    blocks : ndarray of bool, shape (n_blocks,)
        Which blocks are used.
    """
    found = []
    n_words = max(1, int(blocks[orders[0].block].sum()))
    shorter = np.zeros(0)
    for order in orders:
        counts = np.bincount(order.ids[blocks[order.block]], minlength=len(order.context))
        in_context = np.bincount(order.context, weights=counts, minlength=1)
        seen = np.flatnonzero(counts)
        conditional = np.zeros(len(counts))  # log p(w | c)
        conditional[seen] = digamma(counts[seen]) - digamma(in_context[order.context[seen]])
        backoff = shorter[order.shorter[seen]] if found else -math.log(max(1, len(seen)))
        bits = np.zeros(len(counts))
        bits[seen] = counts[seen] / n_words * (conditional[seen] - backoff) / math.log(2)
        found.append(Saved(counts, bits))
        shorter = conditional
    return found


def savings(ranked: list[Saved], measured: list[Saved], min_count: int) -> list[np.ndarray]:
    """Return bits per word that each feature saves on some blocks, ranked on others.

    A rank and a value taken from the same counts share their errors: what is first by luck is
    overrated. So features are found and ranked on some blocks, and all of their value, gain and
    frequency, is measured on others (after Piantadosi 2014). There a feature may save less than
    nothing.

    Parameters
    ----------
    ranked, measured : list of Saved
        By length of the n-gram, on the blocks that rank and on those that measure.
    min_count : int
        Occurrences in the ranking blocks from which an n-gram is a feature.

    Returns
    -------
    list of ndarray of float64, shape (n_features,)
        Item i has the features of up to i + 1 words.
    """
    kept = [(on.counts >= min_count) & (on.bits > 0) for on in ranked]
    ranks = [on.bits[mask] for on, mask in zip(ranked, kept, strict=True)]
    values = [on.bits[mask] for on, mask in zip(measured, kept, strict=True)]
    until = range(1, len(ranked) + 1)
    return [
        np.concatenate(values[:n])[np.argsort(-np.concatenate(ranks[:n]), kind="stable")]
        for n in until
    ]


def _curves(orders: list[Order], kept: np.ndarray, min_count: int) -> list[np.ndarray]:
    """Return, by longest n-gram, the mean of both ways of splitting the kept blocks, over the ranks
    that both have.
    """
    even = np.arange(len(kept)) % 2 == 0
    first, second = (saved_on(orders, kept & half) for half in (even, ~even))
    curves = []
    for one, other in zip(
        savings(first, second, min_count), savings(second, first, min_count), strict=True
    ):
        shared = min(len(one), len(other))
        curves.append((one[:shared] + other[:shared]) / 2)
    return curves

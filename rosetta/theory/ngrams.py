"""β from the corpus: the decay of the loss that n-grams save (docs/theory.md, section 5.2). No model takes part.

The feature "after c comes w" saves, over its back-off, p(c w) · log₂[p(w | c) / p(w | c′)] bits per word, where c′ is c
without its first word; a single word saves against the uniform distribution. These are contributions to the expected
log-likelihood, the objective that the allocation model weighs by w_r.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from rosetta.config_theory import TheoryDecay
from rosetta.theory.decay import Decay, fit_decay

WORD = re.compile(r"\w+|[^\w\s]")
# Beyond this share of the features, ranked by what they save, the list is cut short by `min_count` and bends down.
LAST_SHARE = 0.5


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
        Number of the n-gram without its last word, and without its first, among those one word shorter. Both are 0
        for single words: the empty context.
    """

    ids: np.ndarray
    block: np.ndarray
    context: np.ndarray
    shorter: np.ndarray


@dataclass(frozen=True)
class NgramDecay:
    """The decay of a corpus's features.

    Attributes
    ----------
    curve : ndarray of float64, shape (n_features,)
        Bits per word saved by the feature of each rank, the mean of both ways of splitting the blocks.
    decay : Decay
        Fitted between `first_rank` and half of the features.
    standard_error : float
        Delete-one-block jackknife.
    """

    curve: np.ndarray
    decay: Decay
    standard_error: float


def ngram_decay(texts: list[str], settings: TheoryDecay) -> NgramDecay:
    """Return how fast what n-grams save decays with their rank."""
    n_blocks = settings.n_blocks
    orders = count_ngrams(texts, settings.max_order, n_blocks)
    curve = _curve(orders, np.ones(n_blocks, bool), settings.min_count)
    left_out = [fit_curve(_curve(orders, np.arange(n_blocks) != b, settings.min_count), settings).beta
                for b in range(n_blocks)]  # fmt: skip
    spread = (n_blocks - 1) / n_blocks * np.square(left_out - np.mean(left_out)).sum()
    return NgramDecay(curve, fit_curve(curve, settings), float(np.sqrt(spread)))


def fit_curve(curve: np.ndarray, settings: TheoryDecay) -> Decay:
    """Fit the decay of a curve over the range of ranks that is used."""
    return fit_decay(curve, settings.first_rank, int(len(curve) * LAST_SHARE))


def count_ngrams(texts: list[str], max_order: int, n_blocks: int) -> list[Order]:
    """Number the n-grams of up to `max_order` words in a list of documents; none crosses a document's end.

    Documents are dealt to the blocks in turn, so every block is a like sample of the corpus.
    """
    numbers: dict[str, int] = {}
    per_document = [[numbers.setdefault(word, len(numbers)) for word in WORD.findall(text)] for text in texts]
    words = np.array([number for numbers_of in per_document for number in numbers_of], dtype=np.int64)
    document = np.repeat(np.arange(len(texts)), [len(numbers_of) for numbers_of in per_document])
    nothing = np.zeros(len(numbers), dtype=np.int64)
    orders = [Order(words, document % n_blocks, nothing, nothing)]
    starting_at = words  # number of the n-gram that starts at each word; -1 where the document ends before it does
    for length in range(2, max_order + 1):
        begins = np.flatnonzero(document[: len(words) - length + 1] == document[length - 1 :])
        codes = starting_at[begins] * len(numbers) + words[begins + length - 1]
        _, first, ids = np.unique(codes, return_index=True, return_inverse=True)
        context, shorter = starting_at[begins[first]], starting_at[begins[first] + 1]
        orders.append(Order(ids, document[begins] % n_blocks, context, shorter))
        starting_at = np.full(len(words), -1, dtype=np.int64)
        starting_at[begins] = ids
    return orders


def savings(orders: list[Order], ranked_on: np.ndarray, measured_on: np.ndarray, min_count: int) -> np.ndarray:
    """Return what each feature saves, bits per word, ordered by what it saves on other blocks.

    A rank and a value taken from the same counts share their errors, which bends the curve; so features are found and
    ranked on some blocks, and their frequency is measured on others (after Piantadosi 2014).

    Parameters
    ----------
    orders : list of Order
        What `count_ngrams` returned.
    ranked_on, measured_on : ndarray of bool, shape (n_blocks,)
        Which blocks serve for what.
    min_count : int
        Occurrences in the ranking blocks from which an n-gram is a feature.

    Returns
    -------
    ndarray of float64, shape (n_features,)
    """
    on_ranked, on_measured = [], []
    n_words = [max(1, int(blocks[orders[0].block].sum())) for blocks in (ranked_on, measured_on)]
    backoff = np.zeros(0)
    for order in orders:
        counts = np.bincount(order.ids[ranked_on[order.block]], minlength=len(order.context))
        again = np.bincount(order.ids[measured_on[order.block]], minlength=len(order.context))
        if not len(backoff):
            backoff = np.array([1.0 / max(1, np.count_nonzero(counts))])
        in_context = np.bincount(order.context, weights=counts, minlength=len(backoff))
        conditional = counts / np.maximum(in_context, 1)[order.context]  # p(w | c)
        used = np.flatnonzero(counts >= min_count)
        gain = np.log2(conditional[used] / backoff[order.shorter[used]])
        used, gain = used[gain > 0], gain[gain > 0]
        on_ranked.append(counts[used] / n_words[0] * gain)
        on_measured.append(again[used] / n_words[1] * gain)
        backoff = conditional
    return np.concatenate(on_measured)[np.argsort(-np.concatenate(on_ranked), kind="stable")]


def _curve(orders: list[Order], kept: np.ndarray, min_count: int) -> np.ndarray:
    """Return the mean of both ways of splitting the kept blocks, over the ranks that both have."""
    even = np.arange(len(kept)) % 2 == 0
    both = [savings(orders, kept & half, kept & ~half, min_count) for half in (even, ~even)]
    shared = min(map(len, both))
    return (both[0][:shared] + both[1][:shared]) / 2

"""The routes to β against brute force and planted decays."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import digamma

from rosetta.config.theory import TheoryDecay
from rosetta.theory.decay import binned_curve, fit_decay
from rosetta.theory.losses import fit_loss_exponent
from rosetta.theory.ngrams import (
    WORD,
    Saved,
    count_ngrams,
    deal_in_turn,
    ngram_decays,
    saved_on,
    savings,
)
from rosetta.theory.routes import BetaEstimate, alpha_interval, loss_route, ngram_route, ngram_table


@given(beta=st.floats(0.3, 3), n=st.integers(60, 3000), first=st.integers(1, 10))
def test_a_planted_decay_is_recovered(beta, n, first):
    decay = fit_decay(7.0 * np.arange(1, n + 1) ** -beta, first, n)
    assert decay.beta == pytest.approx(beta, rel=0.03)
    assert decay.range_error < 0.05 * beta


def test_the_range_error_sees_a_bend():
    ranks = np.arange(1, 1001.0)
    bent = np.where(ranks < 100, ranks**-1.0, 100 * ranks**-2.0)
    assert fit_decay(bent, 10, 1000).range_error == pytest.approx(0.5, abs=0.05)
    assert math.isnan(fit_decay(bent, 10, 5).beta)


def test_bins_are_means_over_their_ranks():
    values = np.random.default_rng(0).normal(size=500)
    ranks, means = binned_curve(values, 3, 400)
    assert ranks[0] == pytest.approx(3)
    assert (np.diff(ranks) > 0).all()
    assert means[0] == values[2]
    widths = np.diff(np.unique(np.round(np.geomspace(3, 401, 41)).astype(int)))
    assert (means * widths).sum() == pytest.approx(values[2:400].sum())


WORDS = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12).map(" ".join),
    min_size=1,
    max_size=8,
)


def brute_counts(texts, order, blocks):
    found = Counter()
    for number, text in enumerate(texts):
        words = WORD.findall(text)
        if number % len(blocks) in np.flatnonzero(blocks):
            found.update(tuple(words[i : i + order]) for i in range(len(words) - order + 1))
    return found


def brute_bits(texts, max_order, blocks):
    """What every n-gram saves on some blocks, by its words, with logarithms of counts as digamma
    functions.
    """
    counts = {n: brute_counts(texts, n, blocks) for n in range(1, max_order + 1)}
    n_words = sum(counts[1].values())

    def log_probability(gram):
        before = (
            n_words
            if len(gram) == 1
            else sum(c for g, c in counts[len(gram)].items() if g[:-1] == gram[:-1])
        )
        return digamma(counts[len(gram)][gram]) - digamma(before)

    found = {}
    for order in range(1, max_order + 1):
        for gram, count in counts[order].items():
            backoff = -math.log(len(counts[1])) if order == 1 else log_probability(gram[1:])
            found[gram] = count, count / n_words * (log_probability(gram) - backoff) / math.log(2)
    return found


@given(texts=WORDS, max_order=st.integers(1, 3), min_count=st.integers(1, 3))
def test_savings_are_those_of_brute_force(texts, max_order, min_count):
    if not any(text.strip() for text in texts):
        return
    ranked_on = np.array([True, False, True])
    orders = count_ngrams(texts, np.arange(len(texts)) % 3, max_order)
    for n, order in enumerate(orders, start=1):
        expected = brute_counts(texts, n, np.ones(3, bool))
        assert sorted(np.bincount(order.ids).tolist()) == sorted(expected.values())
    found = savings(saved_on(orders, ranked_on), saved_on(orders, ~ranked_on), min_count)
    ranked, measured = (brute_bits(texts, max_order, blocks) for blocks in (ranked_on, ~ranked_on))
    for longest, values in enumerate(found, start=1):
        kept = [
            gram
            for gram, (count, _) in ranked.items()
            if len(gram) <= longest and count >= min_count
        ]
        sure = [gram for gram in kept if ranked[gram][1] > 1e-12]
        # A gain of 0 may come out as a rounding error above it, and is then a feature.
        if len(sure) == len([gram for gram in kept if ranked[gram][1] > -1e-12]):
            expected = [measured.get(gram, (0, 0.0))[1] for gram in sure]
            np.testing.assert_allclose(sorted(values), sorted(expected), rtol=1e-9, atol=1e-12)


def test_the_order_is_that_of_other_blocks():
    ranked = [Saved(np.array([5, 5, 1, 5, 5]), np.array([3.0, 1.0, 9.0, 2.0, -1.0]))]
    measured = [Saved(np.array([4, 0, 9, 4, 4]), np.array([10.0, -20.0, 90.0, 30.0, 50.0]))]
    (found,) = savings(ranked, measured, min_count=2)
    assert found.tolist() == [10.0, 30.0, -20.0]


def test_a_gain_by_luck_is_none_on_other_blocks():
    """Of independent words no pair saves anything; those that seem to on some blocks do not on
    others.
    """
    rng = np.random.default_rng(4)
    texts = [" ".join(f"w{word}" for word in row) for row in rng.integers(0, 30, size=(2000, 20))]
    orders = count_ngrams(texts, np.arange(2000) % 4, 2)
    halves = [saved_on(orders, np.arange(4) % 2 == parity)[1] for parity in (0, 1)]
    for ranked, measured in (halves, halves[::-1]):
        (found,) = savings([ranked], [measured], min_count=5)
        (seeming,) = savings([ranked], [ranked], min_count=5)
        assert len(found) > 300
        assert seeming.mean() > 12 * found.std() / math.sqrt(len(found))
        assert abs(found.mean()) < 3.5 * found.std() / math.sqrt(len(found))


@pytest.mark.parametrize("n_documents", [150, 3000])
def test_planted_gains_are_measured_without_bias(n_documents):
    """Words that follow each other with known probabilities: a pair saves p(cw) log2 p(w|c)/p(w),
    seen often or not.
    """
    rng = np.random.default_rng(5)
    n_words = 12
    after = rng.dirichlet(np.full(n_words, 0.5), size=n_words)
    values, vectors = np.linalg.eig(after.T)
    p = np.real(vectors[:, np.argmax(np.real(values))])
    p /= p.sum()
    words = np.empty((n_documents, 12), int)
    words[:, 0] = rng.choice(n_words, size=n_documents, p=p)
    for place in range(1, 12):
        drawn = rng.random(n_documents)[:, None] > np.cumsum(after, axis=1)[words[:, place - 1]]
        words[:, place] = np.minimum(drawn.sum(axis=1), n_words - 1)
    texts = [" ".join(f"w{word:02d}" for word in row) for row in words]
    orders = count_ngrams(texts, np.zeros(n_documents, int), 2)
    expected = (
        (p[:, None] * after * np.log2(after / p)).sum() * 11 / 12
    )  # eleven pairs on twelve words
    assert saved_on(orders, np.array([True]))[1].bits.sum() == pytest.approx(expected, rel=0.05)


def test_parts_of_a_cluster_share_a_block():
    assert deal_in_turn(["a", "b", "a", "c", "b", "d"], 3).tolist() == [0, 1, 0, 2, 1, 0]


def test_copies_within_a_cluster_are_no_more_evidence():
    """Each document five times, as parts of one file: the error is that of the documents, and not
    less.
    """
    texts, _ = zipf_texts(1.3, 400, 300, np.random.default_rng(6))
    once = ngram_decay(texts, TheoryDecay(max_order=1, n_blocks=10, first_rank=5, min_count=4))
    settings = TheoryDecay(max_order=1, n_blocks=10, first_rank=5, min_count=20)
    copies = [text for text in texts for _ in range(5)]
    clusters = [str(number) for number in range(len(texts)) for _ in range(5)]
    together = ngram_decay(copies, settings, clusters)
    apart = ngram_decay(copies, settings)
    assert together.standard_error == pytest.approx(once.standard_error, rel=0.25)
    assert apart.standard_error < once.standard_error / 2, (
        "what taking copies for documents would say"
    )


def test_fewer_clusters_than_halves_can_share_give_no_interval(capsys):
    texts, _ = zipf_texts(1.3, 100, 300, np.random.default_rng(0))
    found = ngram_decays(
        texts, [str(number % 3) for number in range(300)], TheoryDecay(max_order=2, first_rank=5)
    )
    assert all(math.isnan(one.standard_error) and math.isfinite(one.decay.beta) for one in found)
    assert "3 cluster(s) of documents, too few" in capsys.readouterr().err
    estimate = ngram_route(ngram_table(found))
    assert (math.isnan(estimate.beta), estimate.n) == (True, 0)


def test_the_interval_contains_every_choice_of_features():
    texts, _ = zipf_texts(1.3, 200, 1500, np.random.default_rng(7))
    texts = [
        f"{text} {text}" for text in texts
    ]  # pairs save something too, and decay otherwise than words
    found = ngram_decays(texts, texts, TheoryDecay(max_order=3, first_rank=5))
    table = ngram_table(found)
    assert table["order"].tolist() == [1, 2, 3]
    assert np.ptp(table["beta"]) > 0.1
    estimate = ngram_route(table)
    assert estimate.beta == pytest.approx(table["beta"].mean())
    assert (estimate.ci_low <= table["ci_low"]).all()
    assert (table["ci_high"] <= estimate.ci_high).all()


def ngram_decay(texts, settings, clusters=None):
    return ngram_decays(texts, clusters or [str(number) for number in range(len(texts))], settings)[
        -1
    ]


def zipf_texts(exponent, n_words, n_documents, rng):
    p = np.arange(1, n_words + 1.0) ** -exponent
    draws = rng.choice(n_words, size=(n_documents, 50), p=p / p.sum())
    return [" ".join(f"w{word}" for word in row) for row in draws], p / p.sum()


def test_the_corpus_gives_its_decay():
    """Independent words with a planted rank–frequency law: the curve is p log₂(pV), known
    exactly.
    """
    texts, p = zipf_texts(1.3, 400, 4000, np.random.default_rng(0))
    settings = TheoryDecay(max_order=1, n_blocks=10, first_rank=5)
    found = ngram_decay(texts, settings)
    exact = p * np.log2(p * 400)
    exact = exact[exact > 0]
    expected = fit_decay(exact, 5, len(found.curve) // 2).beta
    assert found.decay.beta == pytest.approx(expected, abs=0.05)
    assert 0 < found.standard_error < 0.05
    estimate = ngram_route(ngram_table([found]))
    assert estimate.ci_low < expected < estimate.ci_high
    assert estimate.n == 1


def test_like_blocks_leave_no_jackknife_error():
    texts, _ = zipf_texts(1.2, 60, 40, np.random.default_rng(1))
    repeated = [
        text for text in texts for _ in range(4)
    ]  # dealt in turn, so every block holds the same text
    found = ngram_decay(repeated, TheoryDecay(max_order=2, n_blocks=4, first_rank=2, min_count=4))
    assert found.standard_error == pytest.approx(0, abs=1e-9)


def test_a_planted_loss_exponent_is_recovered():
    sizes = np.array([256.0, 512, 1024, 2304, 5000] * 2)
    families = ["a"] * 5 + ["b"] * 5
    losses = 1.5 + np.repeat([8.0, 12.0], 5) * sizes**-0.4
    found = fit_loss_exponent(sizes, losses, families)
    assert found.exponent == pytest.approx(0.4, abs=0.006)
    assert found.ci_low <= 0.4 <= found.ci_high
    assert found.ci_high - found.ci_low < 0.02
    estimate = loss_route(found)
    assert estimate.beta == pytest.approx(1 / 0.6, abs=0.02)
    noisy = losses + np.random.default_rng(0).normal(0, 0.02, 10)
    wide = fit_loss_exponent(sizes, noisy, families)
    assert wide.ci_low <= 0.4 <= wide.ci_high
    assert wide.ci_high - wide.ci_low > 0.05


def test_the_loss_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(3)
    sizes, families = np.geomspace(200, 20_000, 6), ["a"] * 6
    fits = [
        fit_loss_exponent(sizes, 2 + 10 * sizes**-0.5 + rng.normal(0, 0.005, 6), families)
        for _ in range(150)
    ]
    covered = np.mean([fit.ci_low <= 0.5 <= fit.ci_high for fit in fits])
    assert 0.9 <= covered <= 1.0


@pytest.mark.parametrize(
    "losses", [[2.0, 2.0, 2.0, 2.0, 2.0], [2.0, 2.1, 2.2, 2.4, 2.5]], ids=["flat", "rising"]
)
def test_losses_that_do_not_fall_have_no_exponent(losses):
    sizes = np.array([256.0, 512, 1024, 2304, 5000])
    found = fit_loss_exponent(sizes, np.array(losses), ["a"] * 5)
    assert math.isnan(found.exponent)
    assert (found.ci_low, found.ci_high) == (0.0, 1.0)


def test_the_end_of_the_grid_is_no_estimate():
    """Losses that fall as if by x^(-3) prefer the end of (0, 1)."""
    sizes = np.geomspace(256, 5000, 6)
    found = fit_loss_exponent(sizes, 2.0 + 1e7 * sizes**-3.0, ["a"] * 6)
    assert math.isnan(found.exponent)
    assert found.ci_high == 1.0


def test_families_that_disagree_are_no_noise():
    """Exact laws of two exponents: the F test takes their difference for noise and is sure of one
    between them.
    """
    sizes = np.geomspace(256, 5000, 6)
    losses = np.concatenate([1.5 + 8 * sizes**-0.3, 1.5 + 60 * sizes**-0.7])
    found = fit_loss_exponent(np.tile(sizes, 2), losses, ["a"] * 6 + ["b"] * 6)
    assert found.ci_low <= 0.305
    assert found.ci_high >= 0.695


def test_a_family_whose_losses_do_not_fall_leaves_all_open():
    sizes = np.geomspace(256, 5000, 6)
    losses = np.concatenate([1.5 + 8 * sizes**-0.3, 1.6 + 0.02 * np.arange(6.0)])
    found = fit_loss_exponent(np.tile(sizes, 2), losses, ["a"] * 6 + ["b"] * 6)
    assert (found.ci_low, found.ci_high) == (0.0, 1.0)


def test_few_losses_say_nothing():
    found = fit_loss_exponent(np.array([10.0, 20, 40]), np.array([3.0, 2.5, 2.2]), ["a"] * 3)
    assert (found.ci_low, found.ci_high) == (0.0, 1.0)
    found = fit_loss_exponent(np.array([10.0, 20]), np.array([3.0, 2.5]), ["a"] * 2)
    assert math.isnan(found.exponent)
    estimate = loss_route(found)
    assert (math.isnan(estimate.beta), estimate.ci_low, estimate.ci_high) == (True, 1.0, math.inf)


def test_alpha_is_the_inverse_and_never_above_one():
    assert alpha_interval(BetaEstimate("loss", 2.0, 0.8, math.inf, 3)) == (0.5, 0.0, 1.0)
    assert all(math.isnan(v) for v in alpha_interval(BetaEstimate("loss", *[math.nan] * 3, n=0)))

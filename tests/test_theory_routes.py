"""The routes to β against brute force and planted decays."""

import math
import weakref
from collections import Counter

import numpy as np
import pytest
from helpers import random_ranges, save_stores
from hypothesis import given
from hypothesis import strategies as st

from rosetta.activations.store import Store
from rosetta.config_theory import TheoryDecay
from rosetta.theory.decay import binned_curve, fit_decay
from rosetta.theory.losses import fit_loss_exponent
from rosetta.theory.ngrams import WORD, count_ngrams, ngram_decay, savings
from rosetta.theory.routes import BetaEstimate, alpha_interval, loss_route, ngram_route, spectrum_route
from rosetta.theory.spectrum import covariance_halves, cross_validated_spectrum, sample_units


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


def planted_activations(n_units, n_positions, beta, rng):
    axes = np.linalg.qr(rng.normal(size=(n_units, n_units)))[0]
    scale = np.arange(1, n_units + 1.0) ** (-beta / 2)
    return (rng.normal(size=(n_positions, n_units)) * scale) @ axes.T + 5.0


def test_covariances_are_those_of_numpy(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [40, 60, 35, 80, 20, 55, 41], special=True)
    _, start, end, owner = ranges
    values = rng.normal(3, 2, size=(2, len(start), 6)).astype(np.float32)
    values[:, start == end] = 1e4  # special tokens take no part
    stores = save_stores(tmp_path / "m", values, ranges, 7, n_shards=3)
    units = np.array([0, 2, 5, 6, 11])
    halves = covariance_halves(stores, units)
    flat = np.concatenate(values, axis=1)[:, units].astype(float)
    for parity, half in enumerate(halves):
        rows = (end > start) & (owner % 2 == parity)
        np.testing.assert_allclose(half.matrix(), np.cov(flat[rows].T, bias=True), rtol=1e-9, atol=1e-9)
        assert half.count == rows.sum()


def test_one_layer_of_a_block_is_in_memory_at_a_time(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [50] * 6)
    values = rng.normal(size=(8, len(ranges[0]), 6)).astype(np.float32)
    (store,) = save_stores(tmp_path / "m", values, ranges, 6, n_shards=1)
    read, alive, plain = [], [], Store.activations

    def counted(self, *where):
        found = plain(self, *where)
        read.append(weakref.ref(found))
        alive.append(sum(reference() is not None for reference in read))
        return found

    monkeypatch.setattr(Store, "activations", counted)
    covariance_halves([store], np.array([0, 7, 8, 20, 47]))
    assert len(alive) == 4, "the layers of the sample, once"
    assert max(alive) <= 2, "the one being read and at most its predecessor"


def test_the_spectrum_of_a_model_gives_its_decay(tmp_path):
    rng = np.random.default_rng(1)
    n_documents, beta = 60, 1.6
    ranges = random_ranges(rng, [200] * n_documents, truncate=False)
    values = planted_activations(256, len(ranges[0]), beta, rng).astype(np.float32)
    layers = np.stack([values[:, :128], values[:, 128:]])
    stores = save_stores(tmp_path / "m", layers, ranges, n_documents, n_shards=2)
    found = {}
    for n in (256, 128):
        halves = covariance_halves(stores, sample_units(256, n, 0))
        found[n] = fit_decay(cross_validated_spectrum(halves), 5, n // 4).beta
    assert found[256] == pytest.approx(beta, abs=0.1)
    assert found[128] == pytest.approx(beta, abs=0.25), "a random half of the neurons decays alike"


def test_cross_validation_removes_the_bias_of_noise():
    """White noise has a flat spectrum; that of a small sample slopes, its cross-validated one does not."""
    from rosetta.theory.spectrum import Covariance

    rng = np.random.default_rng(2)
    halves = Covariance.zeros(60), Covariance.zeros(60)
    for half in halves:
        half.add(rng.normal(size=(200, 60)))
    plain = np.linalg.eigvalsh(halves[0].matrix())[::-1]
    assert plain[0] / plain[-1] > 5
    validated = cross_validated_spectrum(halves)
    assert validated.max() / validated.min() < 2
    assert validated.mean() == pytest.approx(1, abs=0.1)


def test_units_are_sampled_from_all_layers():
    np.testing.assert_array_equal(sample_units(10, 20, 0), np.arange(10))
    units = sample_units(10_000, 1000, 3)
    assert len(np.unique(units)) == 1000
    assert (np.diff(units) > 0).all()
    np.testing.assert_array_equal(units, sample_units(10_000, 1000, 3))
    assert abs(units.mean() - 5000) < 400


WORDS = st.lists(st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=12).map(" ".join), min_size=1, max_size=8)


def brute_counts(texts, order, blocks):
    found = Counter()
    for number, text in enumerate(texts):
        words = WORD.findall(text)
        if number % len(blocks) in np.flatnonzero(blocks):
            found.update(tuple(words[i : i + order]) for i in range(len(words) - order + 1))
    return found


def brute_savings(texts, max_order, ranked_on, measured_on, min_count):
    rows = []
    counts = {n: brute_counts(texts, n, ranked_on) for n in range(1, max_order + 1)}
    again = {n: brute_counts(texts, n, measured_on) for n in range(1, max_order + 1)}
    n_words, n_again = sum(counts[1].values()), sum(again[1].values())

    def probability(gram):
        if len(gram) == 1:
            return counts[1][gram] / n_words
        return counts[len(gram)][gram] / sum(c for g, c in counts[len(gram)].items() if g[:-1] == gram[:-1])

    for order in range(1, max_order + 1):
        for gram, count in counts[order].items():
            if count >= min_count:
                backoff = 1 / len(counts[1]) if order == 1 else probability(gram[1:])
                gain = math.log2(probability(gram) / backoff)
                if gain > 1e-12:
                    rows.append((count / n_words * gain, again[order][gram] / max(n_again, 1) * gain))
    return rows


@given(texts=WORDS, max_order=st.integers(1, 3), min_count=st.integers(1, 3))
def test_savings_are_those_of_brute_force(texts, max_order, min_count):
    if not any(text.strip() for text in texts):
        return
    ranked_on = np.array([True, False, True])
    orders = count_ngrams(texts, max_order, 3)
    for n, order in enumerate(orders, start=1):
        expected = brute_counts(texts, n, np.ones(3, bool))
        assert sorted(np.bincount(order.ids).tolist()) == sorted(expected.values())
    found = savings(orders, ranked_on, ~ranked_on, min_count)
    rows = brute_savings(texts, max_order, ranked_on, ~ranked_on, min_count)
    np.testing.assert_allclose(sorted(v for v in found if v > 1e-9), sorted(v for _, v in rows if v > 1e-9), rtol=1e-9)
    # In order of what they save on the ranking blocks; ties may stand either way, so whole groups are compared.
    np.testing.assert_allclose(found.sum(), sum(v for _, v in rows), rtol=1e-9, atol=1e-12)


def zipf_texts(exponent, n_words, n_documents, rng):
    p = np.arange(1, n_words + 1.0) ** -exponent
    draws = rng.choice(n_words, size=(n_documents, 50), p=p / p.sum())
    return [" ".join(f"w{word}" for word in row) for row in draws], p / p.sum()


def test_the_corpus_gives_its_decay():
    """Independent words with a planted rank–frequency law: the curve is p log₂(pV), known exactly."""
    texts, p = zipf_texts(1.3, 400, 4000, np.random.default_rng(0))
    settings = TheoryDecay(max_order=1, n_blocks=10, first_rank=5)
    found = ngram_decay(texts, settings)
    exact = p * np.log2(p * 400)
    exact = exact[exact > 0]
    expected = fit_decay(exact, 5, len(found.curve) // 2).beta
    assert found.decay.beta == pytest.approx(expected, abs=0.05)
    assert 0 < found.standard_error < 0.05
    estimate = ngram_route(found, settings)
    assert estimate.ci_low < expected < estimate.ci_high
    assert estimate.n == 10


def test_like_blocks_leave_no_jackknife_error():
    texts, _ = zipf_texts(1.2, 60, 40, np.random.default_rng(1))
    repeated = [text for text in texts for _ in range(4)]  # dealt in turn, so every block holds the same text
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
    fits = [fit_loss_exponent(sizes, 2 + 10 * sizes**-0.5 + rng.normal(0, 0.005, 6), families) for _ in range(150)]
    covered = np.mean([fit.ci_low <= 0.5 <= fit.ci_high for fit in fits])
    assert 0.9 <= covered <= 1.0


@pytest.mark.parametrize("losses", [[2.0, 2.0, 2.0, 2.0, 2.0], [2.0, 2.1, 2.2, 2.4, 2.5]], ids=["flat", "rising"])
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


def test_few_losses_say_nothing():
    found = fit_loss_exponent(np.array([10.0, 20, 40]), np.array([3.0, 2.5, 2.2]), ["a"] * 3)
    assert (found.ci_low, found.ci_high) == (0.0, 1.0)
    found = fit_loss_exponent(np.array([10.0, 20]), np.array([3.0, 2.5]), ["a"] * 2)
    assert math.isnan(found.exponent)
    estimate = loss_route(found)
    assert (math.isnan(estimate.beta), estimate.ci_low, estimate.ci_high) == (True, 1.0, math.inf)


def test_spectra_of_several_models_are_joined():
    settings = TheoryDecay(first_rank=4, last_share=1.0)
    spectra = [np.arange(1, 400.0) ** -beta for beta in (1.4, 1.6, 1.8)]
    estimate = spectrum_route(spectra, settings)
    assert estimate.beta == pytest.approx(1.6, abs=0.02)
    half = 4.302653 * 0.2 / math.sqrt(3)  # Student's t with 2 degrees of freedom
    assert estimate.ci_high - estimate.beta == pytest.approx(half, rel=0.03)
    assert estimate.n == 3
    nothing = spectrum_route([np.ones(3)], settings)
    assert math.isnan(nothing.beta)
    assert nothing.n == 0


def test_alpha_is_the_inverse_and_never_above_one():
    assert alpha_interval(BetaEstimate("loss", 2.0, 0.8, math.inf, 3)) == (0.5, 0.0, 1.0)
    assert all(math.isnan(v) for v in alpha_interval(BetaEstimate("loss", *[math.nan] * 3, n=0)))

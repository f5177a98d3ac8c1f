"""Sums of one pass, and principal components, against NumPy in float64."""

import numpy as np
import pytest
import torch
from instrument_rows import HALVES, N_BLOCKS, measures_of, sums_of
from pooled_reference import pooled_sides
from store_pairs import make_pair

from rosetta.correlation.aligned import align_pair
from rosetta.instruments.principal import components
from rosetta.instruments.sums import ReadPair, read_sums


def example(seed=0, n=300, d_a=9, d_b=6):
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(5, d_a + d_b))
    rows = rng.normal(size=(n, 5)) @ mixing + rng.normal(size=(n, d_a + d_b)) + 3.0
    return rows[:, :d_a].copy(), rows[:, d_a:].copy(), rng.integers(N_BLOCKS, size=n)


def test_blocks_hold_products_within_and_across():
    a, b, block = example()
    sums = sums_of(a, b, block)
    for number in range(N_BLOCKS):
        of_a, of_b = a[block == number], b[block == number]
        np.testing.assert_allclose(sums.cross[number], of_a.T @ of_b, rtol=1e-5)
        np.testing.assert_allclose(sums.within_a[number], of_a.T @ of_a, rtol=1e-5)
        np.testing.assert_allclose(sums.within_b[number], of_b.T @ of_b, rtol=1e-5)
        assert sums.lengths[number] == len(of_a)


def test_products_within_a_model_are_whole_where_they_are_cut_into_strips(monkeypatch):
    monkeypatch.setattr("rosetta.instruments.sums.STRIP", 4)
    a, b, block = example()
    sums = sums_of(a, b, block)
    np.testing.assert_allclose(sums.within_a.sum(dim=0), a.T @ a, rtol=1e-5)


def test_correlations_of_a_half_are_numpys():
    a, b, block = example()
    a[:, 2] = 5.0  # dead
    sums = sums_of(a, b, block)
    for half in HALVES:
        inside = half[block]
        alive = np.delete(np.arange(9), 2)
        expected = np.corrcoef(a[inside][:, alive].T, b[inside].T)[:8, 8:]
        r = sums.correlations(half).numpy()
        np.testing.assert_allclose(r[alive], expected, atol=1e-5)
        assert np.isneginf(r[2]).all()


def test_a_pass_over_stores_keeps_the_rows_that_are_chosen(tmp_path):
    stores = make_pair(tmp_path, 3, (2, 5), (1, 4), 2, "float32")
    pair = align_pair(*stores)
    a, b = pooled_sides(*stores, "mean")
    n = pair.n_positions
    block = np.arange(n) % N_BLOCKS
    chosen = np.zeros(n, bool)
    chosen[[1, 4, n - 1]] = True
    read = ReadPair(pair, "mean", "float32", block, N_BLOCKS)
    sums, rows = read_sums(read, chosen)
    shifted = a - pair.a.center, b - pair.b.center
    for number in range(N_BLOCKS):
        inside = block == number
        expected = shifted[0][inside].T @ shifted[1][inside]
        np.testing.assert_allclose(sums.cross[number], expected, atol=1e-2, rtol=1e-4)
    for got, side in zip(rows, shifted, strict=True):
        wanted = side[chosen]
        order = np.lexsort(wanted.T), np.lexsort(got.numpy().T)
        np.testing.assert_allclose(got.numpy()[order[1]], wanted[order[0]], atol=1e-5)


@pytest.mark.parametrize(("variance", "most"), [(1.0, 99), (0.9, 99), (1.0, 3)])
def test_components_are_those_of_the_correlation_matrix(variance, most):
    a, b, block = example()
    a[:, 2] = 5.0
    sums = sums_of(a, b, block)
    found = components(sums.within_a, sums.columns_a, len(a), variance, most)
    alive = np.delete(np.arange(9), 2)
    values = np.linalg.eigvalsh(np.corrcoef(a[:, alive].T))[::-1]
    held = np.cumsum(values) / 8
    expected = min(int((held < variance - 1e-9).sum()) + 1, most, 8)
    assert found.n == expected
    assert found.share == pytest.approx(held[expected - 1], abs=1e-5)
    scores = (a - a.mean(axis=0)) @ found.basis.numpy()
    np.testing.assert_allclose(scores.T @ scores, np.diag(values[:expected]), atol=1e-4)
    assert not found.basis[2].any()


def test_moments_of_a_half_are_those_of_its_projected_rows():
    a, b, _ = example(n=240)
    measures, block = measures_of(a, b, most=4)
    projected = measures.projected
    for half in HALVES[:2]:
        inside = half[block]
        za, zb = (side[inside] - side[inside].mean(axis=0) for side in (a, b))
        pa, pb = za @ projected.of_a.basis.numpy(), zb @ projected.of_b.basis.numpy()
        got = projected.half(half)
        pairs = {
            "aa": (pa, pa),
            "bb": (pb, pb),
            "ab": (pa, pb),
            "a_with_pa": (za, pa),
            "b_with_pb": (zb, pb),
            "a_with_pb": (za, pb),
        }
        for name, (left, right) in pairs.items():
            np.testing.assert_allclose(getattr(got, name), left.T @ right, atol=1e-3, err_msg=name)
        np.testing.assert_allclose(got.deviation_a, np.linalg.norm(za, axis=0), rtol=1e-5)
        assert got.aa.dtype == torch.float64

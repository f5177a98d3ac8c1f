"""The largest entries of rows and columns, with ties, against NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rosetta.correlation.topk
from rosetta.correlation.topk import nearest_both_ways, top_k


def expected(r, k, offset):
    """Sort every row by falling value, then by rising column."""
    index, values = np.full((len(r), k), -1), np.full((len(r), k), np.nan)
    for row, entries in enumerate(r):
        order = sorted(np.flatnonzero(entries > -np.inf), key=lambda u: (-entries[u], u))[:k]
        index[row, : len(order)] = np.array(order, int) + offset
        values[row, : len(order)] = entries[order]
    return index, values


RAGGED = given(
    n=st.integers(1, 9),
    m=st.integers(1, 9),
    k=st.integers(1, 6),
    cells=st.integers(1, 40),
    n_values=st.integers(1, 20),
    seed=st.integers(0, 10**6),
)


def correlations(n, m, n_values, seed):
    """Few different values make many ties; dead rows and columns are -inf."""
    rng = np.random.default_rng(seed)
    r = rng.integers(-n_values, n_values + 1, (n, m)) / n_values
    r[rng.random(n) < 0.2] = -np.inf
    r[:, rng.random(m) < 0.2] = -np.inf
    return r


def assert_lists(found, r, k, offset):
    index, values = expected(r, k, offset)
    np.testing.assert_array_equal(found.index, index)
    np.testing.assert_array_equal(found.r, values)


@settings(deadline=None)
@RAGGED
def test_rows_and_columns_are_those_of_a_full_sort(n, m, k, cells, n_values, seed):
    r = correlations(n, m, n_values, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosetta.correlation.topk, "_CHUNK_CELLS", cells)
        for given_r, wanted in ((torch.from_numpy(r), r), (torch.from_numpy(r).T, r.T)):
            assert_lists(top_k(given_r, k, 100), wanted, k, 100)


@settings(deadline=None)
@RAGGED
def test_strips_of_rows_find_what_a_full_sort_finds_both_ways(n, m, k, cells, n_values, seed):
    r = correlations(n, m, n_values, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosetta.correlation.topk, "_STRIP_CELLS", cells)
        of_a, of_b = nearest_both_ways(torch.from_numpy(r), k, 100, 200)
        assert_lists(of_a, r, k, 200)
        assert_lists(of_b, r.T, k, 100)

"""Spearman's correlation against SciPy."""

import numpy as np
import torch
from instrument_rows import HALVES, sums_of
from pooled_reference import pooled_sides
from scipy.stats import rankdata, spearmanr
from store_pairs import make_pair

from rosetta.correlation.aligned import align_pair
from rosetta.instruments.ranks import rank_sums, to_ranks
from rosetta.instruments.sums import ReadPair


def test_ranks_of_ties_are_their_mean(monkeypatch):
    monkeypatch.setattr("rosetta.instruments.ranks._STRIP", 2)
    rows = np.random.default_rng(0).integers(4, size=(30, 5)).astype(float)
    rows[:, 3] = 1.0
    got = torch.from_numpy(rows.copy())
    to_ranks(got)
    np.testing.assert_allclose(got * 30 + 15.5, rankdata(rows, axis=0), atol=1e-9)
    assert not got[:, 3].any()


def test_all_positions_give_spearmans_r():
    rng = np.random.default_rng(1)
    a = np.maximum(rng.normal(size=(200, 4)), 0)  # half of it ties
    b = a[:, :3] + rng.normal(size=(200, 3))
    ranked = [torch.from_numpy(side.copy()) for side in (a, b)]
    for side in ranked:
        to_ranks(side)
    sums = sums_of(*(side.numpy() for side in ranked), np.arange(200) % 4, within=False)
    expected = spearmanr(a, b).statistic[:4, 4:]
    np.testing.assert_allclose(sums.correlations(np.ones(4, bool)), expected, atol=1e-5)
    assert sums.within_a is None


def test_stores_are_ranked_over_all_of_their_positions(tmp_path):
    stores = make_pair(tmp_path, 5, (1, 5), (2, 3), 2, "float32", special=False)
    pair = align_pair(*stores)
    block = np.arange(pair.n_positions) % 4
    sums = rank_sums(ReadPair(pair, "mean", "float64", block, 4))
    a, b = (np.float64(side) for side in pooled_sides(*stores, "mean"))
    of_half = HALVES[0][block]
    alive = [np.ptp(side[of_half], axis=0) > 0 for side in (a, b)]
    ranks = [rankdata(side, axis=0)[of_half] for side in (a, b)]
    expected = np.corrcoef(ranks[0][:, alive[0]].T, ranks[1][:, alive[1]].T)
    expected = expected[: alive[0].sum(), alive[0].sum() :]
    got = sums.correlations(HALVES[0]).numpy()
    np.testing.assert_allclose(got[np.ix_(*alive)], expected, atol=1e-4)
    assert np.isneginf(got[~alive[0]]).all()

"""Counts of arrays are those of tables."""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.group_counts import count_group, jaccard
from rosetta.instruments.counting import NOTHING, Found, anchors, counted, kept_share, overlap

PLACES = ["layer_a", "unit_a", "layer_b", "unit_b"]


def random_matches(seed, n=40):
    """Return matches of which some neurons of A have several."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(rng.integers(5, size=(n, 4)), columns=PLACES).drop_duplicates()
    return table.assign(r=rng.random(len(table)), model_a="a", model_b=f"b{seed}", rank_a=1)


@pytest.mark.parametrize("n_tables", [1, 2, 3])
@pytest.mark.parametrize("limit", [-1.0, 0.4, 2.0])
def test_counts_are_those_of_a_group(n_tables, limit):
    tables = [random_matches(seed) for seed in range(n_tables)]
    expected = count_group([table[table["r"] > limit] for table in tables])
    got = counted([Found.of(table).above(limit) for table in tables])
    assert got.matches == expected.matches
    np.testing.assert_allclose(got.mean_r, expected.mean_r)


def test_overlaps_are_those_of_keys():
    left, right = random_matches(0), random_matches(1)
    keys = [pd.MultiIndex.from_frame(table[PLACES[:2]]).unique() for table in (left, right)]
    got = overlap(anchors([Found.of(left)]), anchors([Found.of(right)]))
    assert got == pytest.approx(jaccard(*keys))
    pairs = [set(table[PLACES].itertuples(index=False)) for table in (left, right)]
    expected = len(pairs[0] & pairs[1]) / len(pairs[1])
    assert kept_share(Found.of(left), Found.of(right)) == pytest.approx(expected)


def test_of_nothing_nothing_is_known():
    assert counted([NOTHING]).matches == 0
    assert np.isnan(counted([NOTHING]).mean_r)
    assert np.isnan(kept_share(Found.of(random_matches(0)), NOTHING))
    assert np.isnan(overlap(anchors([NOTHING]), anchors([NOTHING])))


def test_without_a_threshold_nothing_is_counted():
    with pytest.raises(ValueError, match="no threshold"):
        Found.of(random_matches(0)).above(float("nan"))

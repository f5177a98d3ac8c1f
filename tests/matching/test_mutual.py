import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from neighbor_lists import facts_of, neighbors_of, random_matrix

from rosetta.correlation.neighbor_tables import NeighborLists, read_lists, write_lists
from rosetta.matching.mutual import MATCH_COLUMNS, mutual_matches, rosetta_neurons


@given(
    seed=st.integers(0, 10**6), n_a=st.integers(1, 12), n_b=st.integers(1, 12), k=st.integers(1, 4)
)
def test_matches_are_mutual_k_nearest_neighbours(seed, n_a, n_b, k):
    r = random_matrix(seed, n_a, n_b)
    table = mutual_matches(neighbors_of(r, k + 1), facts_of(n_a, n_b, k + 1), k)
    expected = {}
    for u, v in np.argwhere(np.isfinite(r)):
        rank_a, rank_b = (r[u] > r[u, v]).sum() + 1, (r[:, v] > r[u, v]).sum() + 1
        if rank_a <= k and rank_b <= k:
            runner_a, runner_b = np.sort(r[u])[::-1][k : k + 1], np.sort(r[:, v])[::-1][k : k + 1]
            margins = [
                r[u, v] - (x[0] if len(x) and np.isfinite(x[0]) else np.nan)
                for x in (runner_a, runner_b)
            ]
            expected[u, v] = (r[u, v], rank_a, rank_b, *margins)
    assert list(table.columns) == MATCH_COLUMNS
    got = {
        (row.layer_a, row.layer_b): (row.r, row.rank_a, row.rank_b, row.margin_a, row.margin_b)
        for row in table.itertuples()
    }
    assert got.keys() == expected.keys()
    for key, values in got.items():
        np.testing.assert_allclose(values, expected[key])


def test_strong_negative_correlation_is_not_similarity():
    r = np.array([[-0.99, 0.2], [0.1, -0.5]])
    table = mutual_matches(neighbors_of(r, 2), facts_of(2, 2, 2), 1)
    assert list(zip(table.layer_a, table.layer_b, strict=True)) == [(0, 1), (1, 0)]


def test_layers_and_units_come_from_flat_indices(tmp_path):
    r = random_matrix(3, 6, 8)
    lists = NeighborLists(neighbors_of(r, 3), facts_of(6, 8, 3, d_a=3, d_b=2))
    write_lists(tmp_path / "n.parquet", lists)
    lists, facts = read_lists([tmp_path / "n.parquet"])
    table = mutual_matches(lists, facts, 2)
    flat = mutual_matches(neighbors_of(r, 3), facts_of(6, 8, 3), 2)
    assert (table.layer_a * 3 + table.unit_a).tolist() == flat.layer_a.tolist()
    assert (table.layer_b * 2 + table.unit_b).tolist() == flat.layer_b.tolist()
    assert np.array_equal(lists.dead_a, np.isneginf(r).all(axis=1))


@given(seed=st.integers(0, 10**6), n_others=st.integers(2, 4))
def test_rosetta_neurons_are_matched_in_every_comparison(seed, n_others):
    tables = [
        mutual_matches(
            neighbors_of(random_matrix(seed + i, 10, 8), 2),
            facts_of(10, 8, 2, names=("anchor", f"other{i}")),
            1,
        )
        for i in range(n_others)
    ]
    found = rosetta_neurons(tables)
    expected = set.intersection(*[set(table.layer_a) for table in tables])
    assert set(found.layer_anchor) == expected
    assert len(found) == n_others * len(expected)
    for anchor, rows in found.groupby("layer_anchor"):
        assert rows["model"].tolist() == [f"other{i}" for i in range(n_others)]
        for table, row in zip(tables, rows.itertuples(), strict=True):
            match = table[table.layer_a == anchor].iloc[0]
            assert (row.layer, row.unit, row.r) == (match.layer_b, match.unit_b, match.r)

"""Whole simulated networks, with the neurons that no feature gets, and what counts and correlations
say of them.
"""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.null_thresholds import LadderNull
from rosetta.config.theory import Theory
from rosetta.theory.allocation import AllocationModel
from rosetta.theory.exponents import exponent_table
from rosetta.theory.matched_simulations import simulate_whole
from rosetta.theory.simulation import Cell, activation_blocks, expected_cost, plant, plant_whole

THEORY = Theory.model_validate(
    {"simulation": {"interference": 1.3, "noise": 0.7, "n_inputs": 400}, "whole": {"n_inputs": 400}}
)
SETTINGS = THEORY.simulation


def test_a_whole_network_is_the_served_neurons_and_mixtures():
    cell = Cell(AllocationModel(1.5), 300, 0)
    alone, whole = plant(cell, SETTINGS), plant_whole(cell, SETTINGS)
    n_served = len(alone.s)
    np.testing.assert_array_equal(whole.s, alone.s)
    np.testing.assert_array_equal(whole.target, alone.target)
    loadings = [matrix.toarray().astype(float) for matrix in whole.loadings]
    assert [len(matrix) for matrix in loadings] == [300] * 4
    for one, served in zip(loadings[:2], alone.loadings, strict=True):
        np.testing.assert_array_equal(
            one[:n_served], served.toarray(), "the specification, as it is"
        )
        np.testing.assert_allclose(np.square(one[n_served:]).sum(axis=1), 1.3**2, rtol=1e-4)
    for one in loadings[2:]:
        np.testing.assert_allclose(np.square(one).sum(axis=1), 1.3**2, rtol=1e-4)
    assert all(
        (np.count_nonzero(one[n_served:], axis=1) <= SETTINGS.background).all() for one in loadings
    )
    parts = [one[n_served:] for one in loadings]
    assert all(not np.array_equal(parts[i], parts[j]) for i in range(4) for j in range(i)), (
        "drawn again for each"
    )


def numpy_matches(a, b):
    r = np.corrcoef(a.T.astype(float), b.T.astype(float))[: a.shape[1], a.shape[1] :]
    best = r.argmax(axis=1)
    matched = np.flatnonzero(r.argmax(axis=0)[best] == np.arange(len(best)))
    return matched, best[matched], r[matched, best[matched]]


def test_the_pipeline_recovers_of_whole_networks_what_numpy_recovers(tmp_path):
    cells = [Cell(AllocationModel(1.5), n, 0) for n in (96, 160)]
    rows = simulate_whole(iter(cells), THEORY, 0.9, 1.0, tmp_path / "scratch")
    assert list(tmp_path.iterdir()) == [], "the stores are removed"
    found, chance = [], []
    for cell in cells:
        planted = plant_whole(cell, SETTINGS)
        networks = [
            np.concatenate(list(activation_blocks(planted, cell, i, SETTINGS))) for i in range(4)
        ]
        found.append((len(planted.s), *numpy_matches(*networks[:2])))
        chance.append(numpy_matches(*networks[2:])[2])
    nulls = [pd.DataFrame({"seed": 0, "r": r}) for r in chance]
    threshold = LadderNull.of(nulls, [0], one_draw=False).threshold(0.9)
    for cell, row, (n_served, u, v, r) in zip(cells, rows, found, strict=True):
        assert (row["neurons"], row["n"], row["matches"]) == ("all", cell.n, len(u))
        assert row["true_matches"] == ((u == v) & (u < n_served)).sum() > 3
        assert row["matches_above_null"] == (r > threshold).sum()
        isolation = np.append(plant(cell, SETTINGS).s, np.zeros(cell.n - n_served))
        assert row["isolation_rosetta"] == pytest.approx(isolation[u].mean())
        assert row["isolation_rest"] == pytest.approx(
            np.delete(isolation, u).sum() / (cell.n - len(u))
        )
        above = r[r > 2 / 3]
        assert row["alpha_from_r"] == pytest.approx(
            len(above) / np.log((1 / 3) / (1 - above)).sum(), rel=1e-4
        )
        assert row["true_matches"] < row["matches"] / 2, "most matches are chance"


def test_no_cell_no_row(tmp_path):
    assert simulate_whole([], THEORY, 0.99, 1.0, tmp_path / "scratch") == []


def test_plain_counts_of_whole_networks_do_not_tell_the_exponent(tmp_path):
    """In the theory's own model: all matches grow almost as N, what is above chance and what is
    right as N^(1/β).
    """
    theory = Theory.model_validate({"whole": {"n_inputs": 600}})
    cells = [Cell(AllocationModel(2.0), n, 0) for n in (128, 512, 1024)]
    rows = pd.DataFrame(simulate_whole(cells, theory, 0.99, 1.0, tmp_path / "scratch"))
    fitted = exponent_table(rows).set_index("quantity")["fitted"]
    assert fitted["matches"] > 0.75
    assert fitted["true_matches"] == pytest.approx(0.5, abs=0.12)
    assert fitted["matches_above_null"] == pytest.approx(0.5, abs=0.2)
    # The r above the floor of detection are those of served features, whatever else is matched.
    assert rows["alpha_from_r"].mean() == pytest.approx(0.5, rel=0.35)


def test_the_cost_counts_what_is_drawn_for_whole_networks():
    cell = Cell(AllocationModel(2.0), 2000, 0)
    planted = plant_whole(cell, SETTINGS)
    drawn = 4 * SETTINGS.n_inputs * sum(planted.loadings[0].shape)
    deviates, stored = expected_cost([cell], SETTINGS, whole=True)
    assert deviates == pytest.approx(drawn, rel=0.1)
    assert stored == 4 * 4 * SETTINGS.n_inputs * 2000

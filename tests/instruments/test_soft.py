"""Partial soft matching: its conditions, its limit, and units that share."""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.sparse import csr_array

from rosetta.instruments.soft import couple, nearest_cells, not_converged, soft_matches


def random_r(seed, n_a=7, n_b=5):
    return np.random.default_rng(seed).uniform(-1, 1, size=(n_a, n_b))


@pytest.mark.parametrize("smoothing", [0.02, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_units_keep_what_they_do_not_share(seed, smoothing):
    r = random_r(seed)
    coupled = couple(csr_array(r), smoothing)
    mass = coupled.mass.toarray()
    assert coupled.error <= 5e-3
    kept_a, kept_b = 1 - mass.sum(axis=1), 1 - mass.sum(axis=0)
    assert min(kept_a.min(), kept_b.min()) > -5e-3
    # Where both keep enough to tell, ln P = r/ε + ln s + ln t.
    told = np.outer(kept_a > 0.05, kept_b > 0.05)
    expected = np.exp(r / smoothing) * kept_a[:, None] * kept_b
    np.testing.assert_allclose(mass[told], expected[told], rtol=0.2)


def test_no_other_matching_has_a_larger_objective():
    """It is concave, so what is best of all that are near is best of all."""
    r, smoothing = random_r(0, 3, 4), 0.3
    mass = couple(csr_array(r), smoothing).mass.toarray()

    def objective(p):
        x = np.concatenate([p.ravel(), 1 - p.sum(axis=1), 1 - p.sum(axis=0)])
        return (p * r).sum() - smoothing * (x * (np.log(x) - 1)).sum()

    rng, best = np.random.default_rng(0), objective(mass)
    for size in (0.3, 0.1, 0.03):
        for _ in range(200):
            other = mass * np.exp(size * rng.normal(size=mass.shape))
            other /= 1.001 * np.maximum(other.sum(axis=1, keepdims=True), 1)
            other /= 1.001 * np.maximum(other.sum(axis=0), 1)
            assert objective(other) < best
    assert objective(0.99 * mass) < best


@pytest.mark.parametrize("seed", range(4))
def test_without_smoothing_it_is_the_assignment_that_leaves_units_alone(seed):
    r = random_r(seed)
    n_a, n_b = r.shape
    rows = np.kron(np.eye(n_a), np.ones(n_b))
    columns = np.kron(np.ones(n_a), np.eye(n_b))
    best = linprog(-r.ravel(), np.vstack([rows, columns]), np.ones(n_a + n_b), bounds=(0, 1))
    mass = couple(csr_array(r), 0.005).mass.toarray()
    assert (mass * r).sum() == pytest.approx(-best.fun, abs=0.05)


def test_a_unit_that_is_two_is_shared():
    """B's neurons 0 and 1 are each half of A's neuron 0; A's neurons 1 and 2 share B's neuron 2."""
    r = torch.tensor([[0.8, 0.8, 0.0], [0.0, 0.0, 0.8], [0.0, 0.0, 0.8]], dtype=torch.float64)
    found = soft_matches(r, 0.02, 0.3, 3)
    mass = couple(csr_array(r.numpy() - 0.3), 0.02).mass.toarray()
    np.testing.assert_allclose(mass[0, :2], 0.5, atol=0.01)
    np.testing.assert_allclose(mass[1:, 2], 0.5, atol=0.01)
    assert found.found.u.tolist()[0] == 0
    assert found.mass == pytest.approx(2, abs=0.02)


def test_units_below_the_price_stay_alone():
    r = torch.tensor([[0.9, 0.1], [0.1, 0.2]], dtype=torch.float64)
    found = soft_matches(r, 0.02, 0.5, 2)
    assert (found.found.u.tolist(), found.found.v.tolist()) == ([0], [0])
    assert found.found.r[0] == pytest.approx(0.9, abs=1e-3)


def test_mass_goes_to_nearest_neighbours_of_either_side():
    r = torch.from_numpy(random_r(5, 12, 9))
    r[4] = -torch.inf
    cells = nearest_cells(r, 2).toarray()
    values = r.numpy()
    of_row = values >= np.sort(values, axis=1)[:, [-2]]
    of_column = values >= np.sort(values, axis=0)[[-2]]
    open_cells = (of_row | of_column) & np.isfinite(values)
    assert np.array_equal(cells != 0, open_cells)
    np.testing.assert_array_equal(cells[open_cells], values[open_cells])


def test_copies_share_all_of_their_mass():
    found = soft_matches(torch.eye(50, dtype=torch.float64), 0.005, 0.0, 50)
    assert found.mass == pytest.approx(50, abs=0.1)
    assert found.found.u.tolist() == found.found.v.tolist() == list(range(50))


def test_a_matching_that_stops_early_says_so(monkeypatch):
    r = torch.from_numpy(random_r(0, 30, 30))
    assert not_converged(soft_matches(r, 0.02, 0.0, 30).error) == ""
    monkeypatch.setattr("rosetta.instruments.soft._MOST_STEPS", 2)
    reason = not_converged(soft_matches(r, 0.02, 0.0, 30).error)
    assert reason.startswith("after 2 steps a unit's mass is still off by ")

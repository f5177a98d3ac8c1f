"""The allocation against a generic solver, its optimality conditions and closed forms; the
simulation against both.
"""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import zeta

from rosetta.config.theory import Theory, TheorySimulation
from rosetta.errors import ConfigError
from rosetta.theory.allocation import (
    QUANTITIES,
    AllocationModel,
    allocate,
    continuum_frontier,
    continuum_r0,
    discrete_frontier,
    local_exponent,
    matched_r_survival,
    power_law_importance,
    predicted_correlation,
    predicted_exponents,
)
from rosetta.theory.exponents import (
    EXPONENT_COLUMNS,
    exponent_table,
    finite_size_table,
    frontier_table,
)
from rosetta.theory.matched_simulations import SIMULATION_COLUMNS, simulate
from rosetta.theory.simulation import (
    BLOCK_INPUTS,
    SERVED_NEURONS,
    Cell,
    activation_blocks,
    expected_cost,
    isolations,
    plant,
)

BETAS = [0.7, 1.0, 1.0001, 1.5, 2.0, 3.0]
importances = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=30).map(np.array)


@given(w=importances, budget=st.one_of(st.just(0.0), st.floats(1e-6, 1e6)))
def test_the_allocation_is_optimal(w, budget):
    """The Karush–Kuhn–Tucker conditions, which are sufficient because the problem is concave."""
    s = allocate(w, budget)
    assert (s >= 0).all()
    assert s.sum() == pytest.approx(budget, rel=1e-9, abs=1e-9)
    served = s > 0
    if served.any():
        marginal = w / (1 + s)
        water = marginal[served].mean()
        np.testing.assert_allclose(marginal[served], water, rtol=1e-9)
        assert (w[~served] <= water * (1 + 1e-9)).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_allocation_is_what_a_generic_solver_finds(seed):
    rng = np.random.default_rng(seed)
    w, budget = rng.pareto(1.0, size=rng.integers(2, 9)) + 0.05, float(rng.uniform(0.5, 20))
    found = minimize(
        lambda s: -np.sum(w * np.log1p(s)),
        np.full(len(w), budget / len(w)),
        jac=lambda s: -w / (1 + s),
        bounds=[(0, None)] * len(w),
        constraints={
            "type": "eq",
            "fun": lambda s: s.sum() - budget,
            "jac": lambda s: np.ones(len(s)),
        },
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 1000},
    )
    s = allocate(w, budget)
    np.testing.assert_allclose(s, found.x, atol=1e-5)
    assert np.sum(w * np.log1p(s)) >= -found.fun - 1e-10


@given(w=importances, seed=st.integers(0, 99))
def test_the_order_of_the_features_does_not_matter(w, seed):
    order = np.random.default_rng(seed).permutation(len(w))
    np.testing.assert_allclose(
        allocate(w[order], 3.0), allocate(w, 3.0)[order], rtol=1e-12, atol=1e-12
    )


def test_many_features():
    s = allocate(power_law_importance(10**7, 1.3), 1e6)
    assert s.sum() == pytest.approx(1e6, rel=1e-9)
    assert 0 < np.count_nonzero(s) < 10**7
    assert (np.diff(s) <= 0).all()


@pytest.mark.parametrize("bad", [[], [1.0, 0.0], [1.0, math.nan], [[1.0]]])
def test_bad_importances_are_rejected(bad):
    with pytest.raises(ValueError, match="importances"):
        allocate(np.array(bad), 1.0)


def test_bad_budgets_are_rejected():
    with pytest.raises(ValueError, match="budget"):
        allocate(np.ones(2), -1.0)
    with pytest.raises(ValueError, match="budget"):
        continuum_r0(0.0, 2.0)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("budget", [0.01, 1.0, 300.0, 1e6])
def test_the_continuum_spends_its_budget(beta, budget):
    """By numerical integration of s(r) = (r0/r)^β − 1, and by the closed form of the paper where it
    holds.
    """
    r0 = continuum_r0(budget, beta)
    spent = quad(
        lambda x: ((r0 / math.exp(x)) ** beta - 1) * math.exp(x),
        0,
        math.log(r0),
        epsrel=1e-10,
        limit=200,
    )[0]
    assert spent == pytest.approx(budget, rel=1e-6)
    if beta >= 1.5:
        assert r0**beta / (beta - 1) - beta * r0 / (beta - 1) + 1 == pytest.approx(budget, rel=1e-8)


def test_a_budget_that_outlasts_the_features_is_spread_over_all_of_them():
    model = AllocationModel(1.5, kappa=32.0, gamma=0.5)
    frontier = continuum_frontier(model, 256)
    assert frontier.r0 > model.n_features(256) == 128
    spent = quad(lambda r: (frontier.r0 / r) ** 1.5 - 1, 1, 128)[0]
    assert spent == pytest.approx(model.budget(256))
    assert discrete_frontier(model, 256).r0 == 128


@pytest.mark.parametrize("beta", [1.5, 2.0, 3.0])
def test_discrete_and_continuum_differ_by_a_known_factor(beta):
    """Σ r^(−β) is ζ(β) where the integral is 1/(β − 1): docs/theory.md, Eq. 9."""
    model, n = AllocationModel(beta), 2**22
    exact, continuum = discrete_frontier(model, n), continuum_frontier(model, n)
    factor = ((beta - 1) * zeta(beta)) ** (-1 / beta)
    assert exact.r0 / continuum.r0 == pytest.approx(factor, abs=1 / continuum.r0 + 0.002)
    assert exact.r_tau / continuum.r_tau == pytest.approx(factor, abs=1 / continuum.r_tau + 0.002)


@pytest.mark.parametrize("solve", [discrete_frontier, continuum_frontier])
@pytest.mark.parametrize("beta", [1.5, 2.0, 2.5])
def test_the_exponents_are_reached(solve, beta):
    model = AllocationModel(beta)
    a, b = solve(model, 2**18), solve(model, 2**22)
    found = [
        math.log(y / x) / math.log(16)
        for x, y in (
            (a.r_tau, b.r_tau),
            (a.isolation_rosetta, b.isolation_rosetta),
            (a.isolation_rest, b.isolation_rest),
        )
    ]
    assert dict(zip(QUANTITIES, found, strict=True)) == pytest.approx(
        predicted_exponents(beta), abs=0.012
    )


def test_below_one_counts_grow_linearly():
    assert predicted_exponents(0.8) == {
        "matches": 1.0,
        "isolation_rosetta": 0.0,
        "isolation_rest": 0.0,
    }
    counts = [discrete_frontier(AllocationModel(0.8), n).r_tau for n in (2**18, 2**22)]
    assert math.log(counts[1] / counts[0]) / math.log(16) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("beta", "kappa", "gamma"), [(1.2, 1.0, 4.0), (2.0, 1.0, 4.0), (1.5, 1e4, 0.5)]
)
def test_the_local_exponent_is_the_slope(beta, kappa, gamma):
    model, n = AllocationModel(beta, kappa, gamma), 1_000_000
    low, high = (continuum_frontier(model, m).r0 for m in (n - 1000, n + 1000))
    slope = (math.log(high) - math.log(low)) / math.log((n + 1000) / (n - 1000))
    assert local_exponent(model, n) == pytest.approx(slope, rel=1e-5)
    assert 0.3 < local_exponent(model, n) < 1 / beta + 1e-9


def test_the_parts_add_up_to_the_budget():
    for solve in (discrete_frontier, continuum_frontier):
        f = solve(AllocationModel(1.7, kappa=2.0), 5000)
        width = f.r_tau - (solve is continuum_frontier)
        assert f.isolation_rosetta * width + f.isolation_rest * (5000 - f.r_tau) == pytest.approx(
            10_000
        )


def test_nothing_detectable():
    f = continuum_frontier(AllocationModel(2.0, kappa=0.001, tau=5.0), 10)
    assert (f.r_tau, math.isnan(f.isolation_rosetta)) == (0.0, True)
    f = discrete_frontier(AllocationModel(2.0, kappa=0.001, tau=5.0), 10)
    assert (f.r_tau, math.isnan(f.isolation_rosetta)) == (0.0, True)


def test_predicted_correlations():
    s, t = np.array([0.0, 1.0, 3.0, 1e9]), np.array([5.0, 1.0, 0.5, 1e9])
    expected = [0.0, *(1 / np.sqrt((1 + 1 / s[1:]) * (1 + 1 / t[1:])))]
    np.testing.assert_allclose(predicted_correlation(s, t), expected)


@pytest.mark.parametrize("beta", [1.5, 2.5])
def test_matched_r_follow_their_predicted_distribution(beta):
    s = allocate(power_law_importance(2**20, beta), 2.0**20)
    r = predicted_correlation(s, s)
    above = np.sort(r[r > 2 / 3])
    shares = 1 - (np.arange(len(above)) + 0.5) / len(above)
    assert np.abs(matched_r_survival(above, beta, 2 / 3) - shares).max() < 1.5 / len(above)


SMALL = TheorySimulation(betas=[1.5], sizes=[64, 128, 256], runs=1, n_inputs=400)


def activations(planted, cell, side, settings):
    return np.concatenate(list(activation_blocks(planted, cell, side, settings)))


@pytest.mark.parametrize("pool", ["served", "all"])
@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_planted_ratios_are_the_isolations(pool, noise):
    settings = SMALL.model_copy(
        update={"background_pool": pool, "noise": noise, "interference": 1.3}
    )
    cell = Cell(AllocationModel(1.5), 500, 0)
    planted = plant(cell, settings)
    for weights in planted.loadings:
        w = weights.toarray().astype(float)
        target = w[np.arange(len(w)), planted.target]
        others = np.square(w).sum(axis=1) - target**2
        np.testing.assert_allclose(others, 1.3**2, rtol=1e-4)
        np.testing.assert_allclose(target**2 / (noise**2 + others), planted.s, rtol=1e-3)
    assert planted.s.sum() == pytest.approx(500)
    assert (planted.loadings[0] != planted.loadings[1]).nnz


def test_a_simulation_is_its_seed():
    cell, settings = Cell(AllocationModel(2.0), 300, 1), SMALL
    planted = plant(cell, settings)
    first = activations(planted, cell, 0, settings)
    np.testing.assert_array_equal(first, activations(plant(cell, settings), cell, 0, settings))
    longer = settings.model_copy(update={"n_inputs": 1000})
    np.testing.assert_array_equal(
        first[: 6 * BLOCK_INPUTS], activations(planted, cell, 0, longer)[: 6 * BLOCK_INPUTS]
    )
    for other in (Cell(cell.model, 300, 2), Cell(AllocationModel(2.0, kappa=1.001), 300, 1)):
        assert not np.array_equal(first, activations(planted, other, 0, settings))
    assert not np.array_equal(first, activations(planted, cell, 1, settings))


def test_simulated_correlations_are_those_of_the_theory():
    """Eq. 62, without the matching: each feature's two neurons, over many inputs."""
    settings = SMALL.model_copy(update={"n_inputs": 20_000})
    cell = Cell(AllocationModel(1.5), 1000, 0)
    planted = plant(cell, settings)
    a, b = (activations(planted, cell, side, settings).astype(float) for side in (0, 1))
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    r = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    expected = predicted_correlation(planted.s, planted.s)
    # Backgrounds drawn from the same features overlap by chance: the true covariance is that of the
    # two loadings.
    overlap = (planted.loadings[0] * planted.loadings[1]).sum(axis=1)
    np.testing.assert_allclose(r, overlap / (2 * (1 + planted.s)), atol=5 / np.sqrt(20_000))
    assert np.abs(r - expected).mean() < 0.05


def test_the_pipeline_recovers_what_numpy_recovers(tmp_path):
    cell = Cell(AllocationModel(1.5), 256, 0)
    planted = plant(cell, SMALL)
    a, b = (activations(planted, cell, side, SMALL).astype(float) for side in (0, 1))
    r = np.corrcoef(a.T, b.T)[: len(planted.s), len(planted.s) :]
    best = r.argmax(axis=1)
    matched = np.flatnonzero(r.argmax(axis=0)[best] == np.arange(len(best)))
    row = simulate(cell, SMALL, 1.0, tmp_path / "scratch")
    assert list(row) == SIMULATION_COLUMNS
    assert row["matches"] == len(matched) > 10
    assert row["isolation_rosetta"] == pytest.approx(planted.s[matched].mean())
    rest = np.delete(planted.s, matched).sum() / (256 - len(matched))
    assert row["isolation_rest"] == pytest.approx(rest, abs=1e-9)
    assert list(tmp_path.iterdir()) == [], "the stores are removed"


def test_isolations_of_empty_sets():
    assert isolations(np.array([3.0, 1.0, 0, 0]), np.array([], int)) == (
        pytest.approx(math.nan, nan_ok=True),
        1.0,
    )
    assert isolations(np.array([3.0, 1.0]), np.array([0, 1])) == (
        2.0,
        pytest.approx(math.nan, nan_ok=True),
    )


def test_more_features_than_neurons_are_rejected():
    with pytest.raises(ConfigError, match="more than there are neurons"):
        plant(Cell(AllocationModel(1.1, kappa=100.0), 64, 0), SMALL)


def test_the_cost_counts_what_is_drawn():
    cell = Cell(AllocationModel(2.0), 5000, 0)
    settings = SMALL.model_copy(update={"background_pool": "all"})
    planted = plant(cell, settings)
    drawn = 2 * settings.n_inputs * sum(planted.loadings[0].shape)
    deviates, stored = expected_cost([cell], settings)
    assert deviates == pytest.approx(drawn, rel=0.4)
    assert stored == pytest.approx(2 * 4 * settings.n_inputs * len(planted.s), rel=0.4)


def test_planted_exponents_are_fitted():
    rows = [
        (
            beta,
            SERVED_NEURONS,
            n,
            run,
            3 * n ** (1 / beta),
            2 * n ** (1 / beta),
            math.nan,
            n ** (1 - 1 / beta) * (1 + 0.1 * run),
            2 * n ** (1 / beta - 1),
            math.nan,
        )
        for beta in (1.5, 2.5)
        for n in (256, 512, 1024, 2048)
        for run in range(3)
    ]
    table = exponent_table(pd.DataFrame(rows, columns=SIMULATION_COLUMNS))
    assert table.columns.tolist() == EXPONENT_COLUMNS
    assert table["quantity"].tolist() == [*QUANTITIES, "true_matches"] * 2, "no null, no row"
    np.testing.assert_allclose(table["fitted"], table["predicted"], atol=1e-9)
    width = (table["ci_high"] - table["ci_low"]).groupby(table["quantity"]).max()
    assert width[["isolation_rosetta", "isolation_rest"]].max() < 1e-6
    assert 0.01 < width["matches"] < width["true_matches"] < 0.5, (
        "counts on a line still scatter by Poisson's law"
    )


def test_sizes_without_a_match_are_part_of_the_exponent_of_a_simulation():
    """Counts of small mean: those of 0, left out, would pull the exponent down; they are fitted as
    sums over runs.
    """
    rng, sizes, found = np.random.default_rng(0), np.array([256, 512, 1024, 2048, 4096]), []
    for beta in range(100):
        means = 1.2 * (sizes / 1024) ** 0.8
        counts = rng.poisson(means, size=(2, len(sizes)))
        rows = [
            (
                float(beta + 2),
                SERVED_NEURONS,
                n,
                run,
                9,
                counts[run, i],
                math.nan,
                1.0,
                1.0,
                math.nan,
            )
            for run in range(2)
            for i, n in enumerate(sizes)
        ]
        found += rows
    table = (
        exponent_table(pd.DataFrame(found, columns=SIMULATION_COLUMNS))
        .set_index("quantity")
        .loc["true_matches"]
    )
    assert table["fitted"].mean() == pytest.approx(0.8, abs=0.1)
    covered = (table["ci_low"] <= 0.8) & (table["ci_high"] >= 0.8)
    assert covered.mean() > 0.9


def test_finite_sizes_and_frontiers():
    theory = Theory(simulation=SMALL)
    rows = [(1.5, SERVED_NEURONS, n, 0, n, n, math.nan, n, n, n) for n in (2**8, 2**10, 2**12)]
    simulated = pd.DataFrame(rows, columns=SIMULATION_COLUMNS)
    table = finite_size_table(simulated, theory).set_index("quantity")
    assert table["fitted"].tolist() == pytest.approx([1] * 4)
    sizes = np.array([2**8, 2**10, 2**12])
    exact = np.array([discrete_frontier(AllocationModel(1.5), n).r_tau for n in sizes])
    law = sizes ** table.loc["matches", "exact_on_grid"]
    # Where the likelihood of Poisson counts is highest, residuals sum to 0, and so they do weighed
    # by log N.
    assert np.log(sizes) @ (exact - law * exact.sum() / law.sum()) == pytest.approx(
        0, abs=1e-6 * exact.sum()
    )
    assert table.loc["matches", "exact_on_grid"] < table.loc["matches", "predicted"]
    frontiers = frontier_table(theory, [256, 512])
    assert frontiers["r0"].tolist() == [
        discrete_frontier(AllocationModel(1.5), n).r0 for n in (256, 512)
    ]
    assert (frontiers["r_tau"] < frontiers["r0"]).all()


def test_a_very_steep_decay_does_not_overflow():
    """The loss route may find next to no improvement with size, and then a β in the hundreds."""
    r0 = continuum_r0(2304.0, 200.0, 9216.0)
    assert r0**200.0 / 199.0 - 200.0 * r0 / 199.0 + 1.0 == pytest.approx(2304.0)

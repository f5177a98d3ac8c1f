"""What the simulations say of the predicted exponents, and what the model itself says at finite sizes."""

from __future__ import annotations

import pandas as pd

from rosetta.analysis.scaling import PowerLaw, fit_power_law
from rosetta.config_theory import Theory
from rosetta.theory.allocation import (
    QUANTITIES,
    AllocationModel,
    continuum_frontier,
    discrete_frontier,
    predicted_exponents,
)

EXPONENT_COLUMNS = ["beta", "neurons", "quantity", "predicted", "fitted", "ci_low", "ci_high"]
FINITE_SIZE_COLUMNS = ["beta", "neurons", "quantity", "predicted", "exact_on_grid", "fitted"]
# Counts of a simulation beside all matches: what the model says of these, it says of them all.
COUNTS = ("true_matches", "matches_above_null")
FRONTIER_COLUMNS = ["beta", "n", "r0", "r_tau", "r0_continuum", "r_tau_continuum"]
FRONTIER_SIZES = [2**exponent for exponent in range(8, 18)]


def exponent_table(simulation: pd.DataFrame) -> pd.DataFrame:
    """Return the fitted exponent of each quantity and β of a table of simulations, beside the prediction.

    Simulations of the served neurons alone and those of whole networks are fitted apart. Quantities without numbers
    have no row.

    Runs are averaged at each size before the fit, because the logarithm of a run without any unmatched feature does
    not exist. Intervals are those of the fit over sizes (95%, Student's t).
    """
    rows = []
    for (beta, neurons), part in simulation.groupby(["beta", "neurons"], sort=False):
        predicted = predicted_exponents(float(beta))
        for quantity in (*QUANTITIES, *COUNTS):
            if part[quantity].notna().any():
                law, expected = _law(part, quantity), predicted[_modelled(quantity)]
                rows.append((beta, neurons, quantity, expected, law.alpha, law.alpha_ci_low, law.alpha_ci_high))
    return pd.DataFrame(rows, columns=EXPONENT_COLUMNS)


def finite_size_table(simulation: pd.DataFrame, theory: Theory) -> pd.DataFrame:
    """Return, beside predicted and fitted exponents, those that the exact solution has on the same sizes.

    The power laws hold for N → ∞. What the simulation misses of them and the exact solution misses too is the
    finite size, not the matching.
    """
    rows = []
    for row in exponent_table(simulation).itertuples():
        sizes = simulation[(simulation["beta"] == row.beta) & (simulation["neurons"] == row.neurons)]["n"]
        exact = _law(_frontiers(theory, float(row.beta), sorted(sizes.unique())), _modelled(row.quantity))
        rows.append((row.beta, row.neurons, row.quantity, row.predicted, exact.alpha, row.fitted))
    return pd.DataFrame(rows, columns=FINITE_SIZE_COLUMNS)


def _modelled(quantity: str) -> str:
    """Return which of the model's quantities a measured one is compared with."""
    return "matches" if quantity in COUNTS else quantity


def frontier_table(theory: Theory, sizes: list[int]) -> pd.DataFrame:
    """Return the frontiers r0 and r_τ, exact and in the continuum, for every simulated β."""
    rows = []
    for beta in theory.simulation.betas:
        model = AllocationModel(beta, theory.kappa, theory.gamma, theory.tau)
        for n in sizes:
            exact, continuum = discrete_frontier(model, n), continuum_frontier(model, n)
            rows.append((beta, n, exact.r0, exact.r_tau, continuum.r0, continuum.r_tau))
    return pd.DataFrame(rows, columns=FRONTIER_COLUMNS)


def _frontiers(theory: Theory, beta: float, sizes: list[int]) -> pd.DataFrame:
    model = AllocationModel(beta, theory.kappa, theory.gamma, theory.tau)
    rows = [discrete_frontier(model, int(n)) for n in sizes]
    return pd.DataFrame(
        [(f.n, f.r_tau, f.isolation_rosetta, f.isolation_rest) for f in rows], columns=["n", *QUANTITIES]
    )


def _law(rows: pd.DataFrame, quantity: str) -> PowerLaw:
    means = rows.groupby("n")[quantity].mean()
    return fit_power_law(means.index.to_numpy(), means.to_numpy())

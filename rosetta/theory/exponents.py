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

EXPONENT_COLUMNS = ["beta", "quantity", "predicted", "fitted", "ci_low", "ci_high"]
FINITE_SIZE_COLUMNS = ["beta", "quantity", "predicted", "exact_on_grid", "fitted"]
FRONTIER_COLUMNS = ["beta", "n", "r0", "r_tau", "r0_continuum", "r_tau_continuum"]
FRONTIER_SIZES = [2**exponent for exponent in range(8, 18)]


def exponent_table(simulation: pd.DataFrame) -> pd.DataFrame:
    """Return the fitted exponent of each quantity and β of a table of simulations, beside the prediction.

    Runs are averaged at each size before the fit, because the logarithm of a run without any unmatched feature does
    not exist. Intervals are those of the fit over sizes (95%, Student's t).
    """
    rows = []
    for beta, part in simulation.groupby("beta"):
        predicted = predicted_exponents(float(beta))
        for quantity in QUANTITIES:
            law = _law(part, quantity)
            rows.append((beta, quantity, predicted[quantity], law.alpha, law.alpha_ci_low, law.alpha_ci_high))
    return pd.DataFrame(rows, columns=EXPONENT_COLUMNS)


def finite_size_table(simulation: pd.DataFrame, theory: Theory) -> pd.DataFrame:
    """Return, beside predicted and fitted exponents, those that the exact solution has on the same sizes.

    The power laws hold for N → ∞. What the simulation misses of them and the exact solution misses too is the
    finite size, not the matching.
    """
    rows = []
    fitted = exponent_table(simulation).set_index(["beta", "quantity"])
    for beta, part in simulation.groupby("beta"):
        exact = _frontiers(theory, float(beta), sorted(part["n"].unique()))
        for quantity in QUANTITIES:
            known = fitted.loc[(beta, quantity)]
            rows.append((beta, quantity, known["predicted"], _law(exact, quantity).alpha, known["fitted"]))
    return pd.DataFrame(rows, columns=FINITE_SIZE_COLUMNS)


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

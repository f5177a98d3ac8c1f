"""Exponents of the simulations, and of the model itself at finite sizes."""

from __future__ import annotations

import pandas as pd

from rosetta.analysis.count_law import fit_count_law
from rosetta.analysis.scaling import fit_log_log
from rosetta.config.theory import Theory
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
PARTIAL_COUNTS = ("true_matches", "matches_above_null")
_COUNTS = ("matches", *PARTIAL_COUNTS)
FRONTIER_COLUMNS = ["beta", "n", "r0", "r_tau", "r0_continuum", "r_tau_continuum"]
FRONTIER_SIZES = [2**exponent for exponent in range(8, 18)]


def exponent_table(simulation: pd.DataFrame) -> pd.DataFrame:
    """Return the fitted exponent of each quantity and β, beside the prediction.

    Simulations of the served neurons alone and those of whole networks are fitted apart. Quantities
    without numbers have no row.

    Counts are fitted by `count_law`, sizes without a match included, as sums over the runs.
    Isolations are averaged over the runs at each size and fitted by least squares in log–log: the
    logarithm of a run without any unmatched feature does not exist. Intervals are those of the fit
    over sizes (95%).
    """
    rows = []
    for (beta, neurons), part in simulation.groupby(["beta", "neurons"], sort=False):
        predicted = predicted_exponents(float(beta))
        for quantity in (*QUANTITIES, *PARTIAL_COUNTS):
            if part[quantity].notna().any():
                rows.append(
                    (
                        beta,
                        neurons,
                        quantity,
                        predicted[_modelled(quantity)],
                        *_exponent(part, quantity),
                    )
                )
    return pd.DataFrame(rows, columns=EXPONENT_COLUMNS)


def finite_size_table(simulation: pd.DataFrame, theory: Theory) -> pd.DataFrame:
    """Return predicted, fitted and exact finite-size exponents on the same sizes.

    The power laws hold for N → ∞. What the simulation misses of them and the exact solution misses
    too is the finite size, not the matching.
    """
    rows = []
    for row in exponent_table(simulation).itertuples():
        sizes = simulation[
            (simulation["beta"] == row.beta) & (simulation["neurons"] == row.neurons)
        ]["n"]
        exact, _, _ = _exponent(
            _frontiers(theory, float(row.beta), sorted(sizes.unique())), _modelled(row.quantity)
        )
        rows.append((row.beta, row.neurons, row.quantity, row.predicted, exact, row.fitted))
    return pd.DataFrame(rows, columns=FINITE_SIZE_COLUMNS)


def _modelled(quantity: str) -> str:
    """Return which of the model's quantities a measured one is compared with."""
    return "matches" if quantity in PARTIAL_COUNTS else quantity


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
        [(f.n, f.r_tau, f.isolation_rosetta, f.isolation_rest) for f in rows],
        columns=["n", *QUANTITIES],
    )


def _exponent(rows: pd.DataFrame, quantity: str) -> tuple[float, float, float]:
    """Return the exponent of a quantity and the ends of its interval; sizes where it is not known
    are excluded.
    """
    runs = rows.dropna(subset=quantity).groupby("n")[quantity]
    means = runs.mean()
    if quantity in _COUNTS:
        counts = means * runs.size().min()  # the sums, where all sizes have as many runs
        law = fit_count_law(counts.index.to_numpy(), counts.to_numpy())
        return law.alpha, law.alpha - law.half_width, law.alpha + law.half_width
    line = fit_log_log(means.index.to_numpy(), means.to_numpy())
    return line.alpha, line.alpha_ci_low, line.alpha_ci_high

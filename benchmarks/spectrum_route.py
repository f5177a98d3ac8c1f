"""β by the slope of the covariance spectrum, in the theory's own networks (docs/theory.md, section
5.3).

Prints the table of that section: no sampling error is in it, because the covariance follows from
the planted loadings.
"""

from __future__ import annotations

import numpy as np

from rosetta.config.theory import TheorySimulation
from rosetta.theory.allocation import AllocationModel
from rosetta.theory.decay import fit_decay
from rosetta.theory.simulation import Cell, plant_whole

SIZES = (256, 512, 1024, 2304)
MAX_UNITS = 1024  # as many neurons are sampled of a larger network


def spectrum(loadings: np.ndarray, noise: float) -> np.ndarray:
    """Return the eigenvalues of the covariance of neurons with these loadings (n_neurons,
    n_features), falling.
    """
    found = np.full(len(loadings), noise**2)
    n = min(loadings.shape)
    found[:n] += np.linalg.eigvalsh(loadings.T @ loadings)[::-1][:n]
    return found


def slopes(
    beta: float, kappa: float, n: int, settings: TheorySimulation
) -> tuple[int, float, float]:
    """Return r0, β fitted on ranks 10 to a quarter of a sample of units, and on ranks 3 to r0 of
    all.
    """
    planted = plant_whole(Cell(AllocationModel(beta, kappa), n, 0), settings)
    loadings = planted.loadings[0].toarray().astype(float)
    sampled = loadings[np.random.default_rng(0).permutation(n)[:MAX_UNITS]]
    usual = fit_decay(spectrum(sampled, settings.noise), 10, len(sampled) // 4)
    served = fit_decay(spectrum(loadings, settings.noise), 3, len(planted.s))
    return len(planted.s), usual.beta, served.beta


def main() -> None:
    """Print the table."""
    settings = TheorySimulation()
    print(
        f"| true β | κ | r0 at N = {', '.join(f'{n:,}' for n in SIZES)} | ranks 10 to a "
        "quarter | ranks 3 to r0 |"
    )
    print("|---|---|---|---|---|")
    for beta in (1.5, 2.0, 2.5):
        for kappa in (1.0, 8.0, 32.0):
            found = [slopes(beta, kappa, n, settings) for n in SIZES]
            columns = [
                ", ".join(f"{value:.2f}" for value in column)
                for column in list(zip(*found, strict=True))[1:]
            ]
            print(
                f"| {beta:g} | {kappa:g} | {', '.join(str(one[0]) for one in found)} | "
                f"{' | '.join(columns)} |"
            )


if __name__ == "__main__":
    main()

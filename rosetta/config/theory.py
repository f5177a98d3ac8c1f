"""The configuration of the analytical model (docs/theory.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rosetta.config.base import Distinct, Section, Seed

Positive = Annotated[float, Field(gt=0, le=1e9)]
# Arrays with all features of a network of 131,072 neurons are held to solve its frontier.
Gamma = Annotated[float, Field(gt=0, le=500)]


class TheorySimulation(Section):
    """The synthetic validation of the analytical model (Dravid 2026, App. D.7)."""

    betas: Distinct[Annotated[float, Field(gt=1, le=100)]] = Field(
        [1.5, 2.0, 2.5], min_length=1, description="decays of importance to simulate"
    )
    sizes: Distinct[Annotated[int, Field(ge=2, le=1_000_000)]] = Field(
        [256, 512, 1024, 2048, 4096], min_length=1, description="numbers of neurons N"
    )
    runs: int = Field(3, ge=1, le=10_000, description="runs per decay and size")
    n_inputs: int = Field(
        10_000, ge=8, le=10**8, description="inputs M on which the two models are correlated"
    )
    background: int = Field(
        8, ge=1, le=10_000, description="features sampled for each neuron's interfering mixture"
    )
    background_pool: Literal["served", "all"] = Field(
        "served", description="sampled from the features that have a neuron, or from all A features"
    )
    interference: float = Field(1.0, gt=0, description="norm of the mixture")
    noise: float = Field(1.0, ge=0, description="noise level σ∞")
    seed: Seed = 0


class TheoryWhole(Section):
    """Simulations of whole networks, with the neurons that no feature gets; no sizes switch them
    off.
    """

    sizes: Distinct[Annotated[int, Field(ge=2, le=1_000_000)]] = Field(
        [256, 512, 1024, 2048], description="numbers of neurons N"
    )
    runs: int = Field(1, ge=1, le=10_000, description="runs per decay and size")
    n_inputs: int = Field(
        2000, ge=8, le=10**8, description="inputs M on which the networks are correlated"
    )


class TheorySweep(Section):
    """Robustness of the simulated exponents; empty lists switch it off, and `rosetta plan` tells
    what it would cost.
    """

    kappa: Distinct[Positive] = Field([], description="values of κ, at the other defaults")
    gamma: Distinct[Gamma] = Field([], description="values of γ")
    n_inputs: Distinct[Annotated[int, Field(ge=8, le=10**8)]] = Field([], description="values of M")

    def points(self) -> list[tuple[str, float]]:
        """Return the swept parameters and values, in order."""
        return [
            (name, value)
            for name in ("kappa", "gamma", "n_inputs")
            for value in getattr(self, name)
        ]


class TheoryDecay(Section):
    """How β is estimated without the match counts (docs/theory.md, section 5)."""

    first_rank: int = Field(10, ge=1, description="first rank of the fitted range")
    corpus_bytes: int = Field(
        20_000_000, ge=1000, description="text sampled from the corpus for its n-grams"
    )
    max_order: int = Field(3, ge=1, le=5, description="longest n-gram of the corpus features")
    min_count: int = Field(
        10, ge=2, description="an n-gram must be seen this often to count as a feature"
    )
    n_blocks: int = Field(
        20, ge=4, description="blocks of documents for the jackknife; parts of a file share one"
    )
    seed: Seed = Field(0, description="seed of the sample of documents")


# Up to this number of values (neurons × inputs) of one model, one job makes all simulations.
SMALL_SIMULATIONS = 2e9


class Theory(Section):
    """The analytical model: parameters, simulation and tests (docs/theory.md)."""

    kappa: Positive = Field(1.0, description="isolation budget per neuron, κ")
    gamma: Gamma = Field(4.0, description="features per neuron, γ")
    tau: float = Field(
        2.0, gt=1, le=1e9, description="isolation from which a feature is detectable, τ"
    )
    predict_sizes: Distinct[Annotated[float, Field(ge=1, le=1e15)]] = Field(
        [25_000.0, 250_000.0],
        description="neurons per model to which every ladder is extrapolated in the report",
    )
    simulation: TheorySimulation = TheorySimulation()
    whole: TheoryWhole = TheoryWhole()
    sweep: TheorySweep = TheorySweep()
    decay: TheoryDecay = TheoryDecay()

    @property
    def small(self) -> bool:
        """Whether one job makes all simulations."""
        grid, swept = self.simulation, 1 + len(self.sweep.points())
        values = grid.n_inputs * sum(grid.sizes) * grid.runs * swept
        values += self.whole.n_inputs * sum(self.whole.sizes) * self.whole.runs
        return len(grid.betas) * values <= SMALL_SIMULATIONS


def theory_problems(theory: Theory) -> list[str]:
    """Return simulations that serve more features than they have neurons."""
    settings, sweep = theory.simulation, theory.sweep
    simulated = [
        ("theory.kappa", theory.kappa, theory.gamma, [*settings.sizes, *theory.whole.sizes])
    ]
    simulated += [
        ("theory.sweep.kappa", kappa, theory.gamma, settings.sizes) for kappa in sweep.kappa
    ]
    simulated += [("theory.kappa", theory.kappa, gamma, settings.sizes) for gamma in sweep.gamma]
    return [
        f"{key}: at {kappa:g}, beta {beta:g} and N = {n} the allocation serves more features "
        "than there are neurons; "
        "lower it, or raise theory.simulation.sizes and theory.whole.sizes"
        for key, kappa, gamma, sizes in simulated
        for beta in settings.betas
        for n in sizes
        if serves_too_many(beta, kappa, gamma, n)
    ][:1]


def serves_too_many(beta: float, kappa: float, gamma: float, n: int) -> bool:
    """Tell whether the optimal allocation of a network of n neurons serves more than n features.

    It serves rank n + 1 where w_{n+1} (κn + n + 1) > w_1 + … + w_{n+1} (docs/theory.md, Eqs. 3–5).
    """
    if round(gamma * n) <= n:
        return False
    bound, total = kappa * n + n + 1, 0.0
    for rank in range(
        n + 1, 0, -1
    ):  # the smallest first, so that the sum ends before a steep β overflows
        total += ((n + 1) / rank) ** beta
        if total >= bound:
            return False
    return True

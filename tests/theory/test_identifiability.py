"""Sensitivity of the prediction against differences, and what counts can tell."""

import math

import numpy as np
import pytest

from rosetta.config.theory import Theory
from rosetta.theory import identifiability
from rosetta.theory.allocation import AllocationModel, continuum_frontier


@pytest.mark.parametrize(
    ("kappa", "gamma"),
    [(1.0, 4.0), (3e3, 0.5), (1e6, 0.5)],
    ids=["r0 < A", "r0 > A", "all features detectable"],
)
def test_elasticities_are_the_slopes(kappa, gamma):
    values, n = {"kappa": kappa, "gamma": gamma, "tau": 2.0}, 200_000
    found = identifiability.elasticities(AllocationModel(1.8, **values), n)
    for name in values:
        low, high = (
            continuum_frontier(AllocationModel(1.8, **{**values, name: values[name] * f}), n).r_tau
            for f in (0.999, 1.001)
        )
        slope = (math.log(high) - math.log(low)) / math.log(1.001 / 0.999)
        assert found[name] == pytest.approx(slope, abs=2e-3), name


def test_the_sensitivity_table_is_the_model():
    theory = Theory.model_validate({"simulation": {"betas": [2.0], "sizes": [500]}})
    table = identifiability.sensitivity_table(theory)
    assert len(table) == 3 * len(identifiability.FACTORS)
    gamma = table[table["parameter"] == "gamma"]
    assert gamma["r_tau"].nunique() == 1, "the count does not depend on γ while r0 < A"
    doubled = table[(table["parameter"] == "kappa") & (table["value"] == 2.0)]["r_tau"].item()
    assert doubled == continuum_frontier(AllocationModel(2.0, kappa=2.0), 500).r_tau


def test_the_bound_of_a_deviance_excludes_the_truth_one_time_in_twenty():
    """A line through n points whose true slope is known: n log(RSS/RSS_min) exceeds the bound in 5%
    of draws.
    """
    rng, x = np.random.default_rng(0), np.arange(4.0) - 1.5
    deviances = []
    for y in rng.normal(size=(4000, 4)):
        y = y - y.mean()
        rest = y - x * (x @ y) / (x @ x)
        deviances.append(4 * math.log((y @ y) / (rest @ rest)))
    assert np.mean(np.array(deviances) > identifiability.deviance_bound(4)) == pytest.approx(
        0.05, abs=0.012
    )
    assert identifiability.deviance_bound(10**6) == pytest.approx(3.8415, abs=1e-3)


def test_counts_tell_beta_but_not_tau():
    model = AllocationModel(1.6, kappa=4.0, tau=3.0)
    sizes = np.geomspace(500, 500_000, 6)
    noise = np.exp(np.random.default_rng(0).normal(0, 0.03, 6))
    counts = np.array([continuum_frontier(model, int(n)).r_tau for n in sizes]) * noise
    profiles = identifiability.count_profiles("l", "plain", sizes, counts).groupby("parameter")
    within = {name: part[part["deviance"] < part["bound"]]["value"] for name, part in profiles}
    assert within["beta"].min() <= 1.6 <= within["beta"].max()
    assert within["beta"].max() - within["beta"].min() < 0.3
    tau = profiles.get_group("tau")
    assert (tau["deviance"] < 3.84).all(), "τ only shifts the height, which κ does too"
    # Only κ/(1 + τ) is told, here 1: κ runs along with τ from one of its bounds to the other.
    assert within["kappa"].min() == pytest.approx(1 + identifiability.TAUS[0], rel=0.35)
    assert within["kappa"].max() == pytest.approx(1 + identifiability.TAUS[-1], rel=0.35)
    assert not len(identifiability.count_profiles("l", "plain", sizes[:2], counts[:2]))

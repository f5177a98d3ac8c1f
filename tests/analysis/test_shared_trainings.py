"""The law of counts whose groups share trainings: coverage, names and order, one group per rung."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from rosetta.analysis.count_law import fit_count_law, law_of

ALPHA = 0.7
SIZES = 128 * np.geomspace(1, 30, 6)


def groups_of_pairs(n_trainings=2, families=("a", "b")):
    """One row per group of all pairs of families: n · n of every rung."""
    rows = [
        ("-".join(pair), rung, f"{pair[0]}{rung}~{i}--{pair[1]}{rung}~{j}", size)
        for pair in itertools.combinations(families, 2)
        for rung, size in enumerate(SIZES)
        for i, j in itertools.product(range(n_trainings), repeat=2)
    ]
    return pd.DataFrame(rows, columns=["ladder", "rung", "models", "n_neurons"])


def drawn(table, rng, trained, placed=0.0, own=0.0, smallest=20.0):
    """Counts of a law with log-normal effects of trainings, rungs and counts."""
    members = table["models"].str.split("--")
    effects = dict.fromkeys(itertools.chain.from_iterable(members))
    effects = {model: rng.normal(0, trained) for model in effects}
    rungs = table.groupby(["ladder", "rung"], sort=False).ngroup()
    logs = rng.normal(0, placed, rungs.max() + 1)[rungs] + rng.normal(0, own, len(table))
    logs += [effects[one] + effects[other] for one, other in members]
    return rng.poisson(smallest * (table["n_neurons"] / SIZES[0]) ** ALPHA * np.exp(logs))


def test_the_interval_covers_the_exponent_where_groups_share_trainings():
    """Of 150 intervals at 95%, the binomial's quantile of 0.001 is the least that hold the
    exponent. Intervals that take every group for a rung of trainings of its own fail this.
    """
    table, rng = groups_of_pairs(), np.random.default_rng(0)
    alone = table.assign(rung=range(len(table)), models=[f"{i}" for i in range(len(table))])
    told, blind = [], []
    for _ in range(150):
        counts = drawn(table, rng, trained=0.25, own=0.05)
        for into, groups in ((told, table), (blind, alone)):
            law = law_of(groups.assign(count=counts))
            into.append(abs(law.alpha - ALPHA) < law.half_width)
    least = stats.binom.ppf(1e-3, 150, 0.95)
    assert np.sum(told) >= least
    assert np.sum(blind) < least


def test_the_interval_covers_the_exponent_of_ladders_that_share_trainings():
    """With effects of rungs, and one group each."""
    table, rng = groups_of_pairs(1, "abc"), np.random.default_rng(1)
    told = []
    for _ in range(60):
        law = law_of(table.assign(count=drawn(table, rng, 0.15, 0.1, smallest=8.0)))
        told.append(abs(law.alpha - ALPHA) < law.half_width)
    assert np.sum(told) >= stats.binom.ppf(1e-3, 60, 0.95)


def test_the_scatter_of_trainings_is_found():
    """Its mean over studies, from 12 trainings each."""
    table, rng = groups_of_pairs(), np.random.default_rng(3)
    found = [
        law_of(table.assign(count=drawn(table, rng, trained=0.2, smallest=300.0))).variances
        for _ in range(40)
    ]
    mean = pd.DataFrame(found).mean()
    assert mean["training"] == pytest.approx(0.04, rel=0.3)
    assert mean["residual"] < 0.002


@pytest.mark.parametrize("smallest", [2.0, 50.0])
def test_the_order_of_rows_and_the_names_of_models_do_not_matter(smallest):
    table = groups_of_pairs(2, "abc")
    table["count"] = drawn(table, np.random.default_rng(5), 0.2, 0.1, 0.05, smallest)
    mixed = table.sample(frac=1, random_state=0)
    members = mixed["models"].str.split("--")
    mixed["models"] = ["--".join(f"m{model[::-1]}" for model in group[::-1]) for group in members]
    one, other = law_of(table), law_of(mixed)
    assert (other.n_rungs, other.n_groups, other.n_trainings) == (18, 72, 36)
    assert other.alpha == pytest.approx(one.alpha, abs=1e-4)
    assert other.half_width == pytest.approx(one.half_width, rel=1e-3)
    assert other.df == pytest.approx(one.df, rel=1e-2)
    assert other.variances == pytest.approx(one.variances, abs=1e-4)
    assert other.heights == pytest.approx(one.heights, rel=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_one_group_per_rung_has_the_law_of_counts_without_trainings(seed):
    table = groups_of_pairs(1)
    counts = drawn(table, np.random.default_rng(seed), 0.2, smallest=3.0)
    one = law_of(table.assign(count=counts))
    bare = fit_count_law(table["n_neurons"], counts, table["ladder"])
    assert (one.alpha, one.half_width, one.df) == (bare.alpha, bare.half_width, bare.df)
    assert one.variances == bare.variances
    assert list(one.variances) == ["residual"]
    assert (one.n_trainings, bare.n_trainings) == (12, 6)


def test_a_law_like_another_takes_its_variances_and_has_no_interval():
    table, rng = groups_of_pairs(), np.random.default_rng(2)
    law = law_of(table.assign(count=drawn(table, rng, 0.2)))
    other = law_of(table.assign(count=drawn(table, rng, 0.2)), like=law)
    assert other.variances == law.variances
    assert np.isfinite(other.alpha)
    assert np.isnan(other.half_width)
    same = law_of(table.assign(count=drawn(table, np.random.default_rng(2), 0.2)), like=law)
    assert same.alpha == pytest.approx(law.alpha, abs=1e-5)

"""Cohen's kappa against scikit-learn and a simulation, and agreement with an exact judge."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from rosetta.judging.agreement import (
    AGREEMENT_COLUMNS,
    agreement_of,
    exact_agreement,
    judges_agreement,
)

RNG = np.random.default_rng(0)


def judges(rng, n, share=0.4, differ=0.2):
    first = rng.random(n) < share
    return first, np.where(rng.random(n) < differ, ~first, first)


@pytest.mark.parametrize("differ", [0.0, 0.1, 0.5, 0.9])
def test_kappa_is_that_of_scikit_learn(differ):
    first, second = judges(RNG, 500, differ=differ)
    found = agreement_of(first, second)
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert found.agreement == pytest.approx(np.mean(first == second))
    counts = (found.both, found.first_only, found.second_only, found.neither)
    assert sum(counts) == found.n == 500
    assert counts[1] == np.sum(first & ~second)


def test_the_interval_holds_the_true_kappa_as_often_as_it_says():
    """p = 0.4, a fifth turned round: expected agreement 0.4·0.44 + 0.6·0.56, κ = 0.5984…"""
    expected = 0.4 * 0.44 + 0.6 * 0.56
    true = (0.8 - expected) / (1 - expected)
    rng = np.random.default_rng(1)
    held = [
        found.ci_low <= true <= found.ci_high
        for found in (agreement_of(*judges(rng, 300)) for _ in range(2000))
    ]
    # Of 2,000 intervals 95%, 4 standard errors; they are asymptotic, so a point to either side.
    assert abs(np.mean(held) - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000) + 0.01


def test_equal_judges_agree_fully_and_constant_ones_have_no_kappa():
    first, _ = judges(RNG, 50)
    same = agreement_of(first, first)
    assert (same.agreement, same.kappa) == (1.0, 1.0)
    assert (same.ci_low, same.ci_high) == pytest.approx((1.0, 1.0))
    constant = agreement_of(np.ones(9, bool), np.ones(9, bool))
    assert constant.agreement == 1.0
    assert np.isnan([constant.kappa, constant.ci_low, constant.ci_high]).all()
    said = np.arange(9) < 4
    for pair in ((np.ones(9, bool), said), (said, np.zeros(9, bool))):
        one_sided = agreement_of(*pair)
        assert one_sided.kappa == pytest.approx(cohen_kappa_score(*pair), abs=1e-12)
        assert np.isnan([one_sided.ci_low, one_sided.ci_high]).all()
    nothing = agreement_of(np.array([], bool), np.array([], bool))
    assert nothing.n == 0
    assert np.isnan(nothing.agreement)


def verdicts(said, judge="m"):
    """Return verdicts on neurons of two stores, None where there is none."""
    rows = [("ab"[i % 2], 0, i, judge, one) for i, one in enumerate(said)]
    table = pd.DataFrame(rows, columns=["store", "layer", "unit", "judge", "is_monosemantic"])
    return table.astype({"is_monosemantic": "boolean"})


def test_judges_are_compared_where_both_answered():
    first, second = (
        verdicts([True, False, None, True, False]),
        verdicts([True, True, True, None, False], "n"),
    )
    table = judges_agreement(first, second.sample(frac=1, random_state=0)).set_index("store")
    assert table["n"].to_dict() == {"a": 2, "b": 1, "": 3}
    assert table["agreement"].to_dict() == pytest.approx({"a": 1.0, "b": 0.0, "": 2 / 3})
    assert table.loc["", "second_only"] == 1
    assert (table["judge"] + table["other"]).tolist() == ["mn"] * 3
    nothing = judges_agreement(first.head(0), second)
    assert nothing.empty
    assert list(nothing) == AGREEMENT_COLUMNS


def test_the_judge_is_compared_with_the_exact_one():
    said, explained = judges(RNG, 40)
    table = verdicts([bool(one) for one in said])
    flags = table[["store", "layer", "unit"]].assign(is_explained=explained)
    further = flags.assign(layer=7)  # neurons that no judge was asked about
    flags = pd.concat([further, flags], ignore_index=True)
    found = exact_agreement(table, flags).set_index("store")
    assert found.loc["", "kappa"] == pytest.approx(cohen_kappa_score(said, explained))
    assert found.loc["a", "n"] == 20
    assert set(found["other"]) == {"exact"}
    assert found.loc["", "first_only"] == np.sum(said & ~explained)

"""Precision, recall and F1 against counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosetta.filtering.precision_recall import PERCENTILES, percentile_sweep, recovery
from rosetta.filtering.select import percentile_of


def test_recovery_against_counting():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(400) < 0.3, np.round(rng.random(400), 1)
    selected = scores > 0.6
    found = recovery(selected, labels, scores)
    hits = sum(a and b for a, b in zip(selected, labels, strict=True))
    precision, recall = hits / selected.sum(), hits / labels.sum()
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        now = (taken & labels).sum() / labels.sum()
        area += (now - before) * (taken & labels).sum() / taken.sum()
        before = now
    assert found["average_precision"] == pytest.approx(area)


def test_recovery_of_nothing_is_not_a_number():
    found = recovery(np.zeros(3, bool), np.zeros(3, bool), np.arange(3.0))
    assert all(np.isnan(value) for value in found.values())


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=60))
def test_the_sweep_takes_what_the_gate_takes(documents):
    scores, labels = (
        np.array([score for score, _ in documents], float),
        np.array([label for _, label in documents]),
    )
    swept = percentile_sweep(labels, scores)
    assert list(swept["percentile"]) == list(PERCENTILES)
    for row in swept.to_dict("records"):
        taken = scores > percentile_of([scores], row["percentile"])
        found = recovery(taken, labels, scores)
        assert row["selected_documents"] == taken.sum()
        for name in ("precision", "recall"):
            assert row[name] == pytest.approx(found[name], nan_ok=True)

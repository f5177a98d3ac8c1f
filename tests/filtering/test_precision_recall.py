"""Precision, recall and F1 against counting."""

import numpy as np
import pytest

from rosetta.filtering.precision_recall import recovery


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

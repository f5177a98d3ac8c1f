"""Draws of neurons: disjoint, equal, of the same layers, and told where they are smaller."""

import numpy as np
import pytest
from judges import judge_settings

from rosetta.judging.trials import Candidates, draw_store, draw_trials, needed_images


def neurons(*counts, first=0):
    """Return (layer, unit) of so many neurons per layer."""
    some = [(layer, first + unit) for layer, n in enumerate(counts) for unit in range(n)]
    return np.array(some, np.int64).reshape(-1, 2)


def settings(**changes):
    return judge_settings("http://localhost/v1", **changes)


LARGE = Candidates("m", neurons(200, 400), neurons(3000, 900, first=1000))


@pytest.mark.parametrize("layer_matched", [True, False])
def test_trials_are_disjoint_and_of_the_size_that_is_asked_for(layer_matched):
    drawn = draw_trials(LARGE, settings(n_per_trial=100, layer_matched=layer_matched))
    table = drawn.trials
    assert drawn.n_each == 100
    assert drawn.note == ""
    assert not table.duplicated(["layer", "unit"]).any()
    assert (table.groupby(["trial", "is_rosetta"]).size() == 100).all()
    assert sorted(table["trial"].unique()) == [1, 2, 3, 4, 5]
    known = {True: set(map(tuple, LARGE.rosetta)), False: set(map(tuple, LARGE.others))}
    for is_rosetta, part in table.groupby("is_rosetta"):
        assert set(zip(part["layer"], part["unit"], strict=True)) <= known[is_rosetta]
    layers = [
        part.groupby("is_rosetta")["layer"].apply(lambda some: sorted(some)).tolist()
        for _, part in table.groupby("trial")
    ]
    assert all(others == rosetta for others, rosetta in layers) == layer_matched


def test_unmatched_others_are_of_any_layer():
    table = draw_trials(LARGE, settings(n_per_trial=100, layer_matched=False)).trials
    share = (table.loc[~table["is_rosetta"], "layer"] == 0).mean()
    assert abs(share - 3000 / 3900) < 4 * np.sqrt(0.77 * 0.23 / 500)
    share = (table.loc[table["is_rosetta"], "layer"] == 0).mean()
    assert abs(share - 200 / 600) < 4 * np.sqrt(0.33 * 0.67 / 500)


def test_a_draw_follows_from_seed_and_store_whatever_the_order_of_tables():
    first = draw_trials(LARGE, settings()).trials
    turned = Candidates("m", LARGE.rosetta[::-1], LARGE.others[::-1])
    assert draw_trials(turned, settings()).trials.equals(first)
    assert not draw_trials(LARGE, settings(seed=1)).trials.equals(first)
    other = Candidates("n", LARGE.rosetta, LARGE.others)
    units = draw_trials(other, settings()).trials["unit"]
    assert units.tolist() != first["unit"].tolist()


def test_too_few_neurons_make_smaller_equal_trials():
    """The example of the docstring: 30 + 10 couples."""
    few = Candidates("m", neurons(70, 10), neurons(30, 90, first=100))
    drawn = draw_trials(few, settings(n_trials=4, n_per_trial=100))
    assert drawn.n_each == 10
    assert drawn.note == (
        "m: 80 Rosetta Neurons and 120 others, so 4 disjoint trials of 10 of the same layers "
        "instead of 100"
    )
    assert not drawn.trials.duplicated(["layer", "unit"]).any()
    assert (drawn.trials.groupby(["trial", "is_rosetta"]).size() == 10).all()
    assert draw_trials(few, settings(n_trials=4, layer_matched=False)).n_each == 20


@pytest.mark.parametrize("some", [(neurons(), neurons(50)), (neurons(3), neurons(50, first=9))])
def test_trials_without_neurons_are_told(some):
    drawn = draw_trials(Candidates("m", *some), settings())
    assert drawn.trials.empty
    kinds = draw_trials(LARGE, settings()).trials.dtypes
    assert drawn.trials.dtypes.drop("store").equals(kinds.drop("store")), (
        "so it can be put to others"
    )
    assert drawn.note.endswith("too few of the same layers for 5 disjoint trials; not judged")


def test_neurons_of_the_validation_are_of_any_kind():
    drawn = draw_store(LARGE, settings(n_validated=60), n_images=100)
    table = drawn.validated.trials
    assert not table.duplicated(["layer", "unit"]).any()
    assert (table.groupby("trial").size() == 60).all()
    share = (table["unit"] < 1000).mean()
    assert abs(share - 600 / 4500) < 4 * np.sqrt(0.13 * 0.87 / 300)
    assert drawn.facts == {
        "store": "m",
        "n_rosetta": 600,
        "n_others": 3900,
        "n_per_trial": 20,
        "n_validated": 60,
        "note": "",
    }


def test_smaller_validations_and_none_are_told():
    few = Candidates("m", neurons(30), neurons(12, first=100))
    drawn = draw_store(few, settings(n_validated=60, n_per_trial=2), n_images=100)
    assert drawn.validated.n_each == 8
    assert drawn.facts["note"] == (
        "m: 42 live neurons, so 5 trials of 8 instead of 60 are validated"
    )
    enough = needed_images(5)
    assert draw_store(LARGE, settings(n_validated=3), enough).validated.n_each == 3
    short = draw_store(LARGE, settings(n_validated=3), enough - 1)
    assert short.validated.trials.empty
    assert short.facts["note"].startswith("m: 19 images, fewer than the 20 that a validation with")
    assert draw_store(LARGE, settings(n_validated=3), None).facts["note"] == "", "texts have none"

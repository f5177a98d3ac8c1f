"""Scratch folders of jobs: what a killed job finished is found again, or removed, never taken for
something else.
"""

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_stores
from workflow_runs import TINY

import rosetta.matching.views
from rosetta.config import parse_config
from rosetta.correlation.view import View
from rosetta.matching.views import match_view, view_scratch
from rosetta.storage.atomic import scratch_folder

CONFIG = parse_config({**TINY, "results": "results"})


class Killed(BaseException):
    pass


def save_pair(folder, seed=0):
    for side, name in enumerate("ab"):
        rng = np.random.default_rng([seed, side])
        ranges = random_ranges(rng, [60, 40], truncate=False)
        save_stores(
            folder / name, rng.normal(size=(1, len(ranges[0]), 6)).astype(np.float32), ranges, 2
        )
    return folder / "a", folder / "b"


@pytest.fixture
def correlated(monkeypatch):
    """What was correlated: a list that grows."""
    seen, original = [], rosetta.matching.views.correlate_orders

    def watched(*arguments, view, **others):
        seen.extend(view.permute_seeds)
        return original(*arguments, view=view, **others)

    monkeypatch.setattr(rosetta.matching.views, "correlate_orders", watched)
    return seen


def matches(stores, out, seeds, dies=False):
    with view_scratch(out) as scratch:
        found = [
            match_view(CONFIG, *stores, scratch, View(permute_seeds=(seed,)))[0] for seed in seeds
        ]
        if dies:
            raise Killed
    return found


def test_settings_that_a_killed_job_finished_are_not_correlated_again(tmp_path, correlated):
    stores, out = save_pair(tmp_path), tmp_path / "out" / "pair.parquet"
    with pytest.raises(Killed):
        matches(stores, out, [0, 1], dies=True)
    again = matches(stores, out, [0, 1, 2])
    assert correlated == [0, 1, 2]
    for one, other in zip(again, matches(stores, out, [0, 1, 2]), strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert correlated == [0, 1, 2, 0, 1, 2], "a job that ended leaves nothing"
    assert list(out.parent.iterdir()) == []


def test_what_was_found_in_other_stores_is_not_used(tmp_path, correlated):
    out = tmp_path / "out" / "pair.parquet"
    with pytest.raises(Killed):
        matches(save_pair(tmp_path), out, [0], dies=True)
    matches(save_pair(tmp_path, seed=1), out, [0])
    assert correlated == [0, 0]


def fail_in(folder, keep):
    with scratch_folder(folder, keep=keep) as scratch:
        (scratch / "half").touch()
        raise Killed


@pytest.mark.parametrize("keep", [True, False])
def test_a_scratch_folder_is_gone_on_with_or_begun_again(tmp_path, keep):
    folder = tmp_path / ".scratch"
    folder.mkdir()
    (folder / "of a killed one").touch()
    with pytest.raises(Killed):
        fail_in(folder, keep)
    assert folder.exists() == keep
    with scratch_folder(folder, keep=keep) as scratch:
        assert len(list(scratch.iterdir())) == 2 * keep
    assert not folder.exists()

"""Thresholds of several ladders, drawn alike: what the seeds that ladders share do to all of them
is no error apart.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.intervals import half_sample_error
from rosetta.analysis.null_thresholds import LadderNull
from rosetta.analysis.replicates import replicate_table
from rosetta.config import parse_config
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet

N_LADDERS, N_SEEDS, N_MATCHES, N_HALVES = 3, 5, 120, 22
STATISTIC = "above_documents"
# Matches of equal distance on Fisher's scale, all of them on every half-sample: a count is its
# threshold, turned about.
Z = np.linspace(0.0, 1.0, 401)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three ladders of one rung, and one more of two."""
    models = {name: {"path": name} for name in "abcdefgh"}
    ladders = {
        "one": [["a", "b"]],
        "two": [["c", "d"]],
        "three": [["e", "f"]],
        "long": [["a", "b"], ["g", "h"]],
    }
    paths = Paths(tmp_path_factory.mktemp("run"))
    names = dict.fromkeys(MATCH_COLUMNS, 0) | {"model_a": "a", "model_b": "b"}
    table = pd.DataFrame(
        {**names, "unit_a": np.arange(len(Z)), "unit_b": np.arange(len(Z)), "r": np.tanh(Z)}
    )
    halves = pd.concat([table.assign(half_sample=number) for number in range(N_HALVES)])
    for pair in ("a--b", "c--d", "e--f", "g--h"):
        write_parquet(
            paths.replicates(pair), halves, {"interval": "rematched", "n_half_samples": N_HALVES}
        )
    return parse_config({"models": models, "ladders": ladders}), paths


def nulls_of(rng, config):
    """Nulls with hubs that are common to a seed in all ladders."""
    hubs, found = rng.normal(0, 0.05, (N_SEEDS, 1)), {}
    for ladder, rungs in config.ladders.items():
        frames = []
        for _ in rungs:
            r = np.tanh(rng.exponential(0.05, (N_SEEDS, N_MATCHES)) + hubs)
            frames.append(
                pd.DataFrame({"seed": np.arange(N_SEEDS).repeat(N_MATCHES), "r": r.ravel()})
            )
        found[ladder] = {STATISTIC: LadderNull.of(frames, list(range(N_SEEDS)), one_draw=True)}
    return found


def thresholds(config, paths, nulls):
    """The thresholds of the first rungs that half-samples were counted above, from the counts:
    (n_ladders, R).
    """
    table = replicate_table(config, paths, nulls)
    table = table[(table["statistic"] == STATISTIC) & (table["rung"] == 0)]
    counts = table.pivot(index="ladder", columns="half_sample", values="matches").loc[
        list(config.ladders)
    ]
    return 1 - counts.to_numpy() / (len(Z) - 1)


def test_the_error_of_the_mean_threshold_of_ladders_that_share_seeds(run):
    config, paths = run
    three = config.model_copy(update={"ladders": dict(list(config.ladders.items())[:N_LADDERS])})
    rng = np.random.default_rng(0)
    told = [
        half_sample_error(thresholds(three, paths, nulls_of(rng, three)).mean(axis=0))
        for _ in range(30)
    ]
    truth = [
        np.mean(
            [np.arctanh(null[STATISTIC].threshold(0.99)) for null in nulls_of(rng, three).values()]
        )
        for _ in range(400)
    ]
    ratio = float(np.sqrt(np.mean(np.square(told)))) / np.std(truth, ddof=1)
    assert 0.85 < ratio < 1.3, "drawn apart, three ladders are told 0.74 of it"


@pytest.mark.parametrize("one_draw", [True, False])
def test_ladders_are_drawn_alike(run, one_draw):
    """Ladders with the same null have the same thresholds on every half-sample, whatever else is in
    the run.
    """
    config, paths = run
    nulls = nulls_of(np.random.default_rng(1), config)
    same = replace(nulls["one"][STATISTIC], one_draw=one_draw)
    found = thresholds(
        config, paths, {**nulls, **{name: {STATISTIC: same} for name in ("one", "two", "three")}}
    )
    assert np.ptp(found[0]) > 0.01
    assert (found[:N_LADDERS] == found[0]).all()


def test_rungs_are_drawn_alike_in_ladders_of_more_and_of_fewer_of_them(run):
    """Twins are drawn per rung: of a ladder whose second rung has no null match, only the first
    rung's draws tell.
    """
    config, _ = run
    short = replace(nulls_of(np.random.default_rng(2), config)["one"][STATISTIC], one_draw=False)
    long = replace(short, n_rungs=2)
    assert long.redrawn(0.99, 19, STATISTIC) == pytest.approx(short.redrawn(0.99, 19, STATISTIC))

"""Half-samples of several pairs are joined, so they have to be of the same documents, whatever each
pair aligns.
"""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.replicates import replicate_table
from rosetta.config import parse_config
from rosetta.correlation.aligned import AlignedPair
from rosetta.correlation.resample import MIN_CLUSTERS, half_samples, sample_blocks
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet

CLUSTERS = np.array([f"c{i}" for i in range(24)]).repeat(2)


def halves_of(positions):
    """The documents of every half-sample of a pair that has so many aligned positions in each."""
    blocks = sample_blocks(AlignedPair(None, None, positions, CLUSTERS, None), 24)
    found = [
        np.repeat(np.arange(len(CLUSTERS)), positions)[half[blocks.of_position]]
        for half in half_samples(blocks.n)
    ]
    return blocks, [set(half.tolist()) for half in found]


def test_pairs_that_align_other_documents_have_the_same_half_samples():
    whole, documents = halves_of(np.full(len(CLUSTERS), 5))
    fewer = np.where(np.isin(CLUSTERS, ["c3", "c8", "c20"]), 0, 5)
    part, aligned = halves_of(fewer)
    assert (whole.n, part.n) == (24, 24)
    assert aligned == [half - set(np.flatnonzero(fewer == 0).tolist()) for half in documents]
    assert part.shares.mean() == pytest.approx(0.5)
    few, none = halves_of(np.where(np.arange(len(CLUSTERS)) < 2 * (MIN_CLUSTERS - 1), 5, 0))
    assert (few.n, none) == (0, []), "too few clusters have positions for an interval"


def test_half_samples_of_other_documents_are_not_joined(tmp_path):
    names = "abcd"
    ladders = {"l": [["a", "b"], ["a", "c"], ["a", "d"]], "three": [["a", "b", "c"]]}
    config, paths = (
        parse_config({"models": {name: {"path": name} for name in names}, "ladders": ladders}),
        Paths(tmp_path),
    )
    for pair, n in {"a--b": 38, "a--c": 22, "a--d": 38}.items():
        table = pd.DataFrame(
            [dict.fromkeys(MATCH_COLUMNS, 0) | {"model_a": "a", "model_b": "b", "r": 0.5}]
        )
        halves = pd.concat([table.assign(half_sample=number) for number in range(n)])
        write_parquet(
            paths.replicates(pair), halves, {"interval": "rematched", "n_half_samples": n}
        )
    found = replicate_table(config, paths, {"l": {}, "three": {}})
    counted = found.groupby(["ladder", "rung"])["matches"].agg(["size", "sum"])
    assert counted.index.tolist() == [("l", 0), ("l", 2)], (
        "neither the pair of 22 half-samples nor the group with it"
    )
    assert counted.to_numpy().tolist() == [[38, 38], [38, 38]]

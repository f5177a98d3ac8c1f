"""The choice of the neurons that filter."""

import numpy as np
import pandas as pd
import pytest

from rosetta.errors import StoreError
from rosetta.filtering.choose import best_candidates, candidates, choose, with_roles

CONTEXTS = pd.DataFrame(
    [
        (layer, unit, rank, 1, domain, 0, 1, value)
        for (layer, unit), rows in {
            (0, 0): [("js", 9.0), ("js", 8.0), ("py", 7.0)],
            (0, 1): [("js", 6.0), ("js", 5.0), ("js", 0.5)],  # the third does not exceed its mean
            (1, 0): [("js", 3.0), ("js", 3.0), ("py", 3.0)],
            (1, 1): [("js", 5.0), ("js", 4.0), ("js", 3.0)],
            (1, 2): [("js", 9.0), ("js", 9.0), ("js", 9.0)],  # dead
        }.items()
        for rank, (domain, value) in enumerate(rows, start=1)
    ],
    columns=["layer", "unit", "rank", "document", "domain", "byte_start", "byte_end", "value"],
)
NEURONS = pd.DataFrame(
    {
        "layer": [0, 0, 1, 1, 1],
        "unit": [0, 1, 0, 1, 2],
        "activation_mean": 1.0,
        "activation_variance": [4.0, 4.0, 1.0, 4.0, 0.0],
    }
)


def test_the_neuron_is_chosen_by_purity_and_then_by_normalised_activation():
    table = candidates(NEURONS, CONTEXTS, np.array([True, True, True, False, True]), "js", 3)
    assert list(zip(table["layer"], table["unit"], strict=True)) == [(1, 1), (0, 0), (1, 0), (0, 1)]
    assert table["purity"].tolist() == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3])
    assert table["mean_activation"].tolist() == pytest.approx([1.5, 3.5, 2.0, (2.5 + 2 - 0.25) / 3])
    chosen = choose(table.assign(is_rosetta=[False, True, True, False]))
    assert chosen == {"rosetta": (0, 0), "non_rosetta": (0, 1), "non_rosetta_best": (1, 1)}
    roles = with_roles(table, chosen)["role"].tolist()
    assert roles == ["non_rosetta_best", "rosetta", "", "non_rosetta"]
    assert len(best_candidates(with_roles(table, chosen), 1)) == 3


def test_fewer_contexts_make_another_purity():
    table = candidates(NEURONS, CONTEXTS, np.ones(5, bool), "js", 2)
    assert table["purity"].tolist() == [1.0] * 4


def test_no_context_or_no_candidate_is_told():
    with pytest.raises(
        StoreError, match=r"no neuron has a top context in 'rust'; there are js, py"
    ):
        candidates(NEURONS, CONTEXTS, np.ones(5, bool), "rust", 3)
    with pytest.raises(
        StoreError, match="no candidate for the best other neuron of the same layer"
    ):
        choose(candidates(NEURONS, CONTEXTS, np.ones(5, bool), "js", 3))
    with pytest.raises(StoreError, match="no candidate for the best Rosetta Neuron"):
        choose(candidates(NEURONS, CONTEXTS, np.zeros(5, bool), "js", 3))

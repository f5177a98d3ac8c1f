"""The figures of the controls where a run has little: no smaller budget, pairs in larger groups
only.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.stability import STABILITY_COLUMNS
from rosetta.config import parse_config
from rosetta.report.control_figures import _budget, _size
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_csv

MODELS = {name: {"path": name} for name in "abcdef"}


def budgets(rungs: dict[str, int]) -> pd.DataFrame:
    rows = [
        {
            "ladder": ladder,
            "rung": rung,
            "models": "m",
            "n_neurons": 100.0,
            "sweep": "budget",
            "setting": str(half),
            "n_positions": 1000 * half,
            "matches": 10,
            "jaccard": 0.5,
            "alpha": 0.5,
        }
        for ladder, n in rungs.items()
        for rung in range(n)
        for half in (1, 2)
    ]
    return pd.DataFrame(rows).reindex(columns=STABILITY_COLUMNS)


@pytest.fixture
def figure(tmp_path):
    """Draw the budget figure of a table."""

    def draw(table):
        write_csv(Paths(tmp_path).table("stability"), table)
        drawn = _budget(None, Paths(tmp_path))
        drawn.canvas.draw()
        plt.close(drawn)
        return drawn

    return draw


def test_too_few_documents_for_a_budget_are_told(figure):
    drawn = figure(budgets({"l": 2}).assign(sweep="split_half"))
    assert {axes.get_title() for axes in drawn.axes} == {"too few samples for a smaller budget"}


def test_the_exponent_of_every_ladder_is_drawn_whatever_its_number_of_rungs(figure):
    drawn = figure(budgets({"long": 3, "short": 2}))
    placed = [
        line
        for line in drawn.axes[2].lines
        if len(line.get_xdata()) == 2 and np.ptp(line.get_xdata()) > 1
    ]
    assert len(placed) == 2


def test_the_largest_pair_is_found_in_larger_groups_too():
    ladders = {"triple": [["a", "b", "c"], ["d", "e", "f"]], "pair": [["a", "b"]]}
    config = parse_config({"models": MODELS, "ladders": ladders})
    counts = pd.DataFrame(
        {
            "ladder": ["triple", "triple", "pair"],
            "rung": [0, 1, 0],
            "n_neurons": [100.0, 400.0, 100.0],
        }
    )
    assert [_size(config, counts, pair) for pair in (("a", "b"), ("d", "e"), ("d", "f"))] == [
        100,
        400,
        400,
    ]

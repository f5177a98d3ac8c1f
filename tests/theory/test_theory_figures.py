"""What the theory's figures must not hide."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from rosetta.report.theory_figures import COUNT_MARKERS, _draw_exponent_rows
from rosetta.theory.comparison import COMPARISON_COLUMNS


def exponents(**changed):
    row = dict.fromkeys(COMPARISON_COLUMNS, np.nan)
    row |= {
        "ladder": "l",
        "quantity": "matches",
        "group": "rosetta",
        "statistic": "plain",
        "route": "ngrams",
    }
    row |= {"predicted": 0.5, "predicted_ci_low": 0.4, "predicted_ci_high": 0.6}
    row |= {"measured": 0.7, "measured_ci_low": 0.6, "measured_ci_high": 0.8}
    return pd.DataFrame([row | changed])


def drawn(table):
    figure, axes = plt.subplots()
    _draw_exponent_rows(axes, table, COUNT_MARKERS)
    lines = [(line.get_marker(), line.get_xdata()) for line in axes.lines if len(line.get_xdata())]
    limits = axes.get_xlim()
    plt.close(figure)
    return lines, limits


def test_every_estimate_lies_inside_of_the_axes_and_cut_intervals_are_marked():
    lines, (low, high) = drawn(
        exponents(measured=-1.63, measured_ci_low=-9.0, measured_ci_high=5.0)
    )
    assert all(low <= x <= high for _, values in lines for x in values if x == x)
    assert -1.63 in np.concatenate([values for _, values in lines])
    assert {marker: values.tolist() for marker, values in lines if marker in "<>"} == {
        "<": [low],
        ">": [high],
    }


def test_an_interval_that_fits_has_no_arrowhead():
    lines, _ = drawn(exponents())
    assert not [marker for marker, _ in lines if marker in ("<", ">")]

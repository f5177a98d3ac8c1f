"""The report's words on autoencoders, and their figure, from tables of known content."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rosetta.report.sae_figure import SaeTables, draw_sae
from rosetta.report.sae_section import (
    explained_sentence,
    feature_sentences,
    neuron_sentences,
)
from rosetta.run.paths import Paths
from rosetta.sae.columns import (
    SAE_COLUMNS,
    SAE_FEATURE_COLUMNS,
    SAE_FEATURE_SCALING_COLUMNS,
    SAE_MEASURES,
    SAE_POLARIZATION_COLUMNS,
    SAE_TREND_COLUMNS,
)
from rosetta.storage.tables import write_csv

ABOVE = "rosetta_above_documents"
# Of Rosetta Neurons and of the others at the largest rung; half of the interval of the difference.
VALUES = {
    "unexplained": (0.2, 0.5, 0.1),
    "participation": (9.0, 8.0, 2.0),
    "interference": (0.4, 0.3, np.nan),
}


def means(above=True):
    rows = []
    for rung, size in enumerate((100, 200)):
        for measure, (own, others, half) in VALUES.items():
            gap = own - others
            found = {
                "rosetta": (own, 0.01),
                "non_rosetta": (others, 0.01),
                "difference": (gap, half),
            }
            if above:
                found |= {ABOVE: (own, 0.01), "difference_above_documents": (gap, half)}
            rows += [
                {
                    "ladder": "x-y",
                    "rung": rung,
                    "n_neurons": size,
                    "group": group,
                    "statistic": measure,
                    "mean": mean,
                    "ci_low": mean - wide,
                    "ci_high": mean + wide,
                    "n": 9,
                }
                for group, (mean, wide) in found.items()
            ]
    return pd.DataFrame(rows)[SAE_POLARIZATION_COLUMNS]


def trends(slope=-0.1, half=0.05):
    rows = [
        {
            "ladder": "x-y",
            "group": group,
            "statistic": measure,
            "slope": slope,
            "slope_ci_low": slope - half,
            "slope_ci_high": slope + half,
            "n_rungs": 2,
        }
        for measure in SAE_MEASURES
        for group in ("difference", "difference_above_documents")
    ]
    return pd.DataFrame(rows)[SAE_TREND_COLUMNS]


def test_differences_and_trends_are_told_by_rule():
    words = (
        "x-y, at 200 neurons: the share of its variance that is left unexplained is 0.2 against "
        "0.5, smaller in Rosetta Neurons (-0.3, -0.4 to -0.2), and the difference {} with size "
        "({} per doubling, {}); the number of features that its activation takes is 9 against 8, "
        "which cannot be told apart (1, -1 to 3), and the difference {} with size ({} per "
        "doubling, {}); its interference is 0.4 against 0.3 (the difference has no interval)."
    )
    for above in (True, False):
        told = neuron_sentences(means(above), trends(), "x-y")
        falls = ("falls", "-0.1", "-0.15 to -0.05")
        assert told == words.format(*falls, *falls)
    rises = ("rises", "0.1", "0.05 to 0.15")
    assert neuron_sentences(means(), trends(0.1), "x-y") == words.format(*rises, *rises)
    flat = ("shows no trend", "0.01", "-0.04 to 0.06")
    assert neuron_sentences(means(), trends(0.01), "x-y") == words.format(*flat, *flat)
    none = trends().iloc[:0]
    assert "per doubling" not in neuron_sentences(means(), none, "x-y")
    assert "per doubling" not in neuron_sentences(means(), trends(half=np.nan), "x-y")


def test_of_rungs_of_one_size_the_last_is_told():
    table = means()
    other = table[table["rung"] == 1].assign(rung=2, mean=7.0)
    told = neuron_sentences(pd.concat([other, table]), trends(), "x-y")
    assert told.startswith(
        "x-y, at 200 neurons: the share of its variance that is left unexplained"
    )
    assert told.count("is 7 against 7") == 3
    again = features()
    third = again[again["rung"] == 1].assign(rung=2, above_documents=33.0)
    told = feature_sentences(pd.concat([third, again]), laws(), ["x-y"])
    assert told.startswith("x-y: at the largest rung 33 of 600")


def features(counted=True):
    rows = [
        {
            "ladder": "x-y",
            "rung": rung,
            "models": "x--y",
            "n_neurons": size,
            "n_features": 4 * size,
            "n_live": 3 * size,
            "matches": size,
            "matches_ci_low": size - 5,
            "matches_ci_high": size + 5,
            "above_documents": size / 2 if counted else np.nan,
            "above_documents_ci_low": size / 2 - 5,
            "above_documents_ci_high": size / 2 + 5,
        }
        for rung, size in enumerate((100, 200))
    ]
    return pd.DataFrame(rows).reindex(columns=SAE_FEATURE_COLUMNS)


def laws(alpha=0.6, half=0.2):
    rows = [
        {
            "size": size,
            "ladder": "x-y",
            "statistic": statistic,
            "alpha": alpha,
            "alpha_ci_low": alpha - half,
            "alpha_ci_high": alpha + half,
            "c": 2.0,
        }
        for size in ("n_neurons", "n_live")
        for statistic in ("plain", "above_documents")
    ]
    return pd.DataFrame(rows).reindex(columns=SAE_FEATURE_SCALING_COLUMNS)


LAWS = {
    "sublinear": (
        (0.6, 0.2),
        "Their number grows sublinearly with size: α is 0.60 (0.40 to 0.80); against live "
        "features, 0.60.",
    ),
    "linear": ((1.0, 0.2), "Their number grows with size: α is 1.00 (0.80 to 1.20)"),
    "unknown": ((0.1, 0.2), "Their number is not shown to grow with size: α is 0.10 (-0.10 to"),
    "two rungs": ((0.6, np.nan), "The exponent of their number is 0.60, without an interval;"),
    "one size": ((np.nan, np.nan), "Their number has no exponent."),
}


@pytest.mark.parametrize("case", LAWS)
def test_matches_of_features_and_their_law_are_told_by_rule(case):
    (alpha, half), words = LAWS[case]
    told = feature_sentences(features(), laws(alpha, half), ["x-y"])
    first = "x-y: at the largest rung 100 of 600 live features match above exchanged samples. "
    assert told.startswith(first + words)
    plain = feature_sentences(features(counted=False), laws(alpha, half), ["x-y"])
    assert plain.startswith("x-y: at the largest rung 200 of 600 live features match, by chance")


def test_a_ladder_that_is_not_counted_is_told():
    table = pd.concat([features(), features(counted=False).assign(ladder="x-z")])
    told = feature_sentences(table, laws(), ["x-y", "x-z"])
    assert told.endswith("x-z: matches of features are not counted above the null.")


def test_what_autoencoders_explain_is_told():
    rows = [
        {"model": name, "explained_variance": share, "dead_share": dead, "l0": active}
        for name, share, dead, active in (("x", 0.71, 0.0, 7.9), ("y", 0.84, 0.25, 8.0))
    ]
    assert explained_sentence(pd.DataFrame(rows).reindex(columns=SAE_COLUMNS)) == (
        "Of the variance on samples that they were not trained on, autoencoders explain 71% to "
        "84%, by the model, with 7.9 to 8.0 active features at a position. At most 25% of their "
        "features are dead."
    )


@pytest.mark.parametrize("counted", [True, False])
def test_the_figure_shows_both_groups_and_the_law(tmp_path, counted):
    paths = Paths(tmp_path)
    tables = {
        "sae_polarization": means(above=counted),
        "sae_features": features(counted),
        "sae_feature_scaling": laws(),
    }
    for name, table in tables.items():
        write_csv(paths.table(name), table)
    figure = draw_sae(SaeTables.read(paths))
    figure.canvas.draw()
    *measures, matched = figure.axes
    for axes, (own, others, _) in zip(measures, VALUES.values(), strict=True):
        lines = {line.get_linestyle(): list(line.get_ydata()) for line in axes.get_lines()}
        assert lines["-"] == [own, own]
        assert lines["--"] == [others, others]
    points, law = matched.get_lines()
    assert list(points.get_ydata()) == ([50, 100] if counted else [100, 200])
    np.testing.assert_allclose(law.get_ydata(), 2 * np.array([100.0, 200.0]) ** 0.6)
    assert law.get_label() == "α = 0.60"
    plt.close(figure)


def test_a_figure_without_matches_says_so(tmp_path):
    none = features().assign(above_documents=0.0)
    figure = draw_sae(SaeTables(means(), none, laws(np.nan, np.nan)))
    assert figure.axes[-1].get_title(loc="left") == "no feature matches above the null"
    plt.close(figure)

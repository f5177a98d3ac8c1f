"""Figures of single neurons: which groups they show, and what becomes of rungs without Rosetta
Neurons.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from neuron_populations import CONFIG, population

from rosetta.analysis.depth import depth_table, layer_pairs
from rosetta.analysis.groups import (
    MODEL_POLARIZATION_COLUMNS,
    RUNG_SPECIALIZATION_COLUMNS,
    polarization_tables,
    specialization_tables,
)
from rosetta.analysis.populations import Rung
from rosetta.models.neurons import NeuronShape
from rosetta.report import neuron_figures
from rosetta.report.neuron_figures import FIGURES, draw_neuron_figures
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_csv

BOTH = ("above_documents", "above_untrained")


def ladder(nulls):
    """A model of one layer is in two rungs; the largest model has nothing above any null."""
    small, partner, large = (
        population(name, layers, nulls) for name, layers in (("x-s", 1), ("y-s", 1), ("y-m", 2))
    )
    largest = population("x-l", 4, nulls, n_above=0)
    rungs = [[small, partner], [small, large], [largest, large]]
    return [Rung("l", number, "g", members) for number, members in enumerate(rungs)]


def draw(paths, nulls):
    """Draw all figures; return them before they are saved, by name."""
    rungs = ladder(nulls)
    populations = {one.model: one for rung in rungs for one in rung.populations}.values()
    for name, table in zip(
        ("polarization", "polarization_by_model"), polarization_tables(rungs, CONFIG), strict=True
    ):
        write_csv(paths.table(name), table)
    write_csv(
        paths.table("specialization_by_rung"), specialization_tables(populations, rungs, CONFIG)[1]
    )
    write_csv(paths.table("depth"), depth_table(rungs, CONFIG.bootstrap))
    matches = pd.DataFrame({"layer_a": [0, 0], "layer_b": [0, 0], "r": [0.5, 0.7]})
    pairs = layer_pairs(matches, NeuronShape(1, 20), NeuronShape(2, 20)).assign(
        model_a="x-s", model_b="y-m"
    )
    write_csv(paths.table("layer_pairs"), pairs)
    drawn = draw_neuron_figures(paths)
    for figure in drawn.values():
        figure.canvas.draw()
    return drawn


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("nulls", "shown"),
    [
        ((), ["Rosetta", "other"]),
        (("above_documents",), ["Rosetta", "Rosetta, above exchanged samples", "other"]),
        (BOTH, ["Rosetta", "Rosetta, above untrained", "other"]),
    ],
    ids=["no null", "documents", "both"],
)
def test_the_stricter_null_that_there_is_is_shown_beside_all_matches(tmp_path, nulls, shown):
    drawn = draw(Paths(tmp_path), nulls)
    assert set(drawn) == set(FIGURES)
    assert all(
        legend(drawn[name]) == shown for name in ("polarization", "statistics", "specialization")
    )
    titles = [axis.get_title() for axis in drawn["depth"].axes if axis.get_title()]
    assert titles == ["l", *(f"l: {name}" for name in shown[1:-1])]


def test_a_model_is_drawn_in_each_of_its_rungs_and_blank_without_rosetta_neurons(tmp_path):
    everything, above = (
        axis for axis in draw(Paths(tmp_path), BOTH)["depth"].axes if axis.get_title()
    )
    labels = [label.get_text() for label in above.get_yticklabels()]
    assert labels == ["x-s  4", "y-s  4", "x-s  4", "y-m  4", "y-m  4", "x-l  0"]
    cells = [
        [mesh.get_array().ravel() for mesh in axis.collections] for axis in (everything, above)
    ]
    assert [len(row) for row in cells[0]] == [1, 1, 1, 2, 2, 4], "no bin is without a layer"
    assert all(np.isfinite(row).all() for row in [*cells[0], *cells[1][:5]])
    assert np.ma.getmaskarray(np.ma.masked_invalid(cells[1][5])).all(), (
        "no Rosetta Neuron above the null"
    )
    # Eight of the first twenty of eighty neurons: four times what an even spread would leave there.
    np.testing.assert_allclose(cells[0][5], [4, 0, 0, 0])


def test_panels_of_vocabulary_kurtosis_share_one_scale_and_leave_no_hole(tmp_path):
    figure = draw(Paths(tmp_path), BOTH)["polarization"]
    panels = [axis for axis in figure.axes if axis.get_title()]
    assert len(panels) == len(figure.axes) == 2
    assert len({axis.get_ylim() for axis in panels}) == 1


def test_pairs_of_layers_have_numbers_where_they_are_few_and_a_scale_where_they_are_many(tmp_path):
    paths = Paths(tmp_path)
    (few,) = draw(paths, ())["layer_pairs"].axes
    shown = {text.get_position(): text.get_text() for text in few.texts}
    assert shown == {(0.5, 0.5): "2", (1.5, 0.5): "0"}
    assert few.get_xlabel() == "layer of y-m"

    matches = pd.DataFrame({"layer_a": range(9), "layer_b": 8, "r": 0.5})
    pairs = layer_pairs(matches, NeuronShape(9, 20), NeuronShape(9, 20))
    write_csv(paths.table("layer_pairs"), pairs.assign(model_a="x", model_b="y"))
    many, scale = draw_neuron_figures(paths)["layer_pairs"].axes
    assert not many.texts
    np.testing.assert_array_equal(many.collections[0].get_array(), np.eye(9)[[8] * 9])
    assert scale.get_ylim() == (0, 1)


def test_a_mean_without_an_interval_has_no_bar():
    """Not one of no length, with caps, which looks exact."""
    table = pd.DataFrame({"group": "rosetta", "n_neurons": [20, 40], "mean": [1.0, 2.0]})
    figure, axis = plt.subplots()
    neuron_figures._lines(axis, table.assign(ci_low=[0.5, np.nan], ci_high=[2.0, np.nan]))
    bars = axis.containers[0].lines[2][0].get_segments()
    caps = np.array([line.get_ydata() for line in axis.containers[0].lines[1]], float)
    assert [bar[:, 1].tolist() for bar in bars if len(bar)] == [[0.5, 2.0]]
    np.testing.assert_array_equal(np.sort(caps, axis=0), [[0.5, np.nan], [2.0, np.nan]])
    plt.close(figure)


def test_of_very_many_domains_those_read_highest_on_are_drawn(monkeypatch):
    monkeypatch.setattr(neuron_figures, "MAX_DOMAINS", 3)
    rows = [
        ("l", rung, 20 + rung, group, f"d{i}", i, np.nan, np.nan, 30)
        for rung in range(2)
        for group in ("rosetta", "non_rosetta")
        for i in range(240)
    ]
    figure = neuron_figures._specialization(pd.DataFrame(rows, columns=RUNG_SPECIALIZATION_COLUMNS))
    assert [axis.get_ylabel() for axis in figure.axes] == [f"d{i}" for i in range(237, 240)]
    assert "the 3 of 240 domains" in figure.get_supxlabel()
    plt.close(figure)


def test_ladders_with_other_domains_choose_by_themselves(monkeypatch):
    """Classes of images, on which neurons read higher, push no domain of text out."""
    monkeypatch.setattr(neuron_figures, "MAX_DOMAINS", 2)
    rows = [
        (ladder, rung, 20 + rung, group, f"{ladder}{i}", high + i, np.nan, np.nan, 30)
        for ladder, n, high in (("text", 2, 0), ("image", 5, 10))
        for rung in range(2)
        for group in ("rosetta", "non_rosetta")
        for i in range(n)
    ]
    table = pd.DataFrame(rows, columns=RUNG_SPECIALIZATION_COLUMNS)
    assert neuron_figures._domains(table) == (["text0", "text1", "image3", "image4"], 3)
    figure = neuron_figures._specialization(table)
    blank = [axis for axis in figure.axes if not axis.axison]
    assert len(blank) == 4, "two domains of each ladder are the other's only"
    plt.close(figure)


def means(ladder, measure, values, groups=("rosetta", "non_rosetta")):
    """Return rows of means per model: of rungs of one model each, NaN where not measured."""
    rows = [
        (ladder, rung, f"x-{rung}", 20 * (rung + 1), group, measure, value, np.nan, np.nan, 5)
        for rung, value in enumerate(values)
        for group in groups
    ]
    return pd.DataFrame(rows, columns=MODEL_POLARIZATION_COLUMNS)


def drawn_sizes(axis):
    """Return the sizes at which the first group of a panel is drawn."""
    return list(axis.containers[0].lines[0].get_xdata())


def test_each_modality_is_drawn_by_its_own_measure_where_that_was_taken():
    table = pd.concat(
        [
            means("texts", "excess_kurtosis", [3.0, 4.0]),
            means("images", "monosemanticity", [0.1, np.nan, 0.3]),
            means("alone", "monosemanticity", [np.nan, np.nan]),
        ]
    )
    figure = neuron_figures._polarization(table)
    panels = {axis.get_title(): axis for axis in figure.axes}
    assert list(panels) == ["x in texts", "x in images"], "no panel without an encoder"
    labels = [axis.get_ylabel() for axis in panels.values()]
    assert labels == ["mean vocabulary\nkurtosis", "mean\nmonosemanticity"]
    assert drawn_sizes(panels["x in images"]) == [20, 60]
    tops = [axis.get_ylim()[1] for axis in panels.values()]
    assert tops[0] > 4 > 1 > tops[1], "a scale per measure"
    plt.close(figure)


def test_nothing_measured_is_said_and_not_drawn():
    figure = neuron_figures._polarization(means("alone", "monosemanticity", [np.nan]))
    assert [axis.get_title() for axis in figure.axes] == ["no model of this run could be measured"]
    figure.canvas.draw()
    plt.close(figure)


def test_rows_hold_what_was_measured_and_groups_keep_their_colour():
    by_model = pd.concat(
        [
            means("texts", "activation_mean", [1.0, 2.0], ("rosetta", "non_rosetta")),
            means(
                "images",
                "activation_mean",
                [3.0, 4.0],
                ("rosetta", "rosetta_above_untrained", "non_rosetta"),
            ),
            means("texts", "domain_purity", [np.nan, np.nan]),
            means("images", "domain_purity", [0.2, 0.5]),
        ]
    )
    by_rung = by_model.drop(columns=["model", "n_neurons"])
    figure = neuron_figures._statistics(by_rung, by_model)
    texts, images, blank, purity = figure.axes
    assert [texts.get_ylabel(), purity.get_ylabel()] == ["mean", "purity of\nthe class"]
    assert not blank.axison
    told = [axis.get_xlabel() for axis in figure.axes]
    assert told == ["neurons per model", "", "", "neurons per model"], "below the last of a column"
    colors = [
        {bars.get_label(): bars.lines[0].get_color() for bars in axis.containers}
        for axis in (texts, images)
    ]
    assert colors[0]["other"] == colors[1]["other"]
    assert set(legend(figure)) == {"Rosetta", "Rosetta, above untrained", "other"}
    plt.close(figure)

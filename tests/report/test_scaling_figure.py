"""The figure of the scaling law shows what its tables hold, however many of it there are."""

from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.counts import FLOORS, TRAINING_COLUMNS
from rosetta.analysis.null_counts import NULL_SUMMARY_COLUMNS
from rosetta.analysis.null_thresholds import NULL_TITLES
from rosetta.analysis.rung_means import rung_table
from rosetta.analysis.scaling import null_scaling_table, pooled_table, scaling_table
from rosetta.analysis.setting_laws import laws_by
from rosetta.report.count_panels import draw_title, null_means
from rosetta.report.count_series import CountScale, CountSeries
from rosetta.report.direct_labels import EndLabel, label_ends, spread
from rosetta.report.exponent_panels import ForestGroup, in_columns
from rosetta.report.figures import FONT_SIZE
from rosetta.report.scaling_figure import ScalingTables, draw_scaling, draw_scaling_column

FAMILIES = [("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c"), ("c", "d")]


def make_tables(n_ladders=2, n_rungs=4, n_trainings=2, nulls=tuple(NULL_TITLES), zeros=False):
    """Return counts by planted laws, through the functions that a run makes its tables with."""
    rng, rows, controls, halves = np.random.default_rng(0), [], [], []
    for families in FAMILIES[:n_ladders]:
        for rung, size in enumerate(np.geomspace(128, 4096, n_rungs).round()):
            place = {"ladder": "-".join(families), "rung": rung}
            for combination in product(range(n_trainings), repeat=len(families)):
                mean = 0.5 * size**0.65
                row = {**place, "n_neurons": size, "families": "--".join(families)}
                row["models"] = "--".join(
                    f"{family}{rung}.{k}" for family, k in zip(families, combination, strict=True)
                )
                row["matches"] = int(rng.poisson(3 * mean)) + 2
                if "untrained" in nulls:
                    row["above_untrained"] = 0 if zeros and not rung else 1 + rng.poisson(mean)
                row |= {f"matches_above_{r}": rng.poisson(mean) + 1 for r in FLOORS}
                rows.append(row)
            for statistic, count in (("plain", 3 * mean), ("above_untrained", mean)):
                drawn = zip(range(4), rng.poisson(count / 2 + 1, 4), strict=True)
                halves += [
                    {**place, "statistic": statistic, "half_sample": half, "matches": n}
                    for half, n in drawn
                ]
            for name, seed in product(nulls, range(2)):
                noise = int(rng.poisson(0.2 * size**0.9))
                controls.append({**place, "control": name, "seed": seed, "matches": noise})
    trainings = pd.DataFrame(rows).reindex(columns=TRAINING_COLUMNS)
    controls = pd.DataFrame(controls, columns=["ladder", "rung", "control", "seed", "matches"])
    summary = controls.groupby(["ladder", "rung", "control"], sort=False)["matches"].mean()
    replicates = pd.DataFrame(halves) if n_trainings > 1 else None
    floors = [
        trainings.assign(threshold=r, matches=trainings[f"matches_above_{r}"]) for r in FLOORS
    ]
    return ScalingTables(
        trainings,
        rung_table(trainings, replicates),
        scaling_table(trainings, replicates),
        pooled_table(trainings, replicates, controls),
        summary.reset_index().reindex(columns=NULL_SUMMARY_COLUMNS),
        null_scaling_table(trainings, controls),
        laws_by(pd.concat(floors), "threshold"),
    )


@pytest.fixture(scope="module")
def tables():
    return make_tables()


@pytest.fixture(scope="module")
def panels(tables):
    return panels_of(draw_scaling(tables))


def panels_of(figure):
    """Return the panels by what they show."""
    figure.canvas.draw()
    found = {"counts": [], "shares": [], "floors": [], "forest": []}
    for axes in figure.axes:
        kind = {"Rosetta Neurons": "counts", "exponent α": "floors"}.get(axes.get_ylabel())
        found[kind or ("forest" if "exponent" in axes.get_xlabel() else "shares")].append(axes)
    return found


def texts_of(axes):
    return [text.get_text() for text in axes.findobj(plt.Text) if text.get_text()]


def lines_with(axes, **wanted):
    """Return the lines of axes that have these properties."""
    return [
        line
        for line in axes.lines
        if all(getattr(line, f"get_{name}")() == value for name, value in wanted.items())
    ]


def test_dots_are_the_trainings_and_large_dots_their_means(tables, panels):
    panel = panels["counts"][0]
    dots = [line.get_ydata().tolist() for line in lines_with(panel, alpha=0.45)]
    mine = tables.trainings[tables.trainings["ladder"] == "a-b"]
    assert dots == [mine["matches"].tolist(), mine["above_untrained"].tolist()]
    rungs = tables.rungs[tables.rungs["ladder"] == "a-b"].set_index("statistic")
    means = [line.get_ydata() for line in lines_with(panel, markersize=4.0)]
    for found, statistic in zip(means, ("plain", "above_untrained"), strict=True):
        np.testing.assert_allclose(found, rungs.loc[statistic, "mean"])


def test_thick_bars_are_over_trainings_and_thin_ones_over_documents(tables, panels):
    panel = panels["counts"][0]
    rungs = tables.rungs[tables.rungs["ladder"] == "a-b"].set_index("statistic")
    rows = rungs.loc["above_untrained"]
    bars = panel.containers[-2:]
    for container, kind, width in zip(bars, ("ci", "resampled"), (2.6, 0.9), strict=True):
        segments = container[2][0].get_segments()
        ends = np.array([segment[:, 1] for segment in segments])
        np.testing.assert_allclose(ends[:, 1], rows[f"mean_{kind}_high"])
        np.testing.assert_allclose(ends[:, 0], rows[f"mean_{kind}_low"].clip(panel.get_ylim()[0]))
        assert container[2][0].get_linewidth()[0] == width


def test_the_law_that_is_drawn_is_that_of_the_table_and_lies_in_its_band(tables):
    for statistic in ("plain", "above_untrained"):
        series = CountSeries.of(tables.trainings, tables.rungs, "a-c", statistic)
        rows = tables.scaling[tables.scaling["statistic"] == statistic].set_index("ladder")
        row = rows.loc["a-c"]
        assert series.law.alpha == pytest.approx(row["alpha"])
        x, (law, low, high) = series.curve()
        np.testing.assert_allclose(law, row["c"] * x ** row["alpha"])
        assert (low < law).all()
        assert (law < high).all()
        np.testing.assert_allclose(series.shares().curve()[1], series.curve()[1] / x)


def test_a_line_of_slope_1_begins_where_the_law_does(tables, panels):
    panel = panels["counts"][0]
    x, (law, *_) = CountSeries.of(tables.trainings, tables.rungs, "a-b", "above_untrained").curve()
    (line,) = [line for line in panel.lines if len(line.get_xdata()) == 2 and line.is_dashed()]
    assert (line.get_xdata()[0], line.get_ydata()[0]) == pytest.approx((x[0], law[0]))
    ratios = line.get_ydata() / line.get_xdata()
    assert ratios[0] == pytest.approx(ratios[1])
    assert "slope 1" in texts_of(panel)


def test_nulls_are_grey_in_the_panel_of_the_counts(tables, panels):
    panel = panels["counts"][1]
    means = null_means(tables.trainings, tables.null_summary)
    laws = tables.null_scaling[tables.null_scaling["ladder"] == "a-c"].set_index("control")
    dashed = [line for line in lines_with(panel, linestyle="--") if len(line.get_xdata()) > 2]
    assert len(dashed) == len(NULL_TITLES)
    for name, line in zip(NULL_TITLES, dashed, strict=True):
        x, y = line.get_xdata(), line.get_ydata()
        np.testing.assert_allclose(y, laws.loc[name, "c"] * x ** laws.loc[name, "alpha"])
        (marked,) = lines_with(panel, color=line.get_color(), markersize=3)
        rows = means[(means["ladder"] == "a-c") & (means["control"] == name)]
        assert marked.get_ydata().tolist() == rows["matches"].tolist()
        assert NULL_TITLES[name].replace(" ", "\n") in texts_of(panel)
        shade = plt.matplotlib.colors.to_rgb(line.get_color())
        assert len(set(shade)) == 1


def test_the_share_is_the_mean_by_the_neurons(tables, panels):
    (panel,) = panels["shares"]
    rows = tables.rungs[tables.rungs["statistic"] == "above_untrained"]
    rows = rows[rows["ladder"] == "a-b"]
    found = lines_with(panel, markersize=4.0)[0].get_ydata()
    np.testing.assert_allclose(found, rows["mean"] / rows["n_neurons"])


def test_the_forest_has_every_exponent_with_its_interval(tables, panels):
    expected = {
        (row["alpha"], row["alpha_ci_low"], row["alpha_ci_high"])
        for table in (tables.scaling, tables.null_scaling, tables.scaling_pooled)
        for row in table.to_dict("records")
        if row.get("left_out", "none") == "none"
    }
    found = set()
    for axes in panels["forest"]:
        rows = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.lines[1:] if line.clipbox}
        for bar in axes.collections:
            (start, y), (end, _) = bar.get_segments()[0]
            found.add((rows[y], start, end))
        assert lines_with(axes, linestyle=":")[0].get_xdata() == [1, 1]
    limits = panels["forest"][0].get_xlim()
    wanted = sorted((alpha, *np.clip(ends, *limits)) for alpha, *ends in expected)
    np.testing.assert_allclose(sorted(found), wanted)
    names = [text for axes in panels["forest"] for text in texts_of(axes)]
    assert {"a-b", "a-c", "all pairs", "above untrained", *NULL_TITLES.values()} <= set(names)
    row = tables.scaling.iloc[0]
    assert f"{row['alpha']:.2f} ± {row['alpha_ci_high'] - row['alpha']:.2f}" in names


def test_the_exponent_is_drawn_against_the_floor_of_r(tables, panels):
    (panel,) = panels["floors"]
    of_all = tables.floor_scaling[tables.floor_scaling["ladder"] == "all pairs"]
    (line,) = [line for line in lines_with(panel, color="black") if len(line.get_xdata()) == 4][:1]
    np.testing.assert_allclose(line.get_ydata(), of_all["alpha"])
    assert {"a-b", "a-c", "all pairs"} <= set(texts_of(panel))


def test_counts_of_0_are_open_at_the_bottom():
    tables = make_tables(n_ladders=1, n_rungs=3, zeros=True)
    panels = panels_of(draw_scaling(tables))
    panel = panels["counts"][0]
    least = min(
        line.get_ydata().min() for line in lines_with(panel, markerfacecolor="white", alpha=0.45)
    )
    empty = lines_with(panel, markerfacecolor="white", alpha=0.45)
    assert [len(line.get_ydata()) for line in empty] == [4], "a dot per group of the first rung"
    counts = tables.trainings[["matches", "above_untrained"]].to_numpy()
    assert panel.get_ylim()[0] < least < counts[counts > 0].min()
    panel.figure.canvas.draw()
    ticks = dict(zip(panel.get_yticks(), panel.get_yticklabels(), strict=True))
    assert ticks[least].get_text() == "0"
    assert "0" in texts_of(panels["shares"][0])


@pytest.mark.parametrize("in_one_column", [False, True], ids=["page", "column"])
@pytest.mark.parametrize(
    "made",
    [
        {"n_ladders": 1, "n_rungs": 2, "n_trainings": 1, "nulls": ()},
        {"n_ladders": 1, "n_rungs": 5},
        {"n_ladders": 2, "n_rungs": 2, "n_trainings": 1},
        {"n_ladders": 3, "n_rungs": 3, "n_trainings": 1, "zeros": True},
        {"n_ladders": 4, "n_rungs": 3, "nulls": ("permutation",)},
        {"n_ladders": 5, "n_rungs": 10, "n_trainings": 1},
    ],
    ids=str,
)
def test_any_run_is_drawn_in_one_font_size_without_overlaps(made, in_one_column):
    figure = (draw_scaling_column if in_one_column else draw_scaling)(make_tables(**made))
    panels = panels_of(figure)
    assert len(panels["counts"]) == (1 if in_one_column else made["n_ladders"])
    assert (len(panels["shares"]), len(panels["floors"])) == (1, int(not in_one_column))
    texts = [text for text in figure.findobj(plt.Text) if text.get_text() and text.get_visible()]
    assert {text.get_fontsize() for text in texts} == {FONT_SIZE}
    for axes in (*panels["counts"], *panels["shares"], *panels["floors"]):
        boxes = [plt.Text.get_window_extent(text) for text in axes.texts]
        for i, one in enumerate(boxes):
            assert not any(one.overlaps(other) for other in boxes[:i]), texts_of(axes)
    pixels = figure.bbox
    for text in texts:
        box = plt.Text.get_window_extent(text)
        assert pixels.x0 <= box.x0, text
        assert box.x1 <= pixels.x1, text


def test_one_column_has_the_first_ladder_and_the_exponents_of_all(tables):
    figure = draw_scaling_column(tables)
    panels = panels_of(figure)
    assert figure.get_figwidth() <= 3.5, "inches, a column of a journal"
    first, *others = tables.ladders
    (counts,), (forest,) = panels["counts"], panels["forest"]
    assert counts.get_title(loc="left").startswith(first)
    headline = tables.statistics()[0]
    laws = tables.scaling[tables.scaling["statistic"] == headline].set_index("ladder")["alpha"]
    assert list(laws.index) == [first, *others]
    texts = texts_of(forest)
    for ladder, alpha in laws.items():
        after = texts[texts.index(ladder) + 1]
        assert after.startswith(f"{alpha:.2f}"), (ladder, after)
    assert "all pairs" in texts


def test_a_ladder_without_a_law_says_why(tables):
    hidden = tables.trainings["ladder"] == "a-c"
    counted = tables.trainings["above_untrained"].where(~hidden)
    trainings = tables.trainings.assign(above_untrained=counted)
    changed = {
        "trainings": trainings,
        "rungs": rung_table(trainings),
        "scaling": scaling_table(trainings),
        "scaling_pooled": pooled_table(trainings),
    }
    panels = panels_of(draw_scaling(ScalingTables(**{**vars(tables), **changed})))
    title = panels["counts"][1].get_title("left").replace("\n", " ")
    assert title == "a-c no exponent (not counted: the threshold cannot be read)"
    assert "slope 1" not in texts_of(panels["counts"][1])
    assert "no exponent" in [text for axes in panels["forest"] for text in texts_of(axes)]


def test_without_any_exponent_above_a_floor_there_is_no_such_panel(tables):
    none = tables.floor_scaling.assign(alpha=np.nan)
    figure = draw_scaling(ScalingTables(**{**vars(tables), "floor_scaling": none}))
    assert panels_of(figure)["floors"] == []


def test_a_title_tells_the_exponent_or_that_nothing_was_fitted():
    _, axes = plt.subplots()
    law = {"alpha": 0.661, "alpha_ci_low": 0.552, "alpha_ci_high": 0.77}
    for given, told in ((law, "α = 0.66 [0.55, 0.77]"), (None, "no exponent (not fitted)")):
        draw_title(axes, "$x", given, "k")
        assert axes.get_title("left") == f"\\$x\n{told}"


def test_a_scale_has_its_zero_below_all_counts():
    scale = CountScale.of(np.array([0.0, 3, 200, np.nan]), str)
    assert scale.bottom < scale.zero < scale.low < 3 < 200 < scale.top
    assert scale.place(np.array([0.0, 3])).tolist() == [scale.zero, 3]
    assert np.isnan(CountScale.of(np.array([3.0, 200]), str).zero)


def test_labels_do_not_overlap_and_stay_where_there_is_room():
    wanted, heights = np.array([0.1, 0.5, 0.52, 0.9]), np.full(4, 0.1)
    places = spread(wanted, heights)
    np.testing.assert_allclose(places, [0.1, 0.46, 0.56, 0.9])
    crowded = spread(np.full(4, 1.0), heights)
    np.testing.assert_allclose(crowded, [0.65, 0.75, 0.85, 0.95])
    np.testing.assert_allclose(spread(np.zeros(2), np.full(2, 0.2)), [0.1, 0.3])
    _, axes = plt.subplots()
    label_ends(axes, [EndLabel(np.nan, 1, "left out", "k"), EndLabel(1, 0.5, "named", "k")])
    assert texts_of(axes).count("named") == 1
    assert "left out" not in texts_of(axes)


def test_columns_of_the_forest_keep_their_order_and_are_about_as_long():
    groups = [ForestGroup(name, pd.DataFrame({"alpha": range(5)}), "k") for name in "vwxyz"]
    names = [[group.name for group in column] for column in in_columns(groups, 2)]
    assert [name for column in names for name in column] == list("vwxyz")
    assert sorted(map(len, names)) == [2, 3]
    assert len(in_columns(groups[:1], 2)) == 1

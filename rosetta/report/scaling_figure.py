"""The figure of the scaling law: counts beside chance, their share, and exponents."""

from __future__ import annotations

from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from rosetta.analysis.counts import TRAINING_COLUMNS
from rosetta.analysis.null_counts import NULL_SUMMARY_COLUMNS
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.rung_means import RUNG_COLUMNS
from rosetta.analysis.scaling import NULL_SCALING_COLUMNS, POOLED_COLUMNS, SCALING_COLUMNS
from rosetta.analysis.setting_laws import FLOOR_SCALING_COLUMNS
from rosetta.report.count_panels import (
    count_text,
    draw_ladder,
    draw_shares,
    draw_title,
    null_means,
)
from rosetta.report.count_series import BARS, CountScale, CountSeries
from rosetta.report.exponent_panels import (
    ForestGroup,
    draw_floors,
    draw_forest,
    forest_groups,
    in_columns,
    n_lines,
)
from rosetta.report.figures import ladder_palette, use_one_font_size
from rosetta.report.headline import headline_statistic
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv

_WIDTH, _HEIGHT = 3.4, 2.9  # of a panel, in inches: one column of a journal
_LINE = 0.15  # inches per row of the forest plot
_COLUMNS = {  # of each table, by the field that holds it
    "trainings": TRAINING_COLUMNS,
    "rungs": RUNG_COLUMNS,
    "scaling": SCALING_COLUMNS,
    "scaling_pooled": POOLED_COLUMNS,
    "null_summary": NULL_SUMMARY_COLUMNS,
    "null_scaling": NULL_SCALING_COLUMNS,
    "floor_scaling": FLOOR_SCALING_COLUMNS,
}


@dataclass(frozen=True)
class ScalingTables:
    """What the figure is drawn from: tables of a run, by their names."""

    trainings: pd.DataFrame
    rungs: pd.DataFrame
    scaling: pd.DataFrame
    scaling_pooled: pd.DataFrame
    null_summary: pd.DataFrame
    null_scaling: pd.DataFrame
    floor_scaling: pd.DataFrame

    @classmethod
    def read(cls, paths: Paths) -> ScalingTables:
        """Read the tables of a run, with the names that it gave: laws are fitted to them."""
        return cls(**{name: read_csv(paths.table(name), _COLUMNS[name]) for name in _COLUMNS})

    @property
    def ladders(self) -> list[str]:
        """The ladders, in the order of the run."""
        return list(self.trainings["ladder"].unique())

    def statistics(self) -> list[str]:
        """Return what the panels of counts show: the headline's statistic, and all matches."""
        return list(dict.fromkeys([headline_statistic(self.scaling_pooled, self.scaling), PLAIN]))

    def series(self, ladder: str) -> dict[str, CountSeries]:
        """Return the counts of a ladder by statistic, the headline's first."""
        return {
            statistic: CountSeries.of(self.trainings, self.rungs, ladder, statistic)
            for statistic in self.statistics()
        }


def draw_scaling(tables: ScalingTables) -> plt.Figure:
    """Draw a panel of counts per ladder, one of shares, the exponents, and these by floor of r."""
    use_one_font_size()
    palette = ladder_palette(tables.ladders)
    groups = forest_groups(tables.scaling, tables.null_scaling, tables.scaling_pooled, palette)
    series = {ladder: tables.series(ladder) for ladder in palette}
    has_floors = bool(tables.floor_scaling["alpha"].notna().any())
    layout = _Layout.of(len(palette), has_floors, groups)
    headline = tables.statistics()[0]
    _draw_counts(layout.ladders, series, tables, palette)
    of_headline = [by_statistic[headline] for by_statistic in series.values()]
    draw_shares(layout.shares, of_headline, palette, headline)
    if layout.floors is not None:
        draw_floors(layout.floors, tables.floor_scaling, palette)
    draw_forest(layout.forest, layout.columns, headline)
    layout.figure.legend(
        handles=_legend(tables, headline),
        loc="outside lower center",
        ncols=round(layout.figure.get_figwidth() / _WIDTH),
        frameon=False,
    )
    for axes in layout.panels:
        sns.despine(ax=axes)
    return layout.figure


def draw_scaling_column(tables: ScalingTables) -> plt.Figure:
    """Draw one column of a journal: the first ladder's counts, all ladders' shares and exponents of
    the headline's counts.
    """
    use_one_font_size()
    palette, headline = ladder_palette(tables.ladders), tables.statistics()[0]
    scaling, pooled = (
        table[table["statistic"] == headline] for table in (tables.scaling, tables.scaling_pooled)
    )
    groups = forest_groups(scaling, tables.null_scaling.iloc[:0], pooled, palette)
    heights = [_HEIGHT, _HEIGHT, n_lines(groups) * _LINE + 0.7]
    figure = plt.figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    cells = figure.subfigures(3, 1, height_ratios=heights)
    counts, shares, forest = (cell.add_subplot() for cell in cells)
    series = {ladder: tables.series(ladder) for ladder in palette}
    first = dict(list(series.items())[:1])
    _draw_counts([counts], first, tables, palette)
    draw_shares(shares, [found[headline] for found in series.values()], palette, headline)
    draw_forest([forest], [groups], headline)
    for axes in (counts, shares, forest):
        sns.despine(ax=axes)
    return figure


@dataclass(frozen=True)
class _Layout:
    """The figure's panels, in rows of three; the forest plot has what is left of the last row."""

    figure: plt.Figure
    ladders: list[plt.Axes]
    shares: plt.Axes
    floors: plt.Axes | None
    forest: list[plt.Axes]
    columns: list[list[ForestGroup]]

    @property
    def panels(self) -> list[plt.Axes]:
        """All of them, row by row."""
        floors = [] if self.floors is None else [self.floors]
        return [*self.ladders, self.shares, *floors, *self.forest]

    @classmethod
    def of(cls, n_ladders: int, has_floors: bool, groups: list[ForestGroup]) -> _Layout:
        n = n_ladders + 1 + has_floors
        across = 2 if n < 4 else 3
        columns = in_columns(groups, min(across - n % across, 2))
        rows = n // across + 1
        tallest = max(map(n_lines, columns)) * _LINE + 0.7
        heights = [_HEIGHT] * (rows - 1) + [max(_HEIGHT, tallest)]
        figure = plt.figure(figsize=(_WIDTH * across, sum(heights)), layout="constrained")
        grid = figure.add_gridspec(rows, across, height_ratios=heights)
        rest = grid[-1, n % across :].subgridspec(1, len(columns))
        # A figure inside the figure for each panel: long labels of one take no room of another.
        places = [*(grid[divmod(i, across)] for i in range(n)), *rest]
        cells = [figure.add_subfigure(place).add_subplot() for place in places]
        floors = cells[n_ladders + 1] if has_floors else None
        return cls(figure, cells[:n_ladders], cells[n_ladders], floors, cells[n:], columns)


def _draw_counts(
    panels: list[plt.Axes],
    series: dict[str, dict[str, CountSeries]],
    tables: ScalingTables,
    palette: dict[str, tuple],
) -> None:
    """Draw the ladders' counts, all on one scale."""
    nulls = null_means(tables.trainings, tables.null_summary)
    values = [drawn.values() for by_statistic in series.values() for drawn in by_statistic.values()]
    scale = CountScale.of(np.concatenate([*values, nulls["matches"].to_numpy(float)]), count_text)
    headline = tables.scaling[tables.scaling["statistic"] == tables.statistics()[0]]
    for axes, ladder in zip(panels, series, strict=True):
        of_ladder, laws = (
            table[table["ladder"] == ladder] for table in (nulls, tables.null_scaling)
        )
        draw_ladder(axes, series[ladder], of_ladder, laws, scale, palette[ladder])
        law = headline[headline["ladder"] == ladder].to_dict("records")
        draw_title(axes, ladder, law[0] if law else None, palette[ladder])


def _legend(tables: ScalingTables, headline: str) -> list[Line2D | Patch]:
    """Return what tells dots, means, intervals, bands and zeros apart, as far as they are drawn."""
    rungs, color = tables.rungs[tables.rungs["statistic"].isin([headline, PLAIN])], "0.25"
    dot = {"color": color, "marker": "o", "ls": "none"}
    law: list[Line2D | Patch] = [
        Line2D([], [], color=color, lw=1.2, label="fitted law |R| = c · x^α"),
        Patch(facecolor=color, alpha=0.18, lw=0, label="95% band of the law, over trainings"),
    ]
    means = [Line2D([], [], **dot, ms=4, label="mean of a size")]
    if len(tables.trainings) > len(tables.trainings.drop_duplicates(["ladder", "rung"])):
        means.insert(0, Line2D([], [], **dot, ms=2.2, alpha=0.45, label="group of trainings"))
    told = {
        "ci": "95% of the mean, over trainings (thick)",
        "resampled": "95% of the mean, over samples (capped)",
    }
    bars = [
        Line2D([], [], color=color, lw=BARS[kind]["lw"], label=label)
        for kind, label in told.items()
        if rungs[f"mean_{kind}_low"].notna().any()
    ]
    nulls = []
    if len(tables.null_summary):
        label = "chance: mean over seeds, law"
        nulls.append(
            Line2D([], [], color="0.5", marker="o", mfc="white", ms=3, ls="--", label=label)
        )
    return [*means, *nulls, *law, *bars]

"""Figures of what Rosetta Neurons are like, in the manner of the paper."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm

from rosetta.analysis.depth import DEPTH_COLUMNS, LAYER_PAIR_COLUMNS
from rosetta.analysis.groups import (
    LOG_KURTOSIS,
    MODEL_POLARIZATION_COLUMNS,
    OTHERS,
    POLARIZATION_COLUMNS,
    ROSETTA,
    RUNG_SPECIALIZATION_COLUMNS,
    rosetta_group,
)
from rosetta.analysis.null_thresholds import PLAIN, STATISTICS
from rosetta.config import group_name
from rosetta.config.ladders import common_name
from rosetta.report.figures import TITLES, label_sizes, read_drawn
from rosetta.run.paths import Paths

FIGURES = ("polarization", "statistics", "specialization", "depth", "layer_pairs")
PANEL = 3.4  # inches
MAX_DOMAINS = 12  # drawn
# What Rosetta Neurons are claimed to have more of, ever more with size.
CLAIMED = {
    "excess_kurtosis": "mean vocabulary\nkurtosis",
    "monosemanticity": "mean\nmonosemanticity",
}
STATISTIC_NAMES = {
    "activation_mean": "mean",
    "activation_variance": "variance",
    "activation_skewness": "skewness",
    LOG_KURTOSIS: "log kurtosis",
    "fraction_active": "fraction active",
    "domain_information": "information about\ndomain or class (bits)",
    "domain_purity": "purity of\nthe class",
    "explained_variance": "explained by a\nfactor (variance)",
    "iou": "explained by a\nfactor (IoU)",
    "is_explained": "explained beyond\nchance (share)",
}
DEPTH_COLORS = "PuOr_r"
_ABOVE = {
    statistic: rosetta_group(statistic) for statistic in STATISTICS[1:]
}  # the stricter null last
_STYLES = {
    ROSETTA: ("-", "o", "Rosetta"),
    **{group: (":", "D", f"Rosetta, {TITLES[statistic]}") for statistic, group in _ABOVE.items()},
    OTHERS: ("--", "s", "other"),
}


def draw_neuron_figures(paths: Paths) -> dict[str, plt.Figure]:
    """Return all of `FIGURES`, drawn from the tables of a run."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.0)
    by_model = read_drawn(paths.table("polarization_by_model"), MODEL_POLARIZATION_COLUMNS)
    by_domain = read_drawn(paths.table("specialization_by_rung"), RUNG_SPECIALIZATION_COLUMNS)
    return {
        "polarization": _polarization(by_model),
        "statistics": _statistics(
            read_drawn(paths.table("polarization"), POLARIZATION_COLUMNS), by_model
        ),
        "specialization": _specialization(by_domain),
        "depth": _depth(read_drawn(paths.table("depth"), DEPTH_COLUMNS)),
        "layer_pairs": _layer_pairs(read_drawn(paths.table("layer_pairs"), LAYER_PAIR_COLUMNS)),
    }


def _panels(
    n_columns: int,
    n_rows: int = 1,
    width: float = PANEL,
    height: float = 3.0,
    sharey: bool | str = False,
) -> tuple[plt.Figure, np.ndarray]:
    size = (width * n_columns, height * n_rows)
    return plt.subplots(
        n_rows, n_columns, figsize=size, layout="constrained", squeeze=False, sharey=sharey
    )


def _polarization(by_model: pd.DataFrame) -> plt.Figure:
    """Mean of what Rosetta Neurons are claimed to have more of against size: a panel per ladder and
    family, of one scale per measure.
    """
    table = by_model[by_model["statistic"].isin(CLAIMED) & by_model["mean"].notna()]
    place = table.groupby(["ladder", "rung"])["model"].transform(
        lambda names: pd.factorize(names)[0]
    )
    table = table.assign(
        family=table["model"].groupby([table["ladder"], place]).transform(common_name)
    )
    rows = _rows_of_panels(table)
    columns = max(map(len, rows), default=1)
    width = (
        2.4 if columns > 2 else PANEL
    )  # the legend is wider than two narrow ones, and would hide the label
    figure, axes = _panels(columns, max(1, len(rows)), width=width, height=2.2)
    first: dict[str, plt.Axes] = {}
    for line, panels in zip(axes, rows, strict=False):
        for axis, ((measure, ladder, family), part) in zip(line, panels, strict=False):
            if measure in first:
                axis.sharey(first[measure])
            first.setdefault(measure, axis)
            _lines(axis, part)
            axis.set_title(f"{family} in {ladder}", fontsize="medium")
            axis.axhline(0, color="0.8", lw=0.8, zorder=0)
            axis.tick_params(labelleft=axis is line[0])
        line[0].set_ylabel(CLAIMED[measure], fontsize="medium")
        for axis in line[len(panels) :]:
            axis.remove()
    if not rows:
        axes[0, 0].set_axis_off()
        axes[0, 0].set_title("no model of this run could be measured", fontsize="medium")
    _legend(figure, axes, columns)
    figure.supxlabel("neurons per model" if rows else "", fontsize="medium")
    sns.despine(figure)
    return figure


def _rows_of_panels(table: pd.DataFrame) -> list[list[tuple[tuple[str, ...], pd.DataFrame]]]:
    """Return the parts of a table by measure, ladder and family, in rows of at most four; every
    measure begins a row.
    """
    rows = []
    for _, part in table.groupby("statistic", sort=False):
        panels = list(part.groupby(["statistic", "ladder", "family"], sort=False))
        rows += [panels[i : i + 4] for i in range(0, len(panels), 4)]
    return rows


def _statistics(by_rung: pd.DataFrame, by_model: pd.DataFrame) -> plt.Figure:
    """Means of all other measures against size, one row each, the models of a rung pooled."""
    sizes = by_model.groupby(["ladder", "rung"], as_index=False)["n_neurons"].mean()
    table = by_rung.merge(sizes, on=["ladder", "rung"])
    table = table[table["mean"].notna()]
    measured = set(table["statistic"])
    names = [name for name in STATISTIC_NAMES if name in measured]
    return _grid(table, "statistic", names, [STATISTIC_NAMES[name] for name in names])


def _specialization(table: pd.DataFrame) -> plt.Figure:
    """NormalizedFire against size, one row per domain."""
    domains, left_out = _domains(table)
    labels = [name or "(none)" for name in domains]
    figure = _grid(table.assign(mean=table["normalized_fire"]), "domain", domains, labels, line=1)
    if left_out:
        n = len(domains) + left_out
        told = (
            f"the {len(domains)} of {n} domains or classes on which Rosetta Neurons of some rung "
            "read highest"
        )
        figure.supxlabel(told, fontsize="medium")
    return figure


def _domains(table: pd.DataFrame) -> tuple[list[str], int]:
    """Return the domains that are shown, in the order of the table, and how many are not.

    Of many, those on which Rosetta Neurons read highest in any ladder and rung; ladders with other
    domains, as classes of images beside domains of text, choose by themselves.
    """
    domains = list(table["domain"].unique())
    of_ladder = table.groupby("ladder", sort=False)["domain"].agg(frozenset)
    kept: set[str] = set()
    for _, ladders in of_ladder.groupby(of_ladder, sort=False):
        part = table[table["ladder"].isin(ladders.index) & (table["group"] == ROSETTA)]
        highest = part.groupby("domain")["normalized_fire"].max()
        own = [name for name in domains if name in ladders.iloc[0]]
        kept |= set(highest.reindex(own).fillna(-np.inf).nlargest(MAX_DOMAINS).index)
    return [name for name in domains if name in kept], len(domains) - len(kept)


def _grid(
    table: pd.DataFrame, key: str, names: list[str], labels: list[str], line: float | None = None
) -> plt.Figure:
    """Draw means against size: a row per value of a column, with one scale, and a column of panels
    per ladder; a panel without a row of the table is left blank.
    """
    ladders = list(table["ladder"].unique())
    parts = {names_of: part for names_of, part in table.groupby([key, "ladder"], sort=False)}
    figure, axes = _panels(len(ladders), len(names), height=1.5, sharey="row")
    for row, name, label in zip(axes, names, labels, strict=True):
        drawn = [
            (axis, parts.get((name, ladder))) for axis, ladder in zip(row, ladders, strict=True)
        ]
        for axis, part in drawn:
            if part is None:
                axis.set_axis_off()
                continue
            _lines(axis, part)
            if line is not None:
                axis.axhline(line, color="0.8", lw=0.8, zorder=0)
        left = next(axis for axis, part in drawn if part is not None)
        left.set_ylabel(label)
        left.tick_params(labelleft=True)
    for column, ladder in zip(axes.T, ladders, strict=True):
        column[0].set_title(ladder)
        bottom = [axis for axis in column if axis.axison][-1]
        for axis in column:
            axis.tick_params(labelbottom=axis is bottom)
        bottom.set_xlabel("neurons per model")
    _legend(figure, axes, len(ladders))
    figure.align_ylabels(axes[:, 0])
    sns.despine(figure)
    return figure


def _legend(figure: plt.Figure, axes: np.ndarray, n_columns: int) -> None:
    """Put the groups above the panels; above a single column of these they do not fit side by
    side.
    """
    found: dict[str, Any] = {}
    for axis in axes.flat:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    figure.legend(
        list(found.values()),
        list(found),
        loc="outside upper center",
        ncols=3 if n_columns > 1 else 1,
        frameon=False,
    )


def _shown(table: pd.DataFrame) -> list[str]:
    """Return which groups of a table are drawn: of the null models the stricter one, or the only
    one, if any.
    """
    present = [group for group in _STYLES if (table["group"] == group).any()]
    return [
        group for group in present if group not in _ABOVE.values() or group == _stricter(present)
    ]


def _stricter(present: list[str]) -> str | None:
    return next((group for group in reversed(_ABOVE.values()) if group in present), None)


def _lines(axis: plt.Axes, table: pd.DataFrame) -> None:
    """Draw the means of every group with their intervals, a little apart, so that error bars do not
    hide each other.
    """
    colors = sns.color_palette("colorblind")
    for group in _shown(table):
        style, marker, label = _STYLES[group]
        place = 0 if group == ROSETTA else 2 if group == OTHERS else 1
        ordered = table[table["group"] == group].dropna(subset="mean").sort_values("n_neurons")
        axis.errorbar(
            ordered["n_neurons"] * 1.04**place,
            ordered["mean"],
            yerr=_error(ordered, "mean"),
            color=colors[place],
            linestyle=style,
            marker=marker,
            markersize=4,
            markerfacecolor="white" if group == OTHERS else colors[place],
            capsize=2,
            lw=1.3,
            label=label,
        )
    _label(axis, table["n_neurons"])


def _error(table: pd.DataFrame, value: str) -> np.ndarray:
    """Return the lengths of the error bars (2, n) of a column with `ci_low` and `ci_high`; NaN
    draws none.
    """
    return np.abs(table[["ci_low", "ci_high"]].to_numpy().T - table[value].to_numpy())


def _label(axis: plt.Axes, sizes: pd.Series) -> None:
    axis.set_xscale("log")
    label_sizes(axis, sizes)
    if sizes.nunique() == 1:
        axis.set_xlim(sizes.min() / 2, sizes.min() * 2)
    axis.yaxis.set_major_formatter(plt.ScalarFormatter())


def _depth(table: pd.DataFrame) -> plt.Figure:
    """Where Rosetta Neurons lie, against an even spread: all of them and those above a null, in
    rows.
    """
    table = table.assign(
        group=table["statistic"].map({PLAIN: ROSETTA, **_ABOVE}),
        ratio=table["share"] / table["share_all"],
    )
    ladders, groups = list(table["ladder"].unique()), _shown(table)
    models = max(
        table[table["ladder"] == ladder].groupby(["rung", "model"]).ngroups for ladder in ladders
    )
    figure, axes = _panels(
        len(ladders), len(groups), width=3.9, height=max(2.0, 0.26 * models + 1.0)
    )
    norm = TwoSlopeNorm(1.0, 0.0, max(2.0, table["ratio"].max()))
    for row, group in zip(axes, groups, strict=True):
        for axis, ladder in zip(row, ladders, strict=True):
            part = table[(table["group"] == group) & (table["ladder"] == ladder)]
            _depth_panel(axis, part.sort_values(["n_neurons", "rung"], kind="stable"), norm)
            title = ladder if group == ROSETTA else f"{ladder}: {_STYLES[group][2]}"
            axis.set_title(title, fontsize="medium")
    figure.colorbar(
        ScalarMappable(norm, DEPTH_COLORS),
        ax=axes,
        label="Rosetta Neurons, relative to an even spread",
        aspect=40,
        ticks=[0, 0.5, 1, norm.vmax],
        format="%.1f",
    )
    return figure


def _depth_panel(axis: plt.Axes, part: pd.DataFrame, norm: TwoSlopeNorm) -> None:
    """Draw one heat map, a row per model with cells of its own bins; models without Rosetta Neurons
    are left blank.
    """
    labels = []
    for row, ((*_, model), bins) in enumerate(
        part.groupby(["n_neurons", "rung", "model"], sort=False)
    ):
        edges = np.linspace(0, 1, len(bins) + 1)
        cells = bins.sort_values("bin")["ratio"].to_numpy()[None]
        axis.pcolormesh(
            edges, [row, row + 1], cells, norm=norm, cmap=DEPTH_COLORS, edgecolors="white", lw=1
        )
        labels.append(f"{model}  {bins['n'].iloc[0]:,d}")
    axis.set_yticks(np.arange(len(labels)) + 0.5, labels)
    axis.set(xlim=(0, 1), ylim=(len(labels), 0), xlabel="depth, layer / (L − 1)")
    axis.set_xticks([0, 0.5, 1], ["first", "", "last"])
    axis.tick_params(length=0)
    sns.despine(ax=axis, left=True, bottom=True)


def _layer_pairs(table: pd.DataFrame) -> plt.Figure:
    """Number of matches of every pair of layers, one panel per pair of models."""
    pairs = list(table.groupby(["model_a", "model_b"], sort=False))
    columns = min(4, len(pairs))
    figure, axes = _panels(columns, -(-len(pairs) // columns), width=2.6, height=2.5)
    for axis, ((a, b), part) in zip(axes.flat, pairs, strict=False):
        grid = part.pivot_table(index="layer_a", columns="layer_b", values="matches")
        _heat_map(axis, grid)
        axis.set_title(group_name((a, b)), fontsize="small")
        axis.set(xlabel=f"layer of {b}", ylabel=f"layer of {a}")
    for axis in axes.flat[len(pairs) :]:
        axis.remove()
    return figure


def _heat_map(axis: plt.Axes, grid: pd.DataFrame) -> None:
    """Draw a table of counts, with numbers in its cells where they are few.

    seaborn's own heat map draws the whole figure again for each of its panels.
    """
    most = max(1.0, np.nanmax(grid.to_numpy()))
    cells = axis.pcolormesh(grid.to_numpy(), vmin=0, vmax=most, cmap="rocket_r")
    axis.set_aspect("equal")
    every = -(-max(grid.shape) // 12)  # more labels would overlap
    axis.set_xticks(np.arange(grid.shape[1])[::every] + 0.5, grid.columns[::every])
    axis.set_yticks(np.arange(grid.shape[0])[::every] + 0.5, grid.index[::every])
    if grid.size > 64:
        axis.figure.colorbar(cells, ax=axis)
        return
    for (row, column), value in np.ndenumerate(grid.to_numpy()):
        if np.isfinite(value):
            color = "white" if value > most / 2 else "0.15"
            at = column + 0.5, row + 0.5
            axis.text(*at, f"{value:.0f}", ha="center", va="center", color=color, fontsize=7)

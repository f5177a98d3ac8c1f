"""Figures of what Rosetta Neurons are like, in the manner of the paper."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.cm import ScalarMappable
from matplotlib.colors import TwoSlopeNorm

from rosetta.analysis.depth import DEPTH_COLUMNS, LAYER_PAIR_COLUMNS
from rosetta.analysis.groups import (
    COMPARED,
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
MAX_DOMAINS = 24  # drawn
STATISTIC_NAMES = {
    "excess_kurtosis": "vocabulary kurtosis",
    "activation_mean": "mean",
    "activation_variance": "variance",
    "activation_skewness": "skewness",
    LOG_KURTOSIS: "log kurtosis",
    "fraction_active": "fraction active",
    "domain_information": "information about\nthe domain (bits)",
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
    """Mean vocabulary kurtosis of Rosetta Neurons and of the others against size, a panel per
    ladder and family.
    """
    table = by_model[by_model["statistic"] == "excess_kurtosis"]
    place = table.groupby(["ladder", "rung"])["model"].transform(
        lambda names: pd.factorize(names)[0]
    )
    table = table.assign(
        family=table["model"].groupby([table["ladder"], place]).transform(common_name)
    )
    panels = list(table.groupby(["ladder", "family"], sort=False))
    columns = min(4, len(panels))
    width = (
        2.4 if columns > 2 else PANEL
    )  # the legend is wider than two narrow ones, and would hide the label
    figure, axes = _panels(
        columns, -(-len(panels) // columns), width=width, height=2.2, sharey=True
    )
    for axis, ((ladder, family), part) in zip(axes.flat, panels, strict=False):
        _lines(axis, part)
        axis.set_title(f"{family} in {ladder}", fontsize="medium")
        axis.axhline(0, color="0.8", lw=0.8, zorder=0)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    _legend(figure, axes, columns)
    figure.supylabel("mean vocabulary kurtosis", fontsize="medium")
    figure.supxlabel("neurons per model", fontsize="medium")
    sns.despine(figure)
    return figure


def _statistics(by_rung: pd.DataFrame, by_model: pd.DataFrame) -> plt.Figure:
    """Means of the activation statistics against size, one row each, the models of a rung
    pooled.
    """
    sizes = by_model.groupby(["ladder", "rung"], as_index=False)["n_neurons"].mean()
    table = by_rung.merge(sizes, on=["ladder", "rung"])
    return _grid(table, "statistic", COMPARED[1:], [STATISTIC_NAMES[name] for name in COMPARED[1:]])


def _specialization(table: pd.DataFrame) -> plt.Figure:
    """NormalizedFire against size, one row per domain."""
    domains, left_out = _domains(table)
    labels = [name or "(none)" for name in domains]
    figure = _grid(table.assign(mean=table["normalized_fire"]), "domain", domains, labels, line=1)
    if left_out:
        n = len(domains) + left_out
        told = (
            f"the {len(domains)} of {n} domains on which Rosetta Neurons of some rung read highest"
        )
        figure.supxlabel(told, fontsize="medium")
    return figure


def _domains(table: pd.DataFrame) -> tuple[list[str], int]:
    """Return the domains that are shown, in the order of the table, and how many are not.

    Of many, those on which Rosetta Neurons read highest in any ladder and rung.
    """
    domains = list(table["domain"].unique())
    highest = table[table["group"] == ROSETTA].groupby("domain")["normalized_fire"].max()
    kept = set(highest.reindex(domains).fillna(-np.inf).nlargest(MAX_DOMAINS).index)
    return [name for name in domains if name in kept], len(domains) - len(kept)


def _grid(
    table: pd.DataFrame, key: str, names: list[str], labels: list[str], line: float | None = None
) -> plt.Figure:
    """Draw means against size: a row per value of a column, with one scale, and a column of panels
    per ladder.
    """
    ladders = list(table["ladder"].unique())
    figure, axes = _panels(len(ladders), len(names), height=1.5, sharey="row")
    for row, name, label in zip(axes, names, labels, strict=True):
        for axis, ladder in zip(row, ladders, strict=True):
            _lines(axis, table[(table["ladder"] == ladder) & (table[key] == name)])
            if line is not None:
                axis.axhline(line, color="0.8", lw=0.8, zorder=0)
        row[0].set_ylabel(label)
    for axis, ladder in zip(axes[0], ladders, strict=True):
        axis.set_title(ladder)
    for axis in axes[:-1].flat:
        axis.tick_params(labelbottom=False)
    for axis in axes[-1]:
        axis.set_xlabel("neurons per model")
    _legend(figure, axes, len(ladders))
    figure.align_ylabels(axes[:, 0])
    sns.despine(figure)
    return figure


def _legend(figure: plt.Figure, axes: np.ndarray, n_columns: int) -> None:
    """Put the groups above the panels; above a single column of these they do not fit side by
    side.
    """
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        *handles, loc="outside upper center", ncols=3 if n_columns > 1 else 1, frameon=False
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
    for i, (group, color) in enumerate(
        zip(_shown(table), sns.color_palette("colorblind"), strict=False)
    ):
        style, marker, label = _STYLES[group]
        ordered = table[table["group"] == group].dropna(subset="mean").sort_values("n_neurons")
        axis.errorbar(
            ordered["n_neurons"] * 1.04**i,
            ordered["mean"],
            yerr=_error(ordered, "mean"),
            color=color,
            linestyle=style,
            marker=marker,
            markersize=4,
            markerfacecolor="white" if group == OTHERS else color,
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
        small = grid.size <= 64
        sns.heatmap(
            grid,
            ax=axis,
            vmin=0,
            cmap="rocket_r",
            square=True,
            cbar=not small,
            annot=small,
            fmt=".0f",
            annot_kws={"fontsize": 7},
        )
        axis.invert_yaxis()
        axis.set_title(group_name((a, b)), fontsize="small")
        axis.set(xlabel=f"layer of {b}", ylabel=f"layer of {a}")
    for axis in axes.flat[len(pairs) :]:
        axis.remove()
    return figure

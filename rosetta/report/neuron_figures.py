"""Figures of what Rosetta Neurons are like, in the manner of the paper."""

from __future__ import annotations

from itertools import takewhile

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from rosetta.analysis.depth import DEPTH_COLUMNS, LAYER_PAIR_COLUMNS
from rosetta.analysis.groups import (
    MODEL_POLARIZATION_COLUMNS,
    OTHERS,
    POLARIZATION_COLUMNS,
    ROSETTA,
    RUNG_SPECIALIZATION_COLUMNS,
    rosetta_group,
)
from rosetta.analysis.nulls import PLAIN, STATISTICS
from rosetta.analysis.populations import MEASURES
from rosetta.config import group_name
from rosetta.paths import Paths
from rosetta.report.figures import TITLES, label_sizes, read_drawn, save_figure

FIGURES = ("polarization", "statistics", "specialization", "depth", "layer_pairs")
PANEL = 3.4  # inches
MAX_DOMAINS = 24
STATISTIC_NAMES = {
    "excess_kurtosis": "vocabulary kurtosis",
    "activation_mean": "mean",
    "activation_variance": "variance",
    "activation_skewness": "skewness",
    "activation_kurtosis": "excess kurtosis",
    "fraction_active": "fraction active",
    "domain_information": "information about\nthe domain (bits)",
}
_ABOVE = {statistic: rosetta_group(statistic) for statistic in STATISTICS[1:]}  # the stricter null last
_STYLES = {
    ROSETTA: ("-", "o", "Rosetta"),
    **{group: (":", "D", f"Rosetta, {TITLES[statistic]}") for statistic, group in _ABOVE.items()},
    OTHERS: ("--", "s", "other"),
}


def draw_neuron_figures(paths: Paths) -> None:
    """Draw all of `FIGURES` from the tables of a run."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.0)
    by_model = read_drawn(paths.table("polarization_by_model"), MODEL_POLARIZATION_COLUMNS)
    by_domain = read_drawn(paths.table("specialization_by_rung"), RUNG_SPECIALIZATION_COLUMNS)
    drawn = {
        "polarization": _polarization(by_model),
        "statistics": _statistics(read_drawn(paths.table("polarization"), POLARIZATION_COLUMNS), by_model),
        "specialization": _specialization(by_domain),
        "depth": _depth(read_drawn(paths.table("depth"), DEPTH_COLUMNS)),
        "layer_pairs": _layer_pairs(read_drawn(paths.table("layer_pairs"), LAYER_PAIR_COLUMNS)),
    }
    for name, figure in drawn.items():
        save_figure(figure, paths.figure(name, "png").with_suffix(""))


def _panels(
    n_columns: int, n_rows: int = 1, width: float = PANEL, height: float = 3.0
) -> tuple[plt.Figure, np.ndarray]:
    return plt.subplots(
        n_rows, n_columns, figsize=(width * n_columns, height * n_rows), layout="constrained", squeeze=False
    )


def _polarization(by_model: pd.DataFrame) -> plt.Figure:
    """Mean vocabulary kurtosis of Rosetta Neurons and of the others against size, one row of panels per family."""
    table = by_model[by_model["statistic"] == "excess_kurtosis"]
    place = table.groupby(["ladder", "rung"])["model"].transform(lambda names: pd.factorize(names)[0])
    table = table.assign(family=table["model"].groupby([table["ladder"], place]).transform(_family))
    ladders, families = list(table["ladder"].unique()), list(table["family"].unique())
    figure, axes = _panels(len(ladders), len(families), height=2.2 if len(families) > 1 else 3.0)
    for row, family in zip(axes, families, strict=True):
        for axis, ladder in zip(row, ladders, strict=True):
            part = table[(table["ladder"] == ladder) & (table["family"] == family)]
            if len(part):
                _lines(axis, part)
                axis.set_title(f"{family} in {ladder}", fontsize="medium")
            else:
                axis.remove()
    _legend(figure, axes, len(ladders))
    figure.supylabel("mean excess kurtosis of cosines\nwith the unembedding vectors", fontsize="medium")
    figure.supxlabel("neurons per model", fontsize="medium")
    sns.despine(figure)
    return figure


def _statistics(by_rung: pd.DataFrame, by_model: pd.DataFrame) -> plt.Figure:
    """Means of the activation statistics against size, one row each, the models of a rung pooled."""
    sizes = by_model.groupby(["ladder", "rung"], as_index=False)["n_neurons"].mean()
    table = by_rung.merge(sizes, on=["ladder", "rung"])
    ladders, statistics = list(table["ladder"].unique()), MEASURES[1:]
    figure, axes = _panels(len(ladders), len(statistics), height=1.7)
    for row, statistic in zip(axes, statistics, strict=True):
        for axis, ladder in zip(row, ladders, strict=True):
            _lines(axis, table[(table["ladder"] == ladder) & (table["statistic"] == statistic)])
        row[0].set_ylabel(STATISTIC_NAMES[statistic])
    for axis, ladder in zip(axes[0], ladders, strict=True):
        axis.set_title(ladder)
    for axis in axes[-1]:
        axis.set_xlabel("neurons per model")
    _legend(figure, axes, len(ladders))
    figure.align_ylabels(axes[:, 0])
    sns.despine(figure)
    return figure


def _legend(figure: plt.Figure, axes: np.ndarray, n_columns: int) -> None:
    """Put the groups above the panels; above a single column of these they do not fit side by side."""
    handles = axes[0, 0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside upper center", ncols=3 if n_columns > 1 else 1, frameon=False)


def _shown(table: pd.DataFrame) -> list[str]:
    """Return which groups of a table are drawn: of the null models the stricter one, or the only one, if any."""
    present = [group for group in _STYLES if (table["group"] == group).any()]
    return [group for group in present if group not in _ABOVE.values() or group == _stricter(present)]


def _stricter(present: list[str]) -> str | None:
    return next((group for group in reversed(_ABOVE.values()) if group in present), None)


def _lines(axis: plt.Axes, table: pd.DataFrame) -> None:
    """Draw the means of every group with their intervals, a little apart, so that error bars do not hide each other."""
    for i, (group, color) in enumerate(zip(_shown(table), sns.color_palette("colorblind"), strict=False)):
        style, marker, label = _STYLES[group]
        ordered = table[table["group"] == group].dropna(subset="mean").sort_values("n_neurons")
        axis.errorbar(
            ordered["n_neurons"] * 1.04**i, ordered["mean"], yerr=_error(ordered, "mean"), color=color, linestyle=style,
            marker=marker, markersize=4, markerfacecolor="white" if group == OTHERS else color, capsize=2, lw=1.3,
            label=label,
        )  # fmt: skip
    _label(axis, table["n_neurons"])


def _error(table: pd.DataFrame, value: str) -> np.ndarray:
    """Return the lengths of the error bars (2, n) of a column with `ci_low` and `ci_high`; zero where it has none."""
    around = table[["ci_low", "ci_high"]].to_numpy().T - table[value].to_numpy()
    return np.nan_to_num(np.abs(around))


def _label(axis: plt.Axes, sizes: pd.Series) -> None:
    axis.set_xscale("log")
    label_sizes(axis, sizes)
    if sizes.nunique() == 1:
        axis.set_xlim(sizes.min() / 2, sizes.min() * 2)
    axis.yaxis.set_major_formatter(plt.ScalarFormatter())


def _specialization(table: pd.DataFrame) -> plt.Figure:
    """NormalizedFire of Rosetta Neurons as bars, one per size; above a null as diamonds; of others as squares."""
    ladders, domains, left_out = list(table["ladder"].unique()), *_domains(table)
    figure, axes = _panels(1, len(ladders), width=max(5.0, 1.15 * len(domains)), height=2.4)
    for axis, ladder in zip(axes[:, 0], ladders, strict=True):
        part = table[table["ladder"] == ladder].sort_values("n_neurons", kind="stable")
        rungs = list(part["rung"].unique())
        width = 0.8 / len(rungs)
        for i, (rung, color) in enumerate(zip(rungs, sns.color_palette("crest", len(rungs)), strict=True)):
            of_rung = part[part["rung"] == rung]
            x = np.arange(len(domains)) + (i - (len(rungs) - 1) / 2) * width
            for group in _shown(part):
                rows = of_rung[of_rung["group"] == group].set_index("domain").loc[domains]
                mean = rows["normalized_fire"].to_numpy()
                error = _error(rows, "normalized_fire")
                if group == ROSETTA:
                    axis.bar(x, mean, width, color=color, label=f"{rows['n_neurons'].iloc[0]:,.0f} neurons")
                    axis.errorbar(x - 0.25 * width, mean, yerr=error, fmt="none", ecolor="0.2", elinewidth=0.8)
                    continue
                mark_color, place, label = ("C1", 0.0, "random other neurons")
                if group != OTHERS:
                    mark_color, place, label = ("C4", 0.25, _STYLES[group][2])
                axis.errorbar(
                    x + place * width, mean, yerr=error, fmt=_STYLES[group][1], ms=2.5, mfc="white", color=mark_color,
                    lw=0.8, label=label if i == len(rungs) - 1 else None,
                )  # fmt: skip
        axis.axhline(1, color="0.6", lw=0.8, zorder=0)
        axis.set(title=ladder, ylabel="NormalizedFire", ylim=(0, None))
        axis.set_xticks(range(len(domains)), [name or "(none)" for name in domains])
    if left_out:
        n = len(domains) + left_out
        told = f"the {len(domains)} of {n} domains on which Rosetta Neurons of some rung read highest"
        figure.supxlabel(told, fontsize="medium")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    sns.despine(figure)
    return figure


def _domains(table: pd.DataFrame) -> tuple[list[str], int]:
    """Return the domains that are shown, in the order of the table, and how many are not.

    Of many, those on which Rosetta Neurons read highest in any ladder and rung.
    """
    domains = list(table["domain"].unique())
    highest = table[table["group"] == ROSETTA].groupby("domain")["normalized_fire"].max()
    kept = set(highest.reindex(domains).fillna(-np.inf).nlargest(MAX_DOMAINS).index)
    return [name for name in domains if name in kept], len(domains) - len(kept)


def _depth(table: pd.DataFrame) -> plt.Figure:
    """Share of a model's Rosetta Neurons in each bin of depth, all of them and those above a null, in rows."""
    ladders = list(table["ladder"].unique())
    groups = _shown(table.assign(group=table["statistic"].map({PLAIN: ROSETTA, **_ABOVE})))
    models = max(table[table["ladder"] == ladder].groupby(["rung", "model"]).ngroups for ladder in ladders)
    figure, axes = _panels(len(ladders), len(groups), width=3.9, height=max(2.0, 0.26 * models + 1.0))
    for row, group in zip(axes, groups, strict=True):
        of_group = table[table["statistic"].map({PLAIN: ROSETTA, **_ABOVE}) == group]
        for axis, ladder in zip(row, ladders, strict=True):
            part = of_group[of_group["ladder"] == ladder].sort_values(["n_neurons", "rung"], kind="stable")
            _depth_panel(axis, part, legend=axis is row[-1])
            axis.set_title(ladder if group == ROSETTA else f"{ladder}: {_STYLES[group][2]}", fontsize="medium")
    return figure


def _depth_panel(axis: plt.Axes, part: pd.DataFrame, *, legend: bool) -> None:
    """Draw one heat map: bins in which a model has no layer, and models without Rosetta Neurons, are left blank."""
    share = part.assign(share=part["share"].where(part["n_layers"] > 0))
    label = part["model"] + part["n"].map("  {:,d}".format)
    rows = ["n_neurons", "rung", "model"]
    places = share[rows].assign(label=label).drop_duplicates()
    grid = share.pivot(index=rows, columns="bin", values="share").loc[list(places[rows].itertuples(index=False))]
    sns.heatmap(
        grid, ax=axis, yticklabels=places["label"].tolist(), vmin=0, vmax=1, cmap="rocket_r", cbar=legend,
        linewidths=0.5, cbar_kws={"label": "share of Rosetta Neurons"},
    )  # fmt: skip
    axis.set(xlabel="depth, layer / (L − 1), in 12 bins", ylabel="")
    axis.set_xticks([0, 6, 12], ["0", "0.5", "1"], rotation=0)
    axis.tick_params(axis="y", rotation=0)


def _layer_pairs(table: pd.DataFrame) -> plt.Figure:
    """Number of matches of every pair of layers, one panel per pair of models."""
    pairs = list(table.groupby(["model_a", "model_b"], sort=False))
    columns = min(4, len(pairs))
    figure, axes = _panels(columns, -(-len(pairs) // columns), width=2.6, height=2.5)
    for axis, ((a, b), part) in zip(axes.flat, pairs, strict=False):
        grid = part.pivot_table(index="layer_a", columns="layer_b", values="matches")
        small = grid.size <= 64
        sns.heatmap(
            grid, ax=axis, vmin=0, cmap="rocket_r", square=True, cbar=not small, annot=small, fmt=".0f",
            annot_kws={"fontsize": 7},
        )  # fmt: skip
        axis.invert_yaxis()
        axis.set_title(group_name((a, b)), fontsize="small")
        axis.set(xlabel=f"layer of {b}", ylabel=f"layer of {a}")
    for axis in axes.flat[len(pairs) :]:
        axis.remove()
    return figure


def _family(models: pd.Series) -> str:
    """Return what the names of a ladder's models begin with in common, or the first of them."""
    names = list(dict.fromkeys(models))
    shared = "".join(
        letters[0] for letters in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    )
    return shared.rstrip("-_.") or names[0]

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
from rosetta.analysis.nulls import PLAIN
from rosetta.analysis.populations import STATISTICS
from rosetta.config import group_name
from rosetta.paths import Paths
from rosetta.report.figures import label_sizes, save_figure
from rosetta.tables import read_csv

FIGURES = ("polarization", "statistics", "specialization", "depth", "layer_pairs")
PANEL = 3.4  # inches
STATISTIC_NAMES = {
    "excess_kurtosis": "vocabulary kurtosis",
    "activation_mean": "mean",
    "activation_variance": "variance",
    "activation_skewness": "skewness",
    "activation_kurtosis": "excess kurtosis",
    "fraction_active": "fraction active",
    "domain_information": "information about\nthe domain (bits)",
}
ABOVE = rosetta_group("above_untrained")  # the stricter of the nulls; permuted positions leave hardly any correlation
ABOVE_LABEL = "Rosetta, above untrained"
_STYLES = {ROSETTA: ("-", "o", "Rosetta"), ABOVE: (":", "D", ABOVE_LABEL), OTHERS: ("--", "s", "other")}


def draw_neuron_figures(paths: Paths) -> None:
    """Draw all of `FIGURES` from the tables of a run."""
    sns.set_theme(context="paper", style="ticks", font_scale=1.0)
    by_model = read_csv(paths.table("polarization_by_model"), MODEL_POLARIZATION_COLUMNS)
    drawn = {
        "polarization": _polarization(by_model),
        "statistics": _statistics(read_csv(paths.table("polarization"), POLARIZATION_COLUMNS), by_model),
        "specialization": _specialization(read_csv(paths.table("specialization_by_rung"), RUNG_SPECIALIZATION_COLUMNS)),
        "depth": _depth(read_csv(paths.table("depth"), DEPTH_COLUMNS)),
        "layer_pairs": _layer_pairs(read_csv(paths.table("layer_pairs"), LAYER_PAIR_COLUMNS)),
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
    """Mean vocabulary kurtosis of Rosetta Neurons and of the others against size, one colour per family."""
    table = by_model[by_model["statistic"] == "excess_kurtosis"]
    place = table.groupby(["ladder", "rung"])["model"].transform(lambda names: pd.factorize(names)[0])
    table = table.assign(family=table["model"].groupby([table["ladder"], place]).transform(_family))
    families = list(table["family"].unique())
    colors = dict(zip(families, sns.color_palette("colorblind", len(families)), strict=True))
    ladders = list(table["ladder"].unique())
    figure, axes = _panels(len(ladders))
    for axis, ladder in zip(axes[0], ladders, strict=True):
        part = table[table["ladder"] == ladder]
        for i, (family, own) in enumerate(part.groupby("family", sort=False)):
            for j, group in enumerate(_shown(own)):
                shift = 1 + 0.06 * i + 0.02 * j
                _line(axis, own[own["group"] == group], group, colors[family], shift=shift)
        _label(axis, part["n_neurons"])
        axis.set(title=ladder, xlabel="neurons per model")
    handles = [plt.Line2D([], [], color=color, lw=3, label=family) for family, color in colors.items()]
    for group in _shown(table):
        style, marker, name = _STYLES[group]
        face = "white" if group == OTHERS else "0.4"
        handles.append(plt.Line2D([], [], color="0.4", ls=style, marker=marker, ms=4, mfc=face, label=name))
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    axes[0, 0].set_ylabel("mean excess kurtosis of cosines\nwith the unembedding vectors")
    sns.despine(figure)
    return figure


def _statistics(by_rung: pd.DataFrame, by_model: pd.DataFrame) -> plt.Figure:
    """Means of the activation statistics against size, one row each, the models of a rung pooled."""
    sizes = by_model.groupby(["ladder", "rung"], as_index=False)["n_neurons"].mean()
    table = by_rung.merge(sizes, on=["ladder", "rung"])
    ladders, statistics = list(table["ladder"].unique()), STATISTICS[1:]
    figure, axes = _panels(len(ladders), len(statistics), height=1.7)
    colors = dict(zip(_shown(table), sns.color_palette("colorblind"), strict=False))
    for row, statistic in zip(axes, statistics, strict=True):
        for axis, ladder in zip(row, ladders, strict=True):
            part = table[(table["ladder"] == ladder) & (table["statistic"] == statistic)]
            for group, color in colors.items():
                _line(axis, part[part["group"] == group], group, color, _STYLES[group][2])
            _label(axis, part["n_neurons"])
        row[0].set_ylabel(STATISTIC_NAMES[statistic])
    for axis, ladder in zip(axes[0], ladders, strict=True):
        axis.set_title(ladder)
    for axis in axes[-1]:
        axis.set_xlabel("neurons per model")
    axes[0, 0].legend(frameon=False, fontsize="x-small")
    figure.align_ylabels(axes[:, 0])
    sns.despine(figure)
    return figure


def _shown(table: pd.DataFrame) -> list[str]:
    """Return which groups of a table are drawn."""
    return [group for group in _STYLES if (table["group"] == group).any()]


def _line(
    axis: plt.Axes, table: pd.DataFrame, group: str, color: tuple, label: str | None = None, shift: float = 1.0
) -> None:
    """Draw means with their intervals; `shift` moves them sideways, so that error bars do not hide each other."""
    style, marker, _ = _STYLES[group]
    ordered = table.dropna(subset="mean").sort_values("n_neurons")
    axis.errorbar(
        ordered["n_neurons"] * shift, ordered["mean"], yerr=_error(ordered, "mean"), color=color, linestyle=style,
        marker=marker, markersize=4, markerfacecolor="white" if group == OTHERS else color, capsize=2, lw=1.3,
        label=label,
    )  # fmt: skip


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
    """NormalizedFire of Rosetta Neurons as bars, one per size; of random other neurons as open squares."""
    ladders, domains = list(table["ladder"].unique()), list(table["domain"].unique())
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
                    axis.errorbar(x, mean, yerr=error, fmt="none", ecolor="0.2", elinewidth=0.8)
                    continue
                mark, color_of, label = (
                    ("s", "C1", "random other neurons") if group == OTHERS else ("D", "0.2", ABOVE_LABEL)
                )
                axis.errorbar(
                    x, mean, yerr=error if group == OTHERS else None, fmt=mark, ms=3, mfc="white", color=color_of, lw=1,
                    label=label if i == len(rungs) - 1 else None,
                )  # fmt: skip
        axis.axhline(1, color="0.6", lw=0.8, zorder=0)
        axis.set(title=ladder, ylabel="NormalizedFire", ylim=(0, None))
        axis.set_xticks(range(len(domains)), domains)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    sns.despine(figure)
    return figure


def _depth(table: pd.DataFrame) -> plt.Figure:
    """Share of a model's Rosetta Neurons in each bin of depth; bins without a layer are left blank."""
    table = table[table["statistic"] == PLAIN]
    ladders = list(table["ladder"].unique())
    rows = max(table[table["ladder"] == ladder].groupby(["rung", "model"]).ngroups for ladder in ladders)
    figure, axes = _panels(len(ladders), width=3.9, height=max(2.0, 0.26 * rows + 1.0))
    for axis, ladder in zip(axes[0], ladders, strict=True):
        part = table[table["ladder"] == ladder].sort_values(["n_neurons", "rung"], kind="stable")
        share = part.where(part["n_layers"] > 0).assign(model=part["model"], bin=part["bin"])
        grid = share.pivot_table(index="model", columns="bin", values="share", sort=False, dropna=False)
        grid = grid.loc[list(part["model"].unique())].sort_index(axis=1)
        sns.heatmap(
            grid, ax=axis, vmin=0, vmax=1, cmap="rocket_r", cbar=axis is axes[0, -1], linewidths=0.5,
            cbar_kws={"label": "share of Rosetta Neurons"},
        )  # fmt: skip
        axis.set(title=ladder, xlabel="depth, layer / (L − 1), in 12 bins", ylabel="")
        axis.set_xticks([0, 6, 12], ["0", "0.5", "1"], rotation=0)
        axis.tick_params(axis="y", rotation=0)
    return figure


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

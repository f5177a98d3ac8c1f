"""The figure of trainings of one recipe: how many share a neuron, and whether others do."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns

from rosetta.emergence.columns import SEED_FAMILY_COLUMNS, SEED_UNIT_COLUMNS
from rosetta.report.direct_labels import EndLabel, label_ends
from rosetta.report.figures import panel_grid, read_drawn, use_one_font_size
from rosetta.run.paths import Paths

_WIDTH, _HEIGHT = 4.2, 2.7  # of a panel with its labels, in inches


def draw_across_seeds(paths: Paths) -> plt.Figure:
    """Return the figure of a run, a row of two panels for every model."""
    units = read_drawn(paths.table("across_seeds_units"), SEED_UNIT_COLUMNS)
    families = read_drawn(paths.table("across_seeds_families"), SEED_FAMILY_COLUMNS)
    use_one_font_size()
    models = list(units["model"].unique())
    figure, panels = panel_grid(2 * len(models), _WIDTH, _HEIGHT, columns=2)
    for number, model in enumerate(models):
        left, right = panels[2 * number : 2 * number + 2]
        _draw_units(left, units[units["model"] == model], model)
        _draw_families(right, families[families["model"] == model])
    sns.despine(figure)
    return figure


def _draw_units(axes: plt.Axes, rows: pd.DataFrame, model: str) -> None:
    """Draw how many neurons have so many partners, beside how many would by chance."""
    color, x = sns.color_palette("colorblind")[0], rows["n_partners"].to_numpy()
    axes.bar(x, rows["by_chance"], width=0.8, color="0.85")
    low, high = (rows[f"neurons_ci_{end}"].fillna(rows["neurons"]) for end in ("low", "high"))
    axes.vlines(x, low, high, color=color, lw=1.4)
    axes.plot(x, rows["neurons"], "o", color=color, ms=4)
    largest = int(rows["by_chance"].to_numpy().argmax())
    at = (x[largest] + 0.42, rows["by_chance"].to_numpy()[largest])
    axes.annotate("if matches fell\non neurons at random", at, (4, -4), **_BESIDE, color="0.45")
    axes.set(ylim=(0, None), ylabel="neurons of a training", xticks=x)
    axes.set_xlabel("other trainings in which a neuron has a partner")
    axes.set_title(f"{model}: shared by how many trainings", loc="left")


_BESIDE = {"textcoords": "offset points", "va": "top"}


def _draw_families(axes: plt.Axes, rows: pd.DataFrame) -> None:
    """Draw whether neurons that more trainings share are shared by another family."""
    labels, palette = [], sns.color_palette("colorblind")
    for number, (other, mine) in enumerate(rows.groupby("other", sort=False)):
        known = mine[mine["elsewhere"].notna()]
        if known.empty:
            continue
        color = palette[(number + 1) % len(palette)]
        x = known["n_partners"].to_numpy() + 0.06 * number
        y = known["elsewhere"].to_numpy()
        axes.plot(x, y, "o-", color=color, ms=3.5, lw=1.2)
        ends = known["elsewhere_ci_low"], known["elsewhere_ci_high"]
        axes.vlines(x, *(end.to_numpy() for end in ends), color=color, lw=1.2)
        r = known["rank_correlation"].iloc[0]
        told = f"{other}\n(rank r {r:.2f})" if np.isfinite(r) else str(other)
        labels.append(EndLabel(x[-1], y[-1], told, color))
    axes.set(ylim=(-0.02, 1.02), xticks=np.unique(rows["n_partners"]))
    axes.set_ylabel("share that has a partner there")
    axes.set_xlabel("other trainings in which a neuron has a partner")
    axes.set_title("shared by another family", loc="left")
    label_ends(axes, labels)

"""Panels of counts of Rosetta Neurons, and of their share of all neurons, against model size."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import NullLocator

from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.null_thresholds import NULL_TITLES
from rosetta.report.count_series import BARS, N_CURVE, CountScale, CountSeries, draw_bars, mark
from rosetta.report.direct_labels import EndLabel, label_ends
from rosetta.report.figures import NULL_MARKERS, TITLES, label_sizes, ladder_palette, literal

SIZE_LABEL = "neurons per model"
COUNT_LABEL = "Rosetta Neurons"
NULL_COLORS = {name: f"{0.25 + 0.15 * place:.2f}" for place, name in enumerate(NULL_TITLES)}
_BESIDE = 0.015  # distance of neighbouring ladders' means, as a share of the axis
_N_SIZES = 4  # sizes that are named on an axis
_TITLE_WIDTH = 46  # characters
_NO_LAW = {"alpha": float("nan"), "reason": "not fitted"}


def lighter(color: Any) -> tuple[float, float, float]:
    """Return a lighter tone of a colour."""
    return sns.blend_palette([color, "white"], 10)[4]


def exponent_told(law: Mapping[str, Any]) -> str:
    """Return the exponent of a table's law with its interval, or why there is none."""
    if not np.isfinite(law["alpha"]):
        told = law.get("reason")
        return f"no exponent ({told})" if isinstance(told, str) and told else "no exponent"
    if not np.isfinite(law["alpha_ci_low"]):
        return f"α = {law['alpha']:z.2f}"
    return f"α = {law['alpha']:z.2f} [{law['alpha_ci_low']:z.2f}, {law['alpha_ci_high']:z.2f}]"


def wrapped(ladder: str) -> str:
    """Return a ladder's name as a label beside a panel."""
    return fill(literal(ladder), 14)


def null_means(trainings: pd.DataFrame, null_summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `null_summary`, means over seeds, with the n_neurons of their rungs."""
    sizes = trainings.groupby(["ladder", "rung"], sort=False)["n_neurons"].mean().reset_index()
    return null_summary.merge(sizes, on=["ladder", "rung"])


def count_text(count: float) -> str:
    """Return the text of a count's tick."""
    return f"{count:,.0f}" if count >= 1 else f"{count:g}"


def draw_ladder(
    axes: plt.Axes,
    series: dict[str, CountSeries],
    nulls: pd.DataFrame,
    null_laws: pd.DataFrame,
    scale: CountScale,
    color: Any,
) -> None:
    """Draw the counts of one ladder, its nulls in grey, and a line of slope 1.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    series : dict of str to CountSeries
        By statistic: the headline's first, in the ladder's colour, others in a lighter tone.
    nulls, null_laws : DataFrame
        `null_means` and `NULL_SCALING_COLUMNS` of this ladder.
    scale : CountScale
        Of all panels of counts.
    color : Any
        The ladder's.
    """
    _set_axes(axes, next(iter(series.values())).dots["n_neurons"], scale, COUNT_LABEL)
    labels = []
    for law in null_laws.to_dict("records"):
        rows = nulls[nulls["control"] == law["control"]]
        labels.append(_draw_null(axes, rows, law, scale))
    for place, (statistic, drawn) in reversed(list(enumerate(series.items()))):
        tone = lighter(color) if place else color
        drawn.draw(axes, scale, tone)
        labels.append(_end_of(drawn, scale, TITLES[statistic].replace(" ", "\n", 1), tone))
    labels += _draw_slope_one(axes, next(iter(series.values())), scale)
    label_ends(axes, labels)


def _set_axes(axes: plt.Axes, sizes: pd.Series, scale: CountScale, label: str) -> None:
    """Give axes their scales and labels, before anything is drawn that looks at these."""
    axes.set(xscale="log", xlabel=SIZE_LABEL, ylabel=label)
    if len(sizes) and sizes.min() < sizes.max():
        beside = (sizes.max() / sizes.min()) ** 0.06
        axes.set_xlim(sizes.min() / beside, sizes.max() * beside)
    label_sizes(axes, sizes, most=_N_SIZES)
    axes.xaxis.set_minor_locator(NullLocator())
    scale.apply(axes)


def draw_title(axes: plt.Axes, ladder: str, law: Mapping[str, Any] | None, color: Any) -> None:
    """Write a ladder's name and its exponent above its panel."""
    told = exponent_told(_NO_LAW if law is None else law)
    lines = [fill(literal(ladder), _TITLE_WIDTH), fill(told, _TITLE_WIDTH)]
    axes.set_title("\n".join(lines), loc="left", color=color)


def _end_of(drawn: CountSeries, scale: CountScale, text: str, color: Any) -> EndLabel:
    """Return the label of a series, at the end of its law or else at its last mean."""
    x, curve = drawn.curve()
    y = curve[0]
    if not len(x):
        x, y = drawn.means["n_neurons"].to_numpy(float), drawn.counts(drawn.means, "mean")
        x, y = x[np.isfinite(y)], y[np.isfinite(y)]
    if not len(x):
        return EndLabel(np.nan, np.nan, text, color)
    last = int(np.argmax(x))
    return EndLabel(x[last], float(scale.place(y)[last]), text, color)


def _draw_null(axes: plt.Axes, rows: pd.DataFrame, law: dict, scale: CountScale) -> EndLabel:
    """Draw the means of a null, and its law; return the label of their end."""
    name = law["control"]
    sizes, counts = (rows[column].to_numpy(float) for column in ("n_neurons", "matches"))
    color = NULL_COLORS[name]
    style = {"marker": NULL_MARKERS[name], "ms": 3, "mew": 0.8, "mfc": "white", "zorder": 2}
    mark(axes, sizes, counts, scale, color=color, **style)
    text = NULL_TITLES[name].replace(" ", "\n", 1)
    if not len(rows):
        return EndLabel(np.nan, np.nan, text, color)
    last = sizes.argmax()
    end = float(scale.place(counts)[last])
    if np.isfinite(law["alpha"]):
        x = np.geomspace(sizes.min(), sizes.max(), N_CURVE)
        y = law["c"] * x ** law["alpha"]
        axes.plot(x, y, color=color, lw=0.9, ls="--", zorder=1)
        end = y[-1]
    return EndLabel(sizes[last], end, text, color)


def _draw_slope_one(axes: plt.Axes, drawn: CountSeries, scale: CountScale) -> list[EndLabel]:
    """Draw the line of slope 1 that begins where the law does, up to the edge of the axes."""
    x, curve = drawn.curve()
    if not len(x):
        return []
    share = curve[0, 0] / x[0]
    x = np.array([x[0], min(x[-1], scale.top / share)])
    axes.plot(x, share * x, color="black", lw=1.0, ls=(0, (1, 1.5)), zorder=1)
    return [EndLabel(x[1], share * x[1], "slope 1", "black")]


def draw_shares(
    axes: plt.Axes, series: list[CountSeries], palette: Mapping[str, Any], statistic: str
) -> None:
    """Draw the share of a model's neurons that a statistic counts, for every ladder.

    A law |R| = c · x^α is one of slope α − 1 here: it falls where growth is sublinear.
    """
    series = [drawn.shares() for drawn in series]
    values = np.concatenate([drawn.values() for drawn in series])
    scale = CountScale.of(values, lambda share: f"{100 * share:g}%")
    sizes = pd.concat([drawn.dots["n_neurons"] for drawn in series])
    _set_axes(axes, sizes, scale, "share of a model's neurons")
    labels = []
    for place, drawn in enumerate(series):
        color = palette[drawn.ladder]
        drawn.draw(axes, scale, color, shift=(place - (len(series) - 1) / 2) * _BESIDE)
        labels.append(_end_of(drawn, scale, wrapped(drawn.ladder), color))
    axes.set_title(f"share of all neurons,\n{TITLES[statistic]}", loc="left")
    label_ends(axes, labels)


def draw_laws(
    counts: pd.DataFrame, laws: pd.DataFrame, statistic: str, axes: plt.Axes | None = None
) -> plt.Axes:
    """Draw one statistic of all ladders against model size, in log–log: counts, and their laws.

    Parameters
    ----------
    counts : DataFrame
        ladder, n_neurons, the statistic's column and, if they are known, its intervals.
    laws : DataFrame
        `SCALING_COLUMNS` of this statistic.
    statistic : str
        One of `rosetta.analysis.counts.COUNT_OF`.
    axes : Axes, optional
        Where to draw; a new figure's if not given.
    """
    axes = plt.subplots()[1] if axes is None else axes
    column = COUNT_OF[statistic]
    columns = [column, f"{column}_ci_low", f"{column}_ci_high"]
    scale = CountScale.of(counts[column].to_numpy(float), count_text)
    _set_axes(axes, counts["n_neurons"], scale, f"{COUNT_LABEL}, {TITLES[statistic]}")
    handles = []
    for ladder, color in ladder_palette(list(counts["ladder"].unique())).items():
        law = next(iter(laws[laws["ladder"] == ladder].to_dict("records")), _NO_LAW)
        rows = counts[counts["ladder"] == ladder]
        x = rows["n_neurons"].to_numpy(float)
        known = rows.reindex(columns=columns).to_numpy(float).T
        draw_bars(axes, x, tuple(known), scale, color=color, **BARS["resampled"])
        mark(axes, x, known[0], scale, color=color)
        label = f"{literal(ladder)}: {exponent_told(law)}"
        curve = np.geomspace(x.min(), x.max(), N_CURVE if np.isfinite(law["alpha"]) else 0)
        fitted = law["c"] * curve ** law["alpha"] if len(curve) else curve
        handles += axes.plot(curve, fitted, color=color, label=label)
    axes.legend(handles=handles, frameon=False)
    return axes

"""Counts of Rosetta Neurons against model size as they are drawn: dots, means, intervals, a law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from rosetta.analysis.count_law import CountLaw, law_of
from rosetta.analysis.counts import COUNT_OF

_BESIDE = 0.025  # how far left of its size a training's count is drawn, as a share of the axis
_ZERO = 0.09  # how far below all others counts of 0 are drawn, as a share of the axis
N_CURVE = 50
# How the intervals of a mean are drawn: thick over trainings, thin and capped over documents.
BARS = {"ci": {"lw": 2.6}, "resampled": {"lw": 0.9, "capsize": 2.2}}


@dataclass(frozen=True)
class CountScale:
    """A logarithmic axis of counts, with a place for counts of 0 below all others.

    Attributes
    ----------
    low, top : float
        What counts above 0 lie between.
    zero : float
        Where counts of 0 are drawn, below `low`; NaN if there are none.
    shown : callable
        From a count to the text of its tick.
    """

    low: float
    top: float
    zero: float
    shown: Callable[[float], str]

    @classmethod
    def of(cls, values: np.ndarray, shown: Callable[[float], str]) -> CountScale:
        """Return the scale that holds values ≥ 0; NaN are passed over."""
        above = values[values > 0]
        low, top = (above.min() / 1.3, above.max() * 1.3) if len(above) else (1.0, 10.0)
        zero = low / (top / low) ** _ZERO if (values == 0).any() else float("nan")
        return cls(low, top, zero, shown)

    @property
    def bottom(self) -> float:
        """The lower end of the axis, as far below the zeros as these are below the counts."""
        return self.low if np.isnan(self.zero) else self.zero**2 / self.low

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return where values are drawn."""
        return np.where(values == 0, self.zero, values)

    def apply(self, axes: plt.Axes) -> None:
        """Give axes this scale: ticks at powers of ten (1, 2, 5 if these are few) and 0."""
        axes.set(yscale="log", ylim=(self.bottom, self.top))
        powers = 10.0 ** np.arange(np.floor(np.log10(self.low)), np.ceil(np.log10(self.top)))
        every = np.outer(powers, np.arange(1, 10))
        inside = (every >= self.low) & (every <= self.top)
        major = every[:, :1][inside[:, :1]]
        if len(major) < 3:
            major = every[:, [0, 1, 4]][inside[:, [0, 1, 4]]]
        text = {tick: self.shown(tick) for tick in major}
        if not np.isnan(self.zero):
            text[self.zero] = "0"
            axes.axhline(self.low, color="0.8", lw=0.6, ls=":", zorder=0)
        axes.yaxis.set_major_locator(FixedLocator(list(text)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: text.get(tick, "")))
        axes.yaxis.set_minor_locator(FixedLocator(every[inside]))
        axes.yaxis.set_minor_formatter(NullFormatter())


@dataclass(frozen=True)
class CountSeries:
    """One statistic of one ladder, in the order in which it is drawn.

    Attributes
    ----------
    dots : DataFrame
        n_neurons and count of every group of trainings.
    means : DataFrame
        n_neurons and mean per rung, with `mean_ci_…` over trainings and `mean_resampled_…` over
        documents.
    law : CountLaw
        Fitted to the dots.
    per_neuron : bool
        Whether counts are drawn as shares of a model's neurons.
    """

    ladder: str
    dots: pd.DataFrame
    means: pd.DataFrame
    law: CountLaw
    per_neuron: bool = False

    @classmethod
    def of(
        cls, trainings: pd.DataFrame, rungs: pd.DataFrame, ladder: str, statistic: str
    ) -> CountSeries:
        """Return a statistic of a ladder, with its law fitted again: tables have no covariance."""
        points = trainings[trainings["ladder"] == ladder]
        points = points.assign(count=points[COUNT_OF[statistic]])
        means = rungs[(rungs["ladder"] == ladder) & (rungs["statistic"] == statistic)]
        return cls(ladder, points, means, law_of(points))

    def shares(self) -> CountSeries:
        """Return the same as shares of a model's neurons."""
        return replace(self, per_neuron=True)

    def counts(self, rows: pd.DataFrame, column: str) -> np.ndarray:
        """Return what is drawn of a column of the dots or means, shape (n,)."""
        divisor = rows["n_neurons"].to_numpy(float) if self.per_neuron else 1.0
        return rows[column].to_numpy(float) / divisor

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Return sizes, and the law with the ends of its 95% band there: shapes (n,) and (3, n).

        Without a law, there is no size.
        """
        sizes = self.dots["n_neurons"]
        if not np.isfinite(self.law.alpha):
            return np.empty(0), np.empty((3, 0))
        x = np.geomspace(sizes.min(), sizes.max(), N_CURVE)
        return x, np.stack(self.law.band(self.ladder, x)) / (x if self.per_neuron else 1.0)

    def values(self) -> np.ndarray:
        """Return all counts that a scale has to hold: dots, means and ends of intervals; the ends
        not further than a factor of 3 from the counts.
        """
        exact = np.concatenate([self.counts(self.dots, "count"), self.counts(self.means, "mean")])
        above = exact[exact > 0]
        if not len(above):
            return exact
        ends = [
            self.counts(self.means, f"mean_{kind}_{end}")
            for kind in BARS
            for end in ("low", "high")
        ]
        return np.concatenate(
            [exact, *(end.clip(above.min() / 3, above.max() * 3) for end in ends)]
        )

    def draw(
        self, axes: plt.Axes, scale: CountScale, color: Any, shift: float | None = None
    ) -> None:
        """Draw the law with its band, means with both intervals, and dots.

        With `shift`, a share of the axis by which means are moved beside those of other ladders,
        there are no dots: they would be told from these no more.
        """
        x, (law, low, high) = self.curve()
        if len(x):
            axes.plot(x, law, color=color, lw=1.2, zorder=2)
            if np.isfinite(self.law.half_width):
                axes.fill_between(x, low, high, color=color, alpha=0.18, lw=0, zorder=1)
        sizes = self.dots["n_neurons"].to_numpy(float)
        reach = sizes.max() / sizes.min() if len(sizes) else 1.0
        # Where every rung has one group, means are the dots.
        if shift is None and len(self.dots) > len(self.means):
            style = {"color": color, "alpha": 0.45, "ms": 2.2, "mew": 0.5, "zorder": 3}
            place = sizes / reach**_BESIDE
            mark(axes, place, self.counts(self.dots, "count"), scale, **style)
        place = self.means["n_neurons"].to_numpy(float) * reach ** (shift or 0.0)
        mean = self.counts(self.means, "mean")
        for kind, style in BARS.items():
            low, high = (self.counts(self.means, f"mean_{kind}_{end}") for end in ("low", "high"))
            draw_bars(axes, place, (mean, low, high), scale, color=color, **style)
        mark(axes, place, mean, scale, color=color, ms=4, zorder=5)


def mark(
    axes: plt.Axes, x: np.ndarray, counts: np.ndarray, scale: CountScale, **style: Any
) -> None:
    """Mark counts, those of 0 by open markers at their place."""
    style = {"marker": "o", "ls": "none", **style}
    none = counts == 0
    axes.plot(x[counts > 0], counts[counts > 0], **style)
    if none.any():
        axes.plot(x[none], scale.place(counts[none]), **{**style, "mfc": "white"})


def draw_bars(
    axes: plt.Axes,
    x: np.ndarray,
    estimates: tuple[np.ndarray, np.ndarray, np.ndarray],
    scale: CountScale,
    **style: Any,
) -> None:
    """Draw intervals; one that reaches 0 ends at the place of 0, or at the edge of the axes.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    x : ndarray, shape (n,)
        Model sizes.
    estimates : tuple of ndarray, each of shape (n,)
        Values and ends of their intervals; those without an interval, and of 0, are left out.
    scale : CountScale
        Of the axes.
    **style
        As `Axes.errorbar` takes it.
    """
    value, low, high = estimates
    known = (value > 0) & np.isfinite(low) & np.isfinite(high)
    value, low, high = value[known], low[known], high[known]
    least = scale.bottom if np.isnan(scale.zero) else scale.zero
    ends = np.stack([value - low.clip(least), high - value]).clip(0)
    axes.errorbar(x[known], value, ends, fmt="none", zorder=4, **style)

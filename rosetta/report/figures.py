"""Figures in the manner of the paper, drawn with seaborn, written as PNG and PDF."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from rosetta.storage.digests import digested
from rosetta.storage.tables import NAMES, read_csv

FONT_SIZE = 8  # of all that is written in a figure of small panels
_SIZES = ("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize")
DPI = 200
PICTURE_DPI = 64  # of many small images: a report holds a picture per pair
MAX_PIXELS = 16_000  # of a side; a figure of hundreds of panels is drawn coarser

# What counts are called.
TITLES = {
    "plain": "all matches",
    "above_documents": "above exchanged samples",
    "above_untrained": "above untrained",
}
RUNG_MARKERS = "osD^vP*X"
NULL_MARKERS = {"permutation": "v", "documents": "D", "untrained": "s"}


def use_one_font_size() -> None:
    """Set the style of figures of small panels, as wide as a column of a journal each."""
    rc = dict.fromkeys((*_SIZES, "xtick.labelsize", "ytick.labelsize"), FONT_SIZE)
    sns.set_theme(context="paper", style="ticks", rc=rc)


def panel_grid(
    n: int, width: float, height: float, columns: int = 3
) -> tuple[plt.Figure, list[plt.Axes]]:
    """Return a figure with n panels, row by row."""
    columns = min(n, columns)
    rows = -(-n // columns)
    size = (width * columns, height * rows)
    figure, panels = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    for axes in panels.flat[n:]:
        axes.remove()
    return figure, list(panels.flat[:n])


def draw_estimates(
    axes: plt.Axes,
    x: pd.Series,
    rows: pd.DataFrame,
    column: str,
    limits: tuple[float, float],
    **style: Any,
) -> None:
    """Draw estimates with their 95% intervals; those without an interval are open, not exact.

    An interval that leaves the limits ends in an arrow there, so that nothing is cut unseen.

    Parameters
    ----------
    axes : Axes
        Where to draw; its limits are set by the caller.
    x : Series, shape (n,)
        Places, of the same index as `rows`.
    rows : DataFrame
        Columns `column`, and `column` with `_ci_low` and `_ci_high`.
    column : str
        What is drawn.
    limits : tuple of float
        Of the vertical axis.
    **style
        Of the line and its markers: color, marker, ms, lw, ls, label.
    """
    value, low, high = (
        rows[name].astype(float) for name in (column, f"{column}_ci_low", f"{column}_ci_high")
    )
    known = low.notna() & high.notna() & value.notna()
    color, marker = style["color"], style.get("marker", "o")
    axes.plot(x[value.notna()], value[value.notna()], **{**style, "mfc": "white"}, zorder=3)
    axes.plot(
        x[known], value[known], ls="none", marker=marker, color=color, ms=style.get("ms"), zorder=4
    )
    axes.vlines(
        x[known],
        low[known].clip(*limits),
        high[known].clip(*limits),
        color=color,
        lw=style.get("lw"),
        zorder=2,
    )
    for beyond, edge, arrow in (
        (low < limits[0], limits[0], "v"),
        (high > limits[1], limits[1], "^"),
    ):
        places = x[known & beyond]
        if len(
            places
        ):  # an empty line that is not clipped has no bounds, which the layout cannot do with
            axes.plot(
                places, [edge] * len(places), arrow, color=color, ms=3, clip_on=False, zorder=5
            )


def interval_limits(rows: pd.DataFrame, column: str, reach: float) -> tuple[float, float]:
    """Return limits that hold all estimates, and intervals up to `reach` beyond."""
    value = rows[column].astype(float)
    if not value.notna().any():
        return 0.0, 1.0
    low, high = (rows[f"{column}_ci_{end}"].astype(float) for end in ("low", "high"))
    bottom = max(np.nanmin([low.min(), value.min()]), value.min() - reach)
    top = min(np.nanmax([high.max(), value.max()]), value.max() + reach)
    margin = 0.05 * (top - bottom) or 0.05
    return float(bottom - margin), float(top + margin)


def literal(name: str) -> str:
    """Return what Matplotlib draws as this name.

    It takes `$` for mathematics, and leaves out of legends what begins with `_`: a zero-width space
    goes before that.
    """
    shown = str(name).replace("$", r"\$")
    return f"\u200b{shown}" if shown.startswith("_") else shown


def read_drawn(path: Path, columns: list[str]) -> pd.DataFrame:
    """Read a table, with its names as Matplotlib takes them (`literal`)."""
    table = read_csv(path, columns)
    return table.assign(**{name: table[name].map(literal) for name in NAMES if name in table})


def ladder_palette(ladders: list[str]) -> dict[str, tuple]:
    """Return the colour of every ladder, the same in all figures."""
    return dict(zip(ladders, sns.color_palette("colorblind", len(ladders)), strict=True))


def label_sizes(axes: plt.Axes, sizes: pd.Series, most: int | None = None) -> None:
    """Put ticks at the model sizes themselves, leaving out those too close to the one before.

    With `most`, about so many are named along the axis, which is logarithmic.
    """
    ticks: list[float] = []
    apart = 1.25
    if most is not None and len(sizes):
        apart = max(apart, (sizes.max() / sizes.min()) ** (1 / most))
    for size in np.unique(sizes):
        if not ticks or size > apart * ticks[-1]:
            ticks.append(float(size))
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))


def save_figure(figure: plt.Figure, out: Path) -> None:
    """Write a figure as PNG and PDF, all that was drawn and nothing cut off.

    Without dates, so that equal figures are equal files.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # the layout is made: each draw would make it again
    for suffix in _UNDATED:
        _write(figure, out.with_name(out.name + suffix), DPI)
    plt.close(figure)


def save_picture(figure: plt.Figure, out: Path) -> None:
    """Write a figure of many small images as PNG alone, as `save_figure` does, but coarser."""
    _write(figure, out, PICTURE_DPI)
    plt.close(figure)


# What each kind would tell of its making.
_UNDATED: dict[str, dict[str, Any]] = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}


def _write(figure: plt.Figure, out: Path, dpi: int) -> None:
    dpi = min(dpi, MAX_PIXELS / max(figure.get_size_inches()))
    kind, metadata = out.suffix[1:], _UNDATED[out.suffix]
    with digested(out) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata, bbox_inches="tight")

"""The scaling law of Rosetta Neurons: fitting it and drawing it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.replicates import check_replicates
from rosetta.analysis.scaling import SCALING_COLUMNS, STATISTIC, check_counts, scaling_table
from rosetta.api.arguments import as_axes, as_one_of
from rosetta.errors import StoreError
from rosetta.storage.tables import check_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NO_LADDER = "all"  # what the ladder of a table without ladders is called


def fit_power_law(counts: pd.DataFrame, replicates: pd.DataFrame | None = None) -> pd.DataFrame:
    """Fit |R| = c · x^α to counts of Rosetta Neurons by negative-binomial regression.

    Parameters
    ----------
    counts : DataFrame
        One row per size: `n_neurons` (x), `matches` (|R|; 0 counts) and, if there are several,
        `ladder`. A run's counts above null models (`above_…`) are fitted too. `Run.counts` has
        them all. With a column `statistic`, the matches of each are fitted by themselves.
    replicates : DataFrame, optional
        Counts on half-samples of the documents: a run's table `replicates`. They widen the
        intervals by what the choice of documents does.

    Returns
    -------
    DataFrame
        One row per ladder and statistic: `alpha`, its 95% interval `alpha_ci_low` and
        `alpha_ci_high`, `c`, and what `rosetta.analysis.scaling.scaling_table` adds. `reason` says
        why there is no exponent, if there is none.

    Raises
    ------
    StoreError
        If a table is none, is empty or lacks a column, `counts` has something else than numbers
        ≥ 0, rows without a ladder or statistic, or of several null models, half-samples or
        settings, or `replicates` half-samples without their complements.
    """
    check_table(counts, "counts", ["n_neurons", "matches"], ("n_neurons", "matches"), some=True)
    check_counts(counts, "counts")
    if "ladder" in counts and counts["ladder"].isna().any():
        raise StoreError("counts: ladder is missing in some row. Name it, or drop the column.")
    if replicates is not None:
        check_table(counts, "counts", ["ladder", "rung"])
        check_replicates(replicates, "replicates")
    return scaling_table(_with_ladder(counts), replicates)


def plot_scaling(
    counts: pd.DataFrame,
    scaling: pd.DataFrame | None = None,
    ax: Axes | None = None,
    *,
    statistic: str = PLAIN,
) -> Axes:
    """Draw counts of Rosetta Neurons and their power laws against model size, in log–log.

    Parameters
    ----------
    counts : DataFrame
        As for `fit_power_law`. Intervals (`matches_ci_low`, `matches_ci_high`) are drawn if they
        are there; a count of 0 is open, at the lower edge.
    scaling : DataFrame, optional
        The laws: of `fit_power_law`, or `Run.scaling`. Fitted to `counts` if not given.
    ax : Axes, optional
        Where to draw; a new figure's if not given.
    statistic : {'plain', 'above_documents', 'above_untrained'}
        All matches, or those above a null model.

    Returns
    -------
    Axes
        With a line and a colour per ladder.

    Raises
    ------
    ConfigError
        If the table has no such statistic, or `ax` is not Axes.
    StoreError
        If a table is none, is empty or lacks a column, or `counts` has a column `statistic`.
    """
    # Brings matplotlib and seaborn, which a fit alone does not need.
    from rosetta.report.count_panels import draw_laws

    check_table(counts, "counts", ["n_neurons", "matches"], some=True)
    if STATISTIC in counts:
        raise StoreError(
            f"counts: its rows name a {STATISTIC}, and a figure is of one. Give the rows of one, "
            "without that column."
        )
    laws = fit_power_law(counts) if scaling is None else scaling
    check_table(laws, "scaling", SCALING_COLUMNS)
    counted = [name for name, column in COUNT_OF.items() if column in counts]
    as_one_of("statistic", statistic, counted, "counts", "statistic")
    if ax is not None:
        as_axes("ax", ax)
    axes: Axes = draw_laws(
        _with_ladder(counts), laws[laws["statistic"] == statistic], statistic, ax
    )
    return axes


def _with_ladder(counts: pd.DataFrame) -> pd.DataFrame:
    return counts if "ladder" in counts else counts.assign(ladder=NO_LADDER)

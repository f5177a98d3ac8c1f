"""The report in five sentences, each by rule from the run's tables: an answer per question."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from rosetta.analysis.null_thresholds import NULL_TITLES, PLAIN
from rosetta.report.headline import headline_statistic

HOW_MANY, REAL, LIKE, MATTER, WHY, WHAT_FOR, RUN = (
    "how-many",
    "real",
    "like",
    "matter",
    "why",
    "what-for",
    "run",
)
# Titles of the parts of the report, in their order.
QUESTIONS = {
    HOW_MANY: "How many are there?",
    REAL: "Are they real?",
    LIKE: "What are they like?",
    MATTER: "Do they matter?",
    WHY: "Why are there so many?",
    WHAT_FOR: "What are they good for?",
    RUN: "What was run?",
}
WIDENING = ("polarization", "monosemanticity")  # findings on what Rosetta Neurons are like


class Answer(NamedTuple):
    """A sentence of the summary.

    Attributes
    ----------
    question : str
        Key of `QUESTIONS`: the part of the report that it sums up.
    sentence : str
        With numbers and their intervals.
    tables : tuple of str
        Names of the tables that the numbers are of.
    """

    question: str
    sentence: str
    tables: tuple[str, ...]


def real_answer(counts: pd.DataFrame, pooled: pd.DataFrame, scaling: pd.DataFrame) -> Answer:
    """Say how many matches of the largest rung are above the null model of the headline.

    Parameters
    ----------
    counts, pooled, scaling : DataFrame
        `counts.COUNT_COLUMNS`, `scaling.POOLED_COLUMNS` and `scaling.SCALING_COLUMNS`.
    """
    statistic, tables = headline_statistic(pooled, scaling), ("counts", "null_summary")
    if statistic == PLAIN:
        told = "No null model of this run has a threshold, so chance is not taken off the counts."
        return Answer(REAL, told, tables)
    row = counts.loc[counts["n_neurons"].idxmax()]
    low, high = row[f"{statistic}_ci_low"], row[f"{statistic}_ci_high"]
    told = (
        f"Of the {row['matches']:,.0f} matches of {row['models']}, the largest group, "
        f"{row[statistic]:,.0f}{_interval(low, high, ',.0f')} are above those of "
        f"{NULL_TITLES[statistic.removeprefix('above_')]}."
    )
    return Answer(REAL, told, tables)


def like_answer(findings: pd.DataFrame) -> Answer:
    """Say whether Rosetta Neurons are ever more selective: the first supported finding, or else
    the first that was judged.
    """
    rows = findings[findings["finding"].isin(WIDENING)]
    judged = rows[rows["p"].notna()]
    supported = judged[judged["verdict"] == "supported"]
    for some in (supported, judged, rows):
        if len(some):
            first = some.iloc[0]
            told = f"{first['ladder']}: {first['sentence']}"
            return Answer(LIKE, told, ("findings", "polarization"))
    told = "This run measured nothing in which Rosetta Neurons should differ from the others."
    return Answer(LIKE, told, ("findings",))


def why_answer(compared: pd.DataFrame) -> Answer:
    """Say what the analytical model predicts for the ladder with the narrowest measured interval,
    by the route to β with the narrowest prediction.

    Parameters
    ----------
    compared : DataFrame
        `theory.comparison.COMPARISON_COLUMNS`.
    """
    rows = compared[(compared["quantity"] == "matches") & compared["predicted"].notna()]
    rows = rows[rows["measured_ci_low"].notna() & rows["predicted_ci_low"].notna()]
    if not len(rows):
        told = "The theory has no prediction that this run's counts could be compared with."
        return Answer(WHY, told, ("theory_vs_measured",))
    width = {
        end: rows[f"{end}_ci_high"] - rows[f"{end}_ci_low"] for end in ("measured", "predicted")
    }
    row = rows.loc[rows.assign(**width).sort_values(["measured", "predicted"]).index[0]]
    met = row["predicted_ci_low"] <= row["measured_ci_high"]
    met &= row["measured_ci_low"] <= row["predicted_ci_high"]
    predicted, measured = (
        f"{row[end]:.2f}{_interval(row[f'{end}_ci_low'], row[f'{end}_ci_high'])}"
        for end in ("predicted", "measured")
    )
    told = (
        f"A budget of isolation among features predicts α = {predicted} for {row['ladder']} by the "
        f"route of {row['route']}, where {measured} was measured: the intervals "
        f"{'overlap' if met else 'do not overlap'}."
    )
    return Answer(WHY, told, ("theory_vs_measured",))


def what_for_answer(summary: pd.DataFrame, neuron: str, target: str) -> Answer:
    """Say how well one neuron filters a corpus, and what training on its selection is worth.

    Parameters
    ----------
    summary : DataFrame
        `filtering.results.SUMMARY_COLUMNS`.
    neuron, target : str
        Name of the neuron, with its model's, and of the domain.
    """
    rows = summary.set_index("filter")
    f1, random = rows.loc["rosetta", "f1"], rows.loc["random", "f1"]
    worth = rows.loc["random", "perplexity_difference"]
    told = (
        f"{neuron} finds documents of {target} with F1 {f1:.2f} ({random:.2f} at random, "
        f"{rows.loc['classifier', 'f1']:.2f} by a classifier)"
    )
    if pd.notna(worth):
        low, high = (
            rows.loc["random", f"perplexity_difference_ci_{end}"] for end in ("low", "high")
        )
        told += (
            f", and training on a random selection gives a perplexity there that is "
            f"{abs(worth):.2f} {'higher' if worth >= 0 else 'lower'}"
            f"{_interval(low, high, '+.2f')} than on its"
        )
    return Answer(WHAT_FOR, f"{told}.", ("filtering_summary",))


def place_answer(place: pd.DataFrame) -> Answer:
    """Say how much of r place alone makes, over all matches of models that see images.

    Parameters
    ----------
    place : DataFrame
        `columns.PLACE_TABLE_COLUMNS`.
    """
    known = place[place["matches"] > 0]
    if not len(known):
        return Answer(REAL, "No two models that see images have a match.", ("place",))
    r, by_place, mostly = (
        np.average(known[name], weights=known["matches"])
        for name in ("mean_r", "mean_r_place", "share_mostly_place")
    )
    told = (
        f"Of a mean r of {r:.2f} between matched neurons on images, place alone makes "
        f"{by_place:.2f}, and more than half of it in {mostly:.0%} of the matches."
    )
    return Answer(REAL, told, ("place",))


def generated_answer(generated: pd.DataFrame) -> Answer:
    """Say which share of the images of the best generator a classifier recognises.

    Parameters
    ----------
    generated : DataFrame
        `columns.GENERATED_COLUMNS`.
    """
    row = generated.loc[generated["recognised"].idxmax()]
    told = (
        f"Of the images of the best generator, {row['generator']}, {row['classifier']} tells the "
        f"class of {row['recognised']:.0%} ({row['recognised_of_real']:.0%} of real ones, "
        f"{row['chance_recognised']:.0%} by chance)."
    )
    return Answer(RUN, told, ("generated_images",))


def _interval(low: Any, high: Any, form: str = ".2f") -> str:
    if pd.isna(low) or pd.isna(high):
        return " (no interval)"
    return f" (95% interval {low:{form}} to {high:{form}})"

"""The report's section on training ladders: when neurons emerge, in words by rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.groups import LOG_KURTOSIS
from rosetta.config import Config
from rosetta.emergence.columns import ABOVE_ALL, CHANCE_ABOVE_ALL, OWN_R
from rosetta.emergence.groups import DIFFERENCE
from rosetta.report.emergence_figure import TABLE_COLUMNS, short
from rosetta.report.numbers_in_words import number
from rosetta.report.pictures import embedded
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv


def emergence_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return the sentences, tables and figure on training ladders; None if the run has none."""
    if not config.training_ladders:
        return None
    tables = {name: read_csv(paths.table(name), columns) for name, columns in TABLE_COLUMNS.items()}
    told = [
        emergence_sentences(
            ladder,
            {name: table[table["ladder"] == ladder] for name, table in tables.items()},
        )
        for ladder in config.training_ladders
    ]
    return {
        "told": " ".join(told),
        "null_quantile": config.controls.null_quantile,
        "tables": tables,
        "figure": embedded(paths.figure("emergence", "png")),
    }


def emergence_sentences(ladder: str, tables: dict[str, pd.DataFrame]) -> str:
    """Say of a training ladder when its matches are above chance, when the final ones are there,
    how long matches last, and how groups of neurons compare.

    Parameters
    ----------
    ladder : str
        The training ladder.
    tables : dict of str to DataFrame
        Its rows of the tables (`rosetta.emergence.columns`).
    """
    rows = tables["emergence"][tables["emergence"]["step"] > 0]
    end = rows.iloc[-1]
    if np.isnan(end[ABOVE_ALL]):
        return _without_nulls(ladder, rows)
    said = [
        f"{ladder}: {_count(end)} matches are above all null models at the end, after "
        f"{short(end['tokens'])} tokens, and {_count(rows.iloc[0])} at step {rows.iloc[0]['step']}."
    ]
    return " ".join(
        [
            *said,
            _first_above_chance(rows),
            _half_emerged(rows),
            _lasting(tables["survival_curve"]),
            *_compared(tables["emergence_groups"]),
        ]
    )


def _without_nulls(ladder: str, rows: pd.DataFrame) -> str:
    """Say that nothing is known of chance, and what is counted all the same."""
    first, end = rows.iloc[0], rows.iloc[-1]
    return (
        f"{ladder}: no null model could be read: {end['reason']}. So which matches are above "
        "chance, when they are and how long they last is not told. All mutual nearest neighbours "
        f"are {number(end, 'matches', ',.0f')} at the end, after {short(end['tokens'])} tokens, "
        f"and {number(first, 'matches', ',.0f')} at step {first['step']}, chance among them."
    )


def _count(row: pd.Series) -> str:
    return number(row, ABOVE_ALL, ",.0f")


def _first_above_chance(rows: pd.DataFrame) -> str:
    """Say from which step on the count is more than that of exchanged samples at the same step."""
    chance = rows[f"{CHANCE_ABOVE_ALL}_ci_high"]
    above = (rows[f"{ABOVE_ALL}_ci_low"] > chance).to_numpy()
    if not (rows[f"{ABOVE_ALL}_ci_low"].notna() & chance.notna()).all():
        return (
            "Some of these counts have no interval, or there are no exchanged samples, so when "
            "they leave chance is not told."
        )
    n = int(np.minimum.accumulate(above[::-1]).sum())
    if not n:
        return (
            "At the end their interval is not above that of exchanged samples, of which "
            f"{number(rows.iloc[-1], CHANCE_ABOVE_ALL, ',.1f')} are above all null models then."
        )
    first = rows.iloc[len(rows) - n]
    return (
        f"From step {first['step']} on ({short(first['tokens'])} tokens) their interval lies above "
        "that of exchanged samples, of which "
        f"{number(first, CHANCE_ABOVE_ALL, ',.1f')} are above all null models then."
    )


def _half_emerged(rows: pd.DataFrame) -> str:
    """Say at which step half of the final pairs are above all null models."""
    reached = rows[rows["emerged"] >= 0.5]
    if reached.empty:
        return "There are no final pairs to follow back."
    first = reached.iloc[0]
    if first["step"] == rows.iloc[-1]["step"]:
        return "Half of the final pairs are above all null models at the end only."
    return (
        f"Half of the final pairs are above all null models by step {first['step']} "
        f"({short(first['tokens'])} tokens): {number(first, 'emerged', '.0%')}."
    )


def _lasting(curve: pd.DataFrame) -> str:
    """Say how long matches last; lost is what is seen neither at a step nor at any later one."""
    row = curve.iloc[0]
    if np.isnan(row["survival"]):
        return f"How long matches last is not known: {row['reason']}."
    if np.isnan(row["half_life"]):
        last = curve.iloc[-1]
        return (
            "More than half of the matches that are new after the first step last as long as they "
            "are followed: "
            f"{number(last, 'survival', '.0%')} beyond {last['doublings']:.1f} doublings of the "
            "tokens read."
        )
    low, high = row["half_life_ci_low"], row["half_life_ci_high"]
    upper = f"{high:.1f}" if np.isfinite(high) else "more than is followed"
    interval = f" [{low:.1f}, {upper}]" if np.isfinite(low) else ""
    told = f"{row['half_life']:.1f}{interval}"
    return (
        f"The half-life of the matches that are new after the first step is {told} doublings of "
        "the tokens read; lost is what is missing at a step and at every later one."
    )


_MEASURES = {
    "excess_kurtosis": "Vocabulary kurtosis of neurons whose matches will last, against those "
    "whose will not",
    LOG_KURTOSIS: "Logarithm of the kurtosis of the activations of neurons whose matches will "
    "last, against those whose will not",
    OWN_R: "r with their own final selves of Rosetta Neurons, against the others",
}


def _compared(groups: pd.DataFrame) -> list[str]:
    """Say at how many steps the groups of neurons differ, both models taken one by one."""
    said = []
    for measure, words in _MEASURES.items():
        rows = groups[(groups["measure"] == measure) & (groups["group"] == DIFFERENCE)]
        if rows.empty:
            continue
        known = rows[rows["mean_ci_low"].notna() & rows["mean_ci_high"].notna()]
        higher, lower = (known["mean_ci_low"] > 0).sum(), (known["mean_ci_high"] < 0).sum()
        told = f"higher in {higher} and lower in {lower} of {len(known)} comparisons"
        told = f"{told}, one per step and model, by 95% intervals" if len(known) else "not known"
        left = len(rows) - len(known)
        few = f"; {left} have too few neurons for an interval" if left else ""
        said.append(f"{words}: {told}{few}.")
    return said

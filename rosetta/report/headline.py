"""What the report says first: how the calibrated count grows, and what chance makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from rosetta.analysis.null_thresholds import NULL_TITLES, STATISTICS
from rosetta.analysis.pairs_of_models import ALL_PAIRS
from rosetta.analysis.scaling import NOTHING_LEFT_OUT
from rosetta.config.controls import CALIBRATING
from rosetta.report.figures import TITLES

HEADLINE_COLUMNS = [
    "what is counted",
    "α",
    "95% interval",
    "jackknife over families",
    "points",
    "matches by rung",
]


def headline_statistic(pooled: pd.DataFrame, scaling: pd.DataFrame) -> str:
    """Return the headline's count: the last calibrated one, or else all matches.

    What the pooled fit counted decides; where no ladder is of pairs, what was fitted by ladder.
    """
    counted = set(pooled.loc[pooled["n_points"] > 0, "statistic"])
    counted = counted or set(scaling.loc[scaling["alpha"].notna(), "statistic"])
    return next((name for name in reversed(STATISTICS) if name in counted), STATISTICS[0])


def headline(pooled: pd.DataFrame, scaling: pd.DataFrame, counts: pd.DataFrame) -> str:
    """Return what is said of the exponent, pooled over ladders of pairs, or by ladder.

    Where models of several modalities are compared, a sentence is of those of one.

    Parameters
    ----------
    pooled, scaling : DataFrame
        `rosetta.analysis.scaling`: `POOLED_COLUMNS` and `SCALING_COLUMNS`.
    counts : DataFrame
        `rosetta.analysis.counts.COUNT_COLUMNS`: what the models of each ladder see.
    """
    called = list(pooled["pairs"].unique())
    if len(called) < 2:
        return _headline(pooled, scaling)
    said = []
    for name in called:
        ladders = counts.loc[counts["modality"] == _modality(name), "ladder"]
        mine = scaling[scaling["ladder"].isin(ladders)]
        said.append(f"Of {name}: {_headline(pooled[pooled['pairs'] == name], mine)}")
    return " ".join(said)


def _modality(called: str) -> str:
    """Return what the models of `all pairs of images` see."""
    return called.removeprefix(f"{ALL_PAIRS} of ")


def _headline(pooled: pd.DataFrame, scaling: pd.DataFrame) -> str:
    statistic = headline_statistic(pooled, scaling)
    found = pooled[(pooled["statistic"] == statistic) & (pooled["left_out"] == NOTHING_LEFT_OUT)]
    start = "Rosetta Neurons"
    if statistic != STATISTICS[0]:
        start += (
            f" whose matches are above those of {NULL_TITLES[statistic.removeprefix('above_')]}"
        )
    if not len(found) or not np.isfinite(found["alpha"].iloc[0]):
        said = [
            f"{law['ladder']}: {_exponent(law)}"
            for law in scaling[scaling["statistic"] == statistic].to_dict("records")
            if np.isfinite(law["alpha"])
        ]
        return (
            f"{start} have no exponent pooled over pairs of models. By ladder: "
            f"{'; '.join(said) or 'none either'}."
        )
    law = found.to_dict("records")[0]
    pairs = f"{law['n_points']:.0f} pairs of models in {law['n_ladders']:.0f} ladder(s)"
    without = pooled[
        (pooled["statistic"] == statistic)
        & (pooled["left_out"] != NOTHING_LEFT_OUT)
        & pooled["alpha"].notna()
    ]
    left = ""
    if len(without):
        left = (
            "; with one family of models left out at a time, the lowest of these exponents is "
            f"{without['alpha'].min():.2f} and the highest {without['alpha'].max():.2f}"
        )
    return (
        f"{start} {_growth(law)}: in the number of neurons, {_exponent(law)}, from {pairs}{left}."
    )


def _growth(law: dict) -> str:
    low, high = law["alpha_ci_low"], law["alpha_ci_high"]
    if low > 0 and high < 1:
        return "grow more slowly than the models"
    if low > 1:
        return "grow faster than the models"
    if high < 0:
        return "become fewer"
    if low > 0:
        return "grow, but whether more slowly than the models cannot be told"
    return "are not shown to grow"


def _exponent(law: dict) -> str:
    if not np.isfinite(law["alpha_ci_low"]):
        return f"α = {law['alpha']:.2f} (no interval)"
    return (
        f"α = {law['alpha']:.2f} (95% interval {law['alpha_ci_low']:.2f} to "
        f"{law['alpha_ci_high']:.2f})"
    )


def _alpha_cell(law: dict) -> str:
    """Return an exponent with what is to be known of it, or why there is none."""
    told = (
        law["reason"] if isinstance(law["reason"], str) else ""
    )  # a table that was read has NaN for none
    return "; ".join(
        filter(None, [f"{law['alpha']:.2f}" if np.isfinite(law["alpha"]) else "", told])
    )


def headline_table(
    pooled: pd.DataFrame,
    scaling: pd.DataFrame,
    null_scaling: pd.DataFrame,
    counts: pd.DataFrame,
    rungs: pd.DataFrame,
    null_summary: pd.DataFrame,
) -> pd.DataFrame:
    """Return the pooled exponent and the counts of each statistic and null model.

    A row's counts are of the trainings that its exponent is of: means over all of a rung
    (`rung_means.RUNG_COLUMNS`), and of a null model over its seeds, on first trainings. Where no
    ladder is of pairs, as with three models per rung, there is a row per ladder.
    """
    laws = pooled[pooled["left_out"] == NOTHING_LEFT_OUT]
    if not (laws["n_points"] > 0).any():
        by_ladder = [scaling, null_scaling.rename(columns={"control": "statistic"})]
        columns = [
            "ladder",
            "statistic",
            "alpha",
            "alpha_ci_low",
            "alpha_ci_high",
            "n_rungs",
            "reason",
        ]
        laws = pd.concat([table[columns] for table in by_ladder if len(table)], ignore_index=True)
        laws = laws.rename(columns={"n_rungs": "n_points"})
    modalities = counts.drop_duplicates("ladder").set_index("ladder")["modality"]
    rows = [_headline_row(law, modalities, rungs, null_summary) for law in laws.to_dict("records")]
    return pd.DataFrame(rows, columns=HEADLINE_COLUMNS)


def _headline_row(
    law: dict, modalities: pd.Series, rungs: pd.DataFrame, null_summary: pd.DataFrame
) -> tuple[str, ...]:
    """Return a row of the first table; of the law of one ladder if it names one."""
    name, ladder = law["statistic"], law.get("ladder")
    title = TITLES.get(name) or f"chance: {NULL_TITLES[name]}"
    ladders = modalities.index if ladder is None else [ladder]
    if law.get("pairs", ALL_PAIRS) != ALL_PAIRS:
        title = f"{law['pairs']}, {title}"
        ladders = modalities.index[modalities == _modality(law["pairs"])]
    return (
        title if ladder is None else f"{ladder}, {title}",
        _alpha_cell(law),
        _range(law["alpha_ci_low"], law["alpha_ci_high"]),
        _range(law.get("alpha_family_low", np.nan), law.get("alpha_family_high", np.nan)),
        f"{law['n_points']:.0f}",
        _counts_said(name, ladders, rungs, null_summary),
    )


def _range(low: float, high: float) -> str:
    """Return the ends of an interval, or one number where they look the same; a dash for none."""
    ends = dict.fromkeys(f"{end:.2f}" for end in (low, high))
    return " to ".join(ends) if np.isfinite(low) else "–"


def uncounted_sentence(counts: pd.DataFrame, names: list[str]) -> str:
    """Return which calibrated counts lack null matches; empty for none.

    Parameters
    ----------
    counts : DataFrame
        `rosetta.analysis.counts.COUNT_COLUMNS`.
    names : list of str
        The run's null models (`Controls.names`).
    """
    said = []
    for name in CALIBRATING:
        ladders = counts.loc[counts[f"above_{name}"].isna(), "ladder"].drop_duplicates()
        if name in names and len(ladders):
            said.append(f"above {NULL_TITLES[name]} in {', '.join(ladders)}")
    if not said:
        return ""
    return (
        f"No matches are counted {'; '.join(said)}: the null model has too few matches to read "
        "a threshold off, so give it more seeds; or its threshold is below what was screened for, "
        "so set correlation.screening.min_r to auto. What is said of matches above a null model "
        "leaves these out."
    )


def _counts_said(
    name: str, ladders: Sequence[str], rungs: pd.DataFrame, null_summary: pd.DataFrame
) -> str:
    """Return the counts of some ladders, each from its first rung to its last."""
    if name in NULL_TITLES:
        table, column = null_summary[null_summary["control"] == name], "matches"
    else:
        table, column = rungs[rungs["statistic"] == name], "mean"
    table = table[table["ladder"].isin(ladders)]
    return "; ".join(
        f"{ladder} {', '.join(f'{count:.0f}' for count in part[column].dropna())}"
        for ladder, part in table.groupby("ladder", sort=False)
    )


def chance_sentence(counts: pd.DataFrame, null_summary: pd.DataFrame) -> str:
    """Return on how many rungs chance makes more plain matches than training."""
    rows = null_summary.merge(
        counts[["ladder", "rung", "matches"]], on=["ladder", "rung"], suffixes=("", "_trained")
    )
    if not len(rows):
        return "There is no null model, so what chance alone makes is not known."
    more = rows["matches"] > rows["matches_trained"]
    where = "" if more.all() or not more.any() else " on some rungs"
    said = [_compared(str(control), part) for control, part in rows.groupby("control", sort=False)]
    return (
        f"Chance alone makes {'more' if more.any() else 'no more'} mutual nearest neighbours "
        "than the trained models "
        f"have{where}: {'; '.join(said)}."
    )


def _compared(control: str, rows: pd.DataFrame) -> str:
    more = int((rows["matches"] > rows["matches_trained"]).sum())
    ratio = (rows["matches"] / rows["matches_trained"].where(rows["matches_trained"] > 0)).dropna()
    times = f" ({_range(ratio.min(), ratio.max())} times as many)" if len(ratio) else ""
    return f"{NULL_TITLES[control]} more on {more} of {len(rows)} rungs{times}"


def floor_sentence(floors: pd.DataFrame) -> str:
    """Return how the pooled exponent depends on the floor of r above which matches are counted.

    Parameters
    ----------
    floors : DataFrame
        `rosetta.analysis.setting_laws.FLOOR_SCALING_COLUMNS`.
    """
    joined = floors[floors["ladder"].str.startswith(ALL_PAIRS)]
    said = (_floor_sentence(str(called), part) for called, part in joined.groupby("ladder"))
    return " ".join(filter(None, said))


def _floor_sentence(called: str, floors: pd.DataFrame) -> str:
    rows = floors[floors["alpha_ci_low"].notna()]
    if len(rows) < 2:
        return ""
    low, high = rows["alpha_ci_low"].max(), rows["alpha_ci_high"].min()
    common = (
        f"one value, {low:.2f} to {high:.2f}, lies in all of their intervals: the exponent is "
        "not shown to depend on it"
        if low <= high
        else "no value lies in all of their intervals: the exponent depends on it"
    )
    ends = f"{rows['alpha'].min():.2f} to {rows['alpha'].max():.2f}"
    told = f"{rows['threshold'].min():g} to {rows['threshold'].max():g}"
    return f"With floors of r from {told}, the exponent of {called} is {ends}; {common}."

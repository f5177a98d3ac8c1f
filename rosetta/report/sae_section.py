"""The report's section on sparse autoencoders: what they say, in words by rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from rosetta.analysis.groups import DIFFERENCE, OTHERS, ROSETTA
from rosetta.config import Config
from rosetta.report.pictures import embedded
from rosetta.report.sae_figure import ABOVE, NEURONS, told_group, told_statistic
from rosetta.run.paths import Paths
from rosetta.sae.columns import (
    SAE_COLUMNS,
    SAE_FEATURE_COLUMNS,
    SAE_FEATURE_SCALING_COLUMNS,
    SAE_MEASURES,
    SAE_POLARIZATION_COLUMNS,
    SAE_TREND_COLUMNS,
)
from rosetta.storage.tables import read_csv

_TABLES = {
    "sae": SAE_COLUMNS,
    "sae_polarization": SAE_POLARIZATION_COLUMNS,
    "sae_trends": SAE_TREND_COLUMNS,
    "sae_features": SAE_FEATURE_COLUMNS,
    "sae_feature_scaling": SAE_FEATURE_SCALING_COLUMNS,
}
# What the sentences call the measures.
_WORDS = {
    "unexplained": "the share of its variance that is left unexplained",
    "participation": "the number of features that its activation takes",
    "interference": "its interference",
}


def sae_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return the sentences, tables and figure on autoencoders; None if the run has none."""
    if config.sae is None:
        return None
    tables = {name: read_csv(paths.table(name), columns) for name, columns in _TABLES.items()}
    firsts = {config.ladder_modality(ladder): ladder for ladder in reversed(config.ladders)}
    told = [ladder for ladder in config.ladders if ladder in firsts.values()]
    return {
        "explained": explained_sentence(tables["sae"]),
        "neurons": " ".join(
            neuron_sentences(tables["sae_polarization"], tables["sae_trends"], one) for one in told
        ),
        "features": feature_sentences(
            tables["sae_features"], tables["sae_feature_scaling"], list(config.ladders)
        ),
        "per": config.sae.per,
        "calibrated": told_group(tables["sae_polarization"]) != ROSETTA,
        "null_quantile": config.controls.null_quantile,
        # The page has room for what its text speaks of; the files have it all.
        "tables": {name: tables[name] for name in ("sae", "sae_features", "sae_feature_scaling")},
        "figure": embedded(paths.figure("sae", "png")),
    }


def explained_sentence(models: pd.DataFrame) -> str:
    """Say how much of held-out samples autoencoders explain, and how many features are dead.

    Parameters
    ----------
    models : DataFrame
        `rosetta.sae.columns.SAE_COLUMNS`.
    """
    explained, dead = models["explained_variance"], models["dead_share"]
    ends = f"{100 * explained.min():.0f}% to {100 * explained.max():.0f}%"
    active = " to ".join(dict.fromkeys(f"{models['l0'].agg(end):.1f}" for end in ("min", "max")))
    return (
        f"Of the variance on samples that they were not trained on, autoencoders explain {ends}, "
        f"by the model, with {active} active features at a position. "
        f"At most {100 * dead.max():.0f}% of their features are dead."
    )


def neuron_sentences(means: pd.DataFrame, trends: pd.DataFrame, ladder: str) -> str:
    """Say of each measure whether it differs between Rosetta Neurons and the others at the largest
    rung of a ladder, and whether the difference changes with size.

    They differ if the interval of the difference holds no 0. Without an interval nothing is said of
    that.

    Parameters
    ----------
    means, trends : DataFrame
        `rosetta.sae.columns.SAE_POLARIZATION_COLUMNS` and `SAE_TREND_COLUMNS`.
    ladder : str
        The ladder.
    """
    rows = means[means["ladder"] == ladder]
    last = rows.loc[rows["n_neurons"] == rows["n_neurons"].max(), "rung"].max()
    largest = rows[rows["rung"] == last]  # of rungs of one size the last
    mine = told_group(means)
    gap = mine.replace(ROSETTA, DIFFERENCE, 1)
    said = [f"{ladder}, at {largest['n_neurons'].max():,.0f} neurons:"]
    parts = []
    for measure in SAE_MEASURES:
        at = largest[largest["statistic"] == measure].set_index("group")
        change = trends[(trends["ladder"] == ladder) & (trends["statistic"] == measure)]
        parts.append(_measure_words(measure, at, mine, gap, change[change["group"] == gap]))
    return " ".join([*said, "; ".join(parts)]) + "."


def _measure_words(
    measure: str, at: pd.DataFrame, mine: str, gap: str, change: pd.DataFrame
) -> str:
    own, others, difference = at.loc[mine], at.loc[OTHERS], at.loc[gap]
    numbers = f"{_short(own['mean'])} against {_short(others['mean'])}"
    what = f"{_WORDS[measure]} is {numbers}"
    low, high = difference["ci_low"], difference["ci_high"]
    if pd.isna(low) or pd.isna(high):
        return f"{what} (the difference has no interval)"
    words = "smaller in Rosetta Neurons" if high < 0 else "larger in Rosetta Neurons"
    if low <= 0 <= high:
        words = "which cannot be told apart"
    told = f"{what}, {words} ({_short(difference['mean'])}, {_short(low)} to {_short(high)})"
    return f"{told}{_trend_words(change)}"


def _trend_words(change: pd.DataFrame) -> str:
    if change.empty or change[["slope_ci_low", "slope_ci_high"]].isna().any(axis=None):
        return ""
    row = change.iloc[0]
    low, high = row["slope_ci_low"], row["slope_ci_high"]
    words = "rises" if low > 0 else "falls" if high < 0 else "shows no trend"
    return (
        f", and the difference {words} with size ({_short(row['slope'])} per doubling, "
        f"{_short(low)} to {_short(high)})"
    )


def feature_sentences(features: pd.DataFrame, laws: pd.DataFrame, ladders: Sequence[str]) -> str:
    """Say of each ladder how many features match, and by what law their number grows.

    Growth is sublinear where the interval of the exponent lies between 0 and 1.

    Parameters
    ----------
    features, laws : DataFrame
        `rosetta.sae.columns.SAE_FEATURE_COLUMNS` and `SAE_FEATURE_SCALING_COLUMNS`.
    ladders : sequence of str
        Names of the ladders.
    """
    statistic = told_statistic(features[ABOVE])
    column = ABOVE if statistic == ABOVE else "matches"
    which = "match above exchanged samples" if statistic == ABOVE else "match, by chance too"
    said = []
    for ladder in ladders:
        rows = features[features["ladder"] == ladder].sort_values([NEURONS, "rung"])
        if rows.empty or pd.isna(rows[column].iloc[-1]):
            said.append(f"{ladder}: matches of features are not counted above the null.")
            continue
        last = rows.iloc[-1]
        counted = f"{last[column]:,.0f} of {last['n_live']:,.0f} live features {which}"
        law = laws[(laws["ladder"] == ladder) & (laws["statistic"] == statistic)]
        said.append(f"{ladder}: at the largest rung {counted}.{_law_words(law)}")
    return " ".join(said)


def _law_words(laws: pd.DataFrame) -> str:
    rows = laws.set_index("size")
    if NEURONS not in rows.index or pd.isna(rows.loc[NEURONS, "alpha"]):
        return " Their number has no exponent."
    row = rows.loc[NEURONS]
    low, high = row["alpha_ci_low"], row["alpha_ci_high"]
    live = rows.loc["n_live", "alpha"] if "n_live" in rows.index else float("nan")
    against = f"; against live features, {live:.2f}" if pd.notna(live) else ""
    if pd.isna(low) or pd.isna(high):
        return f" The exponent of their number is {row['alpha']:.2f}, without an interval{against}."
    growth = "grows sublinearly" if low > 0 and high < 1 else "grows"
    if low <= 0:
        growth = "is not shown to grow"
    return (
        f" Their number {growth} with size: α is {row['alpha']:.2f} ({low:.2f} to {high:.2f})"
        f"{against}."
    )


def _short(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.3g}"

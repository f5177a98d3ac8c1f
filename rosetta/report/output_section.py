"""The report's sections on what neurons do to a model's output, in words by rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rosetta.ablation.columns import (
    ABLATION_COLUMNS,
    ABLATION_SCALING_COLUMNS,
    ACCURACY,
    BITS_PER_BYTE,
    LOSS,
    WHOLE,
)
from rosetta.ablation.effects import verdict
from rosetta.ablation.populations import ABLATE, ACTIVE, ALL, KEEP, KURTOTIC, MATCHED, ROSETTA
from rosetta.analysis.attribution import R_BINS
from rosetta.analysis.columns import ATTRIBUTION_TABLE_COLUMNS
from rosetta.config import Config
from rosetta.report.pictures import embedded
from rosetta.run.paths import Paths
from rosetta.run.stages import table_names
from rosetta.storage.tables import read_csv

_UNITS = {BITS_PER_BYTE: "bits per byte", LOSS: "bits per image", ACCURACY: "of accuracy"}
_OTHERS = {
    MATCHED: "as many others that match them",
    ACTIVE: "as many of the most active neurons",
    KURTOTIC: "as many of the most kurtotic neurons",
}
_VERDICTS = {1: "more than", -1: "less than", 0: "neither shown more nor less than"}


def attribution_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return the sentence, table and figure on attribution; None if the run has none."""
    if not table_names(config, "attribution_tables"):
        return None
    assert config.attribution is not None, "there is a table only with the section"
    table = read_csv(paths.table("attribution"), ATTRIBUTION_TABLE_COLUMNS)
    return {
        "sentence": attribution_sentence(table),
        "quantile": config.attribution.quantile,
        "n_random": config.attribution.n_random,
        "table": table,
        "figure": embedded(paths.figure("attribution", "png")),
    }


def attribution_sentence(table: pd.DataFrame) -> str:
    """Say which share of matches outputs confirm: over all pairs, and of the largest one.

    Parameters
    ----------
    table : DataFrame
        `rosetta.analysis.columns.ATTRIBUTION_TABLE_COLUMNS`.
    """
    of_all = (table["r_low"] == R_BINS[0]) & (table["r_high"] == R_BINS[-1])
    whole = table[of_all & (table["matches"] > 0)]
    if whole.empty:
        return "No match could be compared by what its neurons write."
    above = int((whole["confirmed_ci_low"] > whole["null_confirmed"]).sum())
    below = int((whole["confirmed_ci_high"] < whole["null_confirmed"]).sum())
    shares = [
        np.average(whole[name], weights=whole["matches"])
        for name in ("confirmed", "null_confirmed")
    ]
    row = whole.loc[whole["n_neurons"].idxmax()]
    return (
        f"The outputs confirm {shares[0]:.0%} of all matches, and {shares[1]:.0%} of random pairs "
        f"of the same layers. The share is above that of random pairs in {above} of {len(whole)} "
        f"pairs of models, and below it in {below} (95% intervals). Of the {row['matches']:,.0f} "
        f"matches of {row['model_a']} and {row['model_b']}, the largest, it is "
        f"{row['confirmed']:.0%} ({row['confirmed_ci_low']:.0%} to {row['confirmed_ci_high']:.0%})."
    )


def ablation_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return the sentences, tables and figure on ablations; None if the run has none."""
    if config.ablation is None:
        return None
    columns = {"ablation": ABLATION_COLUMNS, "ablation_scaling": ABLATION_SCALING_COLUMNS}
    tables = {name: read_csv(paths.table(name), found) for name, found in columns.items()}
    effects = tables["ablation"]
    return {
        "sentences": [
            model_sentence(rows) for _, rows in effects.groupby(["rung", "model"], sort=False)
        ],
        "summary": summary_sentence(effects),
        "trend": trend_sentence(tables["ablation_scaling"]),
        "settings": config.ablation,
        "table": effects[effects["domain"] == WHOLE],
        "scaling": tables["ablation_scaling"],
        "figure": embedded(paths.figure("ablation", "png")),
    }


def summary_sentence(effects: pd.DataFrame) -> str:
    """Say in how many models ablating Rosetta Neurons costs more than ablating others, or less.

    Parameters
    ----------
    effects : DataFrame
        `rosetta.ablation.columns.ABLATION_COLUMNS`.
    """
    n_models = len(effects.drop_duplicates(["rung", "model"]))
    rows = effects[
        (effects["domain"] == WHOLE)
        & (effects["treatment"] == ABLATE)
        & (effects["population"] == MATCHED)
        & (effects["measure"] != ACCURACY)
    ]
    found = [verdict(row) for _, row in rows.iterrows()]
    said = (
        f"Ablating Rosetta Neurons costs more than ablating {_OTHERS[MATCHED]} in {found.count(1)} "
        f"of {_number_of(n_models, 'model')}, less in {found.count(-1)}, and neither is shown in "
        f"{found.count(0)}"
    )
    if without := n_models - len(found):
        said += f"; {_number_of(without, 'model')} could not be compared"
    return f"{said}."


def _number_of(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def model_sentence(effects: pd.DataFrame) -> str:
    """Say what ablating the Rosetta Neurons of one model costs, and whether others cost as much.

    They differ if `rosetta.ablation.effects.verdict` says so.

    Parameters
    ----------
    effects : DataFrame
        `rosetta.ablation.columns.ABLATION_COLUMNS` of one model.
    """
    whole = effects[effects["domain"] == WHOLE]
    measure = BITS_PER_BYTE if (whole["measure"] == BITS_PER_BYTE).any() else LOSS
    named = ["treatment", "population"]
    rows = whole[whole["measure"] == measure].set_index(named, drop=False)
    rosetta, everything = rows.loc[(ABLATE, ROSETTA)], rows.loc[(ABLATE, ALL)]
    model, unit = rosetta["model"], _UNITS[measure]
    if not rosetta["n_ablated"]:
        return f"{model} has no Rosetta Neuron to ablate."
    said = (
        f"{model}: without its {rosetta['n_ablated']:,.0f} Rosetta Neurons of "
        f"{rosetta['n_neurons']:,.0f}, held-out samples cost {_worded(rosetta, unit)} "
        f"more, and without any neuron {everything['difference']:+.3f}."
    )
    parts = [said, *_compared(rows, ABLATE, "Ablating them costs"), *_kept(rows, unit)]
    reason = rosetta["reason"]
    if isinstance(reason, str) and reason:
        parts.append(f"No others match them: {reason}.")
    return " ".join(parts)


def _kept(rows: pd.DataFrame, unit: str) -> list[str]:
    said = f"With nothing but them, it is {_worded(rows.loc[(KEEP, ROSETTA)], unit)} more."
    return [said, *_compared(rows, KEEP, "Keeping only them costs")]


def _compared(rows: pd.DataFrame, treatment: str, begin: str) -> list[str]:
    """Say how what Rosetta Neurons cost compares with each other population."""
    parts = []
    for population, words in _OTHERS.items():
        if (treatment, population) not in rows.index:
            continue
        row = rows.loc[(treatment, population)]
        p = f"; p among draws {row['p_draws']:.2g}" if pd.notna(row["p_draws"]) else ""
        parts.append(f"{_VERDICTS[verdict(row)]} {words} ({_number(row, 'rosetta_excess')}{p})")
    return [f"{begin} {', '.join(parts)}."] if parts else []


def _worded(row: pd.Series, unit: str) -> str:
    """Return the difference from the intact model, with its interval."""
    low, high = row["difference_ci_low"], row["difference_ci_high"]
    told = f"{row['difference']:+.3f} {unit}"
    if pd.isna(low) or pd.isna(high):
        return f"{told} (no interval)"
    return f"{told} (95% interval {low:+.3f} to {high:+.3f})"


def _number(row: pd.Series, name: str) -> str:
    low, high = row[f"{name}_ci_low"], row[f"{name}_ci_high"]
    told = f"{row[name]:+.3f}"
    if pd.isna(low) or pd.isna(high):
        return f"{told}, no interval"
    return f"{told}, {low:+.3f} to {high:+.3f}"


def trend_sentence(scaling: pd.DataFrame) -> str:
    """Say whether what Rosetta Neurons cost more than others changes with size; empty if no
    ladder has an interval.
    """
    rows = scaling[
        (scaling["quantity"] == "rosetta less matched")
        & (scaling["treatment"] == ABLATE)
        & (scaling["measure"] != ACCURACY)
        & scaling["slope_ci_low"].notna()
    ]
    parts = [
        f"{row.ladder}: with a tenfold size, it changes by {row.slope:+.3f} "
        f"({row.slope_ci_low:+.3f} to {row.slope_ci_high:+.3f}, {row.n_models} models)."
        for row in rows.itertuples()
    ]
    return f"What Rosetta Neurons cost more than others: {' '.join(parts)}" if parts else ""

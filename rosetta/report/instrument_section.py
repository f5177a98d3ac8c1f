"""The report's section on instruments: what they say, in words by rule."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rosetta.analysis.pairs_of_models import ALL_PAIRS
from rosetta.config import Config
from rosetta.config.matching import MUTUAL_NEAREST
from rosetta.instruments.columns import (
    INSTRUMENT_COLUMNS,
    INSTRUMENT_SCALING_COLUMNS,
    SIMILARITY_COLUMNS,
)
from rosetta.report.instrument_figure import INSTRUMENT_TITLES
from rosetta.report.pictures import embedded
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv

_TABLES = {
    "instruments": INSTRUMENT_COLUMNS,
    "instrument_scaling": INSTRUMENT_SCALING_COLUMNS,
    "similarity": SIMILARITY_COLUMNS,
}


def instrument_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return the sentences, tables and figure on instruments; None if the run has none."""
    if not config.matching.instruments:
        return None
    tables = {name: read_csv(paths.table(name), columns) for name, columns in _TABLES.items()}
    return {
        "laws": law_sentences(tables["instrument_scaling"]),
        "similarity": similarity_sentence(tables["similarity"]),
        "null": config.instruments.null,
        "tables": tables,
        "figure": embedded(paths.figure("instruments", "png")),
    }


def law_sentences(laws: pd.DataFrame) -> str:
    """Say what the exponent is under each instrument, and whether it is the same.

    It is told of all pairs where several ladders are pooled, and of the first ladder otherwise. An
    exponent differs if the interval of its difference from mutual nearest neighbours holds no 0; it
    agrees if that interval holds 0, and is not known without an interval.

    Parameters
    ----------
    laws : DataFrame
        `rosetta.instruments.columns.INSTRUMENT_SCALING_COLUMNS`.
    """
    joined = laws[laws["ladder"].str.startswith(ALL_PAIRS)]
    ladder = (joined if len(joined) else laws)["ladder"].iloc[0]
    rows = laws[laws["ladder"] == ladder].set_index("instrument")
    if MUTUAL_NEAREST not in rows.index or pd.isna(rows.loc[MUTUAL_NEAREST, "alpha"]):
        return f"{ladder}: mutual nearest neighbours give no exponent to compare others with."
    reference, others = rows.loc[MUTUAL_NEAREST], rows.drop(MUTUAL_NEAREST)
    said = [f"{ladder}: α is {_alpha(reference)} under mutual nearest neighbours."]
    known = others["difference_ci_low"].notna() & others["difference_ci_high"].notna()
    above, below = others["difference_ci_low"] > 0, others["difference_ci_high"] < 0
    groups = {
        "agrees with it under": known & ~above & ~below,
        "is larger under": known & above,
        "is smaller under": known & below,
        "cannot be compared under": ~known,
    }
    for words, inside in groups.items():
        if inside.any():
            named = ", ".join(_named(name, row) for name, row in others[inside].iterrows())
            said.append(f"It {words} {named}.")
    return " ".join(said)


def _named(name: Any, row: pd.Series) -> str:
    title = INSTRUMENT_TITLES[str(name)]
    return f"{title} ({_alpha(row)})" if pd.notna(row["alpha"]) else title


def _alpha(row: pd.Series) -> str:
    low, high = row["alpha_ci_low"], row["alpha_ci_high"]
    told = f"{row['alpha']:.2f}"
    return f"{told} ± {(high - low) / 2:.2f}" if pd.notna(low) and pd.notna(high) else told


def similarity_sentence(similarity: pd.DataFrame) -> str:
    """Say of how many rungs the similarity is beyond chance, and how it changes with size.

    Parameters
    ----------
    similarity : DataFrame
        `rosetta.instruments.columns.SIMILARITY_COLUMNS`.
    """
    known = similarity[similarity["calibrated"].notna()]
    if known.empty:
        return "No rung has a calibrated similarity."
    beyond = int((known["p"] <= 0.05).sum())
    ordered = known.sort_values("n_neurons", kind="stable")
    smallest, largest = ordered.iloc[0], ordered.iloc[-1]
    return (
        f"The models of {beyond} of {len(known)} rungs are more alike than permuted samples make "
        f"them (p ≤ 0.05 each). Calibrated, the similarity is {smallest['calibrated']:.2f} at "
        f"{smallest['n_neurons']:,.0f} neurons ({smallest['models']}) and "
        f"{largest['calibrated']:.2f} at {largest['n_neurons']:,.0f} ({largest['models']})."
    )

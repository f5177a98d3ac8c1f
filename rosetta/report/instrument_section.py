"""The report's section on instruments: what they say, in words by rule."""

from __future__ import annotations

from collections.abc import Mapping
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
    laws = tables["instrument_scaling"]
    modalities = {ladder: str(config.ladder_modality(ladder)) for ladder in config.ladders}
    return {
        "laws": " ".join(law_sentences(laws, told) for told in told_ladders(laws, modalities)),
        "similarity": similarity_sentences(tables["similarity"]),
        "null": config.instruments.null,
        "null_quantile": config.instruments.null_quantile,
        "tables": tables,
        "figure": embedded(paths.figure("instruments", "png")),
    }


def told_ladders(laws: pd.DataFrame, modalities: Mapping[str, str]) -> list[str]:
    """Return whose exponents are told, one of every modality: all of its pairs where several of its
    ladders are pooled, and its first ladder otherwise.

    Parameters
    ----------
    laws : DataFrame
        `rosetta.instruments.columns.INSTRUMENT_SCALING_COLUMNS`.
    modalities : mapping of str to str
        What the models of every ladder see.
    """
    known, several = set(laws["ladder"]), len(set(modalities.values())) > 1
    told = []
    for modality in dict.fromkeys(modalities.values()):
        joined = f"{ALL_PAIRS} of {modality}" if several else ALL_PAIRS
        first = next(ladder for ladder, seen in modalities.items() if seen == modality)
        told.append(joined if joined in known else first)
    return told


def law_sentences(laws: pd.DataFrame, ladder: str) -> str:
    """Say what the exponent is under each instrument, and whether another one differs from that
    under mutual nearest neighbours.

    It differs if the interval of the difference holds no 0. If that interval holds 0, the two
    cannot be told apart, which is not to say that they agree. Without an interval they cannot be
    compared.

    Parameters
    ----------
    laws : DataFrame
        `rosetta.instruments.columns.INSTRUMENT_SCALING_COLUMNS`.
    ladder : str
        Whose exponents are told: one of the ladders, or all pairs.
    """
    rows = laws[laws["ladder"] == ladder].set_index("instrument")
    if MUTUAL_NEAREST not in rows.index or pd.isna(rows.loc[MUTUAL_NEAREST, "alpha"]):
        return f"{ladder}: mutual nearest neighbours give no exponent to compare others with."
    reference, others = rows.loc[MUTUAL_NEAREST], rows.drop(MUTUAL_NEAREST)
    said = [f"{ladder}: α is {_alpha(reference)} under mutual nearest neighbours."]
    known = others["difference_ci_low"].notna() & others["difference_ci_high"].notna()
    above, below = others["difference_ci_low"] > 0, others["difference_ci_high"] < 0
    groups = {
        "cannot be told apart from it under": known & ~above & ~below,
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


def similarity_sentences(similarity: pd.DataFrame) -> str:
    """Say of each ladder on how many rungs the similarity is beyond chance, and how it changes.

    Parameters
    ----------
    similarity : DataFrame
        `rosetta.instruments.columns.SIMILARITY_COLUMNS`.
    """
    ladders = similarity.groupby("ladder", sort=False)
    return " ".join(_similarity_sentences(str(ladder), rows) for ladder, rows in ladders)


def _similarity_sentences(ladder: str, similarity: pd.DataFrame) -> str:
    known = similarity[similarity["calibrated"].notna()]
    if known.empty:
        return f"{ladder}: no rung has a calibrated similarity."
    beyond = int((known["p"] <= 0.05).sum())
    ordered = known.sort_values("n_neurons", kind="stable")
    smallest, largest = ordered.iloc[0], ordered.iloc[-1]
    said = (
        f"{ladder}: the models of {beyond} of {len(known)} rungs are more alike than permuted "
        f"samples make them (p ≤ 0.05 each)."
    )
    at = (f"{end['calibrated']:.2f} at {end['n_neurons']:,.0f}" for end in (smallest, largest))
    if len(known) == 1:
        return f"{said} Calibrated, the similarity is {next(at)} neurons."
    return f"{said} Calibrated, the similarity is {next(at)} neurons and {next(at)}."

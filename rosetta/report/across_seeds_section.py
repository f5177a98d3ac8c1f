"""The report's section on trainings of one recipe, in words by rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rosetta.config import Config
from rosetta.emergence.columns import (
    ACROSS_SEEDS_COLUMNS,
    SEED_FAMILY_COLUMNS,
    SEED_UNIT_COLUMNS,
)
from rosetta.report.numbers_in_words import number
from rosetta.report.pictures import embedded
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv

_SHOWN = {
    "across_seeds": ACROSS_SEEDS_COLUMNS,
    "across_seeds_units": SEED_UNIT_COLUMNS,
    "across_seeds_families": SEED_FAMILY_COLUMNS,
}


def across_seeds_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return the sentences, tables and figure; None if no trainings are compared."""
    if not config.across_seeds.models:
        return None
    tables = {name: read_csv(paths.table(name), columns) for name, columns in _SHOWN.items()}
    families = tables["across_seeds_families"]
    told = [
        shared_sentences(row, families[families["model"] == row["model"]])
        for _, row in tables["across_seeds"].iterrows()
    ]
    return {
        "told": " ".join(told),
        "null_quantile": config.controls.null_quantile,
        "tables": tables,
        "figure": embedded(paths.figure("across_seeds", "png")),
    }


def shared_sentences(row: pd.Series, families: pd.DataFrame) -> str:
    """Say how much the trainings of a model share, whether that is a property of its neurons, and
    whether other families share the same ones.

    Parameters
    ----------
    row : Series
        The model's row of `across_seeds`.
    families : DataFrame
        Its rows of `across_seeds_families`.
    """
    said = [
        f"{row['model']}, {row['n_trainings']} trainings: a neuron has a partner in "
        f"{number(row, 'share', '.0%')} of the others, and {number(row, 'in_all', '.1%')} of the "
        f"neurons have one in all of them, where {row['in_all_by_chance']:.1%} would if matches "
        f"fell on neurons at random. Exchanged samples, counted alike, make "
        f"{row['matches_exchanged']:.1f} matches per pair, where there are {row['matches']:.1f}.",
        _dispersed(row),
        *(_family(mine) for _, mine in families.groupby("other", sort=False)),
    ]
    if isinstance(row["reason"], str) and row["reason"]:
        said.append(f"Here {row['reason']}.")
    return " ".join(filter(None, said))


def _dispersed(row: pd.Series) -> str:
    """Say whether the number of partners varies more than chance makes it."""
    if np.isnan(row["dispersion"]):
        return ""
    told = f"The number of partners varies {number(row, 'dispersion', '.1f')} times as much as that"
    # Neurons that match others whatever they read make chance vary as well.
    exchanged = row["dispersion_exchanged"]
    if np.isfinite(exchanged):
        told += f" ({exchanged:.1f} times where samples are exchanged)"
    if row["dispersion_ci_low"] > max(1.0, np.nan_to_num(exchanged)):
        return f"{told}: being shared is a property of a neuron."
    return f"{told}, which does not tell whether being shared is a property of a neuron."


def _family(rows: pd.DataFrame) -> str:
    """Say whether another family shares the neurons that more trainings share."""
    first, other = rows.iloc[0], rows["other"].iloc[0]
    if np.isnan(first["rank_correlation"]):
        return f"How this goes with partners in {other} is not known."
    low, high = first["rank_correlation_ci_low"], first["rank_correlation_ci_high"]
    told = f"correlates with being shared by {other} (Spearman's "
    told += f"{number(first, 'rank_correlation', '.2f')})"
    if not low > 0 and not high < 0:
        return f"Being shared by more trainings is not shown to go with it: it {told}."
    return f"Being shared by more trainings {told}."

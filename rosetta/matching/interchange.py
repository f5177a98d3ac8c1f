"""Matches in the published code's form, `best_buddies.json` (docs/reproduction.md)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from rosetta.config.base import Section
from rosetta.config.messages import describe_problems
from rosetta.errors import StoreError
from rosetta.matching.mutual import MATCH_COLUMNS, PAIR_KEYS
from rosetta.storage.digests import read_bytes

# A correlation saved with 8 significant bits may lie this far above 1.
MAX_R = 1 + 2**-7
_Index = Annotated[int, Field(ge=0, lt=2**31)]
_Rank = Annotated[int, Field(ge=1, lt=2**15)]


class Buddies(Section):
    """One mutual pair: both neurons (from 0 in their layer), r, and both ranks (from 1)."""

    model1_layer: _Index
    model1_neuron: _Index
    model2_layer: _Index
    model2_neuron: _Index
    correlation: float = Field(ge=-MAX_R, le=MAX_R)
    rank_in_model1: _Rank
    rank_in_model2: _Rank


_FILE = TypeAdapter(list[Buddies])
_COLUMN_OF = {
    "model1_layer": "layer_a",
    "model1_neuron": "unit_a",
    "model2_layer": "layer_b",
    "model2_neuron": "unit_b",
    "correlation": "r",
    "rank_in_model1": "rank_a",
    "rank_in_model2": "rank_b",
}
_TYPES = {"layer": np.int32, "unit": np.int32, "rank": np.int16}
_FIX = (
    "Give the best_buddies.json of the published language code, as docs/reproduction.md "
    "describes it."
)


def read_buddies(path: Path, model_a: str, model_b: str, k: int | None = None) -> pd.DataFrame:
    """Return the pairs of a `best_buddies.json` as matches.

    Parameters
    ----------
    path : Path
        The file, which names no models.
    model_a, model_b : str
        What its models 1 and 2 are called.
    k : int or None
        Keep the mutual k-nearest neighbours of those in the file; all if None.

    Returns
    -------
    DataFrame
        `MATCH_COLUMNS`, ordered by (layer_a, unit_a, rank_a). Margins are NaN: the file has no
        runners-up.

    Raises
    ------
    StoreError
        If the file is missing or of another form, or lists a pair, or a neuron's rank, twice.
    """
    table = _read_pairs(path)
    _check_once(table, PAIR_KEYS, path, "a pair")
    for side, number in (("a", 1), ("b", 2)):
        key = [f"layer_{side}", f"unit_{side}", f"rank_{side}"]
        _check_once(table, key, path, f"a rank_in_model{number} of a neuron")
    if k is not None:
        table = table[(table["rank_a"] <= k) & (table["rank_b"] <= k)]
    table = table.assign(model_a=model_a, model_b=model_b, margin_a=np.nan, margin_b=np.nan)
    table = table.astype(
        {name: _TYPES.get(name.split("_")[0], np.float64) for name in _COLUMN_OF.values()}
    )
    return table[MATCH_COLUMNS].sort_values(["layer_a", "unit_a", "rank_a"], ignore_index=True)


def _read_pairs(path: Path) -> pd.DataFrame:
    """Return the pairs of a file under the names that columns of matches have."""
    try:
        pairs = _FILE.validate_json(read_bytes(path))
    except ValidationError as error:
        problem = describe_problems(error.errors(include_url=False)[:1])[0]
        raise StoreError(f"{path}: not a list of best buddies ({problem}). {_FIX}") from None
    rows = [pair.model_dump() for pair in pairs]
    return pd.DataFrame(rows, columns=list(_COLUMN_OF)).rename(columns=_COLUMN_OF)


def _check_once(table: pd.DataFrame, key: list[str], path: Path, what: str) -> None:
    again = table.duplicated(key)
    if again.any():
        row = int(again.to_numpy().argmax())
        raise StoreError(f"{path}: [{row}] gives {what} a second time. Write the file again.")


def buddies_json(matches: pd.DataFrame) -> str:
    """Return one pair's matches in the form of a `best_buddies.json`, highest r first."""
    rows = matches.sort_values("r", ascending=False, kind="stable")[list(_COLUMN_OF.values())]
    renamed = rows.rename(columns={ours: theirs for theirs, ours in _COLUMN_OF.items()})
    return json.dumps(renamed.to_dict("records"), indent=2) + "\n"

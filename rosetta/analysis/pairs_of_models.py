"""The pairs of all ladders, whose exponents are joined in one: by what the models see."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from rosetta.config import PAIR_SEPARATOR

ALL_PAIRS = "all pairs"  # what a law of the pairs of all ladders is called


def pairs_by_modality(
    table: pd.DataFrame, members: str = "models"
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the rows of pairs, of each modality on their own, with what these are called.

    They are `ALL_PAIRS`, and where models of several modalities are compared `all pairs of text`
    and `all pairs of images`: neurons that see different things need not obey one law.

    Parameters
    ----------
    table : DataFrame
        A column of joined names, and `modality` if the models do not all see the same.
    members : str
        That column: `models` or `families`.
    """
    pairs = table[table[members].str.split(PAIR_SEPARATOR).str.len() == 2]
    if "modality" not in table or table["modality"].nunique() < 2:
        yield ALL_PAIRS, pairs
        return
    for modality in table["modality"].unique():
        yield f"{ALL_PAIRS} of {modality}", pairs[pairs["modality"] == modality]

"""The `universal.csv` of universal-neurons as an atlas: one model, without partners."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rosetta.atlas.imported import PLACES, NamedModel, dense_name
from rosetta.errors import StoreError
from rosetta.storage.digests import digest_file
from rosetta.storage.tables import read_csv

# Correlations of a neuron with its best ones in models of other seeds, and with those of a rotated
# basis (`baseline`).
_CORRELATIONS = [
    "max_corr",
    "mean_corr",
    "min_corr",
    "max_baseline",
    "min_baseline",
    "mean_baseline",
    "excess_corr",
]
COLUMNS = ["layer", "neuron", *_CORRELATIONS, "sparsity", "vocab_kurt"]
# Of what an atlas has no column, or measures of other activations: the moments are of the values
# before the nonlinearity.
LEFT_OUT = [
    "w_in_norm",
    "input_bias",
    "w_out_norm",
    "in_out_sim",
    "l2_penalty",
    "mean",
    "var",
    "skew",
    "kurt",
    "vocab_mean",
    "vocab_var",
    "vocab_skew",
]
_MOST_OFF = 1e-3  # excess_corr against the difference that it is


def universal_rows(path: Path, model: NamedModel) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Return the rows of an atlas, and the file that they are from with its digest.

    Kurtosis of the table is not the excess, which is 3 less; `sparsity` is the share of positions
    with a value of at least 0.

    Parameters
    ----------
    path : Path
        The file.
    model : NamedModel
        Its model, which the file does not name.

    Raises
    ------
    StoreError
        If it is not such a table.
    """
    table = read_csv(path, COLUMNS, ("layer", "neuron"), some=True)
    _check(path, table)
    places = table[["layer", "neuron"]].astype("int64")
    names = [dense_name(layer, unit) for layer, unit in places.itertuples(index=False)]
    neurons = pd.DataFrame(
        {
            "model": model.name,
            "layer": places["layer"],
            "unit": places["neuron"],
            "neuron": names,
            "mean_r": table["mean_corr"],
            "max_r": table["max_corr"],
            "min_r": table["min_corr"],
            "baseline_r": table["mean_baseline"],
            "excess_r": table["excess_corr"],
            "excess_kurtosis": table["vocab_kurt"] - 3,
            "fraction_active": table["sparsity"],
        }
    )
    rows = {"neurons": neurons, "models": pd.DataFrame([model.row])}
    return rows, {path.name: digest_file(path)}


def _check(path: Path, table: pd.DataFrame) -> None:
    if unknown := [name for name in table if name not in (*COLUMNS, *LEFT_OUT)]:
        raise StoreError(
            f"{path}: has the columns {unknown}, which the universal.csv of universal-neurons has "
            "not. Give that file."
        )
    places = table[["layer", "neuron"]]
    whole = (places % 1 == 0).all(axis=1) & (places < PLACES).all(axis=1)
    numbers = table[COLUMNS].apply(pd.to_numeric, errors="coerce")
    within = np.isfinite(numbers).all(axis=1) & (numbers[_CORRELATIONS].abs() <= 1).all(axis=1)
    told = (numbers["mean_corr"] - numbers["mean_baseline"] - numbers["excess_corr"]).abs()
    once = ~table.duplicated(["layer", "neuron"])
    for fits, problem in (
        (whole, f"layer or neuron is no whole number below {PLACES}"),
        (within, f"{', '.join(COLUMNS[2:])} are not all numbers, correlations within −1 to 1"),
        (told <= _MOST_OFF, "excess_corr is not mean_corr − mean_baseline"),
        (once, "the neuron is given a second time"),
    ):
        if not fits.all():
            row = int((~fits).to_numpy().argmax()) + 1
            raise StoreError(f"{path}: row {row}: {problem}. Give the file as it is published.")

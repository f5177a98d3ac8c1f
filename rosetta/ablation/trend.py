"""Whether what ablations cost changes with the size of the models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rosetta.ablation.columns import ABLATION_SCALING_COLUMNS, WHOLE
from rosetta.ablation.populations import MATCHED, NONE, ROSETTA
from rosetta.analysis.intervals import t_quantile

# What is fitted: the population, and the column.
QUANTITIES = {
    "rosetta": (ROSETTA, "difference"),
    "matched": (MATCHED, "difference"),
    "rosetta less matched": (MATCHED, "rosetta_excess"),
}


def trend_table(effects: pd.DataFrame, families: dict[str, str]) -> pd.DataFrame:
    """Return by how much what ablations cost changes with a tenfold size.

    Least squares of the differences of all models of a ladder on log10 of their neurons, with a
    level per family. The interval is Student's, of what the models scatter about the lines: it
    holds the choice of trainings as well as that of samples.

    Parameters
    ----------
    effects : DataFrame
        `ABLATION_COLUMNS`.
    families : dict
        The family of every model.

    Returns
    -------
    DataFrame
        `ABLATION_SCALING_COLUMNS`; without an interval, the reason why.
    """
    whole = effects[(effects["domain"] == WHOLE) & (effects["treatment"] != NONE)]
    whole = whole[whole["overlap"].notna()]  # of a population without any neuron
    rows = []
    for (ladder, treatment, measure), part in whole.groupby(
        ["ladder", "treatment", "measure"], sort=False
    ):
        for quantity, (population, column) in QUANTITIES.items():
            of = part[(part["population"] == population) & part[column].notna()]
            place = {"ladder": ladder, "treatment": treatment, "measure": measure}
            family = of["model"].map(families)
            fitted = trend(of["n_neurons"].to_numpy(), of[column].to_numpy(), family.to_numpy())
            rows.append({**place, "quantity": quantity, **fitted})
    return pd.DataFrame(rows, columns=ABLATION_SCALING_COLUMNS)


def trend(sizes: np.ndarray, values: np.ndarray, families: np.ndarray) -> dict[str, Any]:
    """Return the slope per tenfold size, with a level per family, and its 95% interval."""
    names, family = np.unique(families.astype(str), return_inverse=True)
    told = {"n_models": len(sizes), "n_families": len(names), "reason": ""}
    freedom = len(sizes) - len(names) - 1
    x = np.log10(np.asarray(sizes, dtype=np.float64))
    design = np.column_stack([x, np.eye(len(names))[family]])
    if len(sizes) < 2 or np.linalg.matrix_rank(design) < design.shape[1]:
        return {**told, "reason": "no family has models of two sizes"}
    found, *_ = np.linalg.lstsq(design, values, rcond=None)
    if freedom < 1:
        return {**told, "slope": found[0], "reason": "too few models for an interval"}
    left = np.square(values - design @ found).sum() / freedom
    half = t_quantile(freedom) * np.sqrt(left * np.linalg.inv(design.T @ design)[0, 0])
    return {
        **told,
        "slope": found[0],
        "slope_ci_low": found[0] - half,
        "slope_ci_high": found[0] + half,
    }

"""The table of all filters in the paper's form (Dravid 2026, section 5.3)."""

from __future__ import annotations

import pandas as pd

from rosetta.analysis.null_counts import mean_interval

RESULT_COLUMNS = ["filter", "seed", "precision", "recall", "f1", "selected_tokens", "perplexity"]
SUMMARY_COLUMNS = [
    "filter",
    "f1",
    "precision",
    "recall",
    "average_precision",
    "selected_tokens",
    "perplexity",
    "perplexity_ci_low",
    "perplexity_ci_high",
    "n_trainings",
    "perplexity_difference",
    "perplexity_difference_ci_low",
    "perplexity_difference_ci_high",
    "n_pairs",
]
NUMBERS = ["f1", "precision", "recall", "average_precision", "selected_tokens"]


def results_table(recovered: pd.DataFrame, trained: pd.DataFrame) -> pd.DataFrame:
    """Return one row per filter and seed.

    Parameters
    ----------
    recovered : DataFrame
        `recovery.RECOVERY_COLUMNS`; the seed is that of a random selection, and missing for the
        other filters.
    trained : DataFrame
        filter, seed, perplexity of every training; may be empty.

    Returns
    -------
    DataFrame
        `RESULT_COLUMNS`. `seed` is that of the training, and of the selection where that is random.
        A filter that no model was trained on has one row per selection, without a perplexity; the
        base model has no selection.
    """
    rows = []
    for found in recovered.to_dict("records"):
        mine = trained[trained["filter"] == found["filter"]]
        if not pd.isna(found["seed"]):
            mine = mine[mine["seed"] == found["seed"]]
        for training in mine.to_dict("records") or [
            {"seed": found["seed"], "perplexity": float("nan")}
        ]:
            rows.append({**found, **training})
    base = trained[trained["filter"] == "base"].assign(seed=float("nan"))
    table = pd.concat([base, pd.DataFrame(rows)], ignore_index=True)[RESULT_COLUMNS]
    return table.astype({"seed": "Int64", "selected_tokens": "Int64"})


def summary_table(results: pd.DataFrame, recovered: pd.DataFrame, order: list[str]) -> pd.DataFrame:
    """Return means per filter, of selections and of trainings with 95% intervals.

    `perplexity_difference` is the mean, over the seeds that both have, of the filter's perplexity
    minus the Rosetta Neuron's at the same seed. Filters share initialisation and order at a seed,
    so they are compared by its interval.

    Parameters
    ----------
    results, recovered : DataFrame
        Of `results_table`, and what it was made of.
    order : list of str
        Filters in the order of the rows; those without a row in `results` are left out.
    """
    rows = []
    for name in order:
        mine = results[results["filter"] == name]
        if not len(mine):
            continue
        values = mine["perplexity"].dropna().astype(float)
        mean, half = mean_interval(values)
        means = recovered.loc[recovered["filter"] == name, NUMBERS].mean()
        interval = {"perplexity_ci_low": mean - half, "perplexity_ci_high": mean + half}
        trained = {"perplexity": mean, **interval, "n_trainings": len(values)}
        rows.append({"filter": name, **means, **trained, **_difference(results, name)})
    return pd.DataFrame(rows, columns=SUMMARY_COLUMNS)


def _difference(results: pd.DataFrame, name: str, reference: str = "rosetta") -> dict[str, float]:
    """Return how far a filter's perplexities are from those of the reference, paired by seed; NaN
    for itself.
    """
    by_seed = (
        results.dropna(subset=["seed", "perplexity"])
        .set_index(["filter", "seed"])["perplexity"]
        .astype(float)
    )
    of_filters = by_seed.unstack("filter")
    if name == reference or not {name, reference} <= set(of_filters):
        found = pd.Series(dtype=float)
    else:
        found = (of_filters[name] - of_filters[reference]).dropna()
    mean, half = mean_interval(found)
    interval = {
        "perplexity_difference_ci_low": mean - half,
        "perplexity_difference_ci_high": mean + half,
    }
    return {"perplexity_difference": mean, **interval, "n_pairs": len(found)}

"""The part of the report on what Rosetta Neurons are like."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.columns import CONTEXT_COLUMNS
from rosetta.analysis.contexts import best_matches
from rosetta.analysis.depth import AGREEMENT_COLUMNS, MOST_BINS
from rosetta.analysis.groups import MODEL_POLARIZATION_COLUMNS
from rosetta.analysis.verdicts import FINDING_COLUMNS, LEVEL, holm
from rosetta.config import Config, group_name
from rosetta.inputs.text.build import read_split
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.report.neuron_figures import FIGURES
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv, read_parquet

CAPTIONS = {
    "polarization": (
        "Selectivity in vocabulary space: mean excess kurtosis of the cosines between a "
        "neuron's output "
        "weight vector and all unembedding vectors (0 for a normal distribution, high if the "
        "neuron writes to"
        " few tokens), for the Rosetta Neurons of each model of a ladder (all, and those whose "
        "matches are above "
        "the stricter null model that has a threshold) and for its other neurons that are not dead."
    ),
    "statistics": (
        "Statistics of the activations over all tokens: mean, variance, skewness, the "
        "logarithm of the kurtosis, the "
        "fraction of tokens at which a neuron fires, and the mutual information between its "
        "firing and the "
        "domain of the document. Means over the Rosetta Neurons (all, and those above the "
        "stricter null "
        "model) and over the other neurons, the models of a rung pooled."
    ),
    "specialization": (
        "NormalizedFire: the share of a domain among a neuron's top contexts, one per "
        "document, over the "
        "domain's share of all tokens; 1 means no preference. Means over the Rosetta Neurons "
        "of a rung (all, and those "
        "whose matches are above the stricter null model) and over random other neurons."
    ),
    "depth": (
        "Where Rosetta Neurons lie in depth: the share of a model's Rosetta Neurons in each "
        f"of {MOST_BINS} equal bins "
        "of layer / (L − 1), or in each layer of models with fewer, over the share of all its "
        "neurons; 1 means an even "
        "spread. Smallest models on top. Beside a model's name: its number of Rosetta Neurons. "
        "Below: of those above "
        "the stricter null model."
    ),
    "layer_pairs": "Number of matches between the neurons of every pair of layers, one panel "
    "per pair of models.",
}


def neuron_section(config: Config, paths: Paths) -> dict[str, Any]:
    """Return the template's single neurons: findings, figures, table, matches."""
    findings = read_csv(paths.table("findings"), FINDING_COLUMNS)
    judged = {
        "findings": _findings(findings),
        "n_verdicts": int(findings["n_verdicts"].max()),
        "figures": {},
        "pairs": {},
    }
    return judged | _described(config, paths) if "text" in config.modalities else judged


def _described(config: Config, paths: Paths) -> dict[str, Any]:
    """Return what is known of the neurons of language models."""
    polarization = read_csv(paths.table("polarization_by_model"), MODEL_POLARIZATION_COLUMNS)
    selectivity = polarization[polarization["statistic"] == "excess_kurtosis"].drop(
        columns="statistic"
    )
    return {
        "min_clusters": config.bootstrap.min_clusters,
        "figures": {name: (paths.figure(name, "png"), CAPTIONS[name]) for name in FIGURES},
        "agreement": agreement_sentence(
            read_csv(paths.table("depth_agreement"), AGREEMENT_COLUMNS)
        ),
        "selectivity": selectivity,
        "pairs": _best_matches(config, paths),
        "specialization": config.specialization,
        "viewer": paths.viewer.name,
    }


def agreement_sentence(table: pd.DataFrame) -> str:
    """Say whether matches prefer equal relative depth (`depth.depth_agreement`)."""
    judged = table[table["p"].notna()]
    if judged.empty:
        return (
            "No pair of models has enough matches and layers to say whether matches prefer "
            "equal depth."
        )
    significant = holm(judged["p"].to_numpy()) <= LEVEL
    nearer = judged["distance"] < judged["expected"]
    means = [
        np.average(judged[name], weights=judged["matches"]) for name in ("distance", "expected")
    ]
    return (
        f"Matched neurons lie {means[0]:.2f} of the depth apart on average, and would lie "
        f"{means[1]:.2f} apart if "
        f"matched at random, whatever their layers: nearer in {(significant & nearer).sum()} "
        "and farther in "
        f"{(significant & ~nearer).sum()} of {len(judged)} pairs of models (permutation tests "
        "at 5%, corrected for "
        "their number)."
    )


def _findings(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry per ladder and finding: its rows by statistic, `plain` first."""
    return [
        {"ladder": ladder, "finding": finding, "rows": list(rows.itertuples())}
        for (ladder, finding), rows in table.groupby(["ladder", "finding"], sort=False)
    ]


def _best_matches(config: Config, paths: Paths) -> dict[str, list[dict]]:
    documents = read_split(paths, "match", config.activations.max_documents)
    return {
        group_name((a, b)): best_matches(
            read_parquet(paths.matches(group_name((a, b))), MATCH_COLUMNS),
            # Two models at a time: those of all neurons of all models would take much memory.
            (
                read_parquet(paths.contexts(a), CONTEXT_COLUMNS),
                read_parquet(paths.contexts(b), CONTEXT_COLUMNS),
            ),
            documents,
            config.report.n_matches,
            config.report.n_contexts,
        )
        for a, b in config.pairs("text")
    }

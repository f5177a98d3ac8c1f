"""The part of the report on what Rosetta Neurons are like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.columns import CONTEXT_COLUMNS
from rosetta.analysis.contexts import best_matches
from rosetta.analysis.depth import AGREEMENT_COLUMNS, MOST_BINS
from rosetta.analysis.excerpts import shown_anchors
from rosetta.analysis.groups import MODEL_POLARIZATION_COLUMNS
from rosetta.analysis.verdicts import FINDING_COLUMNS, LEVEL, holm
from rosetta.config import Config, group_name
from rosetta.config.base import Modality
from rosetta.inputs.text.build import read_split
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS
from rosetta.report.neuron_figures import FIGURES
from rosetta.report.viewer_links import group_that_shows
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_csv, read_parquet

_TEXT: dict[str, str] = {
    "polarization": "Selectivity in vocabulary space: mean excess kurtosis of the cosines between "
    "a neuron's output weight vector and all unembedding vectors (0 for a normal distribution, "
    "high if the neuron writes to few tokens).",
    "statistics": "Statistics of the activations over all tokens: mean, variance, skewness, the "
    "logarithm of the kurtosis, the fraction of tokens at which a neuron fires, and the mutual "
    "information between its firing and the domain of the document.",
    "specialization": "NormalizedFire: the share of a domain among a neuron's top contexts, one "
    "per document, over the domain's share of all tokens; 1 means no preference.",
}
_IMAGES: dict[str, str] = {
    "polarization": "Monosemanticity: how alike the images that a neuron fires on are to another "
    "model of the run, which is none of those compared.",
    "statistics": "On images: mean, variance, skewness and the logarithm of the kurtosis of the "
    "activations over all cells, the fraction of cells at which a neuron fires, and the mutual "
    "information between its firing and the class of the image; the share of the commonest class "
    "among a neuron's top images; and of drawn images how well the best factor, or two of them, "
    "explains the neuron's maps (variance explained, intersection over union), and the share of "
    "neurons that it explains better than by chance.",
    "specialization": "NormalizedFire on images: the share of a class among a neuron's top images, "
    "over the class's share of all images; 1 means no preference.",
}
_GROUPS: dict[str, str] = {
    "polarization": "Means over the Rosetta Neurons of each model of a ladder (all, and those "
    "whose matches are above the stricter null model that has a threshold) and over its other "
    "neurons that are not dead.",
    "statistics": "Means over the Rosetta Neurons (all, and those above the stricter null model) "
    "and over the other neurons, the models of a rung pooled.",
    "specialization": "Means over the Rosetta Neurons of a rung (all, and those whose matches are "
    "above the stricter null model) and over random other neurons.",
    "depth": "Where Rosetta Neurons lie in depth: the share of a model's Rosetta Neurons in each "
    f"of {MOST_BINS} equal bins of layer / (L − 1), or in each layer of models with fewer, over "
    "the share of all its neurons; 1 means an even spread. Smallest models on top. Beside a "
    "model's name: its number of Rosetta Neurons. Below: of those above the stricter null model.",
    "layer_pairs": "Number of matches between the neurons of every pair of layers, one panel per "
    "pair of models.",
}
# What the viewer shows of a neuron.
_HIGHEST = {"text": "texts", "images": "images"}
# The tables that each figure is drawn from.
_DRAWN_FROM = {
    "polarization": ["polarization_by_model"],
    "statistics": ["polarization"],
    "specialization": ["specialization_by_rung"],
    "depth": ["depth"],
    "layer_pairs": ["layer_pairs", "depth_agreement"],
}
# The measures whose means per model the page has in full.
_IN_FULL = {
    "excess_kurtosis": "Mean vocabulary kurtosis per model",
    "monosemanticity": "Mean monosemanticity score per model",
    "is_explained": "Share of a model's neurons that a factor of the images explains",
}


def caption(name: str, modalities: Sequence[Modality]) -> str:
    """Return what a figure shows, in a run of these modalities."""
    by_modality = {"text": _TEXT, "images": _IMAGES}
    told = [by_modality[one].get(name, "") for one in modalities]
    return " ".join(filter(None, [*told, _GROUPS[name]]))


def neuron_section(config: Config, paths: Paths) -> dict[str, Any]:
    """Return the template's single neurons: findings, figures, tables, and of text the best
    matches.
    """
    findings = read_csv(paths.table("findings"), FINDING_COLUMNS)
    return {
        "findings": _findings(findings),
        "n_verdicts": int(findings["n_verdicts"].max()),
        "min_clusters": config.bootstrap.min_clusters,
        "figures": {
            name: (paths.figure(name, "png"), caption(name, config.modalities)) for name in FIGURES
        },
        "tables": _DRAWN_FROM,
        "agreement": agreement_sentence(
            read_csv(paths.table("depth_agreement"), AGREEMENT_COLUMNS)
        ),
        "means": _means(read_csv(paths.table("polarization_by_model"), MODEL_POLARIZATION_COLUMNS)),
        "pairs": _best_matches(config, paths),
        "specialization": config.specialization,
        "viewer": paths.viewer.name,
        "highest": " or ".join(_HIGHEST[one] for one in config.modalities),
        "shown_in": {
            group_name(pair): group_that_shows(pair, config.groups("text"))
            for pair in config.pairs("text")
        },
        "shown": {
            group_name(group): _shown_anchors(config, paths, group)
            for group in config.groups("text")
        },
    }


def _shown_anchors(config: Config, paths: Paths, group: tuple[str, ...]) -> set[tuple[int, int]]:
    """Return the anchor neurons of a group that the viewer shows: (layer, unit)."""
    rosetta = read_parquet(paths.rosetta(group_name(group)), ROSETTA_COLUMNS)
    shown = shown_anchors(rosetta, config.viewer.n_neurons)
    return set(zip(shown["layer_anchor"].tolist(), shown["unit_anchor"].tolist(), strict=True))


def _means(by_model: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the means of the measures that were taken, by what they are called."""
    parts = {
        title: by_model[(by_model["statistic"] == measure) & by_model["mean"].notna()]
        for measure, title in _IN_FULL.items()
    }
    return {title: part.drop(columns="statistic") for title, part in parts.items() if len(part)}


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
    if "text" not in config.modalities:
        return {}
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

"""The part of the report on the data-filtering corpus."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rosetta.analysis.counts import model_shape
from rosetta.config import Config
from rosetta.files import read_manifest
from rosetta.filtering import corpus
from rosetta.filtering.choose import CANDIDATE_COLUMNS, CHOICE
from rosetta.filtering.corpus_card import score_sentence
from rosetta.filtering.results import SUMMARY_COLUMNS
from rosetta.paths import Paths
from rosetta.tables import read_csv

LABELS = {
    "base": "base model",
    "random": "random",
    "non_rosetta": "non-Rosetta neuron, same layer",
    "non_rosetta_best": "non-Rosetta neuron, best anywhere",
    "classifier": "bag-of-tokens classifier",
    "rosetta": "Rosetta Neuron",
    "oracle": "oracle",
}


def filtering_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return what the report's template shows of the filters; None if the run has none."""
    filtering = config.filtering
    if filtering is None:
        return None
    where = paths.filtering(filtering.name)
    choice = read_manifest(where.choice, CHOICE)
    summary = read_csv(paths.table("filtering_summary"), SUMMARY_COLUMNS)
    candidates = read_csv(paths.table("filtering_candidates"), CANDIDATE_COLUMNS)
    shown = [name for name in CANDIDATE_COLUMNS if name not in ("layer", "unit")]
    shape = model_shape(paths, choice["model"])
    names = [shape.name(*place) for place in candidates[["layer", "unit"]].itertuples(index=False)]
    return {
        "settings": filtering,
        "choice": choice,
        "neuron": shape.name(*choice["neurons"]["rosetta"]),
        "score": score_sentence(filtering.scoring),
        "counts": read_manifest(where.corpus_manifest, corpus.KIND)["counts"],
        "figure": paths.figure("filtering", "png"),
        "summary": in_words(summary),
        "verdict": verdict(summary),
        "candidates": candidates.assign(neuron=names, role=candidates["role"].fillna(""))[["neuron", *shown]],
        "corpus": where.corpus.relative_to(paths.root),
    }


def in_words(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the summary in the paper's form: filter, F1, perplexity with the half width of its interval."""
    values = [
        f"{mean:.3f}" + (f" ± {high - mean:.3f}" if pd.notna(high) else "") if pd.notna(mean) else "–"
        for mean, high in zip(summary["perplexity"], summary["perplexity_ci_high"], strict=True)
    ]
    shown = summary[["f1", "precision", "recall", "average_precision", "selected_tokens"]].round(3)
    table = shown.assign(filter=summary["filter"].map(LABELS), perplexity=values)
    return table[["filter", *shown.columns, "perplexity"]].rename(columns={"perplexity": "held-out perplexity"})


def verdict(summary: pd.DataFrame) -> list[str]:
    """Return sentences that compare the Rosetta Neuron with each other filter, by the intervals of perplexity."""
    rows = summary.set_index("filter")
    neuron, sentences = rows.loc["rosetta"], []
    for name in ("random", "non_rosetta", "non_rosetta_best", "classifier", "oracle"):
        other = rows.loc[name]
        f1 = f"F1 is {neuron['f1']:.2f}, and {other['f1']:.2f} of: {LABELS[name]}"
        sentences.append(f"{f1}; {_perplexities(neuron, other)}.")
    return sentences


def _perplexities(neuron: pd.Series, other: pd.Series) -> str:
    ends = ["perplexity_ci_low", "perplexity_ci_high"]
    if neuron[ends].isna().any() or other[ends].isna().any():
        return "their perplexities have no intervals to compare"
    if neuron["perplexity_ci_high"] < other["perplexity_ci_low"]:
        return "the model trained on its selection has the lower perplexity, and the intervals do not overlap"
    if neuron["perplexity_ci_low"] > other["perplexity_ci_high"]:
        return "the model trained on its selection has the higher perplexity, and the intervals do not overlap"
    return "the intervals of perplexity overlap, so this run does not tell which selection is worth more"

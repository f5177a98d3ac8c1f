"""The part of the report on the data-filtering corpus."""

from __future__ import annotations

from typing import Any

import pandas as pd

from rosetta.analysis.counts import model_shape
from rosetta.config import Config
from rosetta.filtering import corpus
from rosetta.filtering.choose import CANDIDATE_COLUMNS, CHOICE
from rosetta.filtering.corpus_card import score_sentence
from rosetta.filtering.results import SUMMARY_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_csv

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
        "candidates": candidates.assign(neuron=names, role=candidates["role"].fillna(""))[
            ["neuron", *shown]
        ],
        "corpus": where.corpus.relative_to(paths.root),
    }


def in_words(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the summary in the paper's form, each ± half its interval."""
    shown = summary[["f1", "precision", "recall", "average_precision", "selected_tokens"]].round(3)
    table = shown.assign(filter=summary["filter"].map(LABELS))
    table["held-out perplexity"] = _with_half_widths(summary, "perplexity", ".3f")
    table["minus the Rosetta Neuron's, by seed"] = _with_half_widths(
        summary, "perplexity_difference", "+.3f"
    )
    return table[["filter", *table.columns.drop("filter")]]


def _with_half_widths(summary: pd.DataFrame, column: str, form: str) -> list[str]:
    return [
        f"{mean:{form}}" + (f" ± {high - mean:.3f}" if pd.notna(high) else "")
        if pd.notna(mean)
        else "–"
        for mean, high in zip(summary[column], summary[f"{column}_ci_high"], strict=True)
    ]


def verdict(summary: pd.DataFrame) -> list[str]:
    """Return sentences on the Rosetta Neuron against each filter, by paired intervals."""
    rows = summary.set_index("filter")
    neuron, sentences = rows.loc["rosetta"], []
    for name in ("random", "non_rosetta", "non_rosetta_best", "classifier", "oracle"):
        other = rows.loc[name]
        f1 = f"F1 is {neuron['f1']:.2f}, and {other['f1']:.2f} of: {LABELS[name]}"
        sentences.append(f"{f1}; {_perplexities(other)}.")
    return sentences


def _perplexities(other: pd.Series) -> str:
    mean, low, high = other[
        [f"perplexity_difference{end}" for end in ("", "_ci_low", "_ci_high")]
    ].astype(float)
    if pd.isna(low) or pd.isna(high):
        return "their perplexities have no paired interval to compare them by"
    by = (
        f"{abs(mean):.2f} [{low:.2f}, {high:.2f}]"
        if mean >= 0
        else f"{abs(mean):.2f} [{-high:.2f}, {-low:.2f}]"
    )
    at = f"over {int(other['n_pairs'])} seeds that both share"
    if low > 0:
        return (
            "the model trained on the Rosetta Neuron's selection has the lower perplexity, "
            f"by {by} {at}"
        )
    if high < 0:
        return (
            "the model trained on the Rosetta Neuron's selection has the higher perplexity, "
            f"by {by} {at}"
        )
    than = "lower" if mean >= 0 else "higher"
    return (
        f"the model trained on the Rosetta Neuron's selection has a perplexity {than} by {by} "
        f"{at}: the interval holds "
        "zero, so nothing is shown either way"
    )

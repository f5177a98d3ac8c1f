"""The viewer of matches alone, such as imported ones: no run knows more of their neurons."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rosetta.analysis.short_numbers import short_number
from rosetta.config import group_name
from rosetta.errors import StoreError
from rosetta.matching.mutual import MATCH_COLUMNS, NOTE_COLUMNS
from rosetta.report.viewer import render_viewer, viewer_data
from rosetta.report.viewer_numbers import NUMBERS
from rosetta.report.viewer_parts import split_texts
from rosetta.storage.tables import read_parquet

MOST_NEURONS = 20_000  # of a pair: what a browser opens at once


def matches_page(files: Sequence[Path]) -> tuple[str, list[str]]:
    """Return the viewer of tables of matches, as `viewer.viewer_page` does.

    An anchor neuron with several matches is shown with that of highest r.

    Parameters
    ----------
    files : sequence of Path
        Tables of `matching.mutual.MATCH_COLUMNS`, one pair each.

    Raises
    ------
    StoreError
        If one is no such table, of several pairs or of none, or of a pair that another one is of.
    """
    groups: dict[str, dict[str, Any]] = {}
    for file in files:
        table = read_parquet(file)
        missing = [name for name in MATCH_COLUMNS if name not in table]
        pairs = [] if missing else list(table.groupby(["model_a", "model_b"]).groups)
        if len(pairs) != 1:
            lacks = f"lacks the columns {missing}" if missing else f"is of {len(pairs)} pairs"
            raise StoreError(f"{file}: {lacks}; give a table of the matches of one pair.")
        name = group_name(pairs[0])
        if name in groups:
            raise StoreError(f"{file}: another file is of {name}, too. Give one per pair.")
        groups[name] = _group(pairs[0], table)
    models = {model: _UnknownModel() for group in groups.values() for model in group["models"]}
    page, parts = split_texts(viewer_data(groups, models, nulls=[]))
    return render_viewer(page), parts


def _group(pair: tuple[str, str], table: pd.DataFrame) -> dict[str, Any]:
    """Return what `viewer_data` wants to know of a pair, from its matches."""
    best = table.sort_values("r", ascending=False, kind="stable")
    best = best.drop_duplicates(["layer_a", "unit_a"])
    return {
        "models": list(pair),
        "modality": "none",
        "n_rosetta": len(best),
        "chance": [[]],
        "excerpts": [],
        "neurons": [_neuron(row) for row in best.head(MOST_NEURONS).to_dict("records")],
    }


def _neuron(row: dict[str, Any]) -> dict[str, Any]:
    margin = short_number(min(row["margin_a"], row["margin_b"]))
    known = {name: short_number(row[name]) for name in NOTE_COLUMNS if name in row}
    r = short_number(row["r"])
    anchor = {"layer": int(row["layer_a"]), "unit": int(row["unit_a"]), "r": 1.0}
    partner = {"layer": int(row["layer_b"]), "unit": int(row["unit_b"]), "r": r}
    match = {**known, "margin": margin}
    partners = [anchor, {**partner, "match": match}]
    return {"r": r, "margin": margin, "above": [], "partners": partners, "contexts": []}


class _UnknownModel:
    """Stands for a model of which nothing is known but its neurons' places."""

    domains: Sequence[str] = ()
    n_layers = None
    neuronpedia = None

    def describe(self, layer: int, unit: int) -> dict[str, Any]:
        """Return a neuron's name, and no numbers."""
        return {"name": f"L{layer}/U{unit}", "numbers": [None] * len(NUMBERS), "firing": []}

    def main_domains(self, neurons: list[tuple[int, int]]) -> list[None]:
        """Return no domain for each neuron."""
        return [None for _ in neurons]

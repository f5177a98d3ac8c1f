"""What the filters selected: the texts, and the tokens of the smallest selection."""

from __future__ import annotations

from collections.abc import Iterator

from rosetta.config.filtering import Filtering
from rosetta.filtering.assess import Filter
from rosetta.filtering.pool_shards import read_shards
from rosetta.filtering.select import membership
from rosetta.run.paths import FilterPaths
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_parquet

SELECTIONS = "filter-selections"  # kind of the manifest


def least_tokens(filtering: Filtering, where: FilterPaths) -> int:
    """Return the tokens of the smallest selection that is trained on; all trainings take these."""
    assert filtering.pretraining is not None
    held = read_manifest(where.selections_manifest, SELECTIONS)["held"]
    return min(
        held[selection_of(filtering, name, seed).file]["tokens"]
        for name in filtering.pretraining.filters
        for seed in filtering.seeds
    )


def selection_of(filtering: Filtering, name: str, seed: int) -> Filter:
    """Return the filter whose selection a training reads; only random selections have a seed."""
    return Filter(name, filtering.target, seed if name == "random" else None)


def selected_texts(where: FilterPaths, chosen: Filter) -> Iterator[str]:
    """Yield the texts of a selection in the order of the pool."""
    table = read_parquet(where.selection(chosen.file), ["id"], where.selections_manifest)
    ids = table["id"].sort_values().to_numpy()
    for documents in read_shards(where):
        yield from documents.loc[membership(documents["id"].to_numpy(), ids), "text"]

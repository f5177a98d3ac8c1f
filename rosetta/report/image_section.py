"""The part of the report on images: what was shown, how good generators are, best matches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from rosetta.activations.captured import KIND as CAPTURED
from rosetta.analysis.columns import GENERATED_COLUMNS, PLACE_TABLE_COLUMNS
from rosetta.config import Config, group_name, group_pairs
from rosetta.config.images import IMAGE_SPLITS
from rosetta.run.paths import Paths
from rosetta.run.stages import table_names
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_csv


class Sheet(NamedTuple):
    """A contact sheet: its file, its address from the page, and whether the page holds it."""

    path: Path
    link: str
    shown: bool

    @classmethod
    def of(cls, paths: Paths, pair: str, *, shown: bool) -> Sheet:
        """Return that of a pair."""
        path = paths.contact_sheet(pair)
        return cls(path, path.relative_to(paths.root).as_posix(), shown)


def image_section(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return what the report says of images; None for a run without any."""
    pairs = [group_name(pair) for pair in config.pairs("images")]
    if not pairs:
        return None
    judged = "generated_images" in table_names(config, "generated_images")
    table = paths.table("generated_images")
    # A page of all of them would be large: those of the last rungs are in it, the others linked.
    last = {
        group_name(pair)
        for rungs in config.ladders.values()
        for pair in group_pairs(tuple(rungs[-1]))
    }
    sheets = {pair: Sheet.of(paths, pair, shown=pair in last) for pair in pairs}
    return {
        "sets": _sets(config, paths),
        "stores": _stores(config, paths),
        "generated": read_csv(table, GENERATED_COLUMNS) if judged else None,
        "place": read_csv(paths.table("place"), PLACE_TABLE_COLUMNS),
        "place_maps": paths.figure("place", "png"),
        "sheets": sheets,
    }


def _sets(config: Config, paths: Paths) -> pd.DataFrame:
    """Return a row per set of images: of the source, and of each generator."""
    rows = []
    for split in IMAGE_SPLITS if config.draws_images else ():
        manifest = read_manifest(paths.image_set(split), "images")
        classes = len(manifest["facts"]["classes"])
        rows.append((split, manifest["holds"]["n_images"], manifest["holds"]["size"], classes))
    n_shards = config.activations.n_shards
    for model in filter(config.is_generator, config.all_models()):
        shards = [
            read_manifest(paths.generated(model, n_shards, shard), "images")
            for shard in range(n_shards)
        ]
        n_images = sum(shard["holds"]["n_images"] for shard in shards)
        rows.append((f"made by {model}", n_images, shards[0]["holds"]["size"], float("nan")))
    return pd.DataFrame(rows, columns=["set", "images", "side in pixels", "classes"])


def _stores(config: Config, paths: Paths) -> pd.DataFrame:
    """Return a row per store of a model, in the order of the ladders."""
    rows = []
    for model in config.used_models("images"):
        stores = read_manifest(paths.captured(model), CAPTURED)["stores"]
        for name, held in stores.items():
            grid = " × ".join(map(str, held["grid"]))
            n_dead = "—" if None in held["n_dead"] else max(held["n_dead"])
            rows.append((name, held["n_images"], grid, held["n_positions"], n_dead))
    columns = ["stores", "images", "grid", "cells", "dead neurons of a shard, at most"]
    return pd.DataFrame(rows, columns=columns)

"""What a finished run knows of groups, their matches and their models, as tables of an atlas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.counts import COUNT_COLUMNS, COUNT_OF, model_shape
from rosetta.analysis.null_thresholds import PLAIN, STATISTICS
from rosetta.analysis.populations import rosetta_above
from rosetta.analysis.replicates import Limits, known_thresholds
from rosetta.config import Config, group_name, group_pairs
from rosetta.matching.mutual import MATCH_COLUMNS, NOTE_COLUMNS, ROSETTA_COLUMNS
from rosetta.models.neurons import NeuronShape
from rosetta.models.sources import KIND as MODEL
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_csv, read_parquet

_ANCHOR = ["model_anchor", "layer_anchor", "unit_anchor"]
_PARTNER = ["model", "layer", "unit"]
_TOLD = ["rank_a", "rank_b", "margin_a", "margin_b", *NOTE_COLUMNS]
_COUNTED = [f"{name}{end}" for name in COUNT_OF.values() for end in ("", "_ci_low", "_ci_high")]


def rung_tables(config: Config, paths: Paths) -> dict[str, pd.DataFrame]:
    """Return the tables `matches`, `rosetta` and `groups` of a finished run.

    Raises
    ------
    StoreError
        If a result is missing or damaged.
    """
    limits = known_thresholds(config, paths)
    shapes = {model: model_shape(paths, model) for model in config.used_models()}
    matches, rosetta = [], []
    for ladder, rungs in config.ladders.items():
        for number, models in enumerate(map(tuple, rungs)):
            place = {"ladder": ladder, "rung": number, "group": group_name(models)}
            found = _matches_of(paths, models, limits[ladder])
            matches.append(_placed(found, place, shapes))
            neurons = _rosetta_of(paths, models, found, limits[ladder])
            rosetta.append(_placed(neurons, place, shapes))
    return {
        "matches": pd.concat(matches, ignore_index=True),
        "rosetta": pd.concat(rosetta, ignore_index=True),
        "groups": _groups(config, paths, limits),
    }


def _matches_of(paths: Paths, models: tuple[str, ...], limits: dict[str, float]) -> pd.DataFrame:
    """Return the matches of a group's Rosetta Neurons, with what is told of each."""
    rosetta = read_parquet(paths.rosetta(group_name(models)), ROSETTA_COLUMNS)
    renamed = dict(zip(["model_a", "layer_a", "unit_a"], _ANCHOR, strict=True))
    renamed |= dict(zip(["model_b", "layer_b", "unit_b"], _PARTNER, strict=True))
    pairs = [
        read_parquet(paths.matches(group_name(pair))).reindex(
            columns=[*MATCH_COLUMNS, *NOTE_COLUMNS]
        )
        for pair in group_pairs(models)
    ]
    told = pd.concat(pairs, ignore_index=True).rename(columns=renamed)
    keys = [*_ANCHOR, *_PARTNER]
    found: pd.DataFrame = rosetta.merge(
        told[[*keys, *_TOLD]], on=keys, how="left", validate="one_to_one"
    )
    return found.assign(**{name: _above(found["r"], limits.get(name)) for name in STATISTICS[1:]})


def _above(r: pd.Series, limit: float | None) -> pd.Series:
    """Return whether correlations exceed a threshold; empty without one."""
    if limit is None or np.isnan(limit):
        return pd.Series(pd.NA, index=r.index, dtype="boolean")
    return (r > limit).astype("boolean")


def _rosetta_of(
    paths: Paths, models: tuple[str, ...], matches: pd.DataFrame, limits: dict[str, float]
) -> pd.DataFrame:
    """Return a group's Rosetta Neurons, highest r first, each with its calibrated class.

    One is above a null if it is still one when only matches above the null count.
    """
    found = ranked_anchors(matches)
    above = rosetta_above(paths, models, limits)
    for name in STATISTICS[1:]:
        of_all = _above(found["r"], limits.get(name))
        if name in above and not of_all.isna().any():
            kept = pd.MultiIndex.from_frame(above[name][_ANCHOR[1:]])
            of_all = pd.Series(pd.MultiIndex.from_frame(found[_ANCHOR[1:]]).isin(kept))
        found[name] = of_all.astype("boolean")
    return found


def ranked_anchors(matches: pd.DataFrame) -> pd.DataFrame:
    """Return the anchor neurons of a group's matches with their lowest r, highest first, and their
    rank; of several matches with a model the best counts.
    """
    best = matches.groupby([*_ANCHOR, "model"], as_index=False)["r"].max()
    lowest = best.groupby(_ANCHOR, as_index=False)["r"].min()
    found = lowest.sort_values("r", ascending=False, kind="stable", ignore_index=True)
    ranked: pd.DataFrame = found.assign(rank=np.arange(1, len(found) + 1))
    return ranked


def _placed(
    found: pd.DataFrame, place: dict[str, Any], shapes: dict[str, NeuronShape]
) -> pd.DataFrame:
    """Return rows with their rung, and with the printed names of their neurons."""
    named = {"neuron_anchor": printed(found, _ANCHOR, shapes)}
    if "model" in found:
        named["neuron"] = printed(found, _PARTNER, shapes)
    return found.assign(**place, **named)


def printed(rows: pd.DataFrame, columns: list[str], shapes: dict[str, NeuronShape]) -> list[str]:
    """Return the printed names of neurons, given the columns of their model, layer and unit."""
    places = zip(*(rows[name] for name in columns), strict=True)
    return [shapes[model].name(int(layer), int(unit)) for model, layer, unit in places]


def _groups(config: Config, paths: Paths, limits: Limits) -> pd.DataFrame:
    """Return every rung with its counts (`counts.csv`) and its ladder's thresholds."""
    rows = [
        {
            "ladder": ladder,
            "rung": number,
            "group": group_name(tuple(models)),
            "models": list(models),
            "modality": config.modality_of(models[0]),
            **{
                name.replace("above", "threshold"): limit
                for name, limit in limits[ladder].items()
                if name != PLAIN
            },
        }
        for ladder, rungs in config.ladders.items()
        for number, models in enumerate(rungs)
    ]
    counts = read_csv(paths.table("counts"), COUNT_COLUMNS)
    kept = counts[["ladder", "rung", "n_positions", *_COUNTED]]
    return pd.DataFrame(rows).merge(kept, on=["ladder", "rung"], how="left", validate="one_to_one")


def model_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return the table `models` of a run, from manifests; no path of this machine is in it."""
    return pd.DataFrame([_model(config, paths, model) for model in config.used_models()])


def _model(config: Config, paths: Paths, model: str) -> dict[str, object]:
    manifest, entry = read_manifest(paths.model_manifest(model), MODEL), config.entry(model)
    shape, source = NeuronShape.of(manifest), manifest["source"]
    kinds = {"hub": "hub", "path": "folder", "zoo": "trained", "untrained": "untrained"}
    seed = source["untrained_seed"]
    if entry.zoo:
        own = entry.zoo.seed
        seed = config.zoo.families[entry.zoo.family].seed if own is None else own
    where = source["location"]
    return {
        "model": model,
        "modality": config.modality_of(model),
        "source": kinds[entry.kind],
        # A path would tell where a user keeps files.
        "location": where if entry.kind == "hub" else Path(where).name,
        "revision": source["revision"],
        "seed": seed,
        "weights": manifest["weights"],
        "architecture": manifest["architecture"],
        "n_layers": shape.n_layers,
        "d_mlp": shape.d_mlp,
        "n_experts": shape.n_experts,
        "d_expert": shape.d_expert,
        "n_neurons": shape.n_neurons,
        "n_parameters": manifest["n_parameters"],
        "dtype": entry.dtype,
        "licence": manifest["licence"],
    }

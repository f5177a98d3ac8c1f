"""The tables on trainings of one recipe, from the matches of a run."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from rosetta.analysis.counts import model_shape
from rosetta.analysis.null_thresholds import LadderNull, read_ladder_nulls
from rosetta.config import Config, group_name
from rosetta.config.across_seeds import other_families
from rosetta.emergence.columns import (
    ACROSS_SEEDS_COLUMNS,
    NOT_EXCHANGED,
    SEED_FAMILY_COLUMNS,
    SEED_MATCH_COLUMNS,
    SEED_NEURON_COLUMNS,
    SEED_UNIT_COLUMNS,
)
from rosetta.emergence.sharing import Shared, family_counts, neuron_counts, summary, unit_counts
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, read_parquet_metadata

_UNREAD = "its exchanged samples have too few matches to read a threshold, so all matches count"


def seed_tables(config: Config, paths: Paths, model: str) -> dict[str, pd.DataFrame]:
    """Return what is told of the trainings of a model, by the names of tables.

    A match counts if its r exceeds the quantile of the matched r of exchanged samples: of all pairs
    of the model's trainings together; with another family, of the ladder. Where that cannot be
    read, all matches count, and `reason` says so.
    """
    trainings, shape = config.replicates(model), model_shape(paths, model)
    found = read_parquet(paths.seed_matches(model), SEED_MATCH_COLUMNS)
    threshold = _threshold(config, found, trainings)
    own = found[(found["seed"] == NOT_EXCHANGED) & ~(found["r"] <= threshold)]
    others = {
        other: _elsewhere(config, paths, model, other, ladder)
        for other, ladder in other_families(config, model).items()
    }
    facts = read_parquet_metadata(paths.seed_matches(model))
    alive = np.ones((len(trainings), shape.n_neurons), bool)
    for number, name in enumerate(trainings):
        alive[number, facts["dead"][name]] = False
    elsewhere = {name: one for name, (one, _) in others.items()}
    shared = Shared(_own(own, trainings, shape), alive, elsewhere)
    n_pairs = len(trainings) * (len(trainings) - 1) / 2
    exchanged = _exchanged(found[~(found["r"] <= threshold)], trainings, shape, alive)
    row = {
        "model": model,
        "n_trainings": len(trainings),
        "n_neurons": shape.n_neurons,
        "n_positions": facts["n_positions"],
        "r_threshold": threshold,
        "matches": len(own) / n_pairs,
        "n_dead": float((~alive).sum(axis=1).mean()),
        **summary(shared),
        **_mean_exchanged(exchanged, n_pairs, len(config.controls.document_seeds)),
        "reason": _UNREAD if np.isnan(threshold) else "",
    }
    families = family_counts(shared)
    thresholds = {name: limit for name, (_, limit) in others.items()}
    families["r_threshold"] = families["other"].map(thresholds)
    neurons = neuron_counts(shared, list(trainings), shape.d_mlp)
    return {
        "across_seeds": pd.DataFrame([row])[ACROSS_SEEDS_COLUMNS],
        "across_seeds_units": unit_counts(shared).assign(model=model)[SEED_UNIT_COLUMNS],
        "across_seeds_families": families.assign(model=model)[SEED_FAMILY_COLUMNS],
        "across_seeds_neurons": neurons.assign(model=model)[SEED_NEURON_COLUMNS],
    }


def _exchanged(
    counted: pd.DataFrame, trainings: Sequence[str], shape: NeuronShape, alive: np.ndarray
) -> list[dict[str, float]]:
    """Return what each seed of exchanged samples makes of the same, counted alike.

    Some neurons match others whatever they read, so matches by chance fall on neurons not quite at
    random.
    """
    by_seed = counted[counted["seed"] != NOT_EXCHANGED].groupby("seed")
    return [
        {**summary(Shared(_own(part, trainings, shape), alive, {})), "matches": len(part)}
        for _, part in by_seed
    ]


def _mean_exchanged(
    found: list[dict[str, float]], n_pairs: float, n_seeds: int
) -> dict[str, float]:
    """Return means over all seeds; a seed without a match has no dispersion."""
    dispersion = [one["dispersion"] for one in found if np.isfinite(one["dispersion"])]
    return {
        "matches_exchanged": sum(one["matches"] for one in found) / n_pairs / n_seeds,
        "in_all_exchanged": sum(one["in_all"] for one in found) / n_seeds,
        "dispersion_exchanged": float(np.mean(dispersion)) if dispersion else np.nan,
    }


def _threshold(config: Config, found: pd.DataFrame, trainings: Sequence[str]) -> float:
    """Return the quantile of the matched r of exchanged samples, each pair weighing the same."""
    null, seeds = found[found["seed"] != NOT_EXCHANGED], config.controls.document_seeds
    parts = [
        null[(null["training_a"] == a) & (null["training_b"] == b)][["seed", "r"]]
        for a, b in combinations(trainings, 2)
    ]
    of_pairs = LadderNull.of(parts, seeds, one_draw=True)
    return of_pairs.threshold(config.controls.null_quantile)


def _own(matches: pd.DataFrame, trainings: Sequence[str], shape: NeuronShape) -> np.ndarray:
    """Return which neurons of a training are matched in another one (`Shared.own`)."""
    place = {name: i for i, name in enumerate(trainings)}
    found = np.zeros((len(trainings), len(trainings), shape.n_neurons), bool)
    a, b = (matches[f"training_{side}"].map(place).to_numpy(int) for side in "ab")
    found[a, b, _flat(matches, "a", shape)] = True
    found[b, a, _flat(matches, "b", shape)] = True
    return found


def _elsewhere(
    config: Config, paths: Paths, model: str, other: str, ladder: str
) -> tuple[np.ndarray, float]:
    """Return which neurons of each training are matched in those of another model, and what r has
    to exceed for it.
    """
    nulls = read_ladder_nulls(config, paths, ladder)
    threshold = nulls["above_documents"].threshold(config.controls.null_quantile)
    mine, theirs = config.replicates(model), config.replicates(other)
    shape = model_shape(paths, model)
    found = np.zeros((len(mine), len(theirs), shape.n_neurons), bool)
    first = (model, other) in config.pairs()
    for i, one in enumerate(mine):
        for j, another in enumerate(theirs):
            pair = (one, another) if first else (another, one)
            matches = read_parquet(paths.matches(group_name(pair)), MATCH_COLUMNS)
            counted = matches[~(matches["r"] <= threshold)]
            found[i, j, _flat(counted, "a" if first else "b", shape)] = True
    return found, threshold


def _flat(matches: pd.DataFrame, side: str, shape: NeuronShape) -> np.ndarray:
    layer, unit = matches[f"layer_{side}"], matches[f"unit_{side}"]
    flat: np.ndarray = layer.to_numpy(int) * shape.d_mlp + unit.to_numpy(int)
    return flat

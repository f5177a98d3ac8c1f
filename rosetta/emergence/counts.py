"""The table of a training ladder: counts above chance at every step, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.counts import match_facts, model_shape
from rosetta.analysis.intervals import half_sample_interval
from rosetta.analysis.null_counts import null_interval
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.replicates import clipped
from rosetta.config import PAIR_SEPARATOR, Config
from rosetta.emergence.columns import (
    ABOVE_ALL,
    CHANCE_ABOVE_ALL,
    CHANGES,
    EMERGENCE_COLUMNS,
    KEPT_NEURONS,
    R_HALVES,
)
from rosetta.emergence.rungs import StepMatches, presence, presence_on_halves, read_null
from rosetta.emergence.survival import changes
from rosetta.matching.mutual import PAIR_KEYS
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest

_COUNT = (0.0, np.inf)  # what a quantity can be
_SHARE = (0.0, 1.0)
_CORRELATION = (-1.0, 1.0)
# How well a model has learnt, as its manifest tells it, by the column.
_LEARNT = {"train_loss": "train_loss", "bits_per_byte": "heldout_bits_per_byte"}


def emergence_table(
    config: Config,
    paths: Paths,
    ladder: str,
    steps: list[StepMatches],
    pasts: list[pd.DataFrame],
) -> pd.DataFrame:
    """Return one row per step of a training ladder (`EMERGENCE_COLUMNS`), and one of step 0.

    `matches` counts all mutual nearest neighbours, and `mean_r` is of them. `above_documents` and
    `above_untrained` count those above each null model, by one quantile of it for all steps
    (`r_documents`, `r_untrained`; NaN where it has too few matches to tell). `above_all` counts
    those above the highest of the limits that can be read, which are those of `nulls`; if none can
    be, it is NaN like all that follows from it, and `reason` says why. `gained`,
    `kept` and `lost` compare these with those of the step before, as pairs of neurons;
    `kept_neurons` are the neurons of the first model that are in a match again, whichever their
    partner. `emerged` is the share of those of the end whose pair's r is above already, be it a
    match or not.
    `mean_depth` is that of the neurons of `above_all` in both models, from 0 (first layer) to 1.
    `by_chance` is the mean count of matches of exchanged samples over seeds, and `chance_above_all`
    of those of them that are above all null models as well: one threshold holds for all steps, so
    steps differ in it. Intervals are from half-samples of the samples, those of both over seeds.
    Step 0 has the untrained twins.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    ladder : str
        The training ladder.
    steps : list of StepMatches
        Its matches.
    pasts : list of DataFrame
        r, at every step but the last, of the pairs that match at the end (`FINAL_PAIR_COLUMNS`).
    """
    changed = _changes(steps)
    emerged = _emerged(steps, pasts)
    rows = [_untrained_row(config, paths, steps[-1])]
    for number, step in enumerate(steps):
        row = {"step": step.rung.step, "tokens": step.rung.tokens, "models": step.rung.pair}
        row["n_positions"] = match_facts(paths.matches(step.rung.pair))["n_positions"]
        row |= _counts(step) | _depth(paths, step) | _null_facts(config, paths, step)
        for name, values in changed.items():
            row |= _with_interval(name, values[0, number], values[1:, number], _COUNT)
        row |= _with_interval("emerged", emerged[0, number], emerged[1:, number], _SHARE)
        rows.append({**row, **_learnt(paths, step.rung.pair)})
    return pd.DataFrame(rows, columns=EMERGENCE_COLUMNS[1:]).assign(ladder=ladder)[
        EMERGENCE_COLUMNS
    ]


def _with_interval(
    name: str, value: float, on_halves: Iterable[float], within: tuple[float, float]
) -> dict[str, float]:
    """Return a value with the ends of its interval, from the same on half-samples."""
    ends = half_sample_interval(value, np.fromiter(on_halves, float))
    low, high = clipped((float(ends[0]), float(ends[1])), *within)
    return {name: value, f"{name}_ci_low": low, f"{name}_ci_high": high}


def _counts(step: StepMatches) -> dict[str, Any]:
    """Return the counts of a step above each null model, and their mean r."""
    row: dict[str, Any] = {}
    drawn = {**step.drawn, ABOVE_ALL: step.bars}
    limits = {name: step.limits[name] for name in (PLAIN, *step.read)} | {ABOVE_ALL: step.bar}
    for name, limit in limits.items():
        above = [
            float((half["r"] > bar).sum()) if not np.isnan(bar) else np.nan
            for half, bar in zip(step.halves, drawn[name], strict=True)
        ]
        count = np.nan if np.isnan(limit) else float((step.matches["r"] > limit).sum())
        column = "matches" if name == PLAIN else name
        row |= _with_interval(column, count, above, _COUNT)
    found = step.matches[step.matches["r"] > step.limits[PLAIN]]
    means = [half["r"].mean() for half in step.halves]
    return row | _with_interval("mean_r", float(found["r"].mean()), means, _CORRELATION)


def _changes(steps: list[StepMatches]) -> dict[str, np.ndarray]:
    """Return what is gained, kept and lost, each of shape (1 + n_half_samples, n_steps): on all
    samples, then on every half-sample; and the kept neurons of the anchor. NaN if no null model
    can be read.
    """
    found = {}
    for keys in (PAIR_KEYS, PAIR_KEYS[:2]):
        present = presence([step.shared for step in steps], keys)
        parts = [present, *presence_on_halves(steps, keys)]
        told = np.stack([changes(part) for part in parts])
        found[len(keys)] = np.full_like(told, np.nan) if steps[0].reason else told
    of_pairs, of_anchors = found.values()
    named = {name: of_pairs[:, number] for number, name in enumerate(CHANGES)}
    return {**named, KEPT_NEURONS: of_anchors[:, CHANGES.index("kept")]}


def _emerged(steps: list[StepMatches], pasts: list[pd.DataFrame]) -> np.ndarray:
    """Return the share of the final matches whose pairs are above, (1 + n_half_samples, n_steps).

    The end counts its own matches on all samples: its share is 1, without an interval.
    """
    end = steps[-1]
    final = end.shared[PAIR_KEYS]
    n_halves = len(end.halves)
    found = np.full((1 + n_halves, len(steps)), np.nan)
    found[0, -1] = 1.0 if len(final) else np.nan
    for number, (step, past) in enumerate(zip(steps, pasts, strict=False)):
        known = final.merge(past, on=PAIR_KEYS, how="left", validate="one_to_one")
        if not len(known):
            continue
        found[0, number] = (known["r"] > step.bar).mean()
        halves = np.array(known[R_HALVES].tolist(), float).reshape(len(known), -1)
        if n_halves and halves.shape[1] == n_halves:
            above = (halves > step.bars).mean(axis=0)
            found[1:, number] = np.where(np.isnan(step.bars), np.nan, above)
    return found


def _depth(paths: Paths, step: StepMatches) -> dict[str, float]:
    """Return the mean depth of the neurons of the matches above all null models."""
    shapes = [model_shape(paths, model) for model in step.rung.pair.split(PAIR_SEPARATOR)]
    halves = [] if np.isnan(step.bars).any() else step.shared_on_halves()
    on_halves = [_mean_depth(half, shapes) for half in halves]
    return _with_interval("mean_depth", _mean_depth(step.shared, shapes), on_halves, _SHARE)


def _mean_depth(matches: pd.DataFrame, shapes: list[NeuronShape]) -> float:
    """Return the mean of layer / (L − 1) over both neurons of all matches; NaN in one layer."""
    depths = [
        matches[f"layer_{side}"].mean() / (shape.n_layers - 1) if shape.n_layers > 1 else np.nan
        for side, shape in zip("ab", shapes, strict=True)
    ]
    return float(np.mean(depths))


def _null_facts(config: Config, paths: Paths, step: StepMatches) -> dict[str, Any]:
    """Return what the null models tell of a step: their limits, and matches by chance."""
    limits = {name: limit for name, limit in step.limits.items() if name != PLAIN}
    row: dict[str, Any] = {f"r_{name.removeprefix('above_')}": of for name, of in limits.items()}
    row["nulls"] = ", ".join(name.removeprefix("above_") for name in step.read)
    row["reason"] = step.reason
    if seeds := config.controls.seeds("documents"):
        null = read_null(paths, "documents", step.rung.pair)
        row |= _over_seeds("by_chance", null, seeds)
        if not step.reason:
            row |= _over_seeds(CHANCE_ABOVE_ALL, null[null["r"] > step.bar], seeds)
    return row


def _over_seeds(name: str, null: pd.DataFrame, seeds: list[int]) -> dict[str, float]:
    """Return the mean count of matches of a null model over its seeds, with its interval."""
    counts = null.groupby("seed").size().reindex(seeds, fill_value=0)
    columns = (name, f"{name}_ci_low", f"{name}_ci_high")
    return dict(zip(columns, null_interval(counts, "matches"), strict=True))


def _untrained_row(config: Config, paths: Paths, end: StepMatches) -> dict[str, Any]:
    """Return the row of step 0: what untrained twins have, means over seeds with intervals."""
    row: dict[str, Any] = {"step": 0, "tokens": 0.0, "models": end.rung.pair, "nulls": ""}
    seeds = config.controls.seeds("untrained")
    if not seeds:
        return row
    null = read_null(paths, "untrained", end.rung.pair).groupby("seed")["r"]
    of_seeds = {
        "matches": null.size().reindex(seeds, fill_value=0),
        "mean_r": null.mean().reindex(seeds),
    }
    for name, values in of_seeds.items():
        columns = (name, f"{name}_ci_low", f"{name}_ci_high")
        row |= dict(zip(columns, null_interval(values, name), strict=True))
    return row


def _learnt(paths: Paths, pair: str) -> dict[str, float]:
    """Return how well both models have learnt, if they were trained here."""
    row: dict[str, float] = {}
    for side, model in zip("ab", pair.split(PAIR_SEPARATOR), strict=True):
        training = read_manifest(paths.model_manifest(model), "model")["training"] or {}
        row |= {f"{name}_{side}": training.get(key, np.nan) for name, key in _LEARNT.items()}
    return row

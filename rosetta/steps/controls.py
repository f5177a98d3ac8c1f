"""Steps that match a pair anew: under null models, on half-samples, under other settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rosetta.activations.folders import open_stores
from rosetta.analysis.intervals import INTERVAL_COLUMNS, correlation_interval
from rosetta.config import PAIR_SEPARATOR, Config, twin_name
from rosetta.config_controls import Exclusions
from rosetta.correlation.lists import PairFacts, read_lists
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import fits_rematch, plan_tiles, workers_of
from rosetta.correlation.products import resolve_precision
from rosetta.correlation.resample import Resampled, block_edges, rematch, rematch_candidates
from rosetta.correlation.stream import align_pair
from rosetta.correlation.view import View
from rosetta.matching import mutual_matches
from rosetta.paths import Paths
from rosetta.progress import say
from rosetta.steps.views import match_view, view_scratch
from rosetta.tables import write_parquet


def nulls_step(config: Config, paths: Paths, control: str, pair: str) -> None:
    """Match a pair under a null model, once per seed; write the matches of all seeds (columns `seed` and of matches).

    Under `permutation` the positions of the second model are permuted, the same for all of its neurons
    (Dravid 2026, App. C.3); under `untrained` both models are replaced by untrained twins (section 4.2).
    """
    out, models, n_shards = paths.null_matches(control, pair), pair.split(PAIR_SEPARATOR), config.activations.n_shards
    found = []
    with view_scratch(out) as scratch:
        for seed in config.controls.seeds(control):
            permuted = control == "permutation"
            names = models if permuted else [twin_name(model, seed) for model in models]
            a, b = (paths.stores(name, n_shards) for name in names)
            view = View(config.exclusions, permute_seed=seed if permuted else None)
            matches, _ = match_view(config, a, b, scratch, view)
            say(f"{control}, seed {seed}: {len(matches)} matches, mean r {matches['r'].mean():.3f}")
            found.append(matches.assign(seed=seed))
        write_parquet(out, pd.concat(found, ignore_index=True))


def intervals_step(config: Config, paths: Paths, pair: str) -> None:
    """Match a pair anew on half-samples of the documents.

    Writes the intervals of the correlations of the pair's matches, and the matches found on each.
    """
    torch.set_num_threads(config.dask.threads_per_worker)
    n_jobs, k = config.correlation.n_jobs, config.matching.k
    lists, facts = read_lists([paths.neighbors_part(pair, job, n_jobs) for job in range(n_jobs)])
    matches = mutual_matches(lists, facts, k)
    u = (matches["layer_a"].to_numpy(np.int64) * facts.d_mlp_a + matches["unit_a"]).to_numpy()
    v = (matches["layer_b"].to_numpy(np.int64) * facts.d_mlp_b + matches["unit_b"]).to_numpy()
    found, method = _resample(config, paths, pair, lists, u, v)
    n_half_samples = found.r.shape[1]
    say(f"{len(matches)} matches; {method} on {n_half_samples} half-samples")
    low, high = correlation_interval(matches["r"].to_numpy(), found.r)
    keys = matches[["layer_a", "unit_a", "layer_b", "unit_b"]]
    write_parquet(paths.intervals(pair), keys.assign(**dict(zip(INTERVAL_COLUMNS, (low, high), strict=True))))
    replicates = [
        _match_table(part.u, part.v, part.r, facts).assign(half_sample=number)
        for number, part in enumerate(found.replicates)
    ]
    write_parquet(paths.replicates(pair), pd.concat(replicates), {"interval": method, "n_half_samples": n_half_samples})


def _resample(
    config: Config, paths: Paths, pair: str, lists: PairNeighbors, u: np.ndarray, v: np.ndarray
) -> tuple[Resampled, str]:
    settings, workers, k = config.correlation, workers_of(config.dask), config.matching.k
    precision = resolve_precision(settings.precision)
    stores = [open_stores(folder) for folder in _folders(config, paths, pair)]
    aligned = align_pair(*stores, View(config.exclusions))
    size = (aligned.a.n_neurons, aligned.b.n_neurons, aligned.n_positions)
    edges = block_edges(aligned.document_positions, config.intervals.n_blocks)
    pooling = config.alignment.pooling
    if fits_rematch(*size, settings.memory_gb, config.intervals, precision=precision, workers=workers):
        return rematch(aligned, pooling, precision, edges, k, u, v), "rematched"
    tiles = plan_tiles(*size, settings.memory_gb, workers=workers).tiles
    return rematch_candidates(aligned, pooling, edges, k, u, v, lists, tiles), "candidates"


def _folders(config: Config, paths: Paths, pair: str) -> list[Path]:
    return [paths.stores(model, config.activations.n_shards) for model in pair.split(PAIR_SEPARATOR)]


def _match_table(u: np.ndarray, v: np.ndarray, r: np.ndarray, facts: PairFacts) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "model_a": facts.model_a, "layer_a": (u // facts.d_mlp_a).astype(np.int32),
            "unit_a": (u % facts.d_mlp_a).astype(np.int32),
            "model_b": facts.model_b, "layer_b": (v // facts.d_mlp_b).astype(np.int32),
            "unit_b": (v % facts.d_mlp_b).astype(np.int32), "r": r,
        }
    )  # fmt: skip


MIN_DOCUMENTS = 8  # of the smallest token budget


def sweeps_step(config: Config, paths: Paths, pair: str) -> None:
    """Match a pair under every setting of the sweeps that correlate anew.

    Writes the matches of all settings (columns `sweep`, `setting` and of matches); the settings, with their positions
    and what they left out, are its metadata.
    """
    folders = _folders(config, paths, pair)
    n_documents = sum(store.manifest["holds"]["n_documents"] for store in open_stores(folders[0]))
    tables, settings = [], []
    with view_scratch(paths.sweeps(pair)) as scratch:
        for sweep, setting, view, pooling in _settings(config, n_documents):
            matches, facts = match_view(config, *folders, scratch, view, pooling)
            tables.append(matches.assign(sweep=sweep, setting=setting))
            settings.append({"sweep": sweep, "setting": setting, **facts})
        write_parquet(paths.sweeps(pair), pd.concat(tables, ignore_index=True), {"settings": settings})


def _settings(config: Config, n_documents: int) -> list[tuple[str, str, View, str | None]]:
    """Return (sweep, setting, view, pooling) of every correlation that the sweeps ask for."""
    sweeps, main = config.sweeps, config.exclusions
    found: list[tuple[str, str, View, str | None]] = []
    if sweeps.budgets:
        budget = n_documents // 2
        while budget >= MIN_DOCUMENTS:
            found.append(("budget", str(budget), View(main, first=budget), None))
            budget //= 2
    if sweeps.split_half:
        found += [("split_half", str(half), View(main, half=half), None) for half in (0, 1)]
    found += [
        ("pooling", pooling, View(main), pooling) for pooling in sweeps.pooling if pooling != config.alignment.pooling
    ]
    found += [("exclusions", describe_exclusions(other), View(other), None) for other in sweeps.exclusions]
    return found


def describe_exclusions(exclusions: Exclusions) -> str:
    """Return the exclusions that are in force, in words; `none` if there are none."""
    given = exclusions.model_dump(exclude_defaults=True)
    return ", ".join(name if value is True else f"{name} {value:g}" for name, value in given.items()) or "none"

"""Steps that match a pair anew: under null models, on half-samples, under other settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rosetta.activations.folders import open_stores
from rosetta.analysis.intervals import INTERVAL_COLUMNS, correlation_interval
from rosetta.config import PAIR_SEPARATOR, Config, twin_name
from rosetta.config.controls import Exclusions
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.neighbor_tables import PairFacts, read_lists
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import fits_rematch, plan_tiles, workers_of
from rosetta.correlation.products import resolve_precision
from rosetta.correlation.resample import Blocks, Replicate, Resampled, rematch, rematch_candidates, sample_blocks
from rosetta.correlation.view import View
from rosetta.matching.mutual import mutual_matches
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.steps.views import match_view, view_scratch
from rosetta.storage.tables import write_parquet


def nulls_step(config: Config, paths: Paths, control: str, pair: str) -> None:
    """Match a pair under a null model, once per seed; write the matches of all seeds (columns `seed` and of matches).

    Under `permutation` the positions of the second model are permuted, the same for all of its neurons
    (Dravid 2026, App. C.3); under `documents` its documents are exchanged for others of the same domain; under
    `untrained` both models are replaced by untrained twins (section 4.2).

    The metadata has the aligned positions of every seed: fewer under `documents`, where the longer one of two documents
    is cut.
    """
    out, models, n_shards = paths.null_matches(control, pair), pair.split(PAIR_SEPARATOR), config.activations.n_shards
    found, positions = [], []
    with view_scratch(out) as scratch:
        for seed in config.controls.seeds(control):
            names = [twin_name(model, seed) for model in models] if control == "untrained" else models
            a, b = (paths.stores(name, n_shards) for name in names)
            matches, facts = match_view(config, a, b, scratch, _null_view(config, paths, control, seed))
            n = facts["n_positions"]
            say(f"{control}, seed {seed}: {len(matches)} matches on {n} positions, mean r {matches['r'].mean():.3f}")
            found.append(matches.assign(seed=seed))
            positions.append({"seed": seed, "n_positions": n})
        write_parquet(out, pd.concat(found, ignore_index=True), {"seeds": positions})


def _null_view(config: Config, paths: Paths, control: str, seed: int) -> View:
    if control == "permutation":
        return View(config.exclusions, permute_seed=seed)
    if control == "documents":
        return View(config.exclusions, exchange_seed=seed, documents=paths.split("match"))
    return View(config.exclusions)


def intervals_step(config: Config, paths: Paths, pair: str) -> None:
    """Match a pair anew on half-samples of the documents.

    Writes the intervals of the correlations of the pair's matches, and the matches found on each. Metadata of these:
    `interval` (how they were found; `none` with too few clusters of documents), `n_half_samples` (each half followed by
    its complement), `shares` of the positions that each has, `n_blocks`, `n_clusters`.
    """
    torch.set_num_threads(config.dask.threads_per_worker)
    n_jobs, k = config.correlation.n_jobs, config.matching.k
    lists, facts = read_lists([paths.neighbors_part(pair, job, n_jobs) for job in range(n_jobs)])
    matches = mutual_matches(lists, facts, k)
    u = (matches["layer_a"].to_numpy(np.int64) * facts.d_mlp_a + matches["unit_a"]).to_numpy()
    v = (matches["layer_b"].to_numpy(np.int64) * facts.d_mlp_b + matches["unit_b"]).to_numpy()
    found, blocks, method = _resample(config, paths, pair, lists, u, v)
    facts_of_halves = {
        "interval": method,
        "n_half_samples": found.r.shape[1],
        "shares": blocks.shares.tolist(),
        "n_blocks": blocks.n,
        "n_clusters": blocks.n_clusters,
    }
    say(f"{len(matches)} matches; half-samples of {blocks.n} blocks of {blocks.n_clusters} clusters: {method}")
    low, high = correlation_interval(matches["r"].to_numpy(), found.r, blocks.shares)
    keys = matches[["layer_a", "unit_a", "layer_b", "unit_b"]]
    write_parquet(paths.intervals(pair), keys.assign(**dict(zip(INTERVAL_COLUMNS, (low, high), strict=True))))
    nothing = Replicate(*(np.empty(0, kind) for kind in (np.int64, np.int64, float)))
    replicates = [
        _match_table(part.u, part.v, part.r, facts).assign(half_sample=number)
        for number, part in enumerate(found.replicates or [nothing])
    ]
    write_parquet(paths.replicates(pair), pd.concat(replicates), facts_of_halves)


def _resample(
    config: Config, paths: Paths, pair: str, lists: PairNeighbors, u: np.ndarray, v: np.ndarray
) -> tuple[Resampled, Blocks, str]:
    settings, workers, k = config.correlation, workers_of(config.dask), config.matching.k
    precision = resolve_precision(settings.precision)
    stores = [open_stores(folder) for folder in _folders(config, paths, pair)]
    aligned = align_pair(*stores, View(config.exclusions, documents=paths.split("match")))
    size = (aligned.a.n_neurons, aligned.b.n_neurons, aligned.n_positions)
    blocks, pooling = sample_blocks(aligned, config.intervals.n_blocks), config.alignment.pooling
    if not blocks.n:
        return Resampled(np.empty((len(u), 0)), []), blocks, "none"
    if fits_rematch(*size, settings.memory_gb, config.intervals, precision=precision, workers=workers):
        return rematch(aligned, pooling, precision, blocks, k, u, v), blocks, "rematched"
    tiles = plan_tiles(*size, settings.memory_gb, workers=workers).tiles
    return rematch_candidates(aligned, pooling, blocks, k, u, v, lists, tiles), blocks, "candidates"


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
        for sweep, setting, view, pooling in _settings(config, paths, n_documents):
            matches, facts = match_view(config, *folders, scratch, view, pooling)
            tables.append(matches.assign(sweep=sweep, setting=setting))
            settings.append({"sweep": sweep, "setting": setting, **facts})
        write_parquet(paths.sweeps(pair), pd.concat(tables, ignore_index=True), {"settings": settings})


def _settings(config: Config, paths: Paths, n_documents: int) -> list[tuple[str, str, View, str | None]]:
    """Return (sweep, setting, view, pooling) of every correlation that the sweeps ask for."""
    sweeps, main = config.sweeps, config.exclusions
    found: list[tuple[str, str, View, str | None]] = []
    if sweeps.budgets:
        budget = n_documents // 2
        while budget >= MIN_DOCUMENTS:
            found.append(("budget", str(budget), View(main, first=budget), None))
            budget //= 2
    if sweeps.split_half:
        documents = paths.split("match")
        found += [("split_half", str(half), View(main, half=half, documents=documents), None) for half in (0, 1)]
    found += [
        ("pooling", pooling, View(main), pooling) for pooling in sweeps.pooling if pooling != config.alignment.pooling
    ]
    found += [("exclusions", describe_exclusions(other), View(other), None) for other in sweeps.exclusions]
    return found


def describe_exclusions(exclusions: Exclusions) -> str:
    """Return the exclusions that are in force, in words; `none` if there are none."""
    given = exclusions.model_dump(exclude_defaults=True)
    return ", ".join(name if value is True else f"{name} {value:g}" for name, value in given.items()) or "none"

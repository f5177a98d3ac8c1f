"""The steps that match pairs: once, under nulls, on half-samples, in sweeps; foreign formats."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from rosetta.analysis.counts import model_shape
from rosetta.analysis.intervals import INTERVAL_COLUMNS, correlation_interval
from rosetta.analysis.null_thresholds import tail_probability
from rosetta.config import PAIR_SEPARATOR, Config, entry_of, group_name, twin_name
from rosetta.config.base import Name
from rosetta.config.messages import describe_problems
from rosetta.correlation.neighbor_tables import NeighborLists, pair_counts, read_lists
from rosetta.correlation.request import CorrelationRequest
from rosetta.errors import ConfigError, StoreError
from rosetta.matching.interchange import buddies_json, read_buddies
from rosetta.matching.mutual import (
    MATCH_COLUMNS,
    NOTE_COLUMNS,
    PAIR_KEYS,
    check_comparisons,
    mutual_matches,
    rosetta_neurons,
)
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.storage.atomic import replacing, scratch_folder
from rosetta.storage.digests import digest_file
from rosetta.storage.tables import read_parquet, read_parquet_metadata, write_parquet


def match_step(
    source: list[Path] | CorrelationRequest,
    out: Path,
    k: int,
    nulls: dict[str, Path] | None = None,
    intervals: Path | None = None,
) -> None:
    """Match a pair, with p-values from null models and intervals if they are given.

    Parameters
    ----------
    source : list of Path, or CorrelationRequest
        The pair's neighbour lists, or stores that are correlated first.
    out : Path
        Parquet file to write.
    k : int
        Mutual k-nearest neighbours match.
    nulls : dict of str to Path, optional
        By name of a null model, what `nulls_step` wrote of the pair.
    intervals : Path, optional
        What `intervals_step` wrote of the pair.

    Raises
    ------
    ConfigError
        If the lists hold fewer than k neighbours.
    """
    lists = read_lists(source) if isinstance(source, list) else _correlated(source, out)
    neighbors, facts = lists
    if not 1 <= k < facts.n_kept:
        kept = f"between 1 and {facts.n_kept - 1}, the neighbours kept"
        raise ConfigError(f"--k: {k} is not {kept}. Correlate with a larger max_k.")
    matches = mutual_matches(neighbors, facts, k)
    pair = f"{facts.model_a} and {facts.model_b}"
    say(f"{len(matches)} matches of {pair}, mean r {matches['r'].mean():.3f}")
    counts = {"k": k, **pair_counts(neighbors, facts), "min_r": facts.min_r}
    write_parquet(out, _noted(matches, nulls or {}, intervals), counts)


def _correlated(request: CorrelationRequest, out: Path) -> NeighborLists:
    """Return the neighbour lists of stores; finished tiles are kept beside `out` meanwhile."""
    from rosetta.correlation.pairs import correlate_pair

    with scratch_folder(out.with_name(f".match-{out.name}")) as folder:
        return correlate_pair(request, scratch=folder / "tiles")


def _noted(matches: pd.DataFrame, nulls: dict[str, Path], intervals: Path | None) -> pd.DataFrame:
    noted = matches.assign(**dict.fromkeys(NOTE_COLUMNS, np.nan))
    for name, path in nulls.items():
        null_r = read_parquet(path, ["r"])["r"].to_numpy()
        noted[f"p_{name}"] = tail_probability(matches["r"].to_numpy(), null_r)
    if intervals:
        known = read_parquet(intervals, [*PAIR_KEYS, *INTERVAL_COLUMNS])
        found = matches[PAIR_KEYS].merge(known, on=PAIR_KEYS, how="left")
        noted[INTERVAL_COLUMNS] = found[INTERVAL_COLUMNS].to_numpy()
    return noted


def matches_step(config: Config, paths: Paths, pair: str) -> None:
    """Match a pair of a run; but for further trainings with p-values from null models, and
    intervals.
    """
    neighbors, k = files.neighbors(config, paths, {"pair": pair}), config.matching.k
    if not config.is_resampled(pair):
        match_step(neighbors, paths.matches(pair), k)
        return
    nulls = {name: paths.null_matches(name, pair) for name in config.controls_of(pair)}
    match_step(neighbors, paths.matches(pair), k, nulls, paths.intervals(pair))


def anchors_step(matches: list[Path], out: Path) -> None:
    """Intersect the matches of an anchor with each of the other models."""
    tables = [read_parquet(path, MATCH_COLUMNS) for path in matches]
    check_comparisons(tables)
    metadata = [read_parquet_metadata(path) for path in matches]
    found = rosetta_neurons(tables)
    n_anchors = len(found.drop_duplicates(["layer_anchor", "unit_anchor"]))
    say(f"{n_anchors} anchor neurons in every comparison")
    write_parquet(out, found, {"comparisons": metadata})


def nulls_step(config: Config, paths: Paths, control: str, pair: str) -> None:
    """Match a pair under a null model, once per seed; write the matches of all seeds.

    Under `permutation` the positions of the second model are permuted, the same for all of its
    neurons (Dravid 2026, App. C.3); under `documents` its samples are exchanged for others of the
    same label; under `untrained` both models are replaced by untrained twins (section 4.2).

    The table has the columns `seed` and of matches. Its metadata has the aligned positions of every
    seed: fewer under `documents`, where the longer one of two samples is cut.
    """
    from rosetta.matching.views import view_scratch

    out, seeds = paths.null_matches(control, pair), config.controls.seeds(control)
    tables, positions = [], []
    with view_scratch(out) as scratch:
        matched = _NULLS[control](config, paths, pair, scratch)
        for seed, (matches, facts) in zip(seeds, matched, strict=True):
            n, mean = facts["n_positions"], matches["r"].mean()
            said = f"{len(matches)} matches on {n} positions, mean r {mean:.3f}"
            say(f"{control}, seed {seed}: {said}")
            tables.append(matches.assign(seed=seed))
            positions.append({"seed": seed, "n_positions": n})
        write_parquet(out, pd.concat(tables, ignore_index=True), {"seeds": positions})


_Matched = Iterator[tuple[pd.DataFrame, dict[str, int]]]


def _permuted(config: Config, paths: Paths, pair: str, scratch: Path) -> _Matched:
    """Yield matches with the positions permuted, of all seeds from the same passes."""
    from rosetta.matching.views import match_orders, null_view

    for seed in config.permuted_with(pair):
        lists = read_lists(files.neighbors(config, paths, {"pair": pair}), seed)
        yield mutual_matches(*lists, config.matching.k), pair_counts(*lists)
    if config.permuted_with(pair):
        return
    view = null_view(config, None, "permutation", *config.controls.permutation_seeds)
    yield from match_orders(config, *files.store_folders(config, paths, pair), scratch, view)


def _exchanged(config: Config, paths: Paths, pair: str, scratch: Path) -> _Matched:
    """Yield matches with samples exchanged."""
    from rosetta.matching.views import match_view, null_view

    folders = files.store_folders(config, paths, pair)
    table = files.sample_table(config, paths, pair)
    for seed in config.controls.seeds("documents"):
        view = null_view(config, table, "documents", seed)
        yield match_view(config, *folders, scratch, view)


def _untrained(config: Config, paths: Paths, pair: str, scratch: Path) -> _Matched:
    """Yield matches of untrained twins."""
    from rosetta.correlation.view import View
    from rosetta.matching.views import match_view

    for seed in config.controls.seeds("untrained"):
        twins = group_name(tuple(twin_name(model, seed) for model in pair.split(PAIR_SEPARATOR)))
        folders = files.store_folders(config, paths, twins)
        yield match_view(config, *folders, scratch, View.of(config))


_NULLS = {"permutation": _permuted, "documents": _exchanged, "untrained": _untrained}


def intervals_step(config: Config, paths: Paths, pair: str, threads: int | None = None) -> None:
    """Match a pair again on half of its samples at a time.

    All cores of its tasks work, unless `threads` says how many.

    Writes the intervals of the correlations of the pair's matches, and the matches found on each.
    Metadata of these: `interval` (how they were found; `none` with too few clusters of samples),
    `n_half_samples` (each half followed by its complement), `shares` of the positions that each
    has, `n_blocks`, `n_clusters`.
    """
    import torch

    from rosetta.matching.half_samples import match_half_samples, replicate_matches

    torch.set_num_threads(threads or config.dask.cores)
    say(f"{pair}: half-samples on {torch.get_num_threads()} thread(s)")
    n_jobs = config.correlation.n_jobs
    lists, facts = read_lists([paths.neighbors_part(pair, job, n_jobs) for job in range(n_jobs)])
    matches = mutual_matches(lists, facts, config.matching.k)
    found, blocks, method = match_half_samples(config, paths, pair, lists, facts, matches)
    facts_of_halves = {
        "interval": method,
        "n_half_samples": found.r.shape[1],
        "shares": blocks.shares.tolist(),
        "n_blocks": blocks.n,
        "n_clusters": blocks.n_clusters,
    }
    drawn = f"half-samples of {blocks.n} blocks of {blocks.n_clusters} clusters"
    say(f"{len(matches)} matches; {drawn}: {method}")
    limits = correlation_interval(matches["r"].to_numpy(), found.r, blocks.shares)
    columns = dict(zip(INTERVAL_COLUMNS, limits, strict=True))
    write_parquet(paths.intervals(pair), matches[PAIR_KEYS].assign(**columns))
    write_parquet(paths.replicates(pair), replicate_matches(found, facts), facts_of_halves)


# Of a pair that no sweep of the run applies to.
_NO_SWEPT = pd.DataFrame(columns=[*MATCH_COLUMNS, "sweep", "setting"])


def sweeps_step(config: Config, paths: Paths, pair: str) -> None:
    """Match a pair under every setting of the sweeps that correlate again.

    Writes the matches of all settings (columns `sweep`, `setting` and of matches); the settings,
    with their positions and what they left out, are its metadata.
    """
    from rosetta.activations.folders import open_stores
    from rosetta.matching.swept_settings import swept_settings
    from rosetta.matching.views import match_view, view_scratch

    a, b = files.store_folders(config, paths, pair)
    table = files.sample_table(config, paths, pair)
    shards = open_stores(a)
    n_samples = sum(store.n_samples for store in shards)
    grids = [one[0].manifest["holds"].get("grid") for one in (shards, open_stores(b))]
    tables, settings = [], []
    with view_scratch(paths.sweeps(pair)) as scratch:
        asked = swept_settings(config, pair, table, n_samples, resampled=grids[0] != grids[1])
        for swept in asked:
            others = swept.stores or config.stores_of(pair)
            a, b = (paths.stores(name, config.activations.n_shards) for name in others)
            matches, facts = match_view(config, a, b, scratch, swept.view, swept.pooling)
            named = {"sweep": swept.sweep, "setting": swept.setting}
            tables.append(matches.assign(**named))
            settings.append({**named, **facts})
        found = pd.concat(tables, ignore_index=True) if tables else _NO_SWEPT
        write_parquet(paths.sweeps(pair), found, {"settings": settings})


def import_buddies_step(
    file: Path,
    models: tuple[str, str],
    out: Path,
    k: int | None,
    run: tuple[Config, Paths] | None = None,
) -> None:
    """Write a `best_buddies.json` as matches of two models; what it does not tell is NaN.

    Parameters
    ----------
    file, out : Path
        What to read and to write.
    models : tuple of str
        What the file's models 1 and 2 are called.
    k : int or None
        Keep ranks up to k; all if None.
    run : tuple of Config and Paths, or None
        A run whose models these are. Every neuron must then be one of theirs.
    """
    _check_names(*models)
    matches = read_buddies(file, *models, k)
    if run:
        _check_neurons(matches, models, run, file)
    largest = int(matches[["rank_a", "rank_b"]].to_numpy().max(initial=0))
    mean = f", mean r {matches['r'].mean():.3f}, largest rank {largest}" if len(matches) else ""
    say(f"{len(matches)} matches of {models[0]} and {models[1]}{mean}")
    imported = {"imported_from": file.name, "digest": digest_file(file), "k": k or largest}
    write_parquet(out, matches.assign(**dict.fromkeys(NOTE_COLUMNS, np.nan)), imported)


def _check_names(a: str, b: str) -> None:
    for option, name in (("--a", a), ("--b", b)):
        try:
            TypeAdapter(Name).validate_python(name)
        except ValidationError as error:
            raise ConfigError(f"{option}: {describe_problems(error.errors())[0]}") from None
    if a == b:
        raise ConfigError(f"--b: {b} is the name of model 1, too. Give models different names.")


def _check_neurons(
    matches: pd.DataFrame, models: tuple[str, str], run: tuple[Config, Paths], file: Path
) -> None:
    config, paths = run
    for side, model in zip("ab", models, strict=True):
        entry_of(config.models, model, f"--{side}: models")
        shape = model_shape(paths, model)
        layer, unit = matches[f"layer_{side}"], matches[f"unit_{side}"]
        strange = matches[(layer >= shape.n_layers) | (unit >= shape.d_mlp)]
        if len(strange):
            layer, unit = strange[[f"layer_{side}", f"unit_{side}"]].iloc[0]
            raise StoreError(
                f"{file}: has unit {unit} of layer {layer}, and {model} has {shape.n_layers} "
                f"layers × {shape.d_mlp} "
                "units. Give the names in the file's order, model 1 as --a."
            )


def export_step(matches: Path, out: Path) -> None:
    """Write a pair's matches as `best_buddies.json`, without a digest, for other programs."""
    table = read_parquet(matches, MATCH_COLUMNS)
    pairs = len(table[["model_a", "model_b"]].drop_duplicates())
    if pairs > 1:
        raise StoreError(
            f"{matches}: holds matches of {pairs} pairs; the form has room for one. Export each "
            "alone."
        )
    with replacing(out) as temporary:
        temporary.write_text(buddies_json(table), encoding="utf-8")
    say(f"{len(table)} matches")

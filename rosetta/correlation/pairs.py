"""The correlation step: two folders of stores in, neighbour lists out."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from rosetta.activations.folders import open_stores
from rosetta.activations.store import Store
from rosetta.config import Correlation, Dask
from rosetta.config.base import GB
from rosetta.correlation.lists import PairFacts, write_lists
from rosetta.correlation.plan import plan_screen, plan_tiles, workers_of
from rosetta.correlation.products import product_device, resolve_precision
from rosetta.correlation.screened import ScreenTask, correlate_screened
from rosetta.correlation.sketch import MAP
from rosetta.correlation.stream import WHOLE, open_pair, pair_identity
from rosetta.correlation.tiles import TileTask, correlate_tiles
from rosetta.correlation.view import View
from rosetta.errors import ConfigError
from rosetta.progress import say
from rosetta.storage.digests import digest_json


def correlate_stores(
    folder_a: Path,
    folder_b: Path,
    out: Path,
    pooling: str,
    settings: Correlation,
    dask: Dask,
    *,
    job: int = 0,
    view: View = WHOLE,
) -> None:
    """Correlate all neurons of two models and write one job's neighbour lists.

    Parameters
    ----------
    folder_a, folder_b : Path
        Folders of shard stores of the same documents.
    out : Path
        Parquet file to write (`rosetta.correlation.lists`).
    pooling : str
        Pooling of tokens to aligned spans.
    settings : Correlation
        Method, budget, neighbours to keep, precision, number of jobs.
    dask : Dask
        Where the tiles are computed.
    job : int
        Number of this job; it takes every `n_jobs`-th tile.
    view : View
        Which documents, positions and neurons take part; all of them, in order, by default.

    Raises
    ------
    ConfigError
        If positions are to be permuted, or documents exchanged, under the screened method.
    StoreError
        If the stores do not fit together, are damaged or hold non-finite values.
    PlanError
        If no tile fits the memory budget.
    """
    if not 0 <= job < settings.n_jobs:
        raise ConfigError(f"--job: {job} is not among the {settings.n_jobs} jobs (--n-jobs).")
    if not view.in_order and settings.method == "screened":
        option, what = ("permute", "permutation") if view.exchange_seed is None else ("exchange", "exchange")
        raise ConfigError(f"--{option}-seed: sketches take no {what}. Use method exact.")
    precision = resolve_precision(settings.precision)
    stores_a, stores_b = open_stores(folder_a), open_stores(folder_b)
    pair_id = pair_identity(stores_a, stores_b)
    pair = open_pair(str(folder_a), str(folder_b), pair_id, view)
    facts = PairFacts(
        model_a=model_name(stores_a[0]),
        model_b=model_name(stores_b[0]),
        n_layers_a=stores_a[0].n_layers,
        d_mlp_a=stores_a[0].d_mlp,
        n_layers_b=stores_b[0].n_layers,
        d_mlp_b=stores_b[0].d_mlp,
        n_positions=pair.n_positions,
        n_kept=settings.max_k + 1,
        job=job,
        n_jobs=settings.n_jobs,
        **asdict(pair.left_out),
    )
    if folder_a.resolve() == folder_b.resolve():
        say(f"{folder_a}: both sides are this model, so every neuron is its own nearest neighbour")
    workers = workers_of(dask)
    size = (pair.a.n_neurons, pair.b.n_neurons, pair.n_positions)
    say(
        f"{facts.model_a} and {facts.model_b}: {size[0]} × {size[1]} neurons, {size[2]} aligned positions; "
        f"{precision} products on {product_device(precision)}, "
        f"{dask.n_workers} × {dask.threads_per_worker} threads ({dask.scheduler})"
    )
    common = (str(folder_a), str(folder_b), pair_id, pooling, precision, view)
    identity = [*common[:-1], view.describe()]
    if settings.method == "screened":
        n_rows = settings.screening.sketch_rows
        screen = plan_screen(*size, settings.memory_gb, n_rows=n_rows, workers=workers)
        say(f"sketches of {screen.n_rows} rows, {len(screen.tiles)} tile(s), about {screen.peak_bytes / GB:.1f} GB")
        with _scratch(out, [*identity, MAP, asdict(screen), settings.model_dump(mode="json")]) as scratch:
            task = ScreenTask(*common, str(scratch), screen.n_rows, len(stores_a))
            found = correlate_screened(task, *size[:2], screen, settings.screening, settings.max_k, dask)
            if found:
                say(f"{found.n_listed} pairs and {found.n_whole} whole neurons were correlated exactly")
                certified = replace(
                    facts,
                    method="screened",
                    n_uncertified=found.n_uncertified,
                    failure_probability=settings.screening.failure_probability,
                )
                write_lists(out, found.neighbors, certified)
                return
        say("screening leaves too much open here; the exact method takes over")
    tiles = plan_tiles(*size, settings.memory_gb, precision=precision, workers=workers, held=(pair.a.held, pair.b.held))
    mine = tiles.tiles[job :: settings.n_jobs]
    say(f"{len(mine)} of {len(tiles.tiles)} tile(s), about {tiles.peak_bytes / GB:.1f} GB")
    with _scratch(out, [*identity, tiles.tiles, asdict(facts)]) as scratch:
        task = TileTask(*common, settings.max_k + 1, str(scratch))
        write_lists(out, correlate_tiles(task, mine, *size[:2], dask), facts)


@contextmanager
def _scratch(out: Path, identity: list) -> Iterator[Path]:
    """Yield a folder for what is finished on the way to `out`; it is removed when the block succeeds.

    A former run of the same computation left its folder, to be gone on with; those of others are removed.
    """
    scratch = out.parent / f".tiles-{out.stem}-{digest_json(identity)[:16]}"
    for stale in out.parent.glob(f".tiles-{out.stem}-*"):
        if stale != scratch:
            shutil.rmtree(stale)
    scratch.mkdir(parents=True, exist_ok=True)
    yield scratch.resolve()
    shutil.rmtree(scratch, ignore_errors=True)


def model_name(store: Store) -> str:
    """Return the name of the model that a store is of."""
    return str(store.manifest["made_by"].get("model", store.path.parent.name))

"""The correlation of two models: folders of stores in, neighbour lists out."""

from __future__ import annotations

import glob
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rosetta.activations.reader import StoreReader
from rosetta.config import Correlation
from rosetta.config.alignment import check_pooling
from rosetta.config.base import GB
from rosetta.correlation.aligned import WHOLE, AlignedPair, StoredPair, pair_identity
from rosetta.correlation.estimates import ScreenTask
from rosetta.correlation.neighbor_tables import NeighborLists, PairFacts
from rosetta.correlation.neighbors import PairNeighbors
from rosetta.correlation.plan import (
    Budget,
    ScreenPlan,
    n_passes,
    plan_orders,
    plan_screen,
    shard_ranges,
)
from rosetta.correlation.products import product_device, resolve_precision
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.rounds import correlate_screened
from rosetta.correlation.sketch import MAP
from rosetta.correlation.tiles import TileTask, correlate_tiles
from rosetta.correlation.view import View
from rosetta.errors import ConfigError
from rosetta.models.devices import gpu_memory
from rosetta.progress import say
from rosetta.storage.digests import digest_json


def correlate_pair(
    request: CorrelationRequest,
    *,
    job: int = 0,
    view: View = WHOLE,
    scratch: Path | None = None,
) -> NeighborLists:
    """Correlate all neurons of two models and return one job's neighbour lists (method, section 3).

    The view has the positions in a single order; for several see `correlate_orders`.

    Parameters
    ----------
    request : CorrelationRequest
        The stores, and how they are correlated.
    job : int
        Number of this job; it takes every `n_jobs`-th tile.
    view : View
        Which samples, positions and neurons are looked at; all of them, in order, by default.
    scratch : Path, optional
        Where finished tiles are kept, so that a killed job repeats none of them; the caller
        removes them when the lists are saved (`remove_scratch`). Nowhere if not given.

    Raises
    ------
    ConfigError
        If there is no such job, or the view, the pooling or the cluster does not go with the
        other settings or with what the models see.
    StoreError
        If the stores do not fit together, are damaged or hold non-finite values.
    PlanError
        If no tile fits the memory budget.
    """
    (lists,) = correlate_orders(request, job=job, view=view, scratch=scratch)
    return lists


def correlate_orders(
    request: CorrelationRequest, *, job: int = 0, view: View, scratch: Path | None = None
) -> list[NeighborLists]:
    """Return a job's neighbour lists for each order of the second model's positions.

    As many orders share a pass over both models as makes the fewest passes
    (`rosetta.correlation.plan.plan_orders`). Parameters and errors are those of `correlate_pair`;
    the lists are in the order of `view.permute_seeds`.
    """
    _check(request, job, view, scratch)
    with _kept(scratch) as kept:
        work = _work(request, job, view, kept)
        return _screened(work) if request.settings.method == "screened" else _exact(work)


def remove_scratch(scratch: Path) -> None:
    """Remove the tiles that `correlate_pair` kept, when its lists are saved."""
    for folder in _kept_in(scratch):
        shutil.rmtree(folder, ignore_errors=True)


def model_name(store: StoreReader) -> str:
    """Return the name of the model that a store is of."""
    return str(store.manifest["made_by"].get("model", store.path.parent.name))


def _check(request: CorrelationRequest, job: int, view: View, scratch: Path | None) -> None:
    settings = request.settings
    if not 0 <= job < settings.n_jobs:
        raise ConfigError(f"--job: {job} is not among the {settings.n_jobs} jobs (--n-jobs).")
    if not view.in_order and settings.method == "screened":
        option, what = (
            ("permute", "permutation") if view.exchange_seed is None else ("exchange", "exchange")
        )
        raise ConfigError(f"--{option}-seed: sketches take no {what}. Use method exact.")
    if scratch is None and not request.dask.local:
        raise ConfigError(
            "dask.scheduler: workers on other machines need a folder that they share. Give scratch."
        )


@contextmanager
def _kept(scratch: Path | None) -> Iterator[Path]:
    """Yield where finished tiles are kept: as asked, or in a temporary folder."""
    if scratch is not None:
        yield scratch
        return
    with tempfile.TemporaryDirectory(prefix="rosetta-") as folder:
        yield Path(folder) / "tiles"


def _kept_in(scratch: Path) -> list[Path]:
    """Return the folders of finished tiles, one per computation: `scratch`, a dash and the
    computation's digest.
    """
    return list(scratch.parent.glob(f"{glob.escape(scratch.name)}-{'[0-9a-f]' * 16}"))


@dataclass(frozen=True)
class _Work:
    """A pair, opened, and how it is correlated."""

    request: CorrelationRequest
    stored: StoredPair
    pair: AlignedPair
    facts: PairFacts
    precision: str
    scratch: Path

    @property
    def budget(self) -> Budget:
        """Memory of a job, and who shares it; of a GPU no more than it has beside live models.

        Where other jobs have to cut the same tiles, only what the configuration gives counts.
        """
        request, device = self.request, product_device(self.precision)
        budget, given = Budget.of(request.settings, request.dask), request.gpu_memory_gb
        if device.type != "cuda":
            return budget
        held = sum(side.stores[0].gpu_bytes for side in (self.pair.a, self.pair.b))
        if given is not None:
            budget = budget.on_gpu(given * GB, held)
        if request.settings.n_jobs > 1:
            return budget
        there, used = gpu_memory(device)
        return budget.on_gpu(there, max(held, used))

    def folder(self, plan: list[Any]) -> Path:
        """Return the folder for the finished tiles of this pair under a plan.

        A former run of the same computation left its folder, to go on with; those of others are
        removed.
        """
        stored = self.stored
        where = [stored.folder_a, stored.folder_b, stored.identity]
        identity = [*where, self.request.pooling, self.precision, stored.view.describe(), *plan]
        folder = self.scratch.with_name(f"{self.scratch.name}-{digest_json(identity)[:16]}")
        for stale in _kept_in(self.scratch):
            if stale != folder:
                shutil.rmtree(stale)
        folder.mkdir(parents=True, exist_ok=True)
        return folder.resolve()


def _work(request: CorrelationRequest, job: int, view: View, scratch: Path) -> _Work:
    folder_a, folder_b = request.folder_a, request.folder_b
    settings, dask = request.settings, request.dask
    precision = resolve_precision(settings.precision)
    stored = StoredPair(str(folder_a), str(folder_b), pair_identity(folder_a, folder_b), view)
    pair = stored.open()
    check_pooling(request.pooling, pair.a.stores[0].modality)
    facts = _facts(pair, settings, job)
    if folder_a.resolve() == folder_b.resolve():
        say(f"{folder_a}: both sides are this model, so every neuron is its own nearest neighbour")
    say(
        f"{facts.model_a} and {facts.model_b}: {pair.a.n_neurons} × {pair.b.n_neurons} neurons, "
        f"{pair.n_positions} aligned positions; {precision} products on "
        f"{product_device(precision)}, "
        f"{dask.n_workers} × {dask.threads} thread(s) ({dask.scheduler})"
    )
    return _Work(request, stored, pair, facts, precision, scratch)


def _facts(pair: AlignedPair, settings: Correlation, job: int) -> PairFacts:
    a, b = pair.a.stores[0], pair.b.stores[0]
    return PairFacts(
        model_a=model_name(a),
        model_b=model_name(b),
        n_layers_a=a.n_layers,
        d_mlp_a=a.d_mlp,
        n_layers_b=b.n_layers,
        d_mlp_b=b.d_mlp,
        n_positions=pair.n_positions,
        n_kept=settings.max_k + 1,
        job=job,
        n_jobs=settings.n_jobs,
        **asdict(pair.left_out),
    )


def _screened(work: _Work) -> list[NeighborLists]:
    """Return the lists of the screened method; of the exact one if so much stays open that it costs
    no more.

    Each has its part of the scratch folder. That of the exact method is there as soon as it takes
    over, so that a killed job does not screen again.
    """
    request, pair, screening = work.request, work.pair, work.request.settings.screening
    plan = plan_screen(pair.size, work.budget, screening.sketch_rows)
    say(
        f"sketches of {plan.n_rows} rows, {len(plan.tiles)} tile(s), about "
        f"{plan.peak_bytes / GB:.1f} GB"
    )
    folder = work.folder([MAP, asdict(plan), request.settings.model_dump(mode="json")])
    sketches, exact = folder / "screened", folder / "exact"
    if not exact.exists():
        found = _by_sketches(work, plan, sketches)
        if found:
            return [found]
        exact.mkdir()
    say("screening leaves too much open here; the exact method takes over")
    shutil.rmtree(sketches, ignore_errors=True)
    return _exact(work, exact)


def _by_sketches(work: _Work, plan: ScreenPlan, folder: Path) -> NeighborLists | None:
    """Return the lists of the screened method, if it costs less than the exact one."""
    request, pair, screening = work.request, work.pair, work.request.settings.screening
    floor = screening.floor  # before long work: there may be none yet
    shards = shard_ranges(len(pair.a.stores), pair.size, plan, request.dask.n_workers)
    held = plan.held and request.dask.scheduler == "threads"
    task = ScreenTask(
        work.stored, request.pooling, work.precision, str(folder), plan.n_rows, shards, held
    )
    found = correlate_screened(task, pair.size, plan, request)
    if not found:
        return None
    say(f"{found.n_listed} pairs and {found.n_whole} whole neurons were correlated exactly")
    facts = replace(
        work.facts,
        method="screened",
        n_uncertified=found.n_uncertified,
        failure_probability=screening.failure_probability,
        min_r=floor if np.isfinite(floor) else None,
    )
    return NeighborLists(found.neighbors, facts)


def _exact(work: _Work, folder: Path | None = None) -> list[NeighborLists]:
    """Return the lists of the exact method; finished tiles are kept in `folder`, if it is given."""
    request, pair, facts = work.request, work.pair, work.facts
    seeds = work.stored.view.permute_seeds
    held = pair.a.held, pair.b.held
    plan, at_once = plan_orders(
        pair.size, work.budget, len(seeds), precision=work.precision, held=held
    )
    orders = [seeds[i : i + at_once] for i in range(0, len(seeds), at_once)]
    mine = [(tile, some) for tile in plan.tiles[facts.job :: facts.n_jobs] for some in orders]
    say(
        f"{len(mine)} of {n_passes(plan, at_once, len(seeds))} pass(es), about "
        f"{plan.peak_bytes / GB:.1f} GB"
    )
    folder = folder or work.folder([plan.tiles, asdict(facts)])
    task = TileTask(work.stored, request.pooling, work.precision, facts.n_kept, str(folder))
    found = correlate_tiles(task, mine, *pair.size[:2], request.dask)
    nothing = PairNeighbors.empty(*pair.size[:2], facts.n_kept)  # of more jobs than tiles
    return [NeighborLists(found.get(seed, nothing), facts) for seed in seeds]

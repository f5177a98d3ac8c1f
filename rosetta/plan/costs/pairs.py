"""Costs of jobs on pairs: correlations, null models, intervals, sweeps.

They all keep their tiles within `correlation.memory_gb`; models of live stores lie beside these,
on a GPU as well, which leaves less to the tiles where `devices.gpu_memory_gb` tells its size.
"""

from __future__ import annotations

from dataclasses import replace

from rosetta.config import Config, group_name
from rosetta.config.across_seeds import seed_pairs
from rosetta.config.base import GB
from rosetta.config.image_stores import shared_by_generator
from rosetta.config.names import first_training
from rosetta.config.training_ladders import training_rungs
from rosetta.correlation.plan import (
    LISTED_COST,
    REORDERED,
    Budget,
    TilePlan,
    cell_bytes,
    checkpoint_bytes,
    correlation_flops,
    fits_rematch,
    n_passes,
    plan_orders,
    plan_screen,
    rematch_flops,
    screen_bytes,
    screen_flops,
    sketch_rows,
)
from rosetta.instruments.sizes import instrument_flops
from rosetta.models.known_sizes import planned_capture, planned_twin
from rosetta.plan.costs.base import (
    PRODUCT_EFFICIENCY,
    TABLES,
    Cost,
    Known,
    Operations,
)
from rosetta.plan.costs.models import (
    PROFILE_EFFICIENCY,
    PROFILE_OPERATIONS,
    Plan,
    reread_models,
)

NEIGHBOR_BYTES = 16  # one neighbour in the lists of a pair, on disk
OWN_ROW_BYTES = 40  # of one unit at a step of a training
HALF_BYTES = 4  # r of a match on one half-sample
HALF_ROW_BYTES = (
    48  # such a match in a table in memory: both neurons, r, the half-sample, its place
)


def correlate(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of one of the jobs that correlate a pair.

    Screened, it is that of a pair whose neurons the first candidates certify.
    """
    settings, size = known.config.correlation, known.pair_size(pair)
    if settings.method == "exact":
        disk = (size.n_a + size.n_b) * (settings.max_k + 1) * NEIGHBOR_BYTES
        share, seeds = 1 / settings.n_jobs, known.config.permuted_with(group_name(pair))
        products = exact_products(known, pair, "permutation" if seeds else "", 1 + len(seeds))
        saved = saved_bytes(known, pair, "permutation" if seeds else "", 1 + len(seeds))
        disk *= share * (1 + len(seeds))
        return _within_budget(known, pair, products * share, disk, saved=saved)
    n_rows = sketch_rows(size.n_positions, settings.screening.sketch_rows)
    flops = screen_flops(size, n_rows)
    operations = Operations.at(PRODUCT_EFFICIENCY, flops) + _screened_reads(known, pair, n_rows)
    if known.at_most:
        operations += exact_products(known, pair)
    disk = screen_bytes(size.n_a, size.n_b, n_rows, known.config.activations.n_shards)
    saved = saved_bytes(known, pair) if known.at_most else 0.0
    return _within_budget(known, pair, operations, disk, saved=saved)


def _screened_reads(known: Known, pair: tuple[str, str], n_rows: int) -> Operations:
    """Return reading the stores of a pair to screen it.

    Each model's are read once per range of its neurons for the sketches, and both once per pair of
    ranges for the exact correlations of the candidates. Two models of 3 and 2 ranges are read
    3 + 6 and 2 + 6 times.
    """
    size = known.pair_size(pair)._replace(n_positions=0)
    screen = plan_screen(size, tile_budget(known, pair), n_rows)
    passes = [len(edges) + len(screen.tiles) for edges in (screen.edges_a, screen.edges_b)]
    reads = [known.reread([model], n) for model, n in zip(pair, passes, strict=True)]
    return reads[0] + reads[1]


def nulls(known: Known, pair: tuple[str, str], control: str) -> Cost:
    """Return the cost of matching a pair under all seeds of a null model."""
    n_seeds = len(known.config.controls.seeds(control))
    if control == "permutation":
        if known.config.permutes_live:  # read off the pair's own lists
            return Cost(TABLES)
        operations = exact_products(known, pair, control, n_seeds)
        saved = saved_bytes(known, pair, control, n_seeds)
        return _within_budget(known, pair, operations, saved=saved)
    planned = planned_twin if control == "untrained" else planned_capture
    operations = exact_products(known, pair, control) * n_seeds
    saved = saved_bytes(known, pair, control)
    return _within_budget(known, pair, operations, planned=planned, saved=saved)


def intervals(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of matching a pair again on half-samples of the documents."""
    config, size = known.config, known.pair_size(pair)
    n_listed = (size.n_a + size.n_b) * (config.correlation.max_k + 1)
    flops = LISTED_COST * 2 * size.n_positions * n_listed
    of_neighbors = Operations.at(PRODUCT_EFFICIENCY, flops)
    of_neighbors += known.reread(pair, passes(known, pair))
    # No pair whose operations exceed the limit ranks all neurons.
    most = config.intervals.max_teraflops * 1e12
    flops = min(rematch_flops(size, config.intervals), most)
    of_all = Operations.at(PRODUCT_EFFICIENCY, flops) + known.reread(pair)
    if known.at_most:  # of fewer positions a pair may be ranked whole that is not of all
        fewer = replace(known, extent=replace(known.extent, positions=0))
        ways = [of_neighbors, *([of_all] if rematches(fewer, pair) else [])]
        return _within_budget(known, pair, max(ways, key=lambda way: way.work))
    return _within_budget(known, pair, of_all if rematches(known, pair) else of_neighbors)


def seed_matches(known: Known, model: str) -> Cost:
    """Return the cost of matching all trainings of a model with one another, once as they are and
    once per seed of exchanged samples.
    """
    pair, config = (model, model), known.config
    n_seeds, n_pairs = len(config.controls.document_seeds), len(seed_pairs(config, model))
    operations = exact_products(known, pair) + exact_products(known, pair, "documents") * n_seeds
    saved = saved_bytes(known, pair)
    return _within_budget(known, pair, operations * n_pairs, saved=saved)


def past(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of correlating two models at a step of a training with their final selves,
    unit by unit, and with each other, match by match; and of the distribution of every unit.

    Each model is read at the step three times, and at its end once.
    """
    size, ends = known.pair_size(pair), tuple(map(first_training, pair))
    n_units = size.n_a + size.n_b
    listed = LISTED_COST * 2 * size.n_positions * (n_units + min(size.n_a, size.n_b))
    moments = PROFILE_OPERATIONS * size.n_positions * n_units
    operations = Operations.at(PRODUCT_EFFICIENCY, listed)
    operations += Operations.at(PROFILE_EFFICIENCY, moments)
    operations += known.reread(pair, 3) + known.reread(ends)
    n_halves = 2 * (known.config.intervals.n_blocks - 1)
    disk = OWN_ROW_BYTES * n_units + HALF_BYTES * n_halves * min(size.n_a, size.n_b)
    return _within_budget(known, pair, operations, disk)


def emergence(known: Known) -> Cost:
    """Return the cost of the tables on training ladders.

    The matches on all half-samples of all steps of a ladder are held at once, and whether each is
    there at each step; those of one step twice while they are split.
    """
    config, most = known.config, 0
    n_halves = 2 * (config.intervals.n_blocks - 1)
    for name, ladder in config.training_ladders.items():
        size, n_steps = known.pair_size(tuple(ladder.models)), len(training_rungs(config, name))
        rows = n_halves * config.matching.k * min(size.n_a, size.n_b)
        held = (n_steps + 1) * HALF_ROW_BYTES * rows + n_steps**2 * rows
        most = max(most, held)
    return Cost(TABLES + most)


def rematches(known: Known, pair: tuple[str, str]) -> bool:
    """Return whether a pair's intervals rank all neurons, not only nearest neighbours."""
    settings = known.config.intervals
    budget = Budget.of(known.config.correlation, known.config.dask)
    return fits_rematch(known.pair_size(pair), budget, settings, known.precision)


def sweeps(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of matching a pair under all settings of the sweeps."""
    shared = shared_by_generator(known.config, group_name(pair))
    n_sources = len(shared) + 1 if shared and known.config.sweeps.image_source else 0
    times = n_swept(known.config) + n_sources
    operations = exact_products(known, pair) * times
    return _within_budget(known, pair, operations, saved=saved_bytes(known, pair))


def instruments(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of matching a pair by all instruments, under the null model too.

    Models run once for every pass, and once more for ranks.
    """
    config, size = known.config, known.pair_size(pair)
    calibrated = config.is_first(group_name(pair))
    seen = size._replace(n_positions=round(size.n_positions * _share_of_samples(known, pair)))
    n_layers_a, n_layers_b = (known.size_of(model).shape.n_layers for model in pair)
    flops = instrument_flops(seen, (n_layers_a, n_layers_b), config, calibrated=calibrated)
    n_passes = (1 + calibrated) * (1 + ("spearman" in config.matching.instruments))
    reads = known.reread(config.stores_of(group_name(pair)), n_passes if flops else 0)
    return _within_budget(known, pair, Operations.at(PRODUCT_EFFICIENCY, flops) + reads)


def _share_of_samples(known: Known, pair: tuple[str, str]) -> float:
    """Return the share of the samples that instruments look at; 1 where it is not known."""
    config = known.config
    most, there = config.instruments.max_samples, config.activations.max_documents
    if config.modality_of(pair[0]) == "images":
        there = known.extent.generated if config.is_generator(pair[0]) else known.extent.images
    return min(1.0, most / there) if most and there else 1.0


def n_swept(config: Config) -> int:
    """Return how many times the sweeps correlate any pair.

    Budgets halve the documents again and again: one correlation in all, as the halves of a split.
    """
    swept = config.sweeps
    pooled = sum(pooling != config.alignment.pooling for pooling in swept.pooling)
    grids = sum(grid != config.alignment.grid for grid in swept.grid)
    return swept.budgets + swept.split_half + pooled + grids + len(swept.exclusions)


def exact_products(
    known: Known, pair: tuple[str, str], control: str = "", n_orders: int = 1
) -> Operations:
    """Return all correlations of a pair by the exact method, in some orders of its positions."""
    flops = correlation_flops(known.pair_size(pair)) * n_orders
    # Each pass reads the stores of both models once.
    n = passes(known, pair, control, n_orders)
    return Operations.at(PRODUCT_EFFICIENCY, flops) + known.reread(pair, n)


def passes(known: Known, pair: tuple[str, str], control: str = "", n_orders: int = 1) -> int:
    """Return how often both models of a pair are read.

    Raises
    ------
    PlanError
        If not even a small tile fits the memory budget.
    """
    return n_passes(*_planned_tiles(known, pair, control, n_orders), n_orders)


def saved_bytes(known: Known, pair: tuple[str, str], control: str = "", n_orders: int = 1) -> float:
    """Return the disk that checkpoints of a pair's passes take at most, in some orders of its
    positions.
    """
    plan, at_once = _planned_tiles(known, pair, control, n_orders)
    of_cell = at_once * cell_bytes(known.precision, known.pair_size(pair).n_positions)
    n_workers = tile_budget(known, pair).workers.n
    return checkpoint_bytes(plan, min(n_workers, n_passes(plan, at_once, n_orders)), of_cell)


def _planned_tiles(
    known: Known, pair: tuple[str, str], control: str, n_orders: int
) -> tuple[TilePlan, int]:
    """Return the tiles of a pair under a null model, and how many orders share a pass."""
    budget, held = tile_budget(known, pair), held_rows(control)
    how = {"precision": known.precision, "held": held}
    return plan_orders(known.pair_size(pair), budget, n_orders, **how)


def held_rows(control: str) -> tuple[int, int]:
    """Return the rows of either model that a null model holds to permute or reorder them."""
    reordered = (control == "documents", control in ("documents", "permutation"))
    return REORDERED * reordered[0], REORDERED * reordered[1]


def tile_budget(known: Known, pair: tuple[str, str]) -> Budget:
    """Return the memory of a pair's tiles: on a GPU of a given size no more than is left beside
    live models.
    """
    config, given = known.config, known.config.devices.gpu_memory_gb
    budget = Budget.of(config.correlation, config.dask)
    if given is None or known.precision == "float64":  # which GPUs do not multiply
        return budget
    return budget.on_gpu(given * GB, reread_models(known, pair).gpu_bytes)


def _within_budget(
    known: Known,
    pair: tuple[str, str],
    operations: Operations,
    disk: float = 0.0,
    *,
    planned: Plan = planned_capture,
    saved: float = 0.0,
) -> Cost:
    held = reread_models(known, pair, planned)
    n_bytes = known.config.correlation.memory_gb * GB + held.n_bytes
    return Cost(n_bytes, operations, disk, saved, n_gpus=max(held.n_gpus, 1))

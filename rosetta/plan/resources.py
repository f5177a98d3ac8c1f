"""What single jobs need, for a scheduler that has to know beforehand: memory, time and GPUs.

Light, because Snakemake asks while it plans. Sizes are exact once a model's manifest or the corpus is there, and
estimated before; a job that was given too little is tried again with more (`attempt` in workflow/rules/common.smk).
"""

from __future__ import annotations

from typing import NamedTuple

from rosetta.config import Config
from rosetta.correlation.plan import correlation_flops
from rosetta.errors import StoreError
from rosetta.models.neurons import NeuronShape
from rosetta.models.sizes import (
    LOADING,
    Size,
    known_size,
    planned_capture,
    planned_reading,
    planned_scoring,
    tokenizing_bytes,
)
from rosetta.run.paths import Paths
from rosetta.run.stages import gains_from_gpu
from rosetta.storage.files import read_manifest

MB = 1_000_000
BASE_MB = 1500  # interpreter, libraries, and what a cluster's own wrapper takes
START_MINUTES = 15
DAY = 24 * 60  # what most partitions admit; further attempts ask for more
SLOW_FLOPS = 3e9  # per core and second: what an old node surely does
SLOW_GPU_FLOPS = 1e12  # the same of a GPU
UNKNOWN_DOCUMENTS = 10_000  # of a corpus that is not built yet and has no limit
UNKNOWN_POOL = 300_000_000  # tokens
LARGE_VOCABULARY = 50_000
OPTIMIZER_BYTES = 24  # per parameter: weights, gradients, two moments, and a checkpoint that is being written


class Needs(NamedTuple):
    """Memory in MB, time in minutes and GPUs of a job."""

    mb: int
    minutes: int
    gpu: int = 0


UNKNOWN = Size(NeuronShape(1, 0), 0)


def model_size(config: Config, paths: Paths, model: str) -> Size:
    """Return a model's size: as exactly as it is known, and of no neuron where it is not known yet."""
    return known_size(config, paths, model) or UNKNOWN


def expected_positions(config: Config, paths: Paths) -> int:
    """Return no fewer positions per model than the match split has."""
    try:
        documents = read_manifest(paths.corpus_manifest, "corpus")["splits"]["match"]["documents"]
    except StoreError:
        sampling = config.corpus.sampling
        documents = (sampling and sampling.max_sequences) or UNKNOWN_DOCUMENTS
    return min(documents, config.activations.max_documents or documents) * config.activations.sequence_length


def needs_of_model(config: Config, paths: Paths, rule: str, model: str) -> Needs:
    """Return what a job on one model needs: train, model, activations, twins, vocabulary, neurons."""
    size, training = model_size(config, paths, model), config.zoo.training
    if rule == "model":
        return _needs(config, rule, 0, 0)
    if rule == "train":
        tokens = training.steps * training.batch_size * training.sequence_length
        return _needs(config, rule, size.n_parameters * OPTIMIZER_BYTES, 6 * size.n_parameters * tokens)
    if rule == "vocabulary":
        return _needs(config, rule, planned_reading(config, model, size).n_bytes, 0)
    n_neurons, positions = size.shape.n_neurons, expected_positions(config, paths)
    forward, (capture, _, placement) = 2 * size.n_parameters * positions, planned_capture(config, model, size)
    live, capture = forward if config.store_mode == "live" else 0, capture + tokenizing_bytes(config, paths)
    n_bytes, flops = {
        "activations": (capture, forward / config.activations.n_shards),
        "twins": (capture, forward * len(config.controls.untrained_seeds)),
        "neurons": (
            n_neurons * config.specialization.n_contexts * 64 + (capture if live else 0),
            1000 * positions * n_neurons + live,
        ),
    }[rule]
    return _needs(config, rule, n_bytes, flops, n_gpus=placement.n_gpus if placement else 1)


def needs_of_pair(config: Config, paths: Paths, rule: str, pair: tuple[str, str], control: str = "") -> Needs:
    """Return what a job on a pair needs: correlate, nulls, intervals, sweeps."""
    sizes = [model_size(config, paths, model) for model in pair]
    positions = expected_positions(config, paths)
    once = correlation_flops(sizes[0].shape.n_neurons, sizes[1].shape.n_neurons, positions)
    sweeps = config.sweeps
    times = {
        "correlate": 1 / config.correlation.n_jobs,
        "nulls": len(config.controls.seeds(control)) if control else 0,
        "intervals": 4,  # products of all blocks, and a reduction for every half-sample
        "sweeps": sweeps.budgets + sweeps.split_half + len(sweeps.pooling) + len(sweeps.exclusions),
    }[rule]
    live, captured, n_gpus = 0, 0.0, 1
    if config.store_mode == "live":  # the two models lie beside the tiles
        live = 4 * sum(size.n_parameters for size in sizes) * positions
        captured, n_gpus = _captures(config, paths, list(pair), sizes)
    flops = times * (once + live)
    if not config.dask.local:  # workers on other machines have memory and GPUs of their own; this job waits for them
        return Needs(BASE_MB, _minutes(flops / SLOW_FLOPS))
    threads = config.dask.n_workers * config.dask.threads_per_worker
    return _needs(config, rule, config.correlation.memory_gb * 1000 * MB + captured, flops, threads, n_gpus)


def needs_of_group(config: Config, paths: Paths, rule: str, group: tuple[str, ...]) -> Needs:
    """Return what a job on a group needs: contexts."""
    n_bytes, flops, n_gpus = {"contexts": 1500 * MB}[rule], 0.0, 1
    if config.store_mode == "live":
        sizes = [model_size(config, paths, model) for model in group]
        captured, n_gpus = _captures(config, paths, list(group), sizes)
        n_bytes += captured
        flops = 4 * sum(size.n_parameters for size in sizes) * expected_positions(config, paths)
    needs = _needs(config, rule, n_bytes, flops, n_gpus=n_gpus)
    return needs._replace(minutes=needs.minutes + START_MINUTES)  # stores are read at scattered points


def _captures(config: Config, paths: Paths, models: list[str], sizes: list[Size]) -> tuple[float, int]:
    """Return bytes and GPUs of a job that runs models, of which it holds no more than `models_at_once`."""
    planned = [planned_capture(config, model, size) for model, size in zip(models, sizes, strict=True)]
    n_bytes = sum(sorted(capture.n_bytes for capture in planned)[-config.models_at_once :])
    return n_bytes + tokenizing_bytes(config, paths), max(
        capture.placement.n_gpus if capture.placement else 1 for capture in planned
    )


def needs_of_filter(config: Config, paths: Paths, rule: str) -> Needs:
    """Return what the jobs of the filter that run a model need: filter_score, filter_pretrain."""
    filtering = config.filtering
    assert filtering is not None, "the rules exist only with a filter"
    pretraining, tokens = filtering.pretraining, _pool_tokens(config, paths)
    if rule == "filter_score":
        size = model_size(config, paths, config.filter_model())
        n_bytes, _, placement = planned_scoring(config, size)
        flops = 2 * size.n_parameters * tokens / filtering.pool.n_shards
        return _needs(config, rule, n_bytes, flops, n_gpus=placement.n_gpus if placement else 1)
    assert pretraining is not None, "the rule exists only with a training"
    size = model_size(config, paths, pretraining.model)
    # What the backward pass keeps: activations of all neurons, and logits and their gradients.
    per_token = size.shape.n_neurons * 24 + LARGE_VOCABULARY * 12
    batch = pretraining.sequences_at_a_time * pretraining.sequence_length * per_token
    selected = filtering.selection.budget_tokens or tokens * (filtering.pool.target_share or 1.0)
    flops = 6 * size.n_parameters * min(tokens, selected)
    return _needs(config, rule, LOADING * 4 * size.n_parameters + batch, flops)


def _pool_tokens(config: Config, paths: Paths) -> int:
    assert config.filtering is not None
    if config.filtering.pool.source:
        return UNKNOWN_POOL
    try:
        return read_manifest(paths.corpus_manifest, "corpus")["splits"]["pool"]["bytes"]
    except StoreError:
        from rosetta.inputs.text.size import estimate_size  # needs pyarrow

        whole = estimate_size(config.corpus).n_bytes
        return UNKNOWN_POOL if whole is None else int(whole * config.corpus.splits.pool)


def _needs(config: Config, rule: str, n_bytes: float, flops: float, threads: int = 1, n_gpus: int = 1) -> Needs:
    """Return the needs of a job of so much memory and work, on GPUs if it gains from one and is long enough."""
    mb, minutes = BASE_MB + int(-(-n_bytes // MB)), _minutes(flops / SLOW_FLOPS / threads)
    threshold = config.gpu_from_minutes
    gains = gains_from_gpu(config, rule)
    if threshold is None or not gains or minutes < threshold:
        return Needs(mb, minutes)
    return Needs(mb, _minutes(flops / SLOW_GPU_FLOPS), gpu=max(n_gpus, 1))


def _minutes(seconds: float) -> int:
    return min(START_MINUTES + int(seconds / 60), DAY)

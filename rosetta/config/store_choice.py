"""Whether models run again or their activations are stored: `activations.keep: auto`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from rosetta.config.base import ITEM_BYTES

if TYPE_CHECKING:
    from rosetta.config.root import Config

# Operations of a model's forward pass in the time in which a disk moves one byte: 40 TFLOP/s, or
# 50 GFLOP/s, beside 0.5 GB/s. A factor of a few does not matter: on a GPU, running a language model
# again costs a tenth of reading its stores and less, and on a CPU ten times as much.
GPU_OPERATIONS_PER_BYTE, CPU_OPERATIONS_PER_BYTE = 80_000, 100
# Parameters per neuron of a model whose size the configuration does not tell: 3 · d_model or more.
PARAMETERS_PER_NEURON = 6000


def runs_cost_less_than_stores(config: Config) -> bool:
    """Tell whether running the models whenever they are read costs less than temporary stores.

    Per neuron and position, a pass takes 2 · parameters / neurons operations. Without stores, both
    models of a pair make one each time that the pair is read; with them, every model makes one and
    writes its stores, which are read as often. The configuration alone decides, so that the jobs of
    a run do not change while it runs.
    """
    on_gpu = config.devices.gpu_memory_gb is not None
    per_byte = GPU_OPERATIONS_PER_BYTE if on_gpu else CPU_OPERATIONS_PER_BYTE
    moving = per_byte * ITEM_BYTES[config.activations.dtype]
    # Once for the matches and once for intervals, in one tile; more only widens the difference.
    n_reads = 2 + len(config.controls.document_seeds)
    read = list(chain.from_iterable(config.pairs()))
    running = {name: _operations(config, name) for name in set(read)}
    # Per neuron: models of a rung have about equally many.
    live = n_reads * sum(running[name] for name in read)
    stored = sum(running[name] + moving for name in set(read)) + n_reads * moving * len(read)
    return live < stored


def _operations(config: Config, name: str) -> float:
    """Return the operations of a model per neuron and position."""
    told, pipeline = config.told_size(name), config.described(name).pipeline
    known = told and told.n_parameters / (told.n_layers * told.d_mlp)
    return 2 * (known or PARAMETERS_PER_NEURON) * (pipeline.steps if pipeline else 1)

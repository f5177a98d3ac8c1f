"""Where a model and its batches fit: arithmetic that planner and jobs share.

No deep-learning library is needed, since Snakemake asks while it plans.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from rosetta.config.activations import CHUNK_POSITIONS
from rosetta.config.base import GB, ITEM_BYTES
from rosetta.config.devices import AUTO, Devices
from rosetta.errors import ModelError
from rosetta.models.neurons import NeuronShape

BLOCK_COPIES = 3  # of the values of a chunk: gathered from batches, then joined and written
MOMENT_BYTES = 24  # per value of one layer of a block, in float64
# Interpreter, libraries and allocator: of a process that loads torch, and of one with models too.
PROCESS_BYTES, MODEL_PROCESS_BYTES = 600_000_000, 800_000_000
MAX_BATCH = 64  # documents; more gain nothing, and padding grows
# What a layer of the forward pass holds at once, per token, in units of d_mlp: gate, up, their
# product; the residual stream, attention and copies of them, each narrower than d_mlp.
LAYER_WIDTHS = 8
# Attention scores of a layer, per pair of tokens: as many heads as d_mlp / HEAD_UNITS, and their
# softmax in float32.
HEAD_UNITS = 256
LOGIT_BYTES = 8  # of a logit beside its own: in float32, and while the softmax is taken
ROUTED_EXPERTS = 4  # × LAYER_WIDTHS holds gate, up and product of ten experts per token
# Share of a GPU that a live model leaves, at least, to the tile that is correlated beside it.
LEAST_TILE = 1 / 8


@dataclass(frozen=True)
class Demand:
    """What a forward pass over documents takes, in bytes.

    Attributes
    ----------
    weights, layer : float
        All weights; those of one layer.
    on_device : float
        Per document, where the layers are computed.
    in_memory : float
        Per document, in main memory, where activations of all layers wait to be stored.
    fixed : float
        In main memory, however many documents.
    words : str
        The model, for messages.
    """

    weights: float
    layer: float
    on_device: float
    in_memory: float
    fixed: float
    words: str

    @classmethod
    def of(
        cls,
        shape: NeuronShape,
        n_parameters: int,
        dtype: str,
        sequence_length: int,
        *,
        stored: str | None,
        written: bool = True,
    ) -> Demand:
        """Return the demand of a model.

        Parameters
        ----------
        shape : NeuronShape
            Its neurons.
        n_parameters : int
            Its parameters.
        dtype : {'float32', 'bfloat16', 'float16'}
            Precision of the forward pass.
        sequence_length : int
            Tokens per document.
        stored : {'float32', 'bfloat16', 'float16'} or None
            Precision of the stores; None if only single neurons are read.
        written : bool
            Whether stores are written, whose blocks are gathered first.
        """
        item, d_mlp, n_neurons = ITEM_BYTES[dtype], shape.d_mlp, shape.n_neurons
        weights = n_parameters * item
        block = (
            n_neurons * ITEM_BYTES[stored] * BLOCK_COPIES + d_mlp * MOMENT_BYTES
            if stored and written
            else 0
        )
        return cls(
            weights=weights,
            layer=weights / shape.n_layers,
            on_device=_layer_bytes(shape, item, sequence_length),
            # As captured by layer, as one array, as stored, and whether finite.
            in_memory=sequence_length * n_neurons * (2 * item + ITEM_BYTES[stored] + 1)
            if stored
            else 0,
            fixed=MODEL_PROCESS_BYTES + CHUNK_POSITIONS * block,
            words=f"{n_parameters:,} parameters in {dtype}",
        )

    def with_logits(self, sequence_length: int, vocabulary: int, dtype: str) -> Demand:
        """Return the demand of a pass that keeps the logits of all positions of a document."""
        logit = ITEM_BYTES[dtype] + LOGIT_BYTES
        return replace(self, on_device=self.on_device + sequence_length * vocabulary * logit)

    def kept_on_device(self) -> Demand:
        """Return the demand of a pass whose activations of all layers stay where it runs."""
        return replace(self, on_device=self.on_device + self.in_memory)

    def of_weights(self) -> Demand:
        """Return the demand of a job that only reads the weights."""
        return replace(self, on_device=0.0, in_memory=0.0, fixed=MODEL_PROCESS_BYTES)


def _layer_bytes(shape: NeuronShape, item: int, sequence_length: int) -> float:
    """Return what a layer of the forward pass over a document holds at once, in numbers of `item`
    bytes.
    """
    # Of a mixture no token passes more than a few experts, and as many widths are held at once.
    width = shape.d_mlp - shape.n_routed + min(shape.n_routed, ROUTED_EXPERTS * shape.d_expert)
    scores = sequence_length**2 * math.ceil(width / HEAD_UNITS) * (item + 4)
    return sequence_length * LAYER_WIDTHS * width * item + scores


class Room(NamedTuple):
    """What a job may use.

    Attributes
    ----------
    gpus : tuple of float
        Bytes of each GPU; none: the model runs on the CPU.
    memory : float
        Bytes of main memory.
    offload : {'none', 'cpu', 'disk'}
        Where weights may wait until they are needed (`rosetta.config.devices.Devices`).
    tile : float
        Bytes of each GPU that a correlation wants, which reads the model's activations there.
    """

    gpus: tuple[float, ...]
    memory: float
    offload: Literal["none", "cpu", "disk"]
    tile: float = 0.0

    @classmethod
    def given(cls, devices: Devices) -> Room | None:
        """Return what a configuration gives, or None if it says no size."""
        if devices.gpu_memory_gb is None and devices.cpu_memory_gb is None:
            return None
        gpus = (
            () if devices.gpu_memory_gb is None else (devices.gpu_memory_gb * GB,) * devices.n_gpus
        )
        memory = math.inf if devices.cpu_memory_gb is None else devices.cpu_memory_gb * GB
        return cls(gpus, memory, devices.offload)

    def shared(self, n: int) -> Room:
        """Return each one's share where `n` models are held at once."""
        gpus = tuple(limit / n for limit in self.gpus)
        return self._replace(gpus=gpus, memory=self.memory / n, tile=self.tile / n)

    def beside_tile(self, *, whole: bool) -> Room:
        """Return what is left beside the tile of a correlation: of the whole one, or of as much of
        it as `LEAST_TILE` of a GPU holds.
        """
        tiles = [self.tile if whole else min(self.tile, limit * LEAST_TILE) for limit in self.gpus]
        left = tuple(limit - tile for limit, tile in zip(self.gpus, tiles, strict=True))
        return self._replace(gpus=left, tile=0.0)

    def for_model(self, *, untrained: bool) -> Room:
        """Return what a model may use; no disk for a random one, made in main memory."""
        return self._replace(offload="cpu") if untrained and self.offload == "disk" else self

    @property
    def words(self) -> str:
        """What there is, for messages."""
        gpus = f"{len(self.gpus)} GPU(s) of {self.gpus[0] / GB:.4g} GB and " if self.gpus else ""
        memory = (
            "main memory"
            if math.isinf(self.memory)
            else f"{self.memory / GB:.4g} GB of main memory"
        )
        return f"{gpus}{memory}, offload {self.offload}"


@dataclass(frozen=True)
class Placement:
    """Where a model goes.

    Attributes
    ----------
    batch_size : int
        Documents per forward pass.
    n_gpus : int
        GPUs that it takes.
    max_memory : dict of {int or 'cpu': int} or None
        Bytes of weights by GPU and in main memory, for accelerate; what is above them waits on
        disk. None: all weights lie where the layers are computed.
    """

    batch_size: int
    n_gpus: int
    max_memory: dict[int | str, int] | None = None


def place(demand: Demand, room: Room, batch_size: int | Literal["auto"], key: str) -> Placement:
    """Return where a model goes, and how many documents it reads at once.

    One GPU is taken if it holds the model, so that others are left to other shards, else all that
    the job may use; weights wait elsewhere only if no batch leaves room for them. A batch that is
    to be found is then what half of a device holds, since each takes the weights through it once;
    else what is left beside the weights. Beside the tile of a correlation, a batch of several
    documents that is to be found leaves the tile whole, since a smaller tile takes more passes of
    the model.

    Parameters
    ----------
    demand : Demand
        What the model takes.
    room : Room
        What there is.
    batch_size : int or 'auto'
        Documents per forward pass; auto: as many as fit, up to `MAX_BATCH`.
    key : str
        What messages name as the culprit.

    Raises
    ------
    ModelError
        If it does not fit; with the numbers.
    """
    sizes = range(MAX_BATCH, 0, -1) if batch_size == AUTO else (batch_size,)
    rooms = {n: room.beside_tile(whole=batch_size == AUTO and n > 1) for n in sizes}
    for n_gpus in dict.fromkeys((min(1, len(room.gpus)), len(room.gpus))):
        for size in sizes:
            devices = _beside(demand, rooms[size], n_gpus, size)
            spare = (
                demand.layer if n_gpus > 1 else 0
            )  # layers are not cut, so each GPU may be left with a gap
            if demand.weights <= sum(limit - spare for limit in devices):
                return Placement(
                    size, n_gpus, dict(enumerate(map(int, devices))) if n_gpus > 1 else None
                )
    for size in sizes if room.offload != "none" else ():
        held = _offloaded(demand, rooms[size], size, halve=batch_size == AUTO and size > 1)
        if held is not None:
            return Placement(size, len(room.gpus), held)
    raise _refusal(demand, room, 1 if batch_size == AUTO else batch_size, key)


def _beside(demand: Demand, room: Room, n_gpus: int, size: int) -> tuple[float, ...]:
    """Return the bytes that each device has for weights beside a batch; none if main memory does
    not hold the batch.
    """
    left = room.memory - demand.fixed - size * demand.in_memory
    limits = room.gpus[:n_gpus] if n_gpus else (left,)
    return tuple(limit - size * demand.on_device for limit in limits) if left >= 0 else ()


def _offloaded(
    demand: Demand, room: Room, size: int, *, halve: bool
) -> dict[int | str, int] | None:
    """Return how much of the weights lies where, if some wait for their turn; None if that is not
    possible.
    """
    devices = _beside(demand, room, len(room.gpus), size)
    least = max(demand.layer, min(room.gpus or (room.memory,)) / 2 if halve else 0)
    if not devices or min(devices) < least:
        return None
    if not room.gpus:
        return {"cpu": int(devices[0] - demand.layer)} if room.offload == "disk" else None
    waiting = room.memory - demand.fixed - size * demand.in_memory
    if room.offload == "cpu" and demand.weights > waiting + sum(
        limit - demand.layer for limit in devices
    ):
        return None
    return {**dict(enumerate(map(int, devices))), "cpu": int(min(waiting, 2 * demand.weights))}


def _refusal(demand: Demand, room: Room, size: int, key: str) -> ModelError:
    batch, kept = size * demand.on_device / GB, (demand.fixed + size * demand.in_memory) / GB
    where = "on the device" if room.gpus else "for its layers"
    runs = demand.on_device or demand.in_memory
    lower = "sequence_length" if size == 1 else "batch_size or sequence_length"
    first = f"Lower {lower}, choose" if runs else "Choose"
    gpus = "n_gpus, gpu_memory_gb, " if runs else ""
    return ModelError(
        f"{key}: does not fit. Its {demand.words} take {demand.weights / GB:.4g} GB "
        f"({demand.layer / GB:.3g} GB a "
        f"layer), a batch of {size} document(s) {batch:.3g} GB {where} and {kept:.3g} GB of "
        "main memory; there are "
        f"{room.words}. {first} a smaller dtype, or give more: devices.{gpus}"
        "cpu_memory_gb, offload (disk is slow, but needs room for one layer only)."
    )

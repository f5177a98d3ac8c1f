"""What a cost is, and what costs follow from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rosetta.config import Config, group_name
from rosetta.config.base import GB, ITEM_BYTES
from rosetta.config.names import generator_of_store, model_of_store
from rosetta.correlation.plan import PairSize
from rosetta.models.known_sizes import Size, n_cells
from rosetta.models.placement import PROCESS_BYTES
from rosetta.plan.extent import Extent

# Shares of the speed of a plain matrix product. A training step or forward pass of a small model is
# half as fast as its products alone.
PRODUCT_EFFICIENCY = 0.8
MODEL_EFFICIENCY = 0.5
TABLES = 1 * GB  # a process that holds a table of documents, or of a model's neurons


@dataclass(frozen=True)
class Operations:
    """What a job computes, and what it moves meanwhile.

    Attributes
    ----------
    flops : float
        Floating-point operations.
    work : float
        How many operations of a plain matrix product take as long.
    moved_bytes : float
        Activations that are read from stores, or written to them.
    """

    flops: float = 0.0
    work: float = 0.0
    moved_bytes: float = 0.0

    @classmethod
    def at(cls, efficiency: float, flops: float) -> Operations:
        """Return operations that run at a share of the speed of a plain matrix product."""
        return cls(flops, flops / efficiency)

    def __add__(self, other: Operations) -> Operations:
        moved = self.moved_bytes + other.moved_bytes
        return Operations(self.flops + other.flops, self.work + other.work, moved)

    def __mul__(self, n: float) -> Operations:
        return Operations(self.flops * n, self.work * n, self.moved_bytes * n)


NO_OPERATIONS = Operations()


@dataclass(frozen=True)
class Cost:
    """What one job takes.

    Attributes
    ----------
    n_bytes : float
        Main memory, interpreter included.
    operations : Operations
        What it computes.
    disk_bytes : float or None
        What it leaves on disk; None if that is not known.
    scratch_bytes : float
        What it writes and deletes before it ends.
    n_gpus : int
        GPUs that it can use; 0 if it gains from none.
    """

    n_bytes: float = PROCESS_BYTES
    operations: Operations = NO_OPERATIONS
    disk_bytes: float | None = 0.0
    scratch_bytes: float = 0.0
    n_gpus: int = 0


@dataclass(frozen=True)
class Known:
    """What the costs of a run follow from.

    Attributes
    ----------
    config : Config
        The configuration.
    extent : Extent
        How much text there is, and how many images.
    size_of : callable
        A model's size, by its name.
    precision : {'float32', 'bfloat16', 'float64'}
        What the correlation multiplies.
    at_most : bool
        Whether costs are upper bounds: a screened pair may fall back to the exact method, and then
        pays for both.
    """

    config: Config
    extent: Extent
    size_of: Callable[[str], Size]
    precision: str
    at_most: bool = False

    @property
    def live(self) -> bool:
        """Whether models run again in the jobs that read activations."""
        return self.config.store_mode == "live"

    def positions(self, name: str) -> int:
        """Return the rows of stores, by their name: tokens, or the cells of all images."""
        config = self.config
        if config.modality_of(name) == "text":
            return self.extent.positions
        generated = config.is_generator(name) or generator_of_store(name)
        n_images = self.extent.generated if generated else self.extent.images
        return n_images * n_cells(config, name)

    def forward(self, names: Iterable[str], passes: float = 1) -> Operations:
        """Return running models over all positions: two operations per parameter and position, at
        every step of a generator that takes several.
        """
        flops = sum(
            2
            * self.size_of(model_of_store(name)).n_parameters
            * self.positions(name)
            * self._steps(name)
            for name in names
        )
        return Operations.at(MODEL_EFFICIENCY, flops * passes)

    def _steps(self, name: str) -> int:
        """Return how often a model runs to capture stores, by their name."""
        pipeline = self.config.described(name).pipeline
        return pipeline.steps if pipeline else 1

    def reread(self, models: Iterable[str], passes: float = 1) -> Operations:
        """Return reading the stores of models so many times, which runs them if they are live."""
        if self.live:
            return self.forward(models, passes)
        return Operations(moved_bytes=sum(map(self.store_bytes, models)) * passes)

    def store_bytes(self, name: str) -> float:
        """Return the size of stores, by their name: those of all shards."""
        n_neurons = self.size_of(model_of_store(name)).shape.n_neurons
        item = ITEM_BYTES[self.config.activations.dtype]
        return n_neurons * self.positions(name) * item

    def pair_size(self, pair: tuple[str, str]) -> PairSize:
        """Return the neurons of either model, and the positions."""
        a, b = (self.size_of(model).shape.n_neurons for model in pair)
        stores = self.config.stores_of(group_name(pair))
        return PairSize(a, b, max(map(self.positions, stores)))

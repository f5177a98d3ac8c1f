"""Memory and operations of the instruments on a pair, and whether it is small enough for them."""

from __future__ import annotations

from collections.abc import Sequence

from rosetta.config import Config
from rosetta.config.base import GB
from rosetta.config.instruments import Instruments
from rosetta.config.matching import Instrument
from rosetta.correlation.plan import PairSize

# Columns per strip of a product within one model: only cells to the right of a strip's own are
# multiplied, which is a little more than half of them.
STRIP = 256
# Float64 matrices of one side that the work on a half holds at once.
_HELD = 8
# Operations on a half, per cell of the D × D matrix and principal component: three products for
# the moments, one for the rotation, and what decompositions of strips of that shape take.
_ON_COMPONENTS = 16
# The same per cell and neuron: the assignment, at its usual speed.
_ASSIGNMENT = 4
# The principal components of a model, per D³: LAPACK's reduction to a tridiagonal matrix.
_PRINCIPAL = 4 / 3
# Halves that the null is judged on, each with its complement: scores of any two are enough.
NULL_HALVES = 2
# Clusters whose positions the similarity is of, at most: its Gram matrices grow with their square.
MOST_CLUSTERS = 1024


def sums_bytes(size: PairSize, n_blocks: int) -> int:
    """Return the memory of the sums of a pair, and of what is computed from them."""
    n_a, n_b = size.n_a, size.n_b
    cells = n_a * n_b + n_a**2 + n_b**2
    return 4 * n_blocks * cells + 8 * _HELD * max(n_a, n_b) ** 2


def rank_bytes(size: PairSize) -> int:
    """Return the memory of both models' rows, twice while they are joined."""
    return 8 * size.n_positions * (size.n_a + size.n_b)


def similarity_bytes(size: PairSize, n_layers: tuple[int, int], n_clusters: int) -> int:
    """Return the memory of the similarity: Gram matrices of all layers and two permuted copies of
    one, and the rows in float32 and float64.
    """
    return 8 * n_clusters**2 * (sum(n_layers) + 2) + 12 * n_clusters * (size.n_a + size.n_b)


def similarity_flops(size: PairSize, n_layers: tuple[int, int], settings: Instruments) -> float:
    """Return the operations of the similarity, of as many clusters as there may be."""
    n = min(size.n_positions, settings.max_samples or MOST_CLUSTERS, MOST_CLUSTERS)
    pairs_of_layers = n_layers[0] * n_layers[1]
    grams = size.n_a + size.n_b + (1 + settings.n_permutations) * pairs_of_layers
    return 2.0 * n**2 * grams


def instrument_flops(
    size: PairSize, n_layers: tuple[int, int], config: Config, *, calibrated: bool
) -> float:
    """Return the operations of all instruments on a pair; 0 of one that is left out.

    Parameters
    ----------
    size : PairSize
        Neurons, and the positions that are looked at.
    n_layers : (int, int)
        Layers of either model.
    config : Config
        Which instruments, and how they are set.
    calibrated : bool
        Whether the null model and the similarity are asked for, too.
    """
    settings, names = config.instruments, config.matching.instruments
    if too_large(size, config):
        return 0.0
    n_a, n_b = size.n_a, size.n_b
    cells, passes = n_a * n_b, 1 + calibrated
    sums = size.n_positions * (2 * cells + n_a * (n_a + STRIP) + n_b * (n_b + STRIP))
    ranks = 2 * size.n_positions * cells * ("spearman" in names)
    m = min(settings.max_components, n_a, n_b)
    per_half = cells * m * _ON_COMPONENTS
    per_half += cells * min(n_a, n_b) * _ASSIGNMENT * ("hungarian" in names)
    judged = n_halves(settings) + calibrated * NULL_HALVES
    principal = _PRINCIPAL * (n_a**3 + n_b**3)
    alike = calibrated * similarity_flops(size, n_layers, settings)
    return float(passes * (sums + ranks) + judged * per_half + principal + alike)


def too_large(size: PairSize, config: Config) -> str:
    """Return why a pair is left out for its size; empty if it is not."""
    most, settings = max(size.n_a, size.n_b), config.instruments
    if most > settings.max_neurons:
        return f"{most:,} neurons are more than instruments.max_neurons ({settings.max_neurons:,})"
    needed, memory_gb = sums_bytes(size, settings.n_blocks) / GB, config.correlation.memory_gb
    if needed > memory_gb:
        return f"needs {needed:.1f} GB, above correlation.memory_gb ({memory_gb:g})"
    return ""


def too_long(size: PairSize, config: Config, names: Sequence[Instrument]) -> dict[str, str]:
    """Return why Spearman's correlation is left out, if it is: all positions are held for it."""
    needed = (rank_bytes(size) + sums_bytes(size, config.instruments.n_blocks)) / GB
    memory_gb = config.correlation.memory_gb
    if "spearman" not in names or needed <= memory_gb:
        return {}
    told = f"{size.n_positions:,} positions need {needed:.1f} GB, above correlation.memory_gb"
    return {"spearman": f"{told} ({memory_gb:g}); set instruments.max_samples"}


def too_many_grams(
    size: PairSize, n_layers: tuple[int, int], n_clusters: int, config: Config
) -> str:
    """Return why the similarity is left out; empty if it is not."""
    needed = similarity_bytes(size, n_layers, n_clusters) / GB
    memory_gb = config.correlation.memory_gb
    if needed <= memory_gb:
        return ""
    told = f"{n_clusters:,} clusters of samples and {sum(n_layers)} layers need {needed:.1g} GB"
    return f"{told}, above correlation.memory_gb ({memory_gb:g}); set instruments.max_samples"


def n_halves(settings: Instruments) -> int:
    """Return the halves on which instruments are judged."""
    return 2 * (settings.n_blocks - 1)

"""Costs of what neurons do to a model's output: attribution, and ablation."""

from __future__ import annotations

from rosetta.config.ablation import ablated_models
from rosetta.models.known_sizes import n_cells, planned_ablation, planned_reading
from rosetta.plan.costs.base import MODEL_EFFICIENCY, TABLES, Cost, Known, Operations
from rosetta.plan.costs.models import gpus_of
from rosetta.plan.extent import BYTES_PER_TOKEN

OUTPUT_BYTES = 4  # of an output weight, in float32 beside the model's own
# Passes beside those of the draws: intact, without any neuron; without and with nothing but the
# Rosetta Neurons, the most active and the most kurtotic ones.
FIXED_PASSES = 8
UNKNOWN_SAMPLES = 10_000  # documents or images, where all are read and their number is not known
LOSS_ROW_BYTES = 120  # one sample under one treatment, in memory
TEXT_BYTES = 3  # in memory per byte of text: as a table, as strings, and as they are encoded
TOKEN_BYTES = 12  # a token of a document, with its place in the text: three int32
PIXEL_BYTES = 2  # of an image, which is copied once


def attribution(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of comparing what the neurons of two models write: each is read in its
    turn, and the output weights of both are kept.
    """
    sizes = [known.size_of(name) for name in pair]
    read = [planned_reading(known.config, *one).n_bytes for one in zip(pair, sizes, strict=True)]
    copies = OUTPUT_BYTES * sum(size.n_parameters for size in sizes)
    return Cost(max(read) + copies)


def ablate(known: Known, group: tuple[str, ...]) -> Cost:
    """Return the cost of all passes of a rung's models over the held-out samples."""
    config, settings = known.config, known.config.ablation
    assert settings is not None, "the stage exists only with an ablation"
    names = ablated_models(config, group)
    n_passes = FIXED_PASSES + 2 * settings.n_draws
    positions = {name: _positions(known, name) for name in names}
    flops = sum(2 * known.size_of(name).n_parameters * positions[name] for name in names)
    planned = [planned_ablation(config, name, known.size_of(name)) for name in names]
    rows = LOSS_ROW_BYTES * _samples(known, group[0]) * n_passes * len(names)
    held = max(_held_bytes(known, name, positions[name]) for name in names)
    return Cost(
        TABLES + rows + held + max(one.n_bytes for one in planned),
        Operations.at(MODEL_EFFICIENCY, flops * n_passes),
        n_gpus=max(map(gpus_of, planned)),
    )


def _samples(known: Known, name: str) -> float:
    """Return how many held-out documents or images are read at most."""
    config, settings = known.config, known.config.ablation
    assert settings is not None, "as above"
    if config.modality_of(name) == "images":
        # The match split is counted, unless it is cut short.
        splits = config.images.splits
        counted = known.extent.images if config.activations.max_images is None else 0
        expected = counted * splits.heldout / splits.match if splits.match else 0
        return settings.max_images or expected or UNKNOWN_SAMPLES
    length = config.activations.sequence_length
    return settings.max_documents or max(UNKNOWN_SAMPLES, known.extent.heldout_tokens / length)


def _positions(known: Known, name: str) -> float:
    """Return the tokens of the held-out documents that are read, or the cells of images."""
    config, n_samples = known.config, _samples(known, name)
    if config.modality_of(name) == "images":
        return n_cells(config, name) * n_samples
    most = n_samples * config.activations.sequence_length
    return min(most, known.extent.heldout_tokens or most)


def _held_bytes(known: Known, name: str, positions: float) -> float:
    """Return the samples in memory: all that are read are held at once, and of text first the
    whole split.
    """
    config, extent = known.config, known.extent
    if config.modality_of(name) == "images":
        return PIXEL_BYTES * 3 * config.images.size**2 * _samples(known, name)
    split = (extent.corpus_bytes or 0) * config.corpus.splits.heldout
    return TEXT_BYTES * (split or positions * BYTES_PER_TOKEN) + TOKEN_BYTES * positions

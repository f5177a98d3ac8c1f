"""Costs of what neurons do to a model's output: attribution, and ablation."""

from __future__ import annotations

from rosetta.config.ablation import ablated_models
from rosetta.models.known_sizes import n_cells, planned_ablation, planned_reading
from rosetta.plan.costs.base import MODEL_EFFICIENCY, TABLES, Cost, Known, Operations
from rosetta.plan.costs.models import gpus_of

OUTPUT_BYTES = 4  # of an output weight, in float32 beside the model's own
# Passes beside those of the draws: intact, without any neuron; without and with nothing but the
# Rosetta Neurons, the most active and the most kurtotic ones.
FIXED_PASSES = 8
UNKNOWN_DOCUMENTS = 10_000
LOSS_ROW_BYTES = 120  # one sample under one treatment, in memory


def attribution(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of comparing what the neurons of two models write: both are read."""
    sizes = [known.size_of(name) for name in pair]
    read = [planned_reading(known.config, *one).n_bytes for one in zip(pair, sizes, strict=True)]
    copies = OUTPUT_BYTES * sum(size.n_parameters for size in sizes)
    return Cost(sum(read) + copies)


def ablate(known: Known, group: tuple[str, ...]) -> Cost:
    """Return the cost of all passes of a rung's models over the held-out samples."""
    config, settings = known.config, known.config.ablation
    assert settings is not None, "the stage exists only with an ablation"
    names = ablated_models(config, group)
    n_passes = FIXED_PASSES + 2 * settings.n_draws
    positions = {name: _positions(known, name) for name in names}
    flops = sum(2 * known.size_of(name).n_parameters * positions[name] for name in names)
    planned = [planned_ablation(config, name, known.size_of(name)) for name in names]
    text = config.modality_of(group[0]) == "text"
    n_samples = (settings.max_documents if text else settings.max_images) or UNKNOWN_DOCUMENTS
    rows = LOSS_ROW_BYTES * n_samples * n_passes * len(names)
    return Cost(
        TABLES + rows + max(one.n_bytes for one in planned),
        Operations.at(MODEL_EFFICIENCY, flops * n_passes),
        n_gpus=max(map(gpus_of, planned)),
    )


def _positions(known: Known, name: str) -> float:
    """Return the tokens of the held-out documents that are read, or the cells of images."""
    config, settings = known.config, known.config.ablation
    assert settings is not None, "as above"
    if config.modality_of(name) == "images":
        return n_cells(config, name) * (settings.max_images or UNKNOWN_DOCUMENTS)
    length = config.activations.sequence_length
    most = (settings.max_documents or UNKNOWN_DOCUMENTS) * length
    return min(most, known.extent.heldout_tokens or most)

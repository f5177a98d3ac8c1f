"""Costs of the filtered corpus: its pool, scores and selections, and training on them."""

from __future__ import annotations

from rosetta.models import placement
from rosetta.models.known_sizes import LOADING, planned_scoring
from rosetta.plan.costs.base import MODEL_EFFICIENCY, TABLES, Cost, Known, Operations
from rosetta.plan.costs.models import PARAMETER_BYTES, gpus_of

# Per token of a training batch: what the backward pass keeps of a neuron; a logit, its gradient.
NEURON_GRADIENT_BYTES = 24
LOGIT_GRADIENT_BYTES = 12
LARGE_VOCABULARY = 50_000


def filter_pool(known: Known) -> Cost:
    """Return the cost of writing a filter's pool."""
    return Cost(TABLES, disk_bytes=known.extent.pool_bytes)


def filter_score(known: Known) -> Cost:
    """Return the cost of scoring one shard of the pool.

    At most: the forward pass ends at the neuron's layer.
    """
    config, filtering = known.config, known.config.filtering
    assert filtering is not None, "the stage exists only with a filter"
    size = known.size_of(config.filter_model())
    flops = 2 * size.n_parameters * known.extent.pool_tokens / filtering.pool.n_shards
    planned = planned_scoring(config, size)
    operations = Operations.at(MODEL_EFFICIENCY, flops)
    return Cost(planned.n_bytes, operations, n_gpus=gpus_of(planned))


def filter_select(known: Known) -> Cost:
    """Return the cost of selecting from the pool; what is selected is copied."""
    extent = known.extent
    if extent.pool_bytes is None:
        return Cost(TABLES, disk_bytes=None)
    share = extent.selected_tokens / max(extent.pool_tokens, 1)
    return Cost(TABLES, disk_bytes=extent.pool_bytes * share)


def filter_pretrain(known: Known, name: str) -> Cost:
    """Return the cost of training on one selection, and of measuring perplexity.

    The model without training, `base`, is only measured.
    """
    settings = known.config.filtering and known.config.filtering.pretraining
    assert settings is not None, "the stage exists only with a training"
    size = known.size_of(settings.model)
    neurons = size.shape.n_neurons * NEURON_GRADIENT_BYTES
    logits = LARGE_VOCABULARY * LOGIT_GRADIENT_BYTES
    batch = settings.sequences_at_a_time * settings.sequence_length * (neurons + logits)
    trained = 0.0 if name == "base" else known.extent.selected_tokens
    flops = size.n_parameters * (6 * trained + 2 * known.extent.heldout_tokens)
    return Cost(
        placement.MODEL_PROCESS_BYTES + LOADING * PARAMETER_BYTES * size.n_parameters + batch,
        Operations.at(MODEL_EFFICIENCY, flops),
        n_gpus=1,
    )

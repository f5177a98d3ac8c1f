"""Costs of sparse autoencoders: of models, of their features, of pairs of features."""

from __future__ import annotations

import math

from rosetta.config import group_name
from rosetta.config.base import GB
from rosetta.config.names import model_of_store
from rosetta.correlation.plan import PairSize, correlation_flops
from rosetta.models.placement import MODEL_PROCESS_BYTES
from rosetta.plan.costs.base import PRODUCT_EFFICIENCY, TABLES, Cost, Known, Operations
from rosetta.plan.costs.models import CHECKPOINT_COPIES, TRAINING_COPIES, reread_models
from rosetta.sae.sizes import BLOCK, WINDOW_BYTES, SaeSize, sae_size

ITEM = 4  # bytes of a weight, and of a feature at a position
# A step on few positions is bound by memory: finding the largest features, and Adam.
TRAINING_EFFICIENCY = 0.25
ENCODED_COPIES = 3  # of a block's features, before and after some are left out
LOADED_COPIES = 2  # of weights, besides themselves: as the file has them, and bytes to be written
# Of a row that counts: its number and its sample (int64), of all rows and of those trained on; one
# more while they are collected; and whether it is held out.
ROW_BYTES = 5 * 8 + 1
BLOCK_ITEM = 48  # of a neuron at a position of a block: what is left of it in float64, and copies
NEURON_ROW = 1000  # of a neuron in the tables of its model, of all models, and in rungs
MATCH_ROW = 150  # of a match of features, as it is or under one seed
REPLICATE_COPIES = 2  # of its r on a half-sample, in float64


def _size(known: Known, model: str) -> SaeSize:
    settings = known.config.sae
    assert settings is not None, "a stage of autoencoders has jobs only where they are asked for"
    return sae_size(settings, model, known.size_of(model).shape)


def _positions(known: Known, model: str) -> int:
    return sum(known.positions(name) for name in known.config.stores_of_model(model))


def autoencoder(known: Known, model: str) -> Cost:
    """Return the cost of a model's autoencoders: training, and one pass that judges them."""
    settings, size = known.config.sae, _size(known, model)
    assert settings is not None
    positions, weights = _positions(known, model), ITEM * size.n_parameters
    stores = known.config.stores_of_model(model)
    judged = size.n_parts * (
        4.0 * size.n_parameters * positions + 2.0 * size.d_in**2 * size.n_features
    )
    operations = Operations.at(PRODUCT_EFFICIENCY, judged) + known.reread(stores)
    held, copies = min(WINDOW_BYTES, ITEM * size.d_in * positions), LOADED_COPIES
    if not size.loaded:
        shown = settings.steps * settings.batch_size
        trained = size.n_parts * 6.0 * size.n_parameters * shown
        operations += Operations.at(TRAINING_EFFICIENCY, trained)
        fits = ITEM * size.d_in * positions <= WINDOW_BYTES
        operations += known.reread(stores, 1 if fits else math.ceil(shown / max(positions, 1)))
        copies = TRAINING_COPIES
    block = BLOCK * (ENCODED_COPIES * ITEM * size.n_features + BLOCK_ITEM * size.d_in)
    return Cost(
        MODEL_PROCESS_BYTES
        + (copies + size.n_parts) * weights  # those that are made are held until all are
        + 2 * held
        + block
        + ROW_BYTES * positions
        + reread_models(known, stores).n_bytes,
        operations,
        size.n_parts * weights,
        CHECKPOINT_COPIES * weights if not size.loaded else 0.0,
    )


def encoded_store(known: Known, name: str) -> Cost:
    """Return the cost of the features of stores, by their name."""
    size, positions = _size(known, model_of_store(name)), known.positions(name)
    shape = known.size_of(model_of_store(name)).shape
    disk = known.store_bytes(name) * size.n_parts * size.n_features / max(shape.n_neurons, 1)
    flops = 2.0 * size.n_parts * size.d_in * size.n_features * positions
    operations = Operations.at(PRODUCT_EFFICIENCY, flops) + known.reread([name])
    encoded = ENCODED_COPIES * ITEM * BLOCK * size.n_parts * size.n_features
    weights = size.n_parts * ITEM * size.n_parameters
    held = reread_models(known, [name]).n_bytes
    n_bytes = MODEL_PROCESS_BYTES + weights + encoded + held
    return Cost(n_bytes, operations + Operations(moved_bytes=disk), disk)


def matched_features(known: Known, pair: tuple[str, str]) -> Cost:
    """Return the cost of matching the features of a pair: as they are, under every seed of
    exchanged samples, and on half-samples.
    """
    sizes = [_size(known, model) for model in pair]
    n_a, n_b = (size.n_parts * size.n_features for size in sizes)
    size = PairSize(n_a, n_b, known.pair_size(pair).n_positions)
    times = 2 + len(known.config.controls.document_seeds)
    operations = Operations.at(PRODUCT_EFFICIENCY, correlation_flops(size) * times)
    moved = sum(encoded_store(known, name).disk_bytes or 0.0 for name in _stores(known, pair))
    operations += Operations(moved_bytes=moved * times)
    n_bytes = known.config.correlation.memory_gb * GB + TABLES
    return Cost(n_bytes, operations, n_gpus=1)


def tables(known: Known) -> Cost:
    """Return the cost of the tables of all rungs: of their neurons, and of features that match."""
    config = known.config
    neurons = sum(known.size_of(model).shape.n_neurons for model in config.used_models())
    seeds, halves = len(config.controls.document_seeds), 2 * config.intervals.n_blocks
    row = MATCH_ROW * (1 + seeds) + REPLICATE_COPIES * 8 * halves
    sizes = [[_size(known, model) for model in pair] for pair in config.pairs()]
    features = sum(min(size.n_parts * size.n_features for size in pair) for pair in sizes)
    return Cost(TABLES + NEURON_ROW * neurons + row * config.matching.k * features)


def _stores(known: Known, pair: tuple[str, str]) -> tuple[str, str]:
    return known.config.stores_of(group_name(pair))

"""Costs of jobs on models: training, capture, weights, profiles, contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from rosetta.config import Config
from rosetta.config.image_stores import encoders_of, has_factors
from rosetta.config.judge import judged_stores
from rosetta.config.names import generator_of_store, model_of_store, store_name
from rosetta.config.training_ladders import n_steps_of, steps_of_model
from rosetta.models import placement
from rosetta.models.known_sizes import (
    Planned,
    Size,
    n_cells,
    planned_capture,
    planned_reading,
    planned_twin,
)
from rosetta.plan.costs.base import MODEL_EFFICIENCY, TABLES, Cost, Known, Operations

PARAMETER_BYTES = 4  # of a model that is trained
TRAINING_COPIES = 6  # weights, gradients, two moments, and a checkpoint that is being written
GENERATOR_FACTOR = 2.0  # times the operations of a plain training step
CHECKPOINT_COPIES = 4  # on disk: the trained weights; weights and two moments in a checkpoint
# Moments, firing and top contexts of one activation; they are bound by memory, not arithmetic.
PROFILE_OPERATIONS = 50
PROFILE_EFFICIENCY = 0.05
# One activation with the maps of all factors and pairs of them, and by chance: matrix products.
FACTOR_OPERATIONS = 2000
FACTOR_EFFICIENCY = 0.3
CONTEXT_ROW_BYTES = 30  # one row of the table of top contexts, on disk
CONTEXT_MEMORY = 64  # the same row in memory
MAP_ITEM_BYTES = 4  # one cell of a neuron's map
MEAN_BYTES = 8  # what a neuron is on an image

Plan = Callable[[Config, str, Size], Planned]


class Held(NamedTuple):
    """What the models of a job take: bytes of main memory, GPUs that they can use, and bytes of the
    GPU on which a correlation reads them.
    """

    n_bytes: float = 0.0
    n_gpus: int = 0
    gpu_bytes: float = 0.0


def held_models(known: Known, models: Iterable[str], planned: Plan = planned_capture) -> Held:
    """Return what a job takes that runs models and tokenizes what they read.

    Of many models it holds no more than `models_at_once`.
    """
    found = [planned(known.config, name, known.size_of(model_of_store(name))) for name in models]
    most = slice(-known.config.models_at_once, None)
    n_bytes = sum(sorted(one.n_bytes for one in found)[most])
    gpu_bytes = sum(sorted(one.gpu_bytes for one in found)[most])
    n_gpus = max(gpus_of(one) for one in found)
    return Held(n_bytes + known.extent.tokenizing, n_gpus, gpu_bytes)


def reread_models(known: Known, models: Iterable[str], planned: Plan = planned_capture) -> Held:
    """Return what a job that reads stores takes for the models behind them: none if written."""
    return held_models(known, models, planned) if known.live else Held()


def gpus_of(planned: Planned) -> int:
    """Return how many GPUs a model that runs can use."""
    return max(planned.placement.n_gpus, 1) if planned.placement else 1


def train(known: Known, model: str) -> Cost:
    """Return the cost of training a model: six operations per parameter and token.

    Where steps of it are kept, it is that of the rest of the training.
    """
    return _trained(known, model, 1 - _kept_share(known, model), CHECKPOINT_COPIES)


def train_steps(known: Known, model: str) -> Cost:
    """Return the cost of training a model up to the last step that is kept, of each of which the
    weights lie on disk.
    """
    n_kept = len(steps_of_model(known.config, model))
    return _trained(known, model, _kept_share(known, model), n_kept)


def _kept_share(known: Known, model: str) -> float:
    """Return the share of a training that is over at the last step that is kept."""
    steps = steps_of_model(known.config, model)
    return steps[-1] / n_steps_of(known.config, model) if steps else 0.0


def _trained(known: Known, model: str, share: float, copies: int) -> Cost:
    """Return the cost of a share of a training, which leaves so many copies of the weights."""
    size = known.size_of(model)
    tokens, device = _trained_tokens(known, model)
    copy = PARAMETER_BYTES * size.n_parameters
    return Cost(
        placement.MODEL_PROCESS_BYTES + TRAINING_COPIES * copy,
        Operations.at(MODEL_EFFICIENCY, 6 * size.n_parameters * tokens * share),
        copies * copy,
        n_gpus=int(device != "cpu"),
    )


def _trained_tokens(known: Known, model: str) -> tuple[float, str]:
    """Return how many tokens, or cells of images, a training reads, and on what device."""
    zoo, recipe = known.config.zoo, known.config.entry(model).zoo
    assert recipe is not None, "only zoo models are trained"
    family = zoo.families[recipe.family]
    if family.modality == "text":
        text = zoo.training
        return text.steps * text.batch_size * text.sequence_length, text.device
    images = zoo.image_training
    # A generator differentiates forward, too.
    factor = GENERATOR_FACTOR if family.task == "generator" else 1.0
    n_images = getattr(images.steps, family.task) * images.batch_size
    return factor * n_images * n_cells(known.config, model), images.device


def describe_model(_known: Known, _model: str) -> Cost:
    """Return the cost of checking a model that is not trained here; weights are read one by one."""
    return Cost(placement.MODEL_PROCESS_BYTES)


def activations(known: Known, model: str) -> Cost:
    """Return the cost of capturing one shard; of a live store, of tokenizing it."""
    return _captured(known, [model], planned_capture, 1 / known.config.activations.n_shards)


def twins(known: Known, model: str) -> Cost:
    """Return the cost of capturing all shards of a language model's untrained twins."""
    return _captured(known, [model], planned_twin, len(known.config.controls.untrained_seeds))


def twin_shard(known: Known, name: str) -> Cost:
    """Return the cost of capturing one shard of the stores of a twin that sees images."""
    twin = known.config.entry(name).untrained
    assert twin is not None, "the stores are a twin's"
    like = store_name(twin.of, generator_of_store(name))
    return _captured(known, [like], planned_twin, 1 / known.config.activations.n_shards)


def _captured(known: Known, names: list[str], planned: Plan, share: float) -> Cost:
    """Return the cost of writing stores, by their names, or a share of them."""
    held = held_models(known, names, planned)  # of a live store too: what cannot run is told here
    if known.live:  # the model runs in the jobs that read the store
        return Cost(placement.MODEL_PROCESS_BYTES + known.extent.tokenizing)
    disk = sum(map(known.store_bytes, names)) * share
    operations = known.forward(names, share) + Operations(moved_bytes=disk)
    return Cost(held.n_bytes, operations, disk, n_gpus=held.n_gpus)


def vocabulary(known: Known, model: str) -> Cost:
    """Return the cost of a model's vocabulary kurtosis."""
    return Cost(planned_reading(known.config, model, known.size_of(model)).n_bytes)


def neurons(known: Known, model: str) -> Cost:
    """Return the cost of profiling a model's neurons."""
    n_neurons, held = known.size_of(model).shape.n_neurons, reread_models(known, [model])
    n_contexts = n_neurons * known.config.specialization.n_contexts
    flops = PROFILE_OPERATIONS * known.extent.positions * n_neurons
    return Cost(
        TABLES + CONTEXT_MEMORY * n_contexts + held.n_bytes,
        Operations.at(PROFILE_EFFICIENCY, flops) + known.reread([model]),
        CONTEXT_ROW_BYTES * n_contexts,
        n_gpus=held.n_gpus,
    )


def image_neurons(known: Known, model: str) -> Cost:
    """Return the cost of profiling a model's neurons on images, and of showing these to encoders.

    Of drawn images each activation is multiplied with the map of every factor, and once more by
    chance.
    """
    names = known.config.stores_of_model(model)
    n_neurons = known.size_of(model).shape.n_neurons
    n_tops = _n_tops(known, model)
    values = n_neurons * sum(known.positions(name) for name in names)
    drawn = n_neurons * sum(
        known.positions(name) for name in names if has_factors(known.config, name)
    )
    shown = [
        store_name(encoder, name if known.config.is_generator(name) else generator_of_store(name))
        for name in names
        for encoder in encoders_of(known.config, name)
    ]
    map_bytes = MAP_ITEM_BYTES * n_cells(known.config, model)
    return Cost(
        placement.MODEL_PROCESS_BYTES + TABLES + _top_bytes(known, model),
        Operations.at(PROFILE_EFFICIENCY, PROFILE_OPERATIONS * values)
        + Operations.at(FACTOR_EFFICIENCY, FACTOR_OPERATIONS * drawn)
        + known.forward(shown),
        (CONTEXT_ROW_BYTES + map_bytes) * n_tops,
    )


def _n_tops(known: Known, model: str) -> int:
    """Return the rows of a model's table of top contexts, or of top images of all its stores."""
    n_neurons = known.size_of(model).shape.n_neurons
    n_stores = len(known.config.stores_of_model(model))
    return n_neurons * known.config.specialization.n_contexts * n_stores


def _top_bytes(known: Known, model: str) -> int:
    """Return the memory that such a table takes while it is made or read."""
    if known.config.modality_of(model) == "text":
        return CONTEXT_MEMORY * _n_tops(known, model)
    map_bytes = MAP_ITEM_BYTES * n_cells(known.config, model)
    return (CONTEXT_MEMORY + 2 * map_bytes) * _n_tops(known, model)


def judge(known: Known) -> Cost:
    """Return the cost of what a judge is shown: one table of top contexts or images after the
    other, and for the validation the stores of images. Its calls are told apart.
    """
    config = known.config
    assert config.judge is not None
    stores, n_tested = judged_stores(config), config.judge.n_trials * config.judge.n_validated
    tested = [name for name in stores if n_tested and config.modality_of(name) == "images"]
    values = sum(
        known.size_of(model_of_store(name)).shape.n_neurons * known.positions(name)
        for name in tested
    )
    means = [
        MEAN_BYTES * n_tested * known.positions(name) // n_cells(config, model_of_store(name))
        for name in tested
    ]
    tables = [_top_bytes(known, model_of_store(name)) for name in stores]
    return Cost(
        TABLES + max([*tables, 0]) + max([*means, 0]),
        Operations.at(PROFILE_EFFICIENCY, PROFILE_OPERATIONS * values),
    )


def contexts(known: Known, group: tuple[str, ...]) -> Cost:
    """Return the cost of a group's contexts: partners' values on them, then excerpts to show."""
    held = reread_models(known, group)
    n_contexts = known.config.specialization.n_contexts
    n_rows = sum(known.size_of(model).shape.n_neurons for model in group) * n_contexts
    n_bytes = TABLES + CONTEXT_MEMORY * n_rows + held.n_bytes
    return Cost(n_bytes, known.reread(group, 2), n_gpus=held.n_gpus)

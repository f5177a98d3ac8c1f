"""Sizes of models that are not loaded yet, and whether they fit their memory."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rosetta.config import Config, twin_name
from rosetta.config.base import GB
from rosetta.config.devices import AUTO
from rosetta.config.models import ModelEntry
from rosetta.errors import StoreError
from rosetta.models.diffusion.folders import folder_facts, n_pipeline_parameters
from rosetta.models.folders import folder_shape, n_saved_parameters
from rosetta.models.neurons import NeuronShape
from rosetta.models.placement import Demand, Placement, Room, place
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import read_manifest

LOADING = 1.3  # bytes of memory per byte of weights while they are loaded
CELLS = 256  # 16 × 16, of most models of images of 224 or 256 pixels
VOCABULARY = 50_000  # tokens of a model that is not looked at yet
TOKENIZING = 300  # bytes of memory per byte of a document that is tokenized whole


class Size(NamedTuple):
    """Neurons and parameters of a model."""

    shape: NeuronShape
    n_parameters: int


def known_size(config: Config, paths: Paths, name: str) -> Size | None:
    """Return a model's size, or None if it is not known before the model is downloaded or loaded.

    It is told by the local folder, the zoo's recipe (parameters about), the entry's dimensions, or
    the manifest of an earlier run. An untrained twin has the size of its model.
    """
    twin = config.entry(name).untrained
    base = twin.of if twin else name
    entry = config.entry(base)
    if entry.path and not is_planned(entry):
        folder, key = Path(entry.path), f"models.{base}.path"
        if entry.pipeline:
            made = folder_facts(folder, entry.pipeline, f"models.{base}")
            return Size(made.shape, n_pipeline_parameters(folder, f"models.{base}"))
        shape = folder_shape(folder, key, entry.recorded)
        return shape and Size(shape, n_saved_parameters(folder, key))
    if manifest := known_manifest(config, paths, base):
        return Size(NeuronShape.of(manifest), manifest["n_parameters"])
    if entry.zoo:
        size, vocabulary = (
            config.zoo.sizes[entry.zoo.size],
            config.zoo.families[entry.zoo.family].vocab_size,
        )
        return Size(NeuronShape(size.n_layers, size.d_mlp), size.n_parameters(vocabulary))
    if entry.dimensions:
        said = entry.dimensions
        return Size(NeuronShape(said.n_layers, said.d_mlp), said.n_parameters)
    return None


def known_manifest(config: Config, paths: Paths, name: str) -> dict[str, Any]:
    """Return the manifest that an earlier run made of a model that is not trained here; nothing if
    there is none, or its entry says something else by now.
    """
    try:
        manifest = read_manifest(paths.model_manifest(name), "model")
    except StoreError:
        return {}
    return manifest if manifest.get("made_by") == made_by(config, "model", name) else {}


def is_planned(entry: ModelEntry) -> bool:
    """Tell whether a model of `path` is not there yet, and its entry says how large it is."""
    return bool(entry.path and entry.dimensions and not Path(entry.path).exists())


def known_neurons(config: Config, paths: Paths, name: str) -> int | None:
    """Return a model's neuron count, as far as `known_size` tells it."""
    size = known_size(config, paths, name)
    return size and size.shape.n_neurons


def n_cells(config: Config, name: str) -> int:
    """Return the cells of an image under a model that sees images, for a plan.

    A zoo family, the folder of a pipeline and an entry's `dimensions` tell it; `CELLS` otherwise.
    """
    entry = config.described(name)
    if entry.pipeline and entry.path and not is_planned(entry):
        return math.prod(folder_facts(Path(entry.path), entry.pipeline, f"models.{name}").grid)
    if entry.zoo:
        image = config.zoo.families[entry.zoo.family].image
        return math.prod(image.grid) if image else CELLS
    return entry.dimensions.n_cells if entry.dimensions else CELLS


def tokenizing_bytes(config: Config, paths: Paths) -> float:
    """Return what tokenizing the longest document of the match split takes at most.

    That of a tokenizer whose beginnings cannot be read alone (`rosetta.activations.prefixes`);
    before the corpus is built, of a document as long as the configuration admits, and 0 where it
    sets no limit.
    """
    try:
        manifest = read_manifest(paths.corpus_manifest, "corpus")
    except StoreError:
        manifest = {}
    built = (
        manifest["splits"]["match"] if manifest.get("made_by") == made_by(config, "corpus") else {}
    )
    # Corpora of earlier versions do not tell it.
    return TOKENIZING * built.get("longest_bytes", config.corpus.max_document_bytes or 0)


def capture_demand(config: Config, dtype: str, size: Size, length: int) -> Demand:
    """Return what a capture of a model takes, its forward pass in `dtype` on so many positions per
    document or image.
    """
    written, stored = config.store_mode != "live", config.activations.dtype
    return Demand.of(size.shape, size.n_parameters, dtype, length, stored=stored, written=written)


def beside_tile(config: Config, demand: Demand, room: Room) -> tuple[Demand, Room]:
    """Return what a capture takes, and what it may use: where models run live on a GPU, their
    activations stay there, beside a tile of the correlation that reads them.
    """
    if config.store_mode != "live" or not room.gpus:
        return demand, room
    return demand.kept_on_device(), room._replace(tile=config.correlation.memory_gb * GB)


def scoring_demand(config: Config, dtype: str, size: Size) -> Demand:
    """Return what running a model takes whose neurons score the filter's pool."""
    assert config.filtering is not None, "there is a pool only with a filter"
    return Demand.of(
        size.shape, size.n_parameters, dtype, config.filtering.scoring.sequence_length, stored=None
    )


class Planned(NamedTuple):
    """What running a model is planned to take.

    Attributes
    ----------
    n_bytes : float
        Of main memory, where the model does not run on a GPU.
    batch_size : int
        Documents per forward pass; 1 where it is to be found, in memory of a size that is not said.
    placement : Placement or None
        Where the model goes; None if the configuration does not say what memory there is.
    gpu_bytes : float
        What it takes of the first GPU that it runs on, if activations of all layers stay there.
    """

    n_bytes: float
    batch_size: int
    placement: Placement | None
    gpu_bytes: float


def planned_capture(config: Config, name: str, size: Size) -> Planned:
    """Return what capturing a model's activations will take.

    Raises
    ------
    ModelError
        If the model does not fit what the configuration gives; with the numbers.
    """
    text = config.modality_of(name) == "text"
    length = config.activations.sequence_length if text else n_cells(config, name)
    demand = capture_demand(config, config.entry(name).dtype, size, length)
    batch_size, at_once = config.activations.batch_size, config.models_at_once
    return _planned(config, _Wanted(name, demand, batch_size, at_once, read_on_gpus=True))


def planned_scoring(config: Config, size: Size) -> Planned:
    """Return what scoring a filter's pool will take.

    Raises
    ------
    ModelError
        If the model does not fit what the configuration gives; with the numbers.
    """
    assert config.filtering is not None, "there is a pool only with a filter"
    name = config.filter_model()
    demand = scoring_demand(config, config.entry(name).dtype, size)
    batch_size = config.filtering.scoring.batch_size
    return _planned(config, _Wanted(name, demand, batch_size, what="filtering.scoring: "))


def planned_ablation(config: Config, name: str, size: Size) -> Planned:
    """Return what running a model takes whose neurons are ablated.

    Raises
    ------
    ModelError
        If the model does not fit what the configuration gives; with the numbers.
    """
    text, dtype = config.modality_of(name) == "text", config.entry(name).dtype
    length = config.activations.sequence_length if text else n_cells(config, name)
    demand = Demand.of(size.shape, size.n_parameters, dtype, length, stored=None)
    if text:
        recipe = config.described(name).zoo
        known = config.zoo.families[recipe.family].vocab_size if recipe else VOCABULARY
        demand = demand.with_logits(length, known, dtype)
    return _planned(config, _Wanted(name, demand, config.activations.batch_size, what="ablation: "))


def planned_reading(config: Config, name: str, size: Size) -> Planned:
    """Return what reading a model's weights in main memory takes.

    Raises
    ------
    ModelError
        If the weights do not fit what the configuration gives; with the numbers.
    """
    what = "vocabulary kurtosis reads weights in main memory: "
    weights = _weights_demand(config, name, size)
    return _planned(config, _Wanted(name, weights, 1, on_gpus=False, what=what))


def planned_twin(config: Config, name: str, size: Size) -> Planned:
    """Return what capturing an untrained twin takes, whose weights start in main memory.

    Raises
    ------
    ModelError
        If one of both does not fit what the configuration gives; with the numbers.
    """
    twin = twin_name(name, config.controls.untrained_seeds[0])
    what = "untrained twins (controls.untrained_seeds) are made in main memory: "
    weights = _weights_demand(config, name, size)
    _planned(config, _Wanted(twin, weights, 1, on_gpus=False, what=what))
    return planned_capture(config, twin, size)


def _weights_demand(config: Config, name: str, size: Size) -> Demand:
    """Return what holding a model's weights takes."""
    dtype = config.entry(name).dtype
    return Demand.of(size.shape, size.n_parameters, dtype, 1, stored=None).of_weights()


class _Wanted(NamedTuple):
    """A model that is to run: what that takes, how many such run at once, where, and whether a
    correlation may read it there; `what` is what messages begin with.
    """

    name: str
    demand: Demand
    batch_size: int | Literal["auto"]
    at_once: int = 1
    on_gpus: bool = True
    read_on_gpus: bool = False
    what: str = ""


def _planned(config: Config, wanted: _Wanted) -> Planned:
    demand, room, placement = wanted.demand, Room.given(config.devices), None
    batch_size = 1 if wanted.batch_size == AUTO else wanted.batch_size
    if room is not None:
        untrained = config.entry(wanted.name).untrained is not None
        room, placed = room if wanted.on_gpus else room._replace(gpus=()), demand
        if wanted.read_on_gpus:
            placed, room = beside_tile(config, demand, room)
        room = room.shared(wanted.at_once).for_model(untrained=untrained)
        key = f"{wanted.what}models.{wanted.name}"
        placement = place(placed, room, wanted.batch_size, key)
        batch_size = placement.batch_size
    n_bytes = (
        LOADING * demand.weights + demand.fixed + batch_size * (demand.in_memory + demand.on_device)
    )
    given = config.devices.cpu_memory_gb
    if given is not None:
        n_bytes = min(n_bytes, given * GB / wanted.at_once)
    split = placement.max_memory if placement and placement.max_memory else {}
    weights = min(split.get(0, demand.weights), demand.weights)
    gpu_bytes = weights + batch_size * demand.kept_on_device().on_device
    return Planned(n_bytes, batch_size, placement, gpu_bytes)

"""Exact sizes of models, read from their configurations without loading weights."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.errors import ModelError
from rosetta.models import loading, sources
from rosetta.models.known_sizes import Size, known_size
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neuron_counts import recorded_shape
from rosetta.models.neurons import NeuronShape
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.run.paths import Paths


def exact_size(config: Config, paths: Paths, name: str) -> Size:
    """Return the neurons and parameters of a model entry; of a zoo model of images about.

    Raises
    ------
    ModelError
        If its configuration cannot be read (hub models without `dimensions` need the network or a
        local cache).
    """
    entry = config.entry(name)
    base = config.entry(entry.untrained.of) if entry.untrained else entry
    said = entry.dimensions or base.dimensions
    if said:
        return Size(NeuronShape(said.n_layers, said.d_mlp), said.n_parameters)
    if base.zoo and config.modality_of(name) == "images":
        # The classes and words that its head is made for are not known; they are few.
        found = known_size(config, paths, name)
        assert found is not None, "a zoo's recipe tells it"
        return found
    if base.zoo:
        family, size = config.zoo.families[base.zoo.family], config.zoo.sizes[base.zoo.size]
        hf_config = zoo_model_config(family, size, config.zoo.training)
    else:
        source = sources.model_source(config, paths, name)
        try:
            hf_config = loading.load_config_of(source)
        except ModelError as error:
            hint = " A plan needs no network where a hub model has `dimensions`."
            raise ModelError(f"{error}{hint if source.revision else ''}") from None
    return Size(
        recorded_shape(base.recorded, hf_config, f"models.{name}"), count_parameters(hf_config)
    )

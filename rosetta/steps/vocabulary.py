"""The step that measures selectivity in vocabulary space, from a model's weights."""

from __future__ import annotations

import torch

from rosetta.analysis.selectivity import vocabulary_table
from rosetta.config import Config, entry_of
from rosetta.models import sources
from rosetta.models.devices import room_here
from rosetta.models.loading_within_memory import load_to_read
from rosetta.models.model_manifest import checked_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.placement import Demand
from rosetta.models.tokenizers import checked_tokenizer, token_ids
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet


def vocabulary_step(config: Config, paths: Paths, model: str) -> None:
    """Write the vocabulary kurtosis of all neurons of a model."""
    entry_of(config.models, model, "models")
    source = sources.model_source(config, paths, model)
    manifest = checked_manifest(source, paths.model_manifest(model))
    torch.set_num_threads(1)  # sums split over threads round differently
    demand = Demand.of(NeuronShape.of(manifest), manifest["n_parameters"], source.dtype, 1, stored=None)
    room = room_here(config.devices).for_model(untrained=source.untrained_seed is not None)
    loaded, place = load_to_read(source, demand, room), f"models.{model}"
    fold = config.selectivity.fold_final_norm
    directions = unembedding(loaded, place, token_ids(checked_tokenizer(source, manifest)), fold_final_norm=fold)
    n_left_out = len(loaded.get_output_embeddings().weight) - len(directions)
    table = vocabulary_table(output_weights(loaded, place), directions, manifest["n_layers"], model)
    facts = {"n_tokens": len(directions), "n_rows_left_out": n_left_out, "fold_final_norm": fold}
    say(f"{model}: {len(directions)} tokens; {n_left_out} rows of the unembedding belong to none and are left out")
    write_parquet(paths.vocabulary(model), table, facts)

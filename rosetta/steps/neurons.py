"""Steps that measure single neurons: what they write, when they fire, where they read highest."""

from __future__ import annotations

import json

import torch

from rosetta.activations.folders import open_stores
from rosetta.analysis.contexts import Reader, members_of, shared_contexts, with_margins
from rosetta.analysis.excerpts import group_excerpts
from rosetta.analysis.positions import Positions
from rosetta.analysis.profiles import CONTEXT_COLUMNS, profile_neurons
from rosetta.config import Config, entry_of, group_name, group_pairs
from rosetta.errors import ConfigError
from rosetta.inputs.text.build import read_split
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.digests import write_text
from rosetta.storage.tables import read_parquet, write_parquet


def neurons_step(config: Config, paths: Paths, model: str) -> None:
    """Write the statistics and the top contexts of all neurons of a model."""
    entry_of(config.models, model, "models")
    torch.set_num_threads(1)
    profiles = profile_neurons(
        open_stores(paths.stores(model, config.activations.n_shards)),
        read_split(paths, "match", config.activations.max_documents),
        config.specialization.n_contexts,
        config.selectivity.firing_std,
        model,
    )
    dead = int((profiles.neurons["activation_variance"] == 0).sum())
    say(f"{model}: {dead} of {len(profiles.neurons)} neurons are dead")
    write_parquet(paths.contexts(model), profiles.contexts)
    facts = {"domains": profiles.domains, "domain_tokens": profiles.domain_tokens}
    write_parquet(paths.neurons(model), profiles.neurons, facts)


def contexts_step(config: Config, paths: Paths, group: str) -> None:
    """Write a group's top contexts with the partners' values on them, and what the viewer shows of the group."""
    by_name = {group_name(models): models for models in config.groups()}
    if group not in by_name:
        raise ConfigError(f"--group: {group!r} is not a rung of a ladder; there are {', '.join(by_name)}.")
    models = by_name[group]
    documents = read_split(paths, "match", config.activations.max_documents)
    readers = {}
    for model in models:
        stores = open_stores(paths.stores(model, config.activations.n_shards))
        readers[model] = Reader(stores, Positions.of(stores), read_parquet(paths.contexts(model), CONTEXT_COLUMNS))
    members = members_of(read_parquet(paths.rosetta(group), ROSETTA_COLUMNS))
    shared = shared_contexts(members, readers, config.alignment.pooling)
    say(f"{group}: {len(shared)} values of partners on top contexts")
    write_parquet(paths.shared_contexts(group), shared)
    matches = [read_parquet(paths.matches(group_name(pair)), MATCH_COLUMNS) for pair in group_pairs(models)]
    shown = group_excerpts(with_margins(members, matches), models, readers, documents, config.viewer)
    write_text(paths.excerpts(group), json.dumps(shown, ensure_ascii=False, allow_nan=False, separators=(",", ":")))

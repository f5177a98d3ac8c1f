"""The steps of sparse autoencoders: of a model, of its stores, of a pair, and of all rungs."""

from __future__ import annotations

import shutil
from typing import Any

from rosetta.config import Config, entry_of
from rosetta.config.names import model_of_store
from rosetta.config.sae import Sae
from rosetta.correlation.steps import neighbors_step
from rosetta.errors import ConfigError
from rosetta.matching.steps import intervals_step, matches_step, nulls_step
from rosetta.progress import say
from rosetta.run.paths import OF_FEATURES, Paths
from rosetta.run.stages import made_by
from rosetta.storage.atomic import replacing
from rosetta.storage.manifests import describe_files, read_manifest, write_manifest
from rosetta.storage.tables import write_csv, write_parquet


def sae_step(config: Config, paths: Paths, model: str) -> None:
    """Train the sparse autoencoders of a model on its stores, or read them; write them, their
    manifest, and what they say of every neuron.
    """
    import torch

    from rosetta.sae.checkpoints import save_dictionary
    from rosetta.sae.models import KIND, ModelRows, make_autoencoders, stores_of

    settings = _asked(config)
    entry_of(dict.fromkeys(config.used_models()), model, "--model: the ladders")
    torch.set_num_threads(1)
    table = paths.split("match") if config.modality_of(model) == "text" else None
    stores = stores_of(config, paths, model)
    rows = ModelRows.of(model, stores, table, settings.heldout_one_in)
    made = make_autoencoders(settings, paths.autoencoder_checkpoints(model), rows)
    told = made.facts
    say(
        f"{model}: {told['explained_variance']:.3f} of the variance of {told['n_heldout']} "
        f"held-out positions explained, {told['n_features'] - told['n_live']} of "
        f"{told['n_features']} features dead, {told['l0']:.1f} active at a position"
    )
    folder, listed = paths.autoencoders(model), paths.autoencoder_manifest(model)
    listed.unlink(missing_ok=True)  # it must never speak of what is being replaced
    with replacing(folder) as temporary:
        for part, dictionary in enumerate(made.dictionaries):
            save_dictionary(dictionary, temporary / str(part))
    write_parquet(paths.autoencoder_neurons(model), made.neurons)
    write_parquet(paths.autoencoder_samples(model), made.samples)
    manifest = {"kind": KIND, "made_by": made_by(config, "sae", model), "holds": _plain(told)}
    write_manifest(listed, {**manifest, "files": describe_files(folder)})
    _describe_features(paths, model, manifest)
    shutil.rmtree(paths.autoencoder_checkpoints(model), ignore_errors=True)


def _plain(facts: dict[str, Any]) -> dict[str, Any]:
    """Return facts as JSON has them: what is not known is null."""
    return {name: None if value != value else value for name, value in facts.items()}


def sae_encode_step(config: Config, paths: Paths, model: str) -> None:
    """Write the features of all shards of a model, given by the name of its stores."""
    import torch

    from rosetta.activations.folders import open_stores
    from rosetta.sae.features import write_features
    from rosetta.sae.models import KIND, read_autoencoders

    _asked(config)
    used = [name for one in config.used_models() for name in config.stores_of_model(one)]
    entry_of(dict.fromkeys(used), model, "--model: the stores")
    torch.set_num_threads(1)
    of, n_shards = model_of_store(model), config.activations.n_shards
    manifest = read_manifest(paths.autoencoder_manifest(of), KIND)
    dictionaries = read_autoencoders(paths, of)
    for store in open_stores(paths.stores(model, n_shards)):
        shard = store.manifest["holds"]["shard"]
        made = {
            "model": of,
            "stage": "sae_encode",
            "sae": manifest["files"],
            "of": store.manifest["made_by"],
        }
        out = paths.features.store_manifest(model, n_shards, shard)
        write_features(store, dictionaries, out, config.activations.dtype, made)


def _describe_features(paths: Paths, model: str, manifest: dict[str, Any]) -> None:
    """Write what counts of features ask of a model: how many it has."""
    parts = manifest["holds"]["parts"]
    n_layers, width = len(parts), parts[0]["n_features"]
    facts = {"n_layers": n_layers, "d_mlp": width, "n_neurons": n_layers * width}
    told = {"kind": "model", "made_by": manifest["made_by"], "architecture": OF_FEATURES, **facts}
    write_manifest(paths.features.model_manifest(model), told)


def sae_match_step(config: Config, paths: Paths, pair: str, threads: int | None = None) -> None:
    """Match the features of a pair as its neurons are: under exchanged samples, on all samples, and
    on half-samples of these.

    All cores of its tasks work, unless `threads` says how many.
    """
    from rosetta.sae.features import feature_config

    _asked(config)
    of, places = feature_config(config), paths.features
    nulls_step(of, places, "documents", pair)
    neighbors_step(of, places, pair, 0)
    intervals_step(of, places, pair, threads)
    matches_step(of, places, pair)


def sae_tables_step(config: Config, paths: Paths) -> None:
    """Write what autoencoders say of models, neurons and rungs, and which features match."""
    from rosetta.sae.tables import (
        feature_tables,
        measured_rungs,
        model_table,
        neuron_table,
        sae_polarization,
    )

    _asked(config)
    by_rung, by_model, trends = sae_polarization(measured_rungs(config, paths), config)
    counts, laws = feature_tables(config, paths)
    tables = {
        "sae": model_table(config, paths),
        "sae_neurons": neuron_table(config, paths),
        "sae_polarization": by_rung,
        "sae_polarization_by_model": by_model,
        "sae_trends": trends,
        "sae_features": counts,
        "sae_feature_scaling": laws,
    }
    for name, table in tables.items():
        write_csv(paths.table(name), table)


def _asked(config: Config) -> Sae:
    """Return how autoencoders are made; fail if none is asked for."""
    if config.sae is None:
        raise ConfigError("sae: is null, so no autoencoder is asked for. Give the section.")
    return config.sae

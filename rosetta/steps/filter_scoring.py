"""Steps of the filtering corpus that read neurons: choose one for a target domain, score the pool by it."""

from __future__ import annotations

from typing import Any

import torch

from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS
from rosetta.analysis.counts import model_shape
from rosetta.analysis.populations import cluster_numbers
from rosetta.config import Config, group_name
from rosetta.config.filtering import NEURON_FILTERS
from rosetta.errors import ConfigError
from rosetta.filtering import pool
from rosetta.filtering.assess import check_target
from rosetta.filtering.baselines import Classifier
from rosetta.filtering.choose import CHOICE, best_candidates, candidates, choose, with_roles
from rosetta.filtering.document_scores import Neuron, Scorer, encode
from rosetta.filtering.score_files import write_scores
from rosetta.inputs.text.build import read_split
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.models import loading, sources
from rosetta.models.devices import room_here
from rosetta.models.known_sizes import Size, scoring_demand
from rosetta.models.loading_within_memory import load_placed
from rosetta.models.model_manifest import checked_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.tokenizers import checked_tokenizer, token_ids
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.steps.filtering import filter_of
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_parquet, write_csv, write_parquet

SHOWN_CANDIDATES = 10


def choose_step(config: Config, paths: Paths) -> None:
    """Choose the neurons by their top contexts on the split `match`, and train the classifier on the same documents."""
    filtering, where = filter_of(config, paths)
    model, group = config.filter_model(), group_name(config.filter_group())
    neurons = read_parquet(paths.neurons(model), NEURON_COLUMNS)
    shape = model_shape(paths, model)
    mask = cluster_numbers(read_parquet(paths.rosetta(group), ROSETTA_COLUMNS), model, shape) >= 0
    contexts = read_parquet(paths.contexts(model), CONTEXT_COLUMNS)
    table = candidates(neurons, contexts, mask, filtering.target, filtering.n_contexts)
    chosen = choose(table)
    table = with_roles(table, chosen)
    for role, neuron in chosen.items():
        row = table[(table["layer"] == neuron.layer) & (table["unit"] == neuron.unit)].iloc[0]
        numbers = f"purity {row['purity']:.2f}, mean normalised activation {row['mean_activation']:.2f}"
        say(f"{role}: {shape.name(*neuron)}, {numbers}")
    write_parquet(where.candidates, table)
    write_csv(paths.table("filtering_candidates"), best_candidates(table, SHOWN_CANDIDATES))
    documents = read_split(paths, "match", config.activations.max_documents)
    tokenizer = _tokenizer(config, paths, model)
    tokens = [found.ids[found.is_text] for found in encode(tokenizer, documents["text"].tolist())]
    is_target = (documents["domain"] == filtering.target).to_numpy()
    write_parquet(where.classifier, Classifier.fit(tokens, is_target, max(token_ids(tokenizer)) + 1).to_table())
    found = {
        "model": model,
        "group": group,
        "neurons": {role: list(neuron) for role, neuron in chosen.items()},
        "n_candidates": {"rosetta": int(table["is_rosetta"].sum()), "others": int((~table["is_rosetta"]).sum())},
        "labelled_documents": len(documents),
        "labelled_target": int(is_target.sum()),
    }
    write_manifest(where.choice, {"kind": CHOICE, "made_by": made_by(config, "filter_choose"), **found})


def _tokenizer(config: Config, paths: Paths, model: str) -> Any:
    source = sources.model_source(config, paths, model)
    return checked_tokenizer(source, checked_manifest(source, paths.model_manifest(model)))


def score_step(config: Config, paths: Paths, shard: int) -> None:
    """Score one shard of the pool by all chosen neurons and the classifier, in one pass."""
    filtering, where = filter_of(config, paths)
    if not 0 <= shard < filtering.pool.n_shards:
        raise ConfigError(f"--shard: {shard} is not among the {filtering.pool.n_shards} shards of filtering.pool.")
    check_target(read_manifest(where.pool_manifest, pool.KIND)["domains"], filtering)
    torch.set_num_threads(1)
    model = config.filter_model()
    source = sources.model_source(config, paths, model)
    manifest = checked_manifest(source, paths.model_manifest(model))
    length = filtering.scoring.sequence_length
    loading.check_context(loading.load_config_of(source), length, "filtering.scoring.sequence_length")
    choice = read_manifest(where.choice, CHOICE)
    counter = None
    if filtering.pretraining and filtering.pretraining.model != model:
        counter = _tokenizer(config, paths, filtering.pretraining.model)
    demand = scoring_demand(config, source.dtype, Size(NeuronShape.of(manifest), manifest["n_parameters"]))
    scorer = Scorer(
        load_placed(source, demand, room_here(config.devices), filtering.scoring.batch_size)[0],
        checked_tokenizer(source, manifest),
        {name: Neuron(*choice["neurons"][name]) for name in NEURON_FILTERS},
        filtering.scoring,
        model,
        Classifier.from_table(read_parquet(where.classifier)),
        counter,
    )
    write_scores(where, shard, scorer.score(pool.read_shard(where, shard)), made_by(config, "filter_score"))

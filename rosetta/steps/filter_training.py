"""Step that trains on a selection and evaluates what came of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import torch

from rosetta.config import Config
from rosetta.config.filtering import Filtering
from rosetta.errors import ConfigError, CorpusError
from rosetta.filtering.assess import Filter
from rosetta.filtering.corpus import pool_shards
from rosetta.filtering.perplexity import perplexity
from rosetta.filtering.pretrain import continue_training, count_steps, separator_of
from rosetta.filtering.select import membership
from rosetta.inputs.text.build import read_split
from rosetta.models import loading, sources
from rosetta.models.devices import best_device
from rosetta.models.tokenizers import checked_tokenizer
from rosetta.progress import say
from rosetta.run.paths import FilterPaths, Paths
from rosetta.run.stages import made_by, training_name
from rosetta.steps.filtering import SELECTIONS, TRAINING, filter_of
from rosetta.storage.files import read_manifest, write_manifest
from rosetta.storage.tables import read_parquet


def pretrain_step(config: Config, paths: Paths, name: str, seed: int) -> None:
    """Train a model on what a filter selected, and measure its perplexity; `base` is measured as it is."""
    filtering, where = filter_of(config, paths)
    settings = filtering.pretraining
    if settings is None or (name, seed) not in filtering.trainings():
        raise ConfigError(f"--filter, --seed: filtering.pretraining has no training {training_name(name, seed)}.")
    heldout = _heldout_texts(paths, filtering.target)
    torch.set_num_threads(1)
    source = sources.model_source(config, paths, settings.model)
    manifest = loading.checked_manifest(source, paths.model_manifest(settings.model))
    length = settings.sequence_length
    loading.check_context(loading.load_config_of(source), length, "filtering.pretraining.sequence_length")
    model = loading.load_model(source, best_device())
    tokenizer = checked_tokenizer(source, manifest)
    checkpoints = where.checkpoints(training_name(name, seed))
    facts: dict[str, float] = {"steps": 0, "tokens": 0}
    if name != "base":
        texts = list(_selected_texts(where, Filter(name, filtering.target, seed if name == "random" else None)))
        n_steps = count_steps(_least_tokens(filtering, where), settings)
        model, facts = continue_training(
            model, tokenizer, texts, n_steps, settings, seed, checkpoints, manifest["weights"]
        )
    separator = separator_of(tokenizer, f"models.{settings.model}")
    value, n_tokens = perplexity(
        model, tokenizer, heldout, separator, settings.sequence_length, settings.sequences_at_a_time
    )
    say(f"{training_name(name, seed)}: {facts}, perplexity {value:.4f} on {n_tokens:,} tokens")
    made = made_by(config, "filter_pretrain", training_name(name, seed))
    found = {"filter": name, "seed": seed, **facts, "perplexity": value, "heldout_tokens": n_tokens}
    write_manifest(where.training(training_name(name, seed)), {"kind": TRAINING, "made_by": made, **found})
    shutil.rmtree(checkpoints, ignore_errors=True)


def _heldout_texts(paths: Paths, target: str) -> list[str]:
    """Return the held-out documents of the target domain; that there are none is told before anything is trained."""
    heldout = read_split(paths, "heldout")
    texts = heldout.loc[heldout["domain"] == target, "text"].tolist()
    if not texts:
        raise CorpusError(
            f"filtering.target: none of the {len(heldout)} held-out documents is labelled {target!r}. "
            "Raise corpus.splits.heldout, or give more text."
        )
    return texts


def _least_tokens(filtering: Filtering, where: FilterPaths) -> int:
    """Return the tokens of the smallest selection that is trained on, so that all trainings have the same steps."""
    assert filtering.pretraining is not None
    held = read_manifest(where.selections_manifest, SELECTIONS)["held"]
    return min(
        held[Filter(name, filtering.target, seed if name == "random" else None).file]["tokens"]
        for name in filtering.pretraining.filters
        for seed in filtering.seeds
    )


def _selected_texts(where: FilterPaths, chosen: Filter) -> Iterator[str]:
    """Yield the texts of a selection in the order of the pool."""
    ids = read_parquet(where.selection(chosen.file), ["id"], where.selections_manifest)["id"].sort_values().to_numpy()
    for documents in pool_shards(where):
        yield from documents.loc[membership(documents["id"].to_numpy(), ids), "text"]

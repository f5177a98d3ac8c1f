"""Scoring the pool of `rosetta filter`: the model, its neuron, the shards not scored yet."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rosetta.config.devices import Devices
from rosetta.config.filtering import FilterScoring
from rosetta.errors import ConfigError
from rosetta.filtering import pool_shards
from rosetta.filtering.document_scores import Scorer
from rosetta.filtering.request import FilterRequest
from rosetta.filtering.requested_pool import COLUMN
from rosetta.filtering.stored_scores import is_scored, write_scores
from rosetta.models import loading
from rosetta.models.devices import room_here
from rosetta.models.folders import model_files
from rosetta.models.loading_within_memory import load_placed
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import Neuron, NeuronShape, parse_neuron
from rosetta.models.placement import Demand
from rosetta.models.sources import ModelSource, named_source
from rosetta.models.tokenizers import check_vocabulary, load_tokenizer
from rosetta.progress import say
from rosetta.run.paths import FilterPaths
from rosetta.storage.digests import digest_file
from rosetta.storage.manifests import read_manifest

SCORE_VERSION = 3  # raise when a change of code changes what a killed run left behind
LABEL = "--model"


class RequestedScoring(NamedTuple):
    """What a pool is scored by.

    Attributes
    ----------
    source : ModelSource
        Where the model comes from.
    shape : NeuronShape
        Its neurons.
    neuron : Neuron
        The one to score by.
    scoring : FilterScoring
        How a score is made.
    """

    source: ModelSource
    shape: NeuronShape
    neuron: Neuron
    scoring: FilterScoring

    @property
    def name(self) -> str:
        """Name of the neuron."""
        return self.shape.name(*self.neuron)

    def recipe(self) -> dict[str, Any]:
        """Return what the scores of a document depend on, apart from its text."""
        files = self.source.revision or _digests(Path(self.source.location))
        return {
            "version": SCORE_VERSION,
            "model": self.source.location,
            "files": files,
            "dtype": self.source.dtype,
            "neuron": list(self.neuron),
            "scoring": self.scoring.model_dump(exclude={"batch_size"}),
            "torch": torch.__version__,
        }


def _digests(folder: Path) -> dict[str, str]:
    return {path.name: digest_file(path) for path in model_files(folder)}


def checked_scoring(wanted: FilterRequest) -> RequestedScoring:
    """Check what can be checked without weights; return what the pool is scored by.

    Raises
    ------
    RosettaError
        If the model cannot be loaded, has no such neuron, or reads fewer tokens at a time.
    """
    if wanted.dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"--dtype: {wanted.dtype!r} is not float32, bfloat16 or float16.")
    source = named_source(wanted.model, wanted.revision, wanted.dtype, LABEL)
    config = loading.load_config_of(source)
    if source.revision is not None:  # a branch may move, a commit does not
        commit = getattr(config, "_commit_hash", None)
        source = replace(source, revision=commit or source.revision)
    shape = neuron_shape(config, LABEL)
    neuron = parse_neuron(wanted.neuron, shape, "--neuron")
    scoring = wanted.scoring
    if wanted.whole_context:
        context = getattr(config, "max_position_embeddings", None) or scoring.sequence_length
        length = min(context, scoring.sequence_length)
        scoring = scoring.model_copy(update={"sequence_length": length})
    loading.check_context(config, scoring.sequence_length, "--sequence-length")
    check_vocabulary(load_tokenizer(source), config, LABEL)
    return RequestedScoring(source, shape, neuron, scoring)


def score_pool(by: RequestedScoring, recipe: dict[str, Any], where: FilterPaths) -> None:
    """Score the shards that are not scored yet; the model is loaded only if there are any.

    Parameters
    ----------
    by : RequestedScoring
        What they are scored by.
    recipe : dict
        Its `recipe`; scores that another one made are not kept.
    where : FilterPaths
        The pool, and where its scores are written.
    """
    shards = read_manifest(where.pool_manifest, pool_shards.KIND)["shards"]
    made = [{**recipe, "shard": shard["digest"]} for shard in shards]
    waiting = [shard for shard, one in enumerate(made) if not is_scored(where, shard, one)]
    say(f"{len(shards) - len(waiting)} of {len(shards)} shards are scored")
    if not waiting:
        return
    source, scoring = by.source, by.scoring
    n_parameters = count_parameters(loading.load_config_of(source))
    length = scoring.sequence_length
    demand = Demand.of(by.shape, n_parameters, source.dtype, length, stored=None)
    model, _ = load_placed(source, demand, room_here(Devices()), scoring.batch_size)
    tokenizer, neurons = load_tokenizer(source), {COLUMN: by.neuron}
    for shard in waiting:
        scorer = Scorer(model, tokenizer, neurons, scoring, f"shard {shard + 1}/{len(shards)}")
        write_scores(where, shard, scorer.score(pool_shards.read_shard(where, shard)), made[shard])

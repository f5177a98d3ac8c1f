"""`rosetta filter`: any pool of documents, any model, one neuron, without a configuration and without Snakemake."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rosetta import __version__
from rosetta.config import FilesSource
from rosetta.config.corpus import HUB_ID
from rosetta.config.devices import Devices
from rosetta.config.filtering import FilterScoring, FilterSelection
from rosetta.errors import ConfigError, PlanError
from rosetta.filtering import corpus, pool
from rosetta.filtering.corpus_card import render_card
from rosetta.filtering.document_scores import Scorer
from rosetta.filtering.score_files import is_scored, read_scores, write_all_scores, write_scores
from rosetta.filtering.select import Amount, check_amount, percentile_of, read_blocks, select
from rosetta.inputs.text.documents import Text
from rosetta.inputs.text.records import Keys, file_texts, left_out, source_files
from rosetta.models import loading, sources
from rosetta.models.devices import room_here
from rosetta.models.folders import check_model_folder, model_files
from rosetta.models.loading_within_memory import load_placed
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import Neuron, NeuronShape, parse_neuron
from rosetta.models.placement import Demand
from rosetta.models.tokenizers import check_vocabulary, load_tokenizer
from rosetta.progress import say
from rosetta.run.paths import FilterPaths
from rosetta.steps.filter_card import domain_points, model_point, rule_points
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import digest_file
from rosetta.storage.manifests import read_manifest, write_manifest

POOL_VERSION, SCORE_VERSION = 2, 3  # raise when a change of code changes what a killed run left behind
MAX_SHARDS = 4096  # each is an open file while the pool is written
COLUMN = "neuron"
KEYS = Keys("--pool", "--text-column", "--domain-column")
LABEL = "--model"
AMOUNT_KEYS = {"tokens": "--budget-tokens", "count": "--count"}


@dataclass(frozen=True)
class FileFilter:
    """What `rosetta filter` was asked for.

    Attributes
    ----------
    model, revision, neuron, dtype : str
        Folder or hub id, its revision, the neuron's name, the precision of the forward pass.
    pool : Path
        File or folder.
    text_column : str
        Column of the text.
    domain_column : str or None
        Column of a label.
    shard_bytes : float
        Size of the pool's files per shard.
    scoring : FilterScoring
        How a score is made.
    selection : FilterSelection
        How much is taken; one of its rules has to be given.
    whole_context : bool
        Lower the sequence length to the model's context if that is shorter.
    """

    model: str
    revision: str
    neuron: str
    dtype: str
    pool: Path
    text_column: str
    domain_column: str | None
    shard_bytes: float
    scoring: FilterScoring
    selection: FilterSelection
    whole_context: bool

    @property
    def source(self) -> FilesSource:
        """The pool as a source of texts."""
        return FilesSource(kind="files", path=str(self.pool), text=self.text_column, domain=self.domain_column)


def filter_files(wanted: FileFilter, out: Path) -> None:
    """Score every document of a pool, and write the best of them as a corpus.

    What is finished is not made again: the pool's shards if the files are the same, the scores of a shard if pool,
    model, neuron and scoring are. All that can be wrong with the request is found before the pool is scored.

    Raises
    ------
    RosettaError
        If the pool is empty, lacks the text column or holds less than is to be taken; if the model cannot be loaded,
        or has no such neuron.
    """
    if wanted.selection == FilterSelection():
        raise ConfigError("--budget-tokens, --count, --percentile: give one of them, to say how much is taken.")
    where = FilterPaths(out)
    files = source_files(str(wanted.pool), KEYS.path)
    _check_out(wanted.pool, where)
    first = next((text for text in file_texts(wanted.source, KEYS) if text.text.strip()), None)
    if first is None:
        raise ConfigError(f"--pool: {wanted.pool} holds no document with text. Give another pool.")
    source, shape, neuron, scoring = _checked_model(wanted)
    name = shape.name(*neuron)
    write_manifest(where.mark, {"kind": "filter", "version": __version__})
    _write_pool(wanted, files, where)
    _check_early(wanted.selection, where)
    recipe = _recipe(source, neuron, scoring)
    _score_pool(source, shape, neuron, scoring, recipe, where)
    amount = _amount(wanted.selection, where)
    selected = select(read_blocks(read_scores(where, ["id", "tokens", COLUMN]), COLUMN), amount)
    if not len(selected.id):
        raise PlanError("--percentile: no document's score exceeds it, so none is left. Lower it.")
    write_all_scores(where, np.sort(selected.id))
    counts = corpus.count(where, selected)
    card = render_card(
        f"{wanted.pool.name}: filtered by {name}",
        counts,
        [
            ("Neuron", [f"{name} of {model_point(source)}, layer and unit counted from 0"]),
            ("Rule", rule_points(scoring, amount, wanted.selection.percentile)),
            ("Pool", [f"source: {wanted.pool}, column `{wanted.text_column}`", *domain_points(where)]),
        ],
    )
    made_by = {"rosetta": __version__, **recipe, "selection": wanted.selection.model_dump()}
    corpus.write_corpus(where, selected, counts, card, made_by)
    say(
        f"{counts.selected:,} of {counts.pool:,} documents, {counts.selected_tokens:,} of {counts.pool_tokens:,} "
        f"tokens, are in {where.corpus}; {counts.not_selected:,} documents are not"
    )


def _check_out(pool: Path, where: FilterPaths) -> None:
    """Refuse a folder in which something else would be replaced, or taken for a part of the pool later on."""
    given, root = pool.resolve(), where.root.resolve()
    outputs = [where.pool, where.shard_scores(0).parent, where.corpus, where.scores]
    if root.is_relative_to(given) or any(given.is_relative_to(path.resolve()) for path in outputs):
        raise ConfigError(f"--out: {where.root} and --pool {pool} overlap. Give a folder outside the pool.")
    if where.root.exists() and not where.root.is_dir():
        raise ConfigError(f"--out: {where.root} is a file. Give a folder.")
    found = next((path for path in outputs if path.exists()), None)
    if found and not where.mark.exists():
        raise ConfigError(f"--out: {found} is not from this command, and would be replaced. Give another folder.")


def _checked_model(wanted: FileFilter) -> tuple[sources.ModelSource, NeuronShape, Neuron, FilterScoring]:
    """Check what can be checked without weights; return the model, its neurons, the one to score by, and how."""
    if wanted.dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"--dtype: {wanted.dtype!r} is not float32, bfloat16 or float16.")
    local = Path(wanted.model).exists() or not re.match(HUB_ID, wanted.model)
    if local:
        check_model_folder(Path(wanted.model), LABEL)
    revision = None if local else wanted.revision
    source = sources.ModelSource(wanted.model, wanted.model, revision, dtype=wanted.dtype, key=LABEL)
    config = loading.load_config_of(source)
    if not local:  # a branch may move, a commit does not
        source = replace(source, revision=getattr(config, "_commit_hash", None) or revision)
    shape = neuron_shape(config, LABEL)
    neuron = parse_neuron(wanted.neuron, shape, "--neuron")
    scoring = wanted.scoring
    if wanted.whole_context:
        context = getattr(config, "max_position_embeddings", None) or scoring.sequence_length
        scoring = scoring.model_copy(update={"sequence_length": min(context, scoring.sequence_length)})
    loading.check_context(config, scoring.sequence_length, "--sequence-length")
    check_vocabulary(load_tokenizer(source), config, LABEL)
    return source, shape, neuron, scoring


def _write_pool(wanted: FileFilter, files: list[Path], where: FilterPaths) -> None:
    """Write the pool's shards, unless they are there and the files are the same."""
    facts = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    columns = [wanted.text_column, wanted.domain_column]
    n_shards = int(min(MAX_SHARDS, max(1, -(-sum(fact[1] for fact in facts) // wanted.shard_bytes))))
    made_by = {"version": POOL_VERSION, "files": facts, "columns": columns, "n_shards": n_shards}
    if where.pool_manifest.exists():
        try:
            if read_manifest(where.pool_manifest, pool.KIND)["made_by"] == made_by:
                pool.check_shards(where)
                say(f"{where.pool}: the pool's {n_shards} shards are there")
                return
            shutil.rmtree(where.root / "scores", ignore_errors=True)
        except DamageError as damage:  # scores of shards that come out as they were are kept
            say(f"{damage.path}: {damage.what}; writing the pool again")
    fresh, unread = pool.Fresh(), left_out(str(wanted.pool), KEYS.path)
    pool.write_pool(fresh.documents(_texts(wanted, files)), where, n_shards, made_by, fresh.counts, unread)
    say(f"{where.pool}: {n_shards} shards of the pool, {fresh.counts}")


def _texts(wanted: FileFilter, files: list[Path]) -> Iterator[Text]:
    """Yield the texts of the pool, each with the file that it comes from, as its path in the pool, as its source."""
    root = wanted.pool if wanted.pool.is_dir() else wanted.pool.parent
    for path in files:
        one = wanted.source.model_copy(update={"path": str(path)})
        for text in file_texts(one, KEYS):
            yield text._replace(source=path.relative_to(root).as_posix())


def _check_early(selection: FilterSelection, where: FilterPaths) -> None:
    """Refuse what the pool cannot hold before it is scored: a token of text has one byte at least."""
    shards = read_manifest(where.pool_manifest, pool.KIND)["shards"]
    documents, n_bytes = (sum(shard[key] for shard in shards) for key in ("documents", "bytes"))
    amount = Amount(tokens=selection.budget_tokens, count=selection.count)
    check_amount(amount, n_bytes, documents, AMOUNT_KEYS, unit="bytes of text")


def _score_pool(
    source: sources.ModelSource,
    shape: NeuronShape,
    neuron: Neuron,
    scoring: FilterScoring,
    recipe: dict[str, Any],
    where: FilterPaths,
) -> None:
    """Score the shards that are not scored yet; the model is loaded only if there are any."""
    shards = read_manifest(where.pool_manifest, pool.KIND)["shards"]
    made = [{**recipe, "shard": shard["digest"]} for shard in shards]
    waiting = [shard for shard, by in enumerate(made) if not is_scored(where, shard, by)]
    say(f"{len(shards) - len(waiting)} of {len(shards)} shards are scored")
    if not waiting:
        return
    length, n_parameters = scoring.sequence_length, count_parameters(loading.load_config_of(source))
    demand = Demand.of(shape, n_parameters, source.dtype, length, stored=None)
    model, _ = load_placed(source, demand, room_here(Devices()), scoring.batch_size)
    tokenizer = load_tokenizer(source)
    for shard in waiting:
        scorer = Scorer(model, tokenizer, {COLUMN: neuron}, scoring, f"shard {shard + 1}/{len(shards)}")
        write_scores(where, shard, scorer.score(pool.read_shard(where, shard)), made[shard])


def _recipe(source: sources.ModelSource, neuron: Neuron, scoring: FilterScoring) -> dict[str, Any]:
    """Return what the scores of a document depend on, besides its text."""
    folder = Path(source.location)
    return {
        "version": SCORE_VERSION,
        "model": source.location,
        "files": source.revision or {path.name: digest_file(path) for path in model_files(folder)},
        "dtype": source.dtype,
        "neuron": list(neuron),
        "scoring": scoring.model_dump(exclude={"batch_size"}),
        "torch": torch.__version__,
    }


def _amount(selection: FilterSelection, where: FilterPaths) -> Amount:
    if selection.percentile is not None:
        scores = (table[COLUMN].to_numpy() for table in read_scores(where, [COLUMN]))
        return Amount(above=percentile_of(scores, selection.percentile))
    amount = Amount(tokens=selection.budget_tokens, count=selection.count)
    documents, tokens = corpus.pool_size(where)
    check_amount(amount, tokens, documents, AMOUNT_KEYS)
    return amount

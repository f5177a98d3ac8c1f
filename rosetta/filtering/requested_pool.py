"""The pool of `rosetta filter`: documents of any files, in shards; how many of them are taken."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from rosetta.config.filtering import FilterSelection
from rosetta.errors import ConfigError
from rosetta.filtering import corpus, pool_shards
from rosetta.filtering.pool_documents import Fresh
from rosetta.filtering.request import FilterRequest
from rosetta.filtering.select import Amount, check_amount, percentile_of
from rosetta.filtering.stored_scores import read_scores
from rosetta.inputs.text.documents import Text
from rosetta.inputs.text.records import Keys, file_texts, left_out, source_files
from rosetta.progress import say
from rosetta.run.paths import FilterPaths
from rosetta.storage.damage import DamageError
from rosetta.storage.manifests import read_manifest

POOL_VERSION = 2  # raise when a change of code changes what a killed run left behind
MAX_SHARDS = 4096  # each is an open file while the pool is written
COLUMN = "neuron"  # of the scores
KEYS = Keys("--pool", "--text-column", "--domain-column")
AMOUNT_KEYS = {"tokens": "--budget-tokens", "count": "--count"}


def checked_files(wanted: FilterRequest, where: FilterPaths) -> list[Path]:
    """Return the files of a pool that may be filtered into a folder.

    Raises
    ------
    RosettaError
        If there is none, pool and folder overlap, the folder has files of something else, or no
        file of the pool holds a document with text.
    """
    files = source_files(str(wanted.pool), KEYS.path)
    _check_out(wanted.pool, where)
    texts = file_texts(wanted.source, KEYS)
    if not any(text.text.strip() for text in texts):
        raise ConfigError(f"--pool: {wanted.pool} holds no document with text. Give another pool.")
    return files


def _check_out(pool: Path, where: FilterPaths) -> None:
    """Reject a folder of other files, or one that would be read as part of the pool."""
    given, root = pool.resolve(), where.root.resolve()
    outputs = [where.pool, where.shard_scores(0).parent, where.corpus, where.scores]
    if root.is_relative_to(given) or any(given.is_relative_to(path.resolve()) for path in outputs):
        raise ConfigError(
            f"--out: {where.root} and --pool {pool} overlap. Give a folder outside the pool."
        )
    if where.root.exists() and not where.root.is_dir():
        raise ConfigError(f"--out: {where.root} is a file. Give a folder.")
    if where.root.exists() and not where.mark.exists():
        found = next(iter(sorted(where.root.iterdir())), None)
        if found is not None:
            raise ConfigError(
                f"--out: {found} is not from this command, whose files would lie beside it, or "
                "replace it. Give a new folder, or an empty one."
            )


def write_requested_pool(wanted: FilterRequest, files: list[Path], where: FilterPaths) -> None:
    """Write the pool's shards, unless they are there and the files are the same."""
    facts = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
    columns = [wanted.text_column, wanted.domain_column]
    n_shards = int(
        min(MAX_SHARDS, max(1, -(-sum(fact[1] for fact in facts) // wanted.shard_bytes)))
    )
    made_by = {"version": POOL_VERSION, "files": facts, "columns": columns, "n_shards": n_shards}
    if where.pool_manifest.exists():
        try:
            if read_manifest(where.pool_manifest, pool_shards.KIND)["made_by"] == made_by:
                pool_shards.check_shards(where)
                say(f"{where.pool}: the pool's {n_shards} shards are there")
                return
            shutil.rmtree(where.root / "scores", ignore_errors=True)
        except DamageError as damage:  # scores of shards that come out as they were are kept
            say(f"{damage.path}: {damage.what}; writing the pool again")
    fresh, unread = Fresh(), left_out(str(wanted.pool), KEYS.path)
    pool_shards.write_pool(
        fresh.documents(_texts(wanted, files)), where, n_shards, made_by, fresh.counts, unread
    )
    say(f"{where.pool}: {n_shards} shards of the pool, {fresh.counts}")


def _texts(wanted: FilterRequest, files: list[Path]) -> Iterator[Text]:
    """Yield the pool's texts, each with its file's path in the pool as its source."""
    root = wanted.pool if wanted.pool.is_dir() else wanted.pool.parent
    for path in files:
        one = wanted.source.model_copy(update={"path": str(path)})
        for text in file_texts(one, KEYS):
            yield text._replace(source=path.relative_to(root).as_posix())


def check_early(selection: FilterSelection, where: FilterPaths) -> None:
    """Reject what the pool cannot hold before scoring: a token has at least one byte."""
    shards = read_manifest(where.pool_manifest, pool_shards.KIND)["shards"]
    documents, n_bytes = (sum(shard[key] for shard in shards) for key in ("documents", "bytes"))
    amount = Amount(tokens=selection.budget_tokens, count=selection.count)
    check_amount(amount, n_bytes, documents, AMOUNT_KEYS, unit="bytes of text")


def requested_amount(selection: FilterSelection, where: FilterPaths) -> Amount:
    """Return how much of a scored pool is taken.

    Raises
    ------
    PlanError
        If the pool holds less.
    """
    if selection.percentile is not None:
        scores = (table[COLUMN].to_numpy() for table in read_scores(where, [COLUMN]))
        return Amount(above=percentile_of(scores, selection.percentile))
    amount = Amount(tokens=selection.budget_tokens, count=selection.count)
    documents, tokens = corpus.pool_size(where)
    check_amount(amount, tokens, documents, AMOUNT_KEYS)
    return amount

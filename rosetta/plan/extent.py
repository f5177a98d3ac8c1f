"""How much text a run reads, and how many images: counted once they are there, before estimated.

A plan is made for what is expected, and a cluster is asked for what the text can take at most.
Light, because Snakemake asks while it plans; only sources whose size is not given are looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rosetta.config import Config, Corpus
from rosetta.config.filtering import Filtering
from rosetta.errors import StoreError
from rosetta.models.known_sizes import tokenizing_bytes
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import read_manifest

if TYPE_CHECKING:
    from rosetta.inputs.text.size import CorpusSize

BYTES_PER_TOKEN = 3.0  # of mixed text and code under a byte-level BPE; for the estimate only
# What a run is planned for where the size of its corpus or pool is not known, in tokens.
REFERENCE_POSITIONS = 1_000_000
UNKNOWN_SHARE = 0.1  # of a pool that a filter takes, where nothing tells how large the target is
# What a cluster is asked for where it is not known.
UNKNOWN_DOCUMENTS = 10_000
UNKNOWN_POOL = 300_000_000  # tokens
UNKNOWN_IMAGES = 50_000  # of a source, over all splits
SHORTER = 2  # documents may be so many times shorter than estimated, and as many times more


@dataclass(frozen=True)
class Extent:
    """How much text a run reads.

    Attributes
    ----------
    positions : int
        Of each model on the match split.
    tokenizing : float
        Bytes of memory that tokenizing the longest document takes.
    corpus_bytes, pool_bytes : float or None
        Text of the whole corpus, and of the filter's pool; None if not known.
    pool_tokens, selected_tokens : float
        Tokens of the filter's pool, and of one selection from it; 0 without a filter.
    heldout_tokens : float
        Tokens of the split `heldout`; 0 where the corpus's size is not known.
    images, generated : int
        Images of the match split, and of every generator.
    """

    positions: int = 0
    tokenizing: float = 0.0
    corpus_bytes: float | None = None
    pool_bytes: float | None = None
    pool_tokens: float = 0.0
    selected_tokens: float = 0.0
    heldout_tokens: float = 0.0
    images: int = 0
    generated: int = 0


def expected_extent(config: Config, paths: Paths) -> tuple[Extent, str, list[str]]:
    """Return how much text a run is expected to read.

    Returns
    -------
    extent : Extent
        The estimate.
    said : str
        For how many positions a plan is made, and how that is known.
    notes : list of str
        What is assumed of the filter's pool.

    Raises
    ------
    CorpusError
        If a local file cannot be read.
    """
    images, of_images = _images(config, paths)
    if "text" not in config.modalities:
        return images, of_images, []
    match, corpus_bytes, origin = _expected_match(config, paths)
    positions, said = _expected_positions(config, match, origin)
    pool_bytes, pool_tokens, selected, notes = None, 0.0, 0.0, []
    if config.filtering:
        pool_bytes = _pool_bytes(config, corpus_bytes)
        pool_tokens = REFERENCE_POSITIONS if pool_bytes is None else pool_bytes / BYTES_PER_TOKEN
        selected, notes = _expected_selection(config.filtering, pool_bytes, pool_tokens)
    extent = Extent(
        positions=positions,
        tokenizing=tokenizing_bytes(config, paths),
        corpus_bytes=corpus_bytes,
        pool_bytes=pool_bytes,
        pool_tokens=pool_tokens,
        selected_tokens=selected,
        heldout_tokens=(corpus_bytes or 0) * config.corpus.splits.heldout / BYTES_PER_TOKEN,
        images=images.images,
        generated=images.generated,
    )
    return extent, "\n".join(filter(None, [said, of_images])), notes


def _images(config: Config, paths: Paths) -> tuple[Extent, str]:
    """Return how many images a run sees, alone, and a line that says so; empty without any."""
    if "images" not in config.modalities:
        return Extent(), ""
    generated = config.images.generated.n_images if _generates(config) else 0
    drawn, known = _drawn(config, paths) if config.draws_images else (0, True)
    shown = [f"{generated:,} per generator"] if generated else []
    shown += [f"{drawn:,} of the source" + ("" if known else ", assumed")] if drawn else []
    return Extent(images=drawn, generated=generated), f"images: {', '.join(shown)}"


def _generates(config: Config) -> bool:
    return any(map(config.is_generator, config.used_models("images")))


def _drawn(config: Config, paths: Paths) -> tuple[int, bool]:
    """Return the images of the match split, and whether their number is known."""
    most = config.activations.max_images
    try:
        manifest = read_manifest(paths.image_set("match"), "images")
    except StoreError:
        manifest = {}
    if manifest.get("made_by") == made_by(config, "images"):
        n_images, known = manifest["holds"]["n_images"], True
    else:
        from rosetta.inputs.images.inspection import count_images  # needs Pillow

        place = getattr(config.images.source, "path", None)
        whole = count_images(config.images) if place is None or Path(place).exists() else None
        known = whole is not None
        n_images = round((whole or UNKNOWN_IMAGES) * config.images.splits.match)
    return (n_images if most is None else min(n_images, most)), known or most is not None


def largest_extent(config: Config, paths: Paths) -> Extent:
    """Return how much text a run reads at most: whole sequences, and a token per byte of a pool.

    Raises
    ------
    CorpusError
        If a local file cannot be read.
    """
    images, _ = _images(config, paths)
    if "text" not in config.modalities:
        return images
    built = _built_splits(config, paths)
    if built:
        corpus_bytes = sum(split["bytes"] for split in built.values())
    else:
        corpus_bytes = _estimated(config.corpus).n_bytes if config.filtering else None
    pool_bytes, pool_tokens, selected = None, 0.0, 0.0
    if config.filtering:
        pool_bytes = _pool_bytes(config, corpus_bytes)
        if built and config.filtering.pool.source is None:
            pool_bytes = built["pool"]["bytes"]
        pool_tokens = UNKNOWN_POOL if pool_bytes is None else pool_bytes
        share = config.filtering.pool.target_share or 1.0
        chosen = config.filtering.selection.budget_tokens
        selected = share * pool_tokens if chosen is None else chosen
    return Extent(
        positions=_most_documents(config, built) * config.activations.sequence_length,
        tokenizing=tokenizing_bytes(config, paths),
        corpus_bytes=corpus_bytes,
        pool_bytes=pool_bytes,
        pool_tokens=pool_tokens,
        selected_tokens=selected,
        heldout_tokens=(corpus_bytes or 0) * config.corpus.splits.heldout,
        images=images.images,
        generated=images.generated,
    )


def _built_splits(config: Config, paths: Paths) -> dict[str, Any]:
    """Return what the splits of the built corpus hold; nothing if it is not there, or another's."""
    try:
        manifest = read_manifest(paths.corpus_manifest, "corpus")
    except StoreError:
        return {}
    return manifest["splits"] if manifest.get("made_by") == made_by(config, "corpus") else {}


def _estimated(corpus: Corpus) -> CorpusSize:
    """Return the estimated size of a corpus, once per process: it reads a sample of local files."""
    return _estimated_once(corpus.model_dump_json())


@lru_cache(maxsize=8)
def _estimated_once(corpus: str) -> CorpusSize:
    from rosetta.inputs.text.size import estimate_size  # needs pyarrow

    return estimate_size(Corpus.model_validate_json(corpus))


def _pool_bytes(config: Config, corpus_bytes: float | None) -> float | None:
    """Return the text of the filter's pool: its own source's, or its split's of the corpus."""
    assert config.filtering is not None, "there is a pool only with a filter"
    source = config.filtering.pool.source
    if source is None:
        return None if corpus_bytes is None else corpus_bytes * config.corpus.splits.pool
    changed = {"source": source, "max_documents": None}
    return _estimated(config.corpus.model_copy(update=changed)).n_bytes


def _most_documents(config: Config, built: dict[str, Any]) -> int:
    sampling, limit = config.corpus.sampling, config.activations.max_documents
    limits = [n for n in (sampling and sampling.max_sequences, limit) if n is not None]
    if built:
        return min(built["match"]["documents"], *limits) if limits else built["match"]["documents"]
    if limits:
        return min(limits)
    expected = _split_size(config, _estimated(config.corpus)).n_documents
    return UNKNOWN_DOCUMENTS if expected is None else math.ceil(SHORTER * expected)


def _split_size(config: Config, whole: CorpusSize) -> CorpusSize:
    """Return the size of the match split of a corpus that is not built."""
    from rosetta.inputs.text.size import CorpusSize, sampled_size  # needs pyarrow

    n = None if whole.n_documents is None else whole.n_documents * config.corpus.splits.match
    return sampled_size(CorpusSize(n, whole.document_bytes), config.corpus)


def _expected_match(config: Config, paths: Paths) -> tuple[CorpusSize, float | None, str]:
    """Return the size of the match split, the bytes of the corpus, and how both are known."""
    from rosetta.inputs.text.size import CorpusSize  # needs pyarrow

    splits = _built_splits(config, paths)
    if splits:
        n_documents, n_bytes = splits["match"]["documents"], splits["match"]["bytes"]
        corpus_bytes = sum(split["bytes"] for split in splits.values())
        origin = f"from {paths.corpus_manifest.parent}"
        return CorpusSize(n_documents, n_bytes / n_documents), corpus_bytes, origin
    whole = _estimated(config.corpus)
    path = getattr(config.corpus.source, "path", None)
    built = path is None or Path(path).exists()
    why = "the corpus is not built yet" if built else f"there is no {path} yet"
    return _split_size(config, whole), whole.n_bytes, f"estimated; {why}"


def _expected_positions(config: Config, match: CorpusSize, origin: str) -> tuple[int, str]:
    """Return the number of positions per model, and a line that says how it was found."""
    length = config.activations.sequence_length
    known = [n for n in (match.n_documents, config.activations.max_documents) if n is not None]
    if not known:
        return REFERENCE_POSITIONS, (
            f"positions: NOT KNOWN ({origin}; "
            "its source does not tell its size before it is read).\n"
            f"FLOPs, disk and minutes are those of {REFERENCE_POSITIONS:,} positions per model; "
            "what activations and\ncorrelation take grows in proportion. Set "
            "activations.max_documents, or corpus.sampling.max_sequences,\n"
            "for a plan of the whole run."
        )
    sampling = config.corpus.sampling
    if sampling and sampling.tokenizer:
        tokens: float = length
    elif match.document_bytes is None:
        tokens = length
        origin = f"{origin}; as if every document had activations.sequence_length tokens or more"
    else:
        tokens = min(length, match.document_bytes / BYTES_PER_TOKEN)
    positions = math.ceil(min(known) * tokens)
    return positions, f"positions: {positions:,} per model, {origin}"


def _expected_selection(
    filtering: Filtering,
    pool_bytes: float | None,
    pool_tokens: float,
) -> tuple[float, list[str]]:
    """Return the tokens of a selection from the pool, and what is assumed for them."""
    notes = []
    if pool_bytes is None:
        planned = f"planned for {REFERENCE_POSITIONS:,} tokens of it"
        notes.append(f"filtering: the size of its pool is not known; {planned}")
    selected = filtering.selection.budget_tokens
    if selected is None:
        share = filtering.pool.target_share or UNKNOWN_SHARE
        selected = math.ceil(share * pool_tokens)
        planned = f"planned for {selected:,} selected tokens"
        notes.append(f"filtering: {planned}, {share:.0%} of the pool")
    return selected, notes

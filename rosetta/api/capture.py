"""Capturing the activations of a model in memory on any texts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rosetta.activations.capture import capture_shard
from rosetta.activations.folders import open_store
from rosetta.activations.layout import KIND
from rosetta.api.arguments import as_flag, as_float, as_int, as_path, as_text
from rosetta.api.in_memory import (
    ModelInMemory,
    check_model,
    documents_of,
    evaluating,
    own_tokenizer,
    weights_digest,
)
from rosetta.api.store import ModelStore
from rosetta.config import Activations
from rosetta.config.arguments import checked
from rosetta.errors import ConfigError, StoreError, naming_files, renaming_keys
from rosetta.inputs.text.build import shard_bounds
from rosetta.models.architectures.text import text_config
from rosetta.models.tokenizers import tokenizer_digest
from rosetta.progress import say
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import digest_json
from rosetta.storage.manifests import read_manifest
from rosetta.storage.names import digest_path

SEQUENCE_LENGTH = Activations().sequence_length


def capture(
    model: Any,
    tokenizer: Any,
    texts: Iterable[str],
    folder: str | Path,
    *,
    name: str | None = None,
    n_shards: int = 1,
    sequence_length: int | None = None,
    batch_size: int = 16,
    dtype: Literal["float16", "float32", "bfloat16"] = "float16",
    max_left_out: float = 0.05,
    overwrite: bool = False,
) -> ModelStore:
    """Capture the activations of all MLP neurons of a model on texts.

    One forward pass per batch of texts, on the device where the model is. The stores are those that
    `rosetta activations` writes. Two models can be correlated if they were captured on the same
    texts in the same order, with the same `n_shards`. Shards that an earlier, equal call has
    written are kept.

    Parameters
    ----------
    model : PreTrainedModel
        A causal language model of transformers, of a supported architecture. It runs in evaluation
        mode and is given back as it was.
    tokenizer : PreTrainedTokenizerFast or tokenizers.Tokenizer
        Its fast tokenizer.
    texts : iterable of str
        The documents, each once.
    folder : str or Path
        Where the stores go.
    name : str, optional
        The model's name in results; the folder's name if not given.
    n_shards : int
        Stores to spread the texts over.
    sequence_length : int, optional
        Tokens read from the start of each text; if not given 1024, or the model's context if that
        is shorter.
    batch_size : int
        Texts per forward pass.
    dtype : {'float16', 'float32', 'bfloat16'}
        Precision of the stores.
    max_left_out : float
        Share of a shard's texts that may be left out because their tokens do not rebuild them.
    overwrite : bool
        Whether stores of another capture that lie in the folder are deleted first.

    Returns
    -------
    ModelStore
        The stores, opened.

    Raises
    ------
    ConfigError
        If an argument is of another kind or out of range.
    CorpusError
        If there is no text, or a text is not a string, has no UTF-8 form, or is there twice.
    ModelError
        If the model is not loaded or its architecture not supported, the tokenizer is not the
        model's or not a fast one, or texts cannot be rebuilt from their tokens.
    StoreError
        If the folder holds stores of another capture, or an activation is not finite in `dtype`.
    """
    folder = as_path("folder", folder)
    place = folder.resolve().name if name is None else as_text("name", name, "a name", "Give one")
    as_flag("overwrite", overwrite)
    own = own_tokenizer(tokenizer, place)
    check_model(model, own, place)
    documents = documents_of(texts)
    settings = _settings(model, n_shards, sequence_length, batch_size, dtype, max_left_out)
    if settings.n_shards > len(documents):
        raise ConfigError(
            f"n_shards: {n_shards} shards need as many texts, and there are {len(documents)}. "
            "Give fewer shards."
        )
    inputs = ModelInMemory(
        model, own, place, int(batch_size), [], _made_by(model, own, place, documents, settings)
    )
    with naming_files(), renaming_keys({"activations.": ""}), evaluating(model):
        _check_folder(folder, inputs.made_by, overwrite)
        for shard in range(settings.n_shards):
            path = folder / f"{shard}.json"
            low, high = shard_bounds(len(documents), settings.n_shards, shard)
            if not _is_captured(path):
                capture_shard(replace(inputs, documents=documents[low:high]), settings, path, shard)
        return ModelStore(folder)


def _settings(
    model: Any,
    n_shards: int,
    sequence_length: int | None,
    batch_size: int,
    dtype: str,
    max_left_out: float,
) -> Activations:
    if sequence_length is None:
        context = getattr(text_config(model.config), "max_position_embeddings", None)
        sequence_length = min(SEQUENCE_LENGTH, context or SEQUENCE_LENGTH)
    values = {
        "n_shards": as_int("n_shards", n_shards),
        "sequence_length": as_int("sequence_length", sequence_length),
        "batch_size": as_int("batch_size", batch_size),
        "dtype": dtype,
        "max_left_out": as_float("max_left_out", max_left_out),
    }
    return checked(Activations, values)


def _made_by(
    model: Any,
    tokenizer: Any,
    place: str,
    documents: Sequence[tuple[int, str]],
    settings: Activations,
) -> dict[str, Any]:
    return {
        "model": place,
        "config": digest_json(model.config.to_dict()),
        "weights": weights_digest(model),
        "tokenizer": tokenizer_digest(tokenizer),
        "texts": digest_json([id_ for id_, _ in documents]),
        "activations": settings.model_dump(
            mode="json", exclude={"keep", "max_documents", "max_left_out"}
        ),
    }


def _check_folder(folder: Path, made_by: dict[str, Any], overwrite: bool) -> None:
    """Check that stores in the folder are of this capture, or delete those of another."""
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"folder: {folder} is a file. Give a folder.")
    found = [path for path in sorted(folder.glob("*.json")) if not path.name.startswith(".")]
    others = [path for path in found if read_manifest(path, KIND)["made_by"] != made_by]
    if others and not overwrite:
        raise StoreError(
            f"{others[0]}: is of another capture: the model, the texts or a setting differ. Give "
            "overwrite=True to delete it, or another folder."
        )
    for path in others:
        path.unlink()
        digest_path(path).unlink(missing_ok=True)
        shutil.rmtree(path.with_suffix(".zarr"), ignore_errors=True)


def _is_captured(path: Path) -> bool:
    """Tell whether an earlier call has captured a shard; one that is damaged is captured again."""
    if not path.exists():
        return False
    try:
        open_store(path)
    except DamageError as damage:
        say(f"{damage.path}: {damage.what}; capturing it again")
        return False
    return True

"""Checks of local model folders that need no deep-learning library: made before any job starts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from rosetta.errors import ModelError
from rosetta.models.neurons import NeuronShape, architecture_of, neuron_shape

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")


def check_model_folder(
    folder: Path, key: str, sequence_length: int = 0, length_key: str = "activations.sequence_length"
) -> None:
    """Check that a folder holds a supported model in Hugging Face format.

    Parameters
    ----------
    folder : Path
        The folder.
    key : str
        What the message names as the culprit, for example ``models.mine.path``.
    sequence_length : int
        Tokens that the model will be given.
    length_key : str
        Where that number is said.

    Raises
    ------
    ModelError
        If the folder, its configuration, its safetensors weights or its tokenizer is missing, or its
        architecture is not supported, needs remote code, or reads fewer tokens.
    """
    place = f"{key}: {folder}"
    if not folder.is_dir():
        raise ModelError(f"{place} is not a folder. Give a folder in Hugging Face format.")
    config = _read_json(folder / "config.json", place)
    if "auto_map" in config and config.get("model_type") is None:
        raise ModelError(f"{place} needs code of its own, which is never run. Use an architecture of transformers.")
    architecture_of(config.get("model_type"), place)
    context = next((config[name] for name in ("max_position_embeddings", "n_positions") if name in config), None)
    if context and sequence_length > context:
        raise ModelError(f"{place} reads {context} tokens; lower {length_key} ({sequence_length}).")
    _check_weights(folder, place)
    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise ModelError(f"{place} has no tokenizer ({', '.join(_TOKENIZER_FILES)}). Save the tokenizer there.")


def folder_shape(folder: Path, key: str) -> NeuronShape | None:
    """Return the neuron counts of a model folder, or None if its configuration file does not tell them."""
    place = f"{key}: {folder}"
    content = SimpleNamespace(**_read_json(folder / "config.json", place))
    try:
        return neuron_shape(content, place)
    except (AttributeError, TypeError, ValueError):
        return None


def model_files(folder: Path) -> list[Path]:
    """Return the files of a model folder that make the model what it is: configuration, weights, tokenizer."""
    return sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".model", ".txt"))


def _read_json(path: Path, place: str) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{place} has no {path.name}. Give a folder in Hugging Face format.") from None
    except (ValueError, OSError) as error:
        raise ModelError(f"{place}: {path.name} cannot be read ({error}).") from None
    if not isinstance(content, dict):
        raise ModelError(f"{place}: {path.name} is not a JSON object.")
    return content


def _check_weights(folder: Path, place: str) -> None:
    index = folder / "model.safetensors.index.json"
    if index.exists():
        needed = set(_read_json(index, place).get("weight_map", {}).values())
        missing = sorted(name for name in needed if not (folder / name).exists())
        if missing:
            raise ModelError(f"{place} lacks {missing[0]}, which {index.name} names. Complete the download.")
    elif not (folder / "model.safetensors").exists():
        raise ModelError(
            f"{place} has no model.safetensors. Weights are read from safetensors only: convert them with "
            "save_pretrained(folder)."
        )

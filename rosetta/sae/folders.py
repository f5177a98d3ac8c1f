"""What the JSON file beside an autoencoder's weights tells: light, for the checks before a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rosetta.errors import ModelError

LENS, LENS_WEIGHTS = "cfg.json", "sae_weights.safetensors"  # of SAELens
LEARNT, LEARNT_WEIGHTS = "config.json", "ae.pt"  # of dictionary_learning
ARCHITECTURES = ("standard", "topk", "jumprelu")
LEARNT_CLASS = "AutoEncoderTopK"


def part_folders(folder: Path, per: str, n_layers: int) -> list[Path]:
    """Return the folders of a model's autoencoders: of all layers, or one per layer."""
    return [folder] if per == "model" else [folder / str(layer) for layer in range(n_layers)]


def weight_files(folder: Path) -> list[Path]:
    """Return the files of a user's autoencoders, also of one per layer."""
    names = {LENS, LENS_WEIGHTS, LEARNT, LEARNT_WEIGHTS}
    found = (path for pattern in ("*", "*/*") for path in folder.glob(pattern))
    return sorted(path for path in found if path.name in names and path.is_file())


def stated_size(folder: Path, key: str) -> tuple[int, int]:
    """Return how many inputs and features the autoencoder in a folder has, by its JSON file.

    Raises
    ------
    ModelError
        If the folder is in neither format, or in a form of it that is not read.
    """
    if (folder / LENS).is_file():
        facts = lens_facts(folder, key)
        return facts["d_in"], facts["d_sae"]
    facts = learnt_facts(folder, key)
    return facts["activation_dim"], facts["dict_size"]


def check_inputs(folder: Path, d_in: int, key: str) -> None:
    """Check that the autoencoder in a folder reads so many neurons, by its JSON file.

    Raises
    ------
    ModelError
        If it reads another number, or as `stated_size`.
    """
    found, _ = stated_size(folder, key)
    if found != d_in:
        raise ModelError(
            f"{key}: the autoencoder in {folder} reads {found} inputs, but there are {d_in} "
            "neurons to read. Set sae.per to what it was trained on, or give another."
        )


def lens_facts(folder: Path, key: str) -> dict[str, Any]:
    """Return what SAELens tells of an autoencoder: architecture, d_in, d_sae, k,
    apply_b_dec_to_input.

    Raises
    ------
    ModelError
        If a key is missing or wrong, or asks for what is not done here.
    """
    path = folder / LENS
    told = _json(path, key)
    kind = told.get("architecture", "standard")
    function = told.get("activation_fn_str", told.get("activation_fn", "relu"))
    if kind == "standard" and function == "topk":  # as earlier versions wrote it
        kind = "topk"
        told["k"] = (told.get("activation_fn_kwargs") or {}).get("k")
    if kind not in ARCHITECTURES:
        raise ModelError(
            f"{key}: {path}: architecture is {kind!r}; these are read: {', '.join(ARCHITECTURES)}."
        )
    for name in ("normalize_activations", "reshape_activations"):
        if told.get(name) not in (None, "none"):
            raise ModelError(
                f"{key}: {path}: {name} is {told[name]!r}, which is not done here. Fold it into "
                "the weights, and set it to none."
            )
    if told.get("rescale_acts_by_decoder_norm"):
        raise ModelError(
            f"{key}: {path}: rescale_acts_by_decoder_norm is true, which is not done here. Fold "
            "the norms into the weights, and set it to false."
        )
    _check_counts(told, ("d_in", "d_sae", *(("k",) if kind == "topk" else ())), path, key)
    subtracted = told.get("apply_b_dec_to_input", True)
    if not isinstance(subtracted, bool):
        raise ModelError(
            f"{key}: {path}: apply_b_dec_to_input is {subtracted!r}, not true or false."
        )
    return {**told, "architecture": kind, "apply_b_dec_to_input": subtracted}


def learnt_facts(folder: Path, key: str) -> dict[str, Any]:
    """Return what dictionary_learning tells of an autoencoder: activation_dim, dict_size, k.

    Raises
    ------
    ModelError
        If there is no such file, a key is missing or wrong, or it is of another class.
    """
    path = folder / LEARNT
    if not path.is_file():
        raise ModelError(
            f"{key}: {folder} has neither {LENS} of SAELens nor {LEARNT} of dictionary_learning. "
            "Name the folder with an autoencoder."
        )
    told = _json(path, key).get("trainer")
    if not isinstance(told, dict) or told.get("dict_class") != LEARNT_CLASS:
        found = told.get("dict_class") if isinstance(told, dict) else None
        raise ModelError(
            f"{key}: {path}: trainer.dict_class is {found!r}; of dictionary_learning, "
            f"{LEARNT_CLASS} is read."
        )
    _check_counts(told, ("activation_dim", "dict_size", "k"), path, key)
    return told


def _json(path: Path, key: str) -> dict[str, Any]:
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, OSError):
        told = None
    if not isinstance(told, dict):
        raise ModelError(f"{key}: {path} is no JSON object. Save the autoencoder again.")
    return told


def _check_counts(told: dict[str, Any], names: tuple[str, ...], path: Path, key: str) -> None:
    for name in names:
        value = told.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ModelError(f"{key}: {path}: {name} is {value!r}, not a whole number above 0.")

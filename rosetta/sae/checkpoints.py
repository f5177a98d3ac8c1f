"""Folders of trained autoencoders: those of SAELens and dictionary_learning, and this run's own.

Both formats are a JSON file and named arrays. What is read of them stands in docs/sae.md. This
program writes SAELens's.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rosetta.errors import ModelError, brief
from rosetta.sae.dictionary import Dictionary
from rosetta.sae.folders import (
    LEARNT_WEIGHTS,
    LENS,
    LENS_WEIGHTS,
    learnt_facts,
    lens_facts,
)


def save_dictionary(dictionary: Dictionary, folder: Path) -> None:
    """Write a dictionary into a new folder, in the format of SAELens."""
    folder.mkdir(parents=True)
    facts: dict[str, Any] = {
        "architecture": dictionary.kind,
        "d_in": dictionary.d_in,
        "d_sae": dictionary.n_features,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": dictionary.centred,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {},
    }
    weights = {
        "W_enc": dictionary.encoder.T.contiguous(),
        "b_enc": dictionary.encoder_bias,
        "W_dec": dictionary.decoder.contiguous(),
        "b_dec": dictionary.decoder_bias,
    }
    if dictionary.k is not None:
        facts["k"] = dictionary.k
    if dictionary.threshold is not None:
        weights["threshold"] = dictionary.threshold
    (folder / LENS).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    save_file(weights, folder / LENS_WEIGHTS)


def load_dictionary(folder: Path, key: str) -> Dictionary:
    """Return the autoencoder in a folder.

    Parameters
    ----------
    folder : Path
        A folder in one of the formats.
    key : str
        What messages name as the culprit.

    Raises
    ------
    ModelError
        If it is in neither format, lacks an array, or one has another shape than the others.
    """
    if (folder / LENS).is_file():
        return _from_lens(folder, lens_facts(folder, key), key)
    return _from_learnt(folder, learnt_facts(folder, key), key)


def _from_lens(folder: Path, facts: dict[str, Any], key: str) -> Dictionary:
    path = folder / LENS_WEIGHTS
    try:
        arrays = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{key}: {path} cannot be read ({brief(error)}). Save it again.") from None
    kind, d, n = facts["architecture"], facts["d_in"], facts["d_sae"]
    shapes = {"W_enc": (d, n), "b_enc": (n,), "W_dec": (n, d), "b_dec": (d,)}
    if kind == "jumprelu":
        shapes["threshold"] = (n,)
    if kind == "topk" and "b_enc" not in arrays:
        arrays["b_enc"] = torch.zeros(n)
    found = _checked(arrays, shapes, path, key)
    return Dictionary(
        found["W_enc"].T.contiguous(),
        found["b_enc"],
        found["W_dec"],
        found["b_dec"],
        centred=facts["apply_b_dec_to_input"],
        k=facts["k"] if kind == "topk" else None,
        threshold=found.get("threshold"),
    )


def _from_learnt(folder: Path, facts: dict[str, Any], key: str) -> Dictionary:
    path = folder / LEARNT_WEIGHTS
    try:
        arrays = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # a pickle that is no table of arrays fails in many ways
        raise ModelError(
            f"{key}: {path} is not a file of arrays alone ({brief(error)}). Save its state_dict."
        ) from None
    d, n = facts["activation_dim"], facts["dict_size"]
    shapes = {
        "encoder.weight": (n, d),
        "encoder.bias": (n,),
        "decoder.weight": (d, n),
        "b_dec": (d,),
    }
    found = _checked(arrays, shapes, path, key)
    return Dictionary(
        found["encoder.weight"],
        found["encoder.bias"],
        found["decoder.weight"].T.contiguous(),
        found["b_dec"],
        centred=True,
        k=facts["k"],
    )


def _checked(
    arrays: Any, shapes: dict[str, tuple[int, ...]], path: Path, key: str
) -> dict[str, torch.Tensor]:
    """Return the wanted arrays in float32, once they are there, of these shapes and finite."""
    if not isinstance(arrays, dict):
        raise ModelError(f"{key}: {path} holds no arrays by name. Save the state_dict.")
    found = {}
    for name, shape in shapes.items():
        array = arrays.get(name)
        if not isinstance(array, torch.Tensor):
            there = ", ".join(map(str, arrays)) or "nothing"
            raise ModelError(f"{key}: {path} has no array {name}; it has {there}.")
        if tuple(array.shape) != shape:
            raise ModelError(
                f"{key}: {path}: {name} has the shape {tuple(array.shape)}, but should have "
                f"{shape} by the configuration beside it."
            )
        if not bool(torch.isfinite(array).all()):
            raise ModelError(f"{key}: {path}: {name} holds non-finite values. Save it again.")
        found[name] = array.float().contiguous()
    return found

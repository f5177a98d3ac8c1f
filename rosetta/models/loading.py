"""Loading models and tokenizers from folders, the hub, or nothing but a configuration and a seed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from rosetta.errors import ModelError
from rosetta.files import digest_bytes, digest_folder, digest_json, write_manifest
from rosetta.models.folders import check_model_folder
from rosetta.models.hub import MEND, check_safetensors
from rosetta.models.neurons import NeuronShape, down_projections, neuron_shape, text_config
from rosetta.models.sources import KIND, ModelSource

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def load_config_of(source: ModelSource) -> Any:
    """Return the transformers configuration of a model.

    Raises
    ------
    ModelError
        If it cannot be read or its architecture is not supported.
    """
    try:
        config = AutoConfig.from_pretrained(source.location, revision=source.revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"models.{source.name}: cannot load {source.location} ({_brief(error)}).") from None
    neuron_shape(config, f"models.{source.name}")
    return config


def check_context(config: Any, sequence_length: int, key: str) -> None:
    """Check that a model of a transformers configuration reads so many tokens; `key` says where that number is given.

    Raises
    ------
    ModelError
        If it reads fewer.
    """
    context = getattr(text_config(config), "max_position_embeddings", None)
    if context and sequence_length > context:
        raise ModelError(f"{key}: the model reads {context} tokens; lower {sequence_length}.")


def load_tokenizer(source: ModelSource) -> Any:
    """Return the fast tokenizer of a model.

    Raises
    ------
    ModelError
        If it cannot be loaded or is not a fast tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.location, revision=source.revision, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"models.{source.name}: cannot load the tokenizer ({_brief(error)}).") from None
    if not tokenizer.is_fast:
        raise ModelError(f"models.{source.name}: its tokenizer has no fast version (tokenizer.json). Convert it.")
    return tokenizer


def load_model(source: ModelSource) -> Any:
    """Return a causal language model in evaluation mode, from safetensors or a seed.

    Raises
    ------
    ModelError
        If weights are missing, do not fit the configuration, or would need remote code.
    """
    dtype = getattr(torch, source.dtype)
    config = load_config_of(source)
    if source.untrained_seed is not None:
        torch.manual_seed(source.untrained_seed)
        return AutoModelForCausalLM.from_config(config, dtype=dtype, trust_remote_code=False).eval()
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            source.location,
            revision=source.revision,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        mend = "" if source.revision is None else f" {MEND}"
        raise ModelError(
            f"models.{source.name}: cannot load the weights of {source.location} ({_brief(error)}).{mend}"
        ) from None
    missing = sorted(info["missing_keys"]) + sorted(str(key[0]) for key in info.get("mismatched_keys", ()))
    if missing:
        raise ModelError(f"models.{source.name}: the weights of {source.location} lack or misfit {missing[0]}.")
    return model.eval()


def best_device() -> torch.device:
    """Return where a model runs fastest: the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def count_parameters(config: Any) -> int:
    """Return the number of parameters that a configuration implies, without allocating them."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return sum(parameter.numel() for parameter in model.parameters())


def write_model_manifest(source: ModelSource, path: Path, made_by: dict, training: dict | None = None) -> NeuronShape:
    """Check a model end to end and write its manifest: identity, sizes, digests of weights and tokenizer."""
    if source.revision is None:
        check_model_folder(Path(source.location), f"models.{source.name}")
    elif source.untrained_seed is None:
        check_safetensors(source.location, source.revision, f"models.{source.name}")
    config = load_config_of(source)
    shape = neuron_shape(config, f"models.{source.name}")
    tokenizer = load_tokenizer(source)
    with torch.device("meta"):
        down_projections(AutoModelForCausalLM.from_config(config), f"models.{source.name}")
    content = {
        "kind": KIND,
        "made_by": made_by,
        "source": asdict(source),
        "architecture": config.model_type,
        "n_layers": shape.n_layers,
        "d_mlp": shape.d_mlp,
        "n_neurons": shape.n_neurons,
        "n_parameters": count_parameters(config),
        "vocab_size": len(tokenizer),
        "weights": _weights_identity(source, config),
        "tokenizer": digest_bytes(tokenizer.backend_tokenizer.to_str().encode()),
        "training": training,
    }
    write_manifest(path, content)
    return shape


def check_weights(source: ModelSource, manifest: dict) -> None:
    """Check that a model is still the one that its manifest describes.

    Raises
    ------
    ModelError
        If its weights were replaced since.
    """
    if _weights_identity(source, load_config_of(source)) != manifest["weights"]:
        raise ModelError(
            f"models.{source.name}: the weights of {source.location} are not those that its manifest describes. "
            "Run the workflow again, so that everything made from the old ones is made anew."
        )


def _weights_identity(source: ModelSource, config: Any) -> str:
    if source.untrained_seed is not None:
        return f"untrained {source.untrained_seed} of {digest_json(config.to_dict())} by torch {torch.__version__}"
    if source.revision is not None:
        return f"{source.location}@{getattr(config, '_commit_hash', None) or source.revision}"
    return digest_folder(Path(source.location), "*.safetensors")


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"

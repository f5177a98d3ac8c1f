"""Loading models from folders, the hub, or nothing but a configuration and a seed."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import dispatch_model, infer_auto_device_map
from accelerate.utils import get_balanced_memory
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForCausalLM

from rosetta.errors import ModelError, brief
from rosetta.models.batches import check_length_limits
from rosetta.models.devices import CPU
from rosetta.models.fit import check_fit
from rosetta.models.folders import check_model_folder, check_plain, stale_index, weight_files
from rosetta.models.hub import MEND, check_safetensors
from rosetta.models.licences import licence_of
from rosetta.models.neurons import NeuronShape, neuron_shape, text_config
from rosetta.models.sites import neuron_sites
from rosetta.models.sources import KIND, ModelSource, check_model, describe_model
from rosetta.models.tokenizers import check_vocabulary, load_tokenizer, tokenizer_facts
from rosetta.progress import say
from rosetta.storage.digests import digest_folder, digest_json
from rosetta.storage.manifests import read_manifest, write_manifest

transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def load_config_of(source: ModelSource) -> Any:
    """Return the transformers configuration of a model.

    Raises
    ------
    ModelError
        If it cannot be read, its architecture is not supported, or its LongRoPE has no limit.
    """
    try:
        config = AutoConfig.from_pretrained(source.location, revision=source.revision, trust_remote_code=False)
    except Exception as error:  # transformers and tokenizers raise many kinds, plain ones among them
        raise ModelError(f"{source.place}: cannot load {source.location} ({brief(error)}).{_mend(source)}") from None
    check_plain(config.to_dict(), source.place)
    check_length_limits(config, source.place)
    neuron_shape(config, source.place)
    return config


def _mend(source: ModelSource) -> str:
    """Return what to do about a configuration that cannot be read; a folder's own error says what is wrong with it."""
    return " Check id, revision and the network; gated models need `hf auth login`." if source.revision else ""


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


NO_ROOM = (
    "fits by its size, but not as its layers can be shared out. Give a little more: devices.n_gpus, gpu_memory_gb, "
    "cpu_memory_gb."
)
Where = torch.device | dict[int | str, int]


def load_model(source: ModelSource, where: Where = CPU) -> Any:
    """Return a causal language model in evaluation mode, from safetensors or a seed.

    Parameters
    ----------
    source : ModelSource
        The model.
    where : device, or dict of {int or 'cpu': int}
        The device that takes it whole; or how many bytes of its weights lie on which GPU and in main memory, and
        then accelerate splits it between them, and leaves the rest on disk.

    Raises
    ------
    ModelError
        If weights are missing, do not fit the configuration, or would need remote code.
    """
    config = load_config_of(source)
    if source.untrained_seed is not None:
        torch.manual_seed(source.untrained_seed)
        model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, source.dtype), trust_remote_code=False)
        return (model.to(where) if isinstance(where, torch.device) else _dispatched(model, where, source.place)).eval()
    model, info = _pretrained(source, where)
    check_fit(info, f"{source.place}: the weights of {source.location}")
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"{source.place}: the weights of {source.location} bring an adapter along. Give another model."
        )
    return model.eval()


def _pretrained(source: ModelSource, where: Where) -> tuple[Any, dict[str, Any]]:
    """Return a model of saved weights, and what transformers says of loading them.

    On the device `meta` weights are let go of one by one, so that only what is said of them remains.
    """
    scratch = None
    if isinstance(where, torch.device):
        # Weights then go straight to a GPU, without a copy of all of them in main memory.
        placed = {} if where == CPU else {"device_map": {"": where}}
    else:
        # Weights that are converted before use (those of experts) wait in this folder, others in their own files.
        scratch = tempfile.mkdtemp(prefix="rosetta-weights-")
        placed = {"device_map": "auto", "max_memory": where, "offload_folder": scratch}
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            source.location,
            revision=source.revision,
            dtype=getattr(torch, source.dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, and refused with all others
            **placed,
        )
    except Exception as error:
        _delete(scratch)
        mend = "" if source.revision is None else f" {MEND}"
        raise ModelError(
            f"{source.place}: cannot load the weights of {source.location} ({brief(error)}).{mend}"
        ) from None
    weakref.finalize(model, _delete, scratch)  # with the model, or at the process's end
    return model, info


def _delete(scratch: str | None) -> None:
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _dispatched(model: Any, limits: dict[int | str, int], place: str) -> Any:
    """Return a model, made in main memory, split as `from_pretrained` splits it, but without the disk."""
    whole = model._no_split_modules
    balanced = get_balanced_memory(model, max_memory=dict(limits), no_split_module_classes=whole)
    split = infer_auto_device_map(model, max_memory=balanced, no_split_module_classes=whole)
    if "disk" in split.values():
        raise ModelError(f"{place}: {NO_ROOM}")
    return dispatch_model(model, split)


def count_parameters(config: Any) -> int:
    """Return the number of parameters that a configuration implies, without allocating them."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return sum(parameter.numel() for parameter in model.parameters())


def write_model_manifest(source: ModelSource, path: Path, made_by: dict, training: dict | None = None) -> NeuronShape:
    """Check a model end to end and write its manifest: identity, sizes, digests of weights and tokenizer."""
    if source.revision is None:
        check_model_folder(Path(source.location), source.place)
    elif source.untrained_seed is None:
        check_safetensors(source.location, source.revision, source.place)
    config = load_config_of(source)
    shape = neuron_shape(config, source.place)
    tokenizer = load_tokenizer(source)
    check_vocabulary(tokenizer, config, source.place)
    if source.revision is None and source.untrained_seed is None:
        if stale := stale_index(Path(source.location)):
            say(f"{source.place}: {stale}")
        _check_files(source)
    with torch.device("meta"):
        neuron_sites(AutoModelForCausalLM.from_config(config, trust_remote_code=False), source.place)
    content = {
        "kind": KIND,
        "made_by": made_by,
        "source": {name: value for name, value in asdict(source).items() if name != "key"},
        "architecture": config.model_type,
        **shape.facts,
        "n_neurons": shape.n_neurons,
        "n_parameters": count_parameters(config),
        "weights": _weights_identity(source, config),
        **tokenizer_facts(source, tokenizer),
        "training": training,
        "licence": licence_of(source, trained_here=training is not None),
        "files": describe_model(source),
    }
    write_manifest(path, content)
    return shape


_WEIGHTS = (".weight", ".bias", ".gate_up_proj", ".down_proj")  # the last two of all experts of a layer at once


def _check_files(source: ModelSource) -> None:
    """Check that a folder's weights fit its configuration and are numbers; buffers, such as masks, may be infinite."""
    _, info = _pretrained(source, torch.device("meta"))
    check_fit(info, f"{source.place}: the weights of {source.location}")
    folder = Path(source.location)
    for path in (folder / name for name in weight_files(folder, source.place)):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                if name.endswith(_WEIGHTS) and not torch.isfinite(file.get_tensor(name).float()).all():
                    raise ModelError(
                        f"{source.place}: {name} in {path} holds values that are not finite: its training diverged, or "
                        "the file is damaged. Give another model."
                    )


def checked_manifest(source: ModelSource, path: Path) -> dict[str, Any]:
    """Return a model's manifest, once it was found to describe the model as it is.

    Raises
    ------
    RosettaError
        If the manifest or a file of the model is missing or damaged, or the weights were replaced since.
    """
    manifest = read_manifest(path, KIND)
    check_model(manifest, path)
    if _weights_identity(source, load_config_of(source)) != manifest["weights"]:
        raise ModelError(
            f"{source.place}: the weights of {source.location} are not those that {path} describes. "
            "Run the workflow again, so that everything made from the old ones is made anew."
        )
    return manifest


def _weights_identity(source: ModelSource, config: Any) -> str:
    if source.untrained_seed is not None:
        return f"untrained {source.untrained_seed} of {digest_json(config.to_dict())} by torch {torch.__version__}"
    if source.revision is not None:
        return f"{source.location}@{getattr(config, '_commit_hash', None) or source.revision}"
    return digest_folder(Path(source.location), "*.safetensors")

"""Loading models from folders, the hub, or nothing but a configuration and a seed."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from typing import Any

import torch
import transformers
from accelerate import dispatch_model, infer_auto_device_map
from accelerate.utils import get_balanced_memory
from transformers import AutoConfig

import rosetta.models.eva02.model
import rosetta.models.pmf.model  # noqa: F401 – makes transformers know both
from rosetta.errors import ModelError, brief
from rosetta.models.architectures.registry import architecture_of, modality_of
from rosetta.models.architectures.text import text_config
from rosetta.models.batches import check_length_limits
from rosetta.models.devices import CPU
from rosetta.models.folders import check_plain
from rosetta.models.hub import CONVERSION
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.patch_positions import place_patches
from rosetta.models.sources import ModelSource
from rosetta.models.weights_fit import check_fit

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
        config = AutoConfig.from_pretrained(
            source.location, revision=source.revision, trust_remote_code=False
        )
    except (
        Exception
    ) as error:  # transformers and tokenizers raise many kinds, plain ones among them
        raise ModelError(
            f"{source.place}: cannot load {source.location} "
            f"({brief(error)}).{_what_to_check(source)}"
        ) from None
    check_plain(config.to_dict(), source.place)
    if modality_of(config.model_type, source.place) == "text":
        check_length_limits(config, source.place)
    neuron_shape(config, source.place)
    return config


def random_model(config: Any, place: str, **options: Any) -> Any:
    """Return a model of a configuration with random weights; on the device `meta` with none.

    Of one with a text and a vision tower it is the vision tower.

    Raises
    ------
    ModelError
        If the architecture is not supported.
    """
    architecture = architecture_of(config.model_type, place)
    loader = getattr(transformers, architecture.loader)
    built = {"config": config, **architecture.loading_options(config)}
    model = loader.from_config(**built, **options, trust_remote_code=False)
    place_patches(model)
    return model


def _what_to_check(source: ModelSource) -> str:
    """Return what to do about a configuration that cannot be read; a folder's own error says what
    is wrong with it.
    """
    return (
        " Check id, revision and the network; gated models need `hf auth login`."
        if source.revision
        else ""
    )


def context_of(config: Any) -> int | None:
    """Return how many tokens a model reads at most; None if its configuration sets no limit."""
    return getattr(text_config(config), "max_position_embeddings", None)


def check_context(config: Any, sequence_length: int, key: str) -> None:
    """Check that a model reads so many tokens; `key` says where the number is given.

    Raises
    ------
    ModelError
        If it reads fewer.
    """
    context = context_of(config)
    if context and sequence_length > context:
        raise ModelError(f"{key}: the model reads {context} tokens; lower {sequence_length}.")


NO_ROOM = (
    "fits by its size, but not as its layers can be shared out. Give a little more: "
    "devices.n_gpus, gpu_memory_gb, "
    "cpu_memory_gb."
)
Where = torch.device | dict[int | str, int]


def load_model(source: ModelSource, where: Where = CPU) -> Any:
    """Return a model in evaluation mode, from safetensors or a seed.

    Parameters
    ----------
    source : ModelSource
        The model.
    where : device, or dict of {int or 'cpu': int}
        The device that takes it whole; or how many bytes of its weights lie on which GPU and in
        main memory, and then accelerate splits it between them, and leaves the rest on disk.

    Raises
    ------
    ModelError
        If weights are missing, do not fit the configuration, or would need remote code.
    """
    config = load_config_of(source)
    if source.untrained_seed is not None:
        torch.manual_seed(source.untrained_seed)
        model = random_model(config, source.place, dtype=getattr(torch, source.dtype))
        return (
            model.to(where)
            if isinstance(where, torch.device)
            else _dispatched(model, where, source.place)
        ).eval()
    model = load_pretrained(source, config, where)
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"{source.place}: the weights of {source.location} bring an adapter along. Give "
            "another model."
        )
    return model.eval()


def load_pretrained(
    source: ModelSource, config: Any, where: Where, loader: str | None = None
) -> Any:
    """Return a model of saved weights, once they fit its configuration.

    On the device `meta` weights are let go of one by one, so that only the check remains. `loader`
    is a class of transformers that takes the place of the architecture's.

    Raises
    ------
    ModelError
        If weights are missing, do not fit the configuration, or cannot be loaded.
    """
    architecture = architecture_of(config.model_type, source.place)
    scratch = None
    if isinstance(where, torch.device):
        # Weights then go straight to a GPU, without a copy of all of them in main memory.
        placed = {} if where == CPU else {"device_map": {"": where}}
    else:
        # Weights that are converted before use (those of experts) wait in this folder, others in
        # their own files.
        scratch = tempfile.mkdtemp(prefix="rosetta-weights-")
        placed = {"device_map": "auto", "max_memory": where, "offload_folder": scratch}
    try:
        model, info = getattr(transformers, loader or architecture.loader).from_pretrained(
            source.location,
            revision=source.revision,
            dtype=getattr(torch, source.dtype),
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are told, and rejected with all others
            **placed,
            **({} if loader else architecture.loading_options(config)),
        )
    except Exception as error:
        _delete(scratch)
        advice = "" if source.revision is None else f" {CONVERSION}"
        raise ModelError(
            f"{source.place}: cannot load the weights of {source.location} "
            f"({brief(error)}).{advice}"
        ) from None
    weakref.finalize(model, _delete, scratch)  # with the model, or at the process's end
    check_fit(info, f"{source.place}: the weights of {source.location}", architecture.leftovers)
    return model


def _delete(scratch: str | None) -> None:
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _dispatched(model: Any, limits: dict[int | str, int], place: str) -> Any:
    """Return a model, made in main memory, split as `from_pretrained` splits it, but without the
    disk.
    """
    whole = model._no_split_modules
    balanced = get_balanced_memory(model, max_memory=dict(limits), no_split_module_classes=whole)
    split = infer_auto_device_map(model, max_memory=balanced, no_split_module_classes=whole)
    if "disk" in split.values():
        raise ModelError(f"{place}: {NO_ROOM}")
    return dispatch_model(model, split)

"""Checks of local model folders that need no deep-learning library: made before any job starts."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from safetensors import SafetensorError, safe_open

from rosetta.config.base import Modality, Recorded
from rosetta.errors import ModelError
from rosetta.models.architectures.registry import architecture_of, modality_of
from rosetta.models.neuron_counts import recorded_shape
from rosetta.models.neurons import NeuronShape
from rosetta.models.saved_weight_names import ALL_EXPERTS, SavedWeight, saved_weight
from rosetta.models.tokenizer_files import FILE, saved_tokenizer
from rosetta.models.weights_fit import ONE_MODEL, listed

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PIPELINE = "model_index.json"  # what makes a folder a pipeline of diffusers
# Names of what a quantisation adds to weights or puts in their place. A scale of something else,
# such as `logit_scale`, may be a weight like others.
_QUANTISED = re.compile(
    r"(^|[._])(qweight|qzeros|zeros|zero_point|scales|scale_inv|g_idx|weight_packed|W_q|absmax|SCB|_scale|"
    r"(weight|input|output|proj|[kqv])_scale)$"
)
_FILES = (".json", ".safetensors", ".model", ".txt")
_TOKENIZER_FILES = (FILE, "tokenizer.model", "vocab.json")


def check_model_folder(
    folder: Path,
    key: str,
    sequence_length: int = 0,
    length_key: str = "activations.sequence_length",
) -> None:
    """Check that a folder holds a supported model in Hugging Face format.

    Parameters
    ----------
    folder : Path
        The folder.
    key : str
        What the message names as the culprit, for example ``models.mine.path``.
    sequence_length : int
        Tokens that the model will be given, if it reads text.
    length_key : str
        Where that number is said.

    Raises
    ------
    ModelError
        If the folder, its configuration, its safetensors weights or, of a language model, its
        tokenizer is missing, or its architecture is not supported, needs remote code, or reads
        fewer tokens; if its `tokenizer.json` is no tokenizer; if it is an adapter, or its weights
        are quantised, or of another number of layers or neurons than its configuration.
    """
    place = f"{key}: {folder}"
    if not folder.is_dir():
        raise ModelError(f"{place} is not a folder. Give a folder in Hugging Face format.")
    if (folder / PIPELINE).exists() and not (folder / "config.json").exists():
        raise ModelError(
            f"{place} holds a pipeline of diffusers. Give the entry its settings: `pipeline: "
            "{steps: …}` (docs/diffusion.md)."
        )
    config = read_json(folder / "config.json", place)
    _check_no_code(config, place)
    modality = modality_of(config.get("model_type"), place)
    check_plain(config, place)
    if (folder / "adapter_config.json").exists():
        # transformers would load the model that the adapter names, from wherever it says.
        raise ModelError(
            f"{place} holds an adapter (adapter_config.json). Merge it into its model and save "
            "that."
        )
    if modality == "text":
        _check_context(config, place, sequence_length, length_key)
        if not any((folder / name).exists() for name in _TOKENIZER_FILES):
            raise ModelError(
                f"{place} has no tokenizer ({', '.join(_TOKENIZER_FILES)}). Save the tokenizer "
                "there."
            )
        saved_tokenizer(folder, place)
    _check_weights(folder, key, config)


def _check_no_code(config: dict, place: str) -> None:
    attention = (
        str(config.get(name, "")) for name in ("attn_implementation", "_attn_implementation")
    )
    if ("auto_map" in config and config.get("model_type") is None) or any(
        "/" in name for name in attention
    ):
        raise ModelError(
            f"{place} needs code of its own, which is never run. Use an architecture of "
            "transformers."
        )


def _check_context(config: dict, place: str, sequence_length: int, length_key: str) -> None:
    """Check that a language model reads so many tokens, as far as its configuration tells."""
    context = next(
        (config[name] for name in ("max_position_embeddings", "n_positions") if name in config),
        None,
    )
    if context is not None and not isinstance(context, int):
        raise ModelError(
            f"{place}: config.json says that it reads {context!r} tokens, which is no number. "
            "Correct it."
        )
    if context and sequence_length > context:
        raise ModelError(f"{place} reads {context} tokens; lower {length_key} ({sequence_length}).")


def check_plain(config: dict, place: str) -> None:
    """Check that a config.json has plain weights in `model.safetensors` or its parts.

    Raises
    ------
    ModelError
        If they are quantised, naming the method, or lie in a file of another name.
    """
    for part in (config, config.get("text_config"), config.get("vision_config")):
        said = part.get("quantization_config") if isinstance(part, dict) else None
        if said:
            method = said.get("quant_method") if isinstance(said, dict) else None
            raise ModelError(
                f"{place}: its weights are quantised "
                f"({method or 'by a method that is not named'}: quantization_config "
                "in config.json). Give the model that it was made from, or save it dequantised."
            )
    if config.get("transformers_weights"):
        raise ModelError(
            f"{place}: config.json names a file of weights (transformers_weights). Call it "
            f"{WHOLE} and remove the key."
        )


def stale_index(folder: Path) -> str:
    """Return a warning if a folder has whole weights and an index of parts; else ""."""
    if not ((folder / WHOLE).exists() and (folder / INDEX).exists()):
        return ""
    return f"{WHOLE} is read, and {INDEX} beside it is not. Remove the one that is left over."


def folder_shape(folder: Path, key: str, recorded: Recorded = "neurons") -> NeuronShape | None:
    """Return how many units of a model folder are recorded; None if its configuration does not
    tell.

    Raises
    ------
    ModelError
        If it tells something else than counts.
    """
    place = f"{key}: {folder}"
    return _shape_of(read_json(folder / "config.json", place), place, recorded)


def folder_modality(folder: Path, key: str) -> Modality:
    """Return what the model of a folder sees, by its configuration file.

    Raises
    ------
    ModelError
        If the architecture is not supported.
    """
    place = f"{key}: {folder}"
    return modality_of(read_json(folder / "config.json", place).get("model_type"), place)


def _shape_of(config: dict, place: str, recorded: Recorded = "neurons") -> NeuronShape | None:
    architecture_of(config.get("model_type"), place)
    try:
        return recorded_shape(recorded, SimpleNamespace(**config), place)
    except AttributeError:
        return None


def model_files(folder: Path) -> list[Path]:
    """Return a model folder's files that matter: configuration, weights, tokenizer; of a pipeline
    those of all of its parts.
    """
    if (folder / PIPELINE).exists():  # whose text encoders may be asked in the form of a chat
        files = (*folder.glob("*"), *folder.glob("*/*"))
        return sorted(p for p in files if p.suffix in (*_FILES, ".jinja"))
    return sorted(p for p in folder.iterdir() if p.suffix in _FILES)


def read_json(path: Path, place: str) -> dict:
    """Return the content of a JSON file of a model.

    Raises
    ------
    ModelError
        If it is missing, damaged or no object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            f"{place} has no {path.name}. Give a folder in Hugging Face format."
        ) from None
    except (ValueError, OSError, RecursionError) as error:
        raise ModelError(f"{place}: {path.name} cannot be read ({error}).") from None
    if not isinstance(content, dict):
        raise ModelError(f"{place}: {path.name} is not a JSON object.")
    return content


def weight_shapes(folder: Path, key: str, whole: str = WHOLE) -> dict[str, list[int]]:
    """Return the shapes of a model's saved weights by their names, from the headers of its files.

    Parameters
    ----------
    folder : Path
        The folder.
    key : str
        What the message names as the culprit.
    whole : str
        Name of the file if it is one.

    Raises
    ------
    ModelError
        If a file is missing or damaged.
    """
    place, shapes = f"{key}: {folder}", {}
    for name in weight_files(folder, place, whole):
        try:
            with safe_open(folder / name, framework="numpy") as file:
                shapes |= {weight: file.get_slice(weight).get_shape() for weight in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise ModelError(
                f"{place}: {name} cannot be read ({error}). Complete the download."
            ) from None
    return shapes


def n_saved_parameters(folder: Path, key: str) -> int:
    """Return how many parameters a model folder holds of what is loaded of it: of a model with a
    text and a vision tower those of the vision tower.

    Raises
    ------
    ModelError
        If a file is missing or damaged.
    """
    place = f"{key}: {folder}"
    model_type = read_json(folder / "config.json", place).get("model_type")
    leftovers = [re.compile(one) for one in architecture_of(model_type, place).leftovers]
    return sum(
        math.prod(size)
        for name, size in weight_shapes(folder, key).items()
        if not any(one.search(name) for one in leftovers)
    )


def _check_weights(folder: Path, key: str, config: dict) -> None:
    """Check that weights are there, and of as many layers and neurons as the configuration says, by
    their headers.
    """
    place, shapes = f"{key}: {folder}", weight_shapes(folder, key)
    quantised = [name for name in shapes if _QUANTISED.search(name)]
    if quantised:
        raise ModelError(
            f"{place}: its weights are quantised ({listed(quantised)}), and config.json has no "
            "quantization_config. "
            "Give the model that it was made from, or save it dequantised."
        )
    architecture = architecture_of(config.get("model_type"), place)
    sizes = {
        weight: size
        for name, size in shapes.items()
        if (weight := saved_weight(architecture, name))
    }
    shape = _shape_of(config, place)
    if shape is not None:
        _check_sizes(sizes, shape, place)


def _check_sizes(sizes: dict[SavedWeight, list[int]], shape: NeuronShape, place: str) -> None:
    layers = {weight.layer for weight in sizes}
    if layers != set(range(shape.n_layers)):
        raise ModelError(
            f"{place}: config.json says {shape.n_layers} layers, and the weights are of "
            f"{len(layers)}. {ONE_MODEL}"
        )
    experts: Counter[int] = Counter()
    for (layer, expert), found in sizes.items():
        if expert is not None:
            experts[layer] += found[0] if expert == ALL_EXPERTS and found else 1
    for layer in range(shape.n_layers):
        if experts[layer] != shape.n_experts:
            raise ModelError(
                f"{place}: config.json says {shape.n_experts} experts per layer, and the "
                f"weights of layer {layer} are "
                f"of {experts[layer]}. {ONE_MODEL}"
            )
    for (layer, expert), found in sizes.items():
        expected, of = (
            shape.d_mlp - shape.n_routed,
            "layer" if not shape.n_experts else "shared expert",
        )
        if expert is not None:
            expected, of = shape.d_expert, "expert"
        if expected not in found[-2:]:  # of all experts at once, what is before is their number
            raise ModelError(
                f"{place}: config.json says {expected} neurons per {of}, and the weights of "
                f"layer {layer} are "
                f"{found}. {ONE_MODEL}"
            )


def weight_files(folder: Path, place: str, whole: str = WHOLE) -> list[str]:
    """Return the names of the safetensors files that are read of a model folder: `whole` or, if it
    is not there, what its index names.

    Raises
    ------
    ModelError
        If there is none, or the index names one that is missing or lies elsewhere.
    """
    if (folder / whole).exists():
        return [whole]  # whether or not there is an index too (see `stale_index`)
    index = folder / f"{whole}.index.json"
    if not index.exists():
        raise ModelError(
            f"{place} has no {whole}. Weights are read from safetensors only: convert them with "
            "save_pretrained(folder)."
        )
    weights = read_json(index, place).get("weight_map")
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        raise ModelError(
            f"{place}: {index.name} has no weight_map of names to files. Complete the download."
        )
    names = sorted(set(weights.values()))
    strange = next(
        (name for name in names if name != Path(name).name or not name.endswith(".safetensors")),
        None,
    )
    if strange is not None:
        raise ModelError(
            f"{place}: {index.name} names {strange!r}, which is no safetensors file of this "
            "folder. Put it there."
        )
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ModelError(
            f"{place} lacks {missing[0]}, which {index.name} names. Complete the download."
        )
    return names

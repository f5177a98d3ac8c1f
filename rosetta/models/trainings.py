"""Whether trainings of a model are trainings of one model, and partners different weights.

A replicate that is another model would make a second training of a pair that is none, and weights
that are compared with themselves match in every neuron.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

from rosetta.config import Config
from rosetta.config.names import first_training, step_of
from rosetta.config.training_ladders import step_models
from rosetta.errors import ConfigError
from rosetta.models.folders import folder_shape, read_json, weight_files
from rosetta.models.known_sizes import known_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.tokenizer_files import saved_tokenizer
from rosetta.run.paths import Paths
from rosetta.storage.digests import digest_bytes, digest_folder

# Of config.json: the same in all trainings of a model. Each architecture has names of its own.
_CONFIGURED = (
    "vocab_size",
    "hidden_size",
    "n_embd",
    "d_model",
    "num_attention_heads",
    "n_head",
)
_TOKENIZER, _ITS_FILE = "tokenizer", "tokenizer.json"  # digests, which say nothing in a message
_SAMPLE = 2**16  # bytes at both ends of a file of weights, in which trainings already differ


def check_trainings(config: Config, paths: Paths) -> None:
    """Check replicates, steps of trainings, and the models of each rung, as far as they are known.

    Raises
    ------
    ConfigError
        If a replicate, or a step of a training, has another architecture, size or vocabulary than
        its model; or if two models that a rung counts, replicates among them, have the same
        weights.
    ModelError
        If a file of a model's folder is damaged.
    """
    steps = step_models(config)
    trainings = {name: config.entry(name).replicate_of for name in config.all_models()}
    trainings |= {name: first_training(name) for name in steps}
    for name, of in trainings.items():
        if of is not None:
            _check_alike(config, paths, name, of)
    for name, after in pairwise([*steps, ""]):
        later = after if first_training(after) == first_training(name) else first_training(name)
        if same_weights(config, paths, name, later):
            raise ConfigError(
                f"models.{first_training(name)}.checkpoints: {name} and {later} are the same "
                "weights, so nothing would change between them. Name the steps of its training."
            )
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(rungs):
            counted = [name for model in rung for name in config.replicates(model)]
            for a, b in combinations(dict.fromkeys(counted), 2):
                if same_weights(config, paths, a, b):
                    raise ConfigError(
                        f"ladders.{ladder}[{number}]: models.{a} and models.{b}, which it counts, "
                        "are the same weights, so every neuron would match itself. Give one of "
                        "them other weights, or leave it out."
                    )


def _check_alike(config: Config, paths: Paths, name: str, of: str) -> None:
    """Check that a model has the traits of the one that it is a training of, or a step of one."""
    mine, first = (known_traits(config, paths, one) for one in (name, of))
    trait = next((key for key in mine if key in first and mine[key] != first[key]), None)
    if trait is None:
        return
    told = f"its {trait} is {mine[trait]}, and that of {of} {first[trait]}"
    if trait in (_TOKENIZER, _ITS_FILE):
        told = f"its {trait} is another than that of {of}"
    if (step := step_of(name)) is not None:
        raise ConfigError(
            f"models.{of}.checkpoints: at step {step} is another model: {told}. Name the steps of "
            "its own training."
        )
    raise ConfigError(
        f"models.{name}.replicate_of: {name} is no training of the model that {of} is: {told}. "
        "Only the seed of a replicate differs; name a further training of that model, or leave "
        "replicate_of out."
    )


def known_traits(config: Config, paths: Paths, name: str) -> dict[str, Any]:
    """Return what a model shares with its further trainings, by what it is called in messages.

    It is told by the local folder, the zoo's recipe, or of a hub model by its manifest, or else by
    its `dimensions`. What is not known yet is not there.

    Raises
    ------
    ModelError
        If a file of a folder is damaged.
    """
    entry = config.entry(name)
    if entry.zoo:
        size, family = config.zoo.sizes[entry.zoo.size], config.zoo.families[entry.zoo.family]
        told = {"zoo family": entry.zoo.family, "architecture": family.architecture}
        return told | {"d_model": size.d_model} | NeuronShape(size.n_layers, size.d_mlp).facts
    if entry.path and Path(entry.path).is_dir():
        return {} if entry.pipeline else _folder_traits(config, name)
    manifest = known_manifest(config, paths, name)
    if manifest:
        facts = ("architecture", _TOKENIZER)
        told = {key: manifest[key] for key in facts if key in manifest}
        return told | NeuronShape.of(manifest).facts
    said = entry.dimensions
    return {"n_layers": said.n_layers, "d_mlp": said.d_mlp} if said else {}


def _folder_traits(config: Config, name: str) -> dict[str, Any]:
    entry, key = config.entry(name), f"models.{name}.path"
    folder = Path(str(entry.path))
    place = f"{key}: {folder}"
    told, shape = read_json(folder / "config.json", place), folder_shape(folder, key)
    traits = {"architecture": told.get("model_type")} | (shape.facts if shape else {})
    inner = told.get("text_config")
    said = told | (inner if isinstance(inner, dict) else {})
    traits |= {name: said[name] for name in _CONFIGURED if name in said}
    if config.modality_of(name) == "text":
        tokenizer = saved_tokenizer(folder, place)
        if tokenizer is not None:
            tokenizer.no_truncation()  # which are no part of what a text is cut into
            tokenizer.no_padding()
            traits[_ITS_FILE] = digest_bytes(tokenizer.to_str().encode())
    return traits


def same_weights(config: Config, paths: Paths, a: str, b: str) -> bool:
    """Tell whether two models have the same weights, as far as that is known; of models of the zoo
    recipes tell it (`rosetta.config.references`).

    Entries of one folder, of equal files, or of one commit have; copies of a hub model in a folder
    are not found.
    """
    one, other = config.entry(a), config.entry(b)
    if one.untrained and other.untrained:
        of = one.untrained.of, other.untrained.of
        alike = of[0] == of[1] or same_weights(config, paths, *of)
        return one.untrained.seed == other.untrained.seed and alike
    if one.path and other.path:
        return _same_files(config, a, b)
    if one.hub is None or one.hub != other.hub:
        return False
    commits = [known_manifest(config, paths, name).get("weights") for name in (a, b)]
    return one.revision == other.revision or (commits[0] is not None and len(set(commits)) == 1)


def _same_files(config: Config, a: str, b: str) -> bool:
    """Tell whether two models of folders have the same weights."""
    entries = [config.entry(name) for name in (a, b)]
    folders = [Path(str(entry.path)) for entry in entries]
    if folders[0].resolve() == folders[1].resolve():
        return True
    if any(entry.pipeline for entry in entries) or not all(map(Path.is_dir, folders)):
        return False
    keys = [f"models.{name}.path" for name in (a, b)]
    # All of the files are read only where their ends are the same.
    if _sample(folders[0], keys[0]) != _sample(folders[1], keys[1]):
        return False
    return len({digest_folder(folder, "*.safetensors") for folder in folders}) == 1


def _sample(folder: Path, key: str) -> list[tuple[str, int, str]]:
    """Return name and size of a folder's files of weights, and a digest of their ends."""
    found = []
    for name in weight_files(folder, f"{key}: {folder}"):
        n_bytes = (folder / name).stat().st_size
        with open(folder / name, "rb") as stream:
            first = stream.read(_SAMPLE)
            stream.seek(max(n_bytes - _SAMPLE, 0))
            found.append((name, n_bytes, digest_bytes(first + stream.read())))
    return found

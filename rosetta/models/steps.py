"""The steps that make models, and the one that pins those of the hub."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rosetta.config import Config, entry_of
from rosetta.config.names import first_training, step_name, step_of
from rosetta.config.training_ladders import steps_of_model
from rosetta.config.zoo import ZooFamily
from rosetta.errors import ConfigError, ModelError
from rosetta.inputs.text.build import read_split
from rosetta.models import sources
from rosetta.models.architectures.registry import modality_of
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.pieces import is_due
from rosetta.run.stages import made_by
from rosetta.run.stages.record import Piece
from rosetta.storage.atomic import replacing
from rosetta.storage.manifests import check_files, describe_files, read_manifest, write_manifest

if TYPE_CHECKING:
    from rosetta.models.zoo.kept_steps import Write
    from rosetta.models.zoo.training_loop import Prepared

TOKENIZER, TRAINING_STEPS = "tokenizer", "training-steps"
# By how many bits per byte a saved model may differ from the trained one. In float32 the sums are
# the same; weights that are rounded for the forward pass (`dtype`) move them.
SAME_BITS, SAME_BITS_ROUNDED = {"float32": 1e-4}, 0.01


def tokenizer_step(config: Config, paths: Paths, family: str) -> None:
    """Train and save a zoo family's tokenizer."""
    from rosetta.models.zoo.tokenizer_training import save_tokenizer, train_tokenizer

    recipe = entry_of(config.zoo.families, family, "zoo.families")
    texts = read_split(paths, "train")["text"].tolist()
    tokenizer = train_tokenizer(recipe, texts, config.zoo.training.tokenizer_bytes)
    save_tokenizer(tokenizer, paths.tokenizer(family))
    say(f"{family}: {len(tokenizer)} tokens")
    manifest = {"kind": TOKENIZER, "made_by": made_by(config, "tokenizer", family)}
    write_manifest(
        paths.tokenizer_manifest(family),
        {**manifest, "files": describe_files(paths.tokenizer(family))},
    )


def train_step(config: Config, paths: Paths, model: str) -> None:
    """Train a zoo model, save it in Hugging Face format and write its manifest."""
    from rosetta.models.devices import processor_name
    from rosetta.models.model_manifest import write_model_manifest
    from rosetta.models.zoo.arithmetic import training_device

    family, zoo = _trained_family(config, model), config.zoo
    source = sources.model_source(config, paths, model)
    on_images = family.modality == "images"
    train, training = (
        (_train_on_images, zoo.image_training) if on_images else (_train_on_text, zoo.training)
    )
    facts = train(config, paths, source, family)
    where = {"processor": processor_name(training_device(training))}
    made = made_by(config, "train", model)
    write_model_manifest(source, paths.model_manifest(model), made, facts | where)
    shutil.rmtree(paths.checkpoints(model), ignore_errors=True)


def _trained_family(config: Config, model: str) -> ZooFamily:
    """Return the family of a training, with its own seed."""
    recipe = config.entry(model).zoo
    if recipe is None:
        raise ConfigError(f"models.{model}: is not a zoo model, so there is nothing to train.")
    family = config.zoo.families[recipe.family]
    # The tokenizer is the family's, whatever the seed of a training.
    own = recipe.seed
    return family if own is None else family.model_copy(update={"seed": own})


def train_steps_step(config: Config, paths: Paths, model: str) -> None:
    """Train a zoo model up to the last step that training ladders keep, and write its weights at
    each. `train_step` goes on from there.

    Raises
    ------
    ConfigError
        If it is no zoo model, or no training ladder names it.
    """
    from rosetta.models.zoo.kept_steps import KeptSteps
    from rosetta.models.zoo.training_loop import run_prepared

    family, steps = _trained_family(config, model), steps_of_model(config, model)
    if not steps:
        named = {name for ladder in config.training_ladders.values() for name in ladder.models}
        known = ", ".join(sorted(named)) or "none"
        raise ConfigError(f"--model: no training ladder names {model!r}; those named: {known}.")
    prepare = _prepared_on_images if family.modality == "images" else _prepared_on_text
    prepared, write = prepare(config, paths, model, family)
    folders = {step: paths.model(step_name(model, step)) for step in steps}
    kept = KeptSteps(folders, paths.checkpoints(model), write)
    run_prepared(prepared, kept)
    manifest = {"kind": TRAINING_STEPS, "made_by": made_by(config, "train_steps", model)}
    write_manifest(paths.training_steps(model), {**manifest, "steps": kept.facts()})
    if not is_due(config, paths, Piece("train", {"model": model})):  # nothing goes on from it
        shutil.rmtree(paths.checkpoints(model), ignore_errors=True)


def _prepared_on_images(
    config: Config, paths: Paths, model: str, family: ZooFamily
) -> tuple[Prepared, Write]:
    """Return the training of a model of images, and what writes it at a step."""
    from rosetta.inputs.images.image_sets import ImageSet
    from rosetta.models.zoo.images.captions import CaptionVocabulary
    from rosetta.models.zoo.images.labelled_images import LabelledImages
    from rosetta.models.zoo.images.model_files import save_image_model
    from rosetta.models.zoo.images.model_training import prepare_image_training
    from rosetta.models.zoo.images.quality import heldout_quality

    recipe, zoo = config.entry(model).zoo, config.zoo
    assert recipe is not None, "only zoo models are trained"
    read, heldout = (
        LabelledImages.of(ImageSet(paths.image_set(split))) for split in ("train", "heldout")
    )
    vocabulary = CaptionVocabulary.of(read.captions)

    def write(trained: Any, folder: Path) -> dict[str, float]:
        save_image_model(trained, vocabulary, folder)
        return heldout_quality(trained, heldout, vocabulary)

    how = zoo.sizes[recipe.size], zoo.image_training
    return prepare_image_training(family, *how, read, paths.checkpoints(model)), write


def _prepared_on_text(
    config: Config, paths: Paths, model: str, family: ZooFamily
) -> tuple[Prepared, Write]:
    """Return the training of a language model, and what writes it at a step."""
    from rosetta.models.zoo.heldout_loss import bits_per_byte, training_readings
    from rosetta.models.zoo.model_training import prepare_training, save_model

    recipe, training = config.entry(model).zoo, config.zoo.training
    assert recipe is not None, "only zoo models are trained"
    tokenizer = _tokenizer(paths, recipe.family, model)
    texts, heldout = (read_split(paths, split)["text"].tolist() for split in ("train", "heldout"))

    def write(trained: Any, folder: Path) -> dict[str, float]:
        save_model(trained, paths.tokenizer(recipe.family), folder)
        readings = training_readings(tokenizer, heldout, training.sequence_length)
        return {"heldout_bits_per_byte": bits_per_byte(trained, readings)}

    how = config.zoo.sizes[recipe.size], training, tokenizer, texts
    return prepare_training(family, *how, paths.checkpoints(model)), write


def _train_on_images(
    config: Config, paths: Paths, source: sources.ModelSource, family: ZooFamily
) -> dict[str, float]:
    """Train and save a model of images; return how well it has learnt."""
    from rosetta.inputs.images.image_sets import ImageSet
    from rosetta.models.zoo.images.captions import CaptionVocabulary
    from rosetta.models.zoo.images.labelled_images import LabelledImages
    from rosetta.models.zoo.images.model_files import save_image_model
    from rosetta.models.zoo.images.model_training import train_image_model
    from rosetta.models.zoo.images.quality import heldout_quality

    recipe, zoo = config.entry(source.name).zoo, config.zoo
    assert recipe is not None, "only zoo models are trained"
    read, heldout = (
        LabelledImages.of(ImageSet(paths.image_set(split))) for split in ("train", "heldout")
    )
    vocabulary = CaptionVocabulary.of(read.captions)
    size, checkpoints = zoo.sizes[recipe.size], paths.checkpoints(source.name)
    trained, facts = train_image_model(family, size, zoo.image_training, read, checkpoints)
    if family.task != "generator":  # which a classifier judges (`analysis.generated_images`)
        facts |= heldout_quality(trained, heldout, vocabulary)
    told = ", ".join(f"{name} {value:.3g}" for name, value in facts.items())
    say(f"{source.name}: {told}")
    save_image_model(trained, vocabulary, paths.model(source.name))
    return facts


def _train_on_text(
    config: Config, paths: Paths, source: sources.ModelSource, family: ZooFamily
) -> dict[str, float]:
    """Train and save a language model; return how well it has learnt.

    Raises
    ------
    ModelError
        If the saved model does not read as well as the trained one.
    """
    from rosetta.models.zoo.heldout_loss import bits_per_byte, training_readings
    from rosetta.models.zoo.model_training import save_model, train_zoo_model

    recipe, training = config.entry(source.name).zoo, config.zoo.training
    assert recipe is not None, "only zoo models are trained"
    tokenizer = _tokenizer(paths, recipe.family, source.name)
    texts = read_split(paths, "train")["text"].tolist()
    size, checkpoints = config.zoo.sizes[recipe.size], paths.checkpoints(source.name)
    trained, facts = train_zoo_model(family, size, training, tokenizer, texts, checkpoints)
    heldout = read_split(paths, "heldout")["text"].tolist()
    facts["heldout_bits_per_byte"] = bits_per_byte(
        trained, training_readings(tokenizer, heldout, training.sequence_length)
    )
    say(
        f"{source.name}: train loss {facts['train_loss']:.3f}, held-out "
        f"{facts['heldout_bits_per_byte']:.3f} bits per byte"
    )
    save_model(trained, paths.tokenizer(recipe.family), paths.model(source.name))
    facts["captured_bits_per_byte"] = _captured_bits_per_byte(
        source, heldout, training.sequence_length
    )
    _check_same(source, facts["heldout_bits_per_byte"], facts["captured_bits_per_byte"])
    return facts


def _captured_bits_per_byte(
    source: sources.ModelSource, texts: list[str], sequence_length: int
) -> float:
    """Return the bits per byte of a saved model, loaded and shown texts as a capture does it."""
    from rosetta.activations.tokens import ByteTokenizer
    from rosetta.models.loading import load_model
    from rosetta.models.tokenizers import load_tokenizer
    from rosetta.models.zoo.heldout_loss import Reading, bits_per_byte

    tokenize = ByteTokenizer(load_tokenizer(source), source.place)
    shown = (tokenize.first(text, sequence_length) for text in texts)
    readings = (
        Reading(found.token_ids.tolist(), int(found.byte_end[-1] - found.byte_end[0]))
        for found in shown
        if len(found.token_ids)
    )
    return bits_per_byte(load_model(source), readings)


def _check_same(source: sources.ModelSource, trained: float, captured: float) -> None:
    """Check that a saved model reads as well as it did when it was trained; without held-out text
    nothing tells.

    Raises
    ------
    ModelError
        If not: its tokens, or its weights, are not those of its training.
    """
    allowed = SAME_BITS.get(source.dtype, SAME_BITS_ROUNDED)
    if not (abs(trained - captured) <= allowed or (math.isnan(trained) and math.isnan(captured))):
        raise ModelError(
            f"{source.place}: held-out text costs {trained:.4f} bits per byte at the end of its "
            "training, and "
            f"{captured:.4f} when the saved model in {source.location} is read as for its "
            "activations. They may differ "
            f"by {allowed:g}, so tokens or weights are not those of its training. Install the "
            "locked dependencies "
            "(envs/requirements.lock) and run again."
        )


def _tokenizer(paths: Paths, family: str, model: str) -> Any:
    from rosetta.models.tokenizers import load_tokenizer

    manifest, folder = paths.tokenizer_manifest(family), paths.tokenizer(family)
    check_files(folder, read_manifest(manifest, TOKENIZER)["files"], manifest)
    return load_tokenizer(sources.ModelSource(model, str(folder)))


def model_step(config: Config, paths: Paths, model: str) -> None:
    """Check a model that is not trained here, and write its manifest."""
    from rosetta.models.model_manifest import write_model_manifest

    entry = config.entry(model)
    source = sources.model_source(config, paths, model)
    made = made_by(config, "model", model)
    learnt = _learnt_at_step(config, paths, model)
    shape = write_model_manifest(source, paths.model_manifest(model), made, learnt)
    if source.pipeline is None:
        _check_modality(config, paths, model)
    said = entry.dimensions
    if said and (said.n_layers, said.d_mlp) != (shape.n_layers, shape.d_mlp):
        raise ConfigError(
            f"models.{model}.dimensions: says {said.n_layers} layers × {said.d_mlp} units; "
            f"the model has {shape.n_layers} × {shape.d_mlp}. Correct it."
        )
    say(f"{model}: {shape.n_layers} layers × {shape.d_mlp} units = {shape.n_neurons} neurons")


def _learnt_at_step(config: Config, paths: Paths, model: str) -> dict[str, float] | None:
    """Return how well a zoo model has learnt that is at a step of its training; else None."""
    step = step_of(model)
    if step is None or config.entry(model).zoo is None:
        return None
    manifest = read_manifest(paths.training_steps(first_training(model)), TRAINING_STEPS)
    learnt: dict[str, float] = manifest["steps"][str(step)]
    return learnt


def _check_modality(config: Config, paths: Paths, model: str) -> None:
    architecture = read_manifest(paths.model_manifest(model), "model")["architecture"]
    seen = modality_of(architecture, f"models.{model}")
    if seen != config.modality_of(model):
        raise ConfigError(
            f"models.{model}.modality: is {config.modality_of(model)}, but the model sees {seen}. "
            f"Set it to {seen}."
        )


def convert_pmf_step(checkpoint: Path, out: Path, size: Literal["B", "L", "H"]) -> None:
    """Write a published pMF checkpoint as a folder of safetensors."""
    from rosetta.models.pmf.convert import convert_pmf

    convert_pmf(checkpoint, out, size)
    say(f"{out}: pMF-{size}")


def convert_eva_step(checkpoint: Path, out: Path) -> None:
    """Write the published vision tower of EVA-02-CLIP-E as a folder of safetensors."""
    from rosetta.models.eva02.convert import convert_eva

    convert_eva(checkpoint, out)
    say(f"{out}: EVA-02-CLIP-E/14")


def pin_step(configfile: Path, out: Path | None) -> str:
    """Return a configuration's text, pinned (`rosetta.models.pin.pin_text`); write it to a path.

    It is a file that may be edited, so no digest is written beside it.
    """
    from huggingface_hub import HfApi

    from rosetta.models.pin import pin_text

    text = pin_text(configfile, HfApi())
    if out:
        with replacing(out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return text

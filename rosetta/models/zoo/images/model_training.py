"""Training a zoo model of images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    CLIPModel,
    Dinov2WithRegistersForImageClassification,
    PreTrainedModel,
    ViTForImageClassification,
    ViTMAEForPreTraining,
)

from rosetta.config.zoo import ZooFamily, ZooImageTraining, ZooSize
from rosetta.models.patch_positions import place_patches
from rosetta.models.pmf.model import PmfModel
from rosetta.models.zoo.arithmetic import training_device
from rosetta.models.zoo.images.captions import CaptionVocabulary
from rosetta.models.zoo.images.labelled_images import LabelledImages, image_order, input_pixels
from rosetta.models.zoo.images.losses import (
    autoencoder_loss,
    classifier_loss,
    contrastive_loss,
    generator_loss,
)
from rosetta.models.zoo.images.recipes import ImageTargets, image_model_config
from rosetta.models.zoo.initialisation import silence_layers
from rosetta.models.zoo.optimizers import zoo_optimizer
from rosetta.models.zoo.training_loop import (
    LossOf,
    Prepared,
    Steps,
    mean_of_last,
    run_prepared,
    warmup_linear,
)
from rosetta.storage.digests import digest_bytes, digest_json

KEY = "zoo.image_training"
# With what makes an answer of the last layer: a head, a decoder, a text tower.
MODEL_CLASSES: dict[str, type[PreTrainedModel]] = {
    "pmf": PmfModel,
    "vit": ViTForImageClassification,
    "dinov2_with_registers": Dinov2WithRegistersForImageClassification,
    "vit_mae": ViTMAEForPreTraining,
    "clip": CLIPModel,
}


def train_image_model(
    family: ZooFamily,
    size: ZooSize,
    training: ZooImageTraining,
    images: LabelledImages,
    checkpoints: Path,
) -> tuple[Any, dict[str, float]]:
    """Train one zoo model of images, from its newest checkpoint if there is one.

    On a processor, one thread does the arithmetic, so the weights are the same at any number of
    cores.

    Returns
    -------
    model : PreTrainedModel
        On the processor.
    facts : dict
        `train_loss` (mean of the last steps) and `images` (how many were read).

    Raises
    ------
    ConfigError
        If `training.device` is `cuda` and there is no GPU.
    """
    prepared = prepare_image_training(family, size, training, images, checkpoints)
    losses = run_prepared(prepared)
    n_images = float(prepared.steps.batches.numel())
    facts = {"train_loss": mean_of_last(losses), "images": n_images}
    return prepared.model.to("cpu").eval(), facts


def prepare_image_training(
    family: ZooFamily,
    size: ZooSize,
    training: ZooImageTraining,
    images: LabelledImages,
    checkpoints: Path,
) -> Prepared:
    """Return a training before its first step, or its newest checkpoint; as `train_image_model`."""
    device = training_device(training, KEY)
    torch.set_num_threads(1)
    vocabulary = CaptionVocabulary.of(images.captions)
    model = started_image_model(family, size, image_targets(images, vocabulary)).to(device)
    steps = _steps(family, training, images, checkpoints, model)
    return Prepared(model, zoo_optimizer(model, training), steps)


def image_targets(images: LabelledImages, vocabulary: CaptionVocabulary) -> ImageTargets:
    """Return what the configuration of a model takes from its training images."""
    return ImageTargets(images.n_classes, vocabulary.size, vocabulary.n_tokens)


def started_image_model(family: ZooFamily, size: ZooSize, targets: ImageTargets) -> Any:
    """Return a model as its training starts."""
    torch.manual_seed(family.seed)
    config = image_model_config(family, size, targets)
    model = MODEL_CLASSES[family.architecture](config).train()
    place_patches(model)
    if family.task != "generator":  # its layers have gates, which are zero
        silence_layers(model)
    return model


def _steps(
    family: ZooFamily,
    training: ZooImageTraining,
    images: LabelledImages,
    checkpoints: Path,
    model: Any,
) -> Steps:
    n_steps = getattr(training.steps, family.task)
    order = image_order(len(images.pixels), n_steps, training.batch_size, family.seed)
    # All that shapes the weights.
    recipe = [
        model.config.to_dict(),
        training.model_dump(exclude={"checkpoint_every", "steps"}),
        n_steps,
        family.model_dump(),
        model.device.type,
        digest_bytes(images.pixels.tobytes()),
        images.labels.tolist(),
        list(images.captions),
    ]
    return Steps(
        batches=order,
        rate=partial(
            warmup_linear,
            training.learning_rate,
            n_steps=n_steps,
            warmup_steps=training.warmup_steps,
        ),
        checkpoints=checkpoints,
        checkpoint_every=training.checkpoint_every,
        run=digest_json(recipe),
        rate_key=f"{KEY}.learning_rate",
        loss_of=_loss_of(family, images, model.device),
        unit="img",
        loss_unit="per image",
    )


def _loss_of(family: ZooFamily, images: LabelledImages, device: torch.device) -> LossOf:
    """Return the loss of images by their numbers."""
    assert family.image is not None, "the configuration is checked for it"
    side, pixels = family.image.image_size, torch.from_numpy(images.pixels).to(device)
    labels = torch.from_numpy(images.labels).long().to(device)
    token_ids = CaptionVocabulary.of(images.captions).ids(images.captions).to(device)

    def loss_of(model: Any, numbers: Tensor) -> tuple[Tensor, float]:
        shown = input_pixels(pixels[numbers], side)
        if family.task == "generator":
            return generator_loss(model, shown, labels[numbers])
        if family.task == "autoencoder":
            loss = autoencoder_loss(model, shown)
        elif family.task == "contrastive":
            loss = contrastive_loss(model, shown, token_ids[numbers])
        else:
            loss = classifier_loss(model, shown, labels[numbers])
        return loss, float(loss.detach())

    return loss_of

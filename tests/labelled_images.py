"""Tiny labelled images, and zoo families that learn from them."""

import numpy as np

from rosetta.config.zoo import ZooFamily, ZooImageSteps, ZooImageTraining, ZooSize
from rosetta.models.zoo.images.captions import CaptionVocabulary
from rosetta.models.zoo.images.labelled_images import LabelledImages
from rosetta.models.zoo.images.model_training import image_targets, started_image_model

SIZE = ZooSize(n_layers=2, d_model=16, d_mlp=32, n_heads=2)
TRAINING = ZooImageTraining(
    steps=ZooImageSteps(generator=3, classifier=3, autoencoder=3, contrastive=3),
    batch_size=8,
    warmup_steps=1,
    checkpoint_every=2,
)
# One family of each kind; the third sees 12 pixels of 16, and the fourth a gated MLP.
MODELS = {
    "pmf": {"architecture": "pmf"},
    "vit": {"architecture": "vit"},
    "vit_mae": {"architecture": "vit_mae"},
    "clip": {"architecture": "clip", "image_size": 12},
    "registers": {"architecture": "dinov2_with_registers", "n_registers": 2},
    "gated": {"architecture": "dinov2_with_registers", "gated": True},
}


def quarters(n_images, seed):
    """Images of 16 pixels on a grey gradient with one bright quarter, whose place is the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_images) % 4
    pixels = rng.integers(0, 60, (n_images, 16, 16, 3)) + 5 * np.arange(16)[:, None]
    for image, label in zip(pixels, labels, strict=True):
        row, column = 8 * (label // 2), 8 * (label % 2)
        image[row : row + 8, column : column + 8] += 100
    captions = [f"bright {('top', 'bottom')[i // 2]} {('left', 'right')[i % 2]}" for i in labels]
    return LabelledImages(pixels.astype(np.uint8), labels, captions, 4)


IMAGES = quarters(48, 0)


def family(name):
    """Return a family of `MODELS`."""
    image = dict(MODELS[name])
    image = {"image_size": 16, "patch_size": 4, **image}
    return ZooFamily(architecture=image.pop("architecture"), seed=5, image=image)


def started(name):
    """Return a model of a family as its training starts."""
    vocabulary = CaptionVocabulary.of(IMAGES.captions)
    return started_image_model(family(name), SIZE, image_targets(IMAGES, vocabulary))

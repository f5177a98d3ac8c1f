"""How well models of images have learned what they were trained for, on images they never saw."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rosetta.config.zoo import IMAGE_TASKS
from rosetta.models.zoo.images.captions import CaptionVocabulary
from rosetta.models.zoo.images.labelled_images import LabelledImages, input_pixels
from rosetta.models.zoo.images.losses import autoencoder_loss

AT_A_TIME = 64  # images of a forward pass
MOST = 1024  # of the held-out images
MASK_SEED = 0


@torch.no_grad()
def heldout_quality(
    model: Any, images: LabelledImages, vocabulary: CaptionVocabulary
) -> dict[str, float]:
    """Return how well a model does on held-out images, the first `MOST` of them, beside what
    chance would do.

    Returns
    -------
    dict
        `heldout_images`, how many; and of

        - a classifier: `heldout_accuracy`, and `chance_accuracy`, the share of the most frequent
          class;
        - an autoencoder: `heldout_loss`, and `chance_loss`, what a prediction of each patch's mean
          would cost: 1, less where patches of one colour have nothing to predict;
        - a contrastive model: `heldout_retrieval`, the share of images whose nearest caption of
          all is an equal one, and `chance_retrieval`, the mean share of equal captions.
    """
    task = IMAGE_TASKS[model.config.model_type]
    n_images = min(MOST, len(images.pixels))
    found = MEASURES[task](model, images, n_images, vocabulary)
    return {"heldout_images": float(n_images), **found}


def _shown(model: Any, images: LabelledImages, n_images: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield images as the model sees them, some at a time."""
    config = getattr(model.config, "vision_config", model.config)
    for start in range(0, n_images, AT_A_TIME):
        rows = slice(start, min(start + AT_A_TIME, n_images))
        yield rows, input_pixels(torch.from_numpy(images.pixels[rows]), config.image_size)


def _accuracy(
    model: Any, images: LabelledImages, n_images: int, _vocabulary: CaptionVocabulary
) -> dict[str, float]:
    told = [model(pixel_values=one).logits.argmax(-1) for _, one in _shown(model, images, n_images)]
    labels = images.labels[:n_images]
    return {
        "heldout_accuracy": float(np.mean(torch.cat(told).numpy() == labels)),
        "chance_accuracy": float(np.bincount(labels).max() / n_images),
    }


def _reconstruction(
    model: Any, images: LabelledImages, n_images: int, _vocabulary: CaptionVocabulary
) -> dict[str, float]:
    drawn = torch.Generator().manual_seed(MASK_SEED)
    total, of_the_mean = 0.0, 0.0
    for rows, pixels in _shown(model, images, n_images):
        n_patches = model.vit.embeddings.patch_embeddings.num_patches
        noise = torch.rand(len(pixels), n_patches, generator=drawn)
        share = (rows.stop - rows.start) / n_images
        total += share * float(autoencoder_loss(model, pixels, noise))
        of_the_mean += share * _cost_of_the_mean(model, pixels, noise)
    return {"heldout_loss": total, "chance_loss": of_the_mean}


def _cost_of_the_mean(model: Any, pixels: Tensor, noise: Tensor) -> float:
    """Return the loss of a prediction of zero, the mean of all normalised patches."""
    patches = model.patchify(pixels)
    variances = patches.var(-1, keepdim=True)
    normalised = (patches - patches.mean(-1, keepdim=True)) / (variances + 1e-6).sqrt()
    n_shown = int(noise.shape[1] * (1 - model.config.mask_ratio))
    hidden = noise.argsort(-1)[:, n_shown:]
    return float(normalised.square().mean(-1).gather(1, hidden).mean())


def _retrieval(
    model: Any, images: LabelledImages, n_images: int, vocabulary: CaptionVocabulary
) -> dict[str, float]:
    token_ids = vocabulary.ids(images.captions[:n_images])
    texts = torch.cat(
        [model.get_text_features(input_ids=one).pooler_output for one in token_ids.split(AT_A_TIME)]
    )
    seen = torch.cat(
        [
            model.get_image_features(pixel_values=one).pooler_output
            for _, one in _shown(model, images, n_images)
        ]
    )
    nearest = (functional.normalize(seen) @ functional.normalize(texts).mT).argmax(-1)
    equal = (token_ids[:, None] == token_ids[None]).all(-1)
    return {
        "heldout_retrieval": float(equal[torch.arange(n_images), nearest].float().mean()),
        "chance_retrieval": float(equal.float().mean()),
    }


MEASURES = {
    "classifier": _accuracy,
    "autoencoder": _reconstruction,
    "contrastive": _retrieval,
}


@torch.no_grad()
def generated_quality(
    classifier: Any, generated: LabelledImages, real: LabelledImages
) -> dict[str, float]:
    """Return how far a trained classifier takes generated images for real ones.

    Parameters
    ----------
    classifier : PreTrainedModel
        Of the zoo.
    generated : LabelledImages
        Labelled with the class that each was generated for.
    real : LabelledImages
        Held-out ones.

    Returns
    -------
    dict
        `recognised`, the share of generated images that the classifier takes for their class;
        `recognised_of_real`, that of real images; `chance_recognised`, 1 / n_classes;
        `feature_distance`, the squared distance of the mean features (the classifier's last
        hidden states, averaged over tokens) in units of the real features' variance; and
        `chance_distance`, that of a plain image of the real images' mean colour.
    """
    shares, features = [], []
    for images in (generated, real):
        told, hidden = _told(classifier, images, min(MOST, len(images.pixels)))
        shares.append(float(np.mean(told == images.labels[: len(told)])))
        features.append(hidden)
    of_generated, of_real = features
    _, of_plain = _told(classifier, _plain(real), 1)
    return {
        "recognised": shares[0],
        "recognised_of_real": shares[1],
        "chance_recognised": 1 / real.n_classes,
        "feature_distance": _distance(of_generated, of_real),
        "chance_distance": _distance(of_plain, of_real),
    }


def _distance(found: Tensor, real: Tensor) -> float:
    """Return the squared distance of mean features, in units of the real ones' variance."""
    return float((found.mean(0) - real.mean(0)).square().sum() / real.var(0).sum())


def _plain(images: LabelledImages) -> LabelledImages:
    """Return one image, all of whose pixels have the images' mean colour."""
    colour = np.rint(images.pixels.mean((0, 1, 2))).astype(np.uint8)
    plain = np.broadcast_to(colour, (1, *images.pixels.shape[1:]))
    return LabelledImages(plain.copy(), images.labels[:1], images.captions[:1], images.n_classes)


def _told(model: Any, images: LabelledImages, n_images: int) -> tuple[np.ndarray, Tensor]:
    """Return the classes that a classifier tells, and its features (n_images, d_model)."""
    told, features = [], []
    for _, pixels in _shown(model, images, n_images):
        features.append(model.base_model(pixel_values=pixels).last_hidden_state.mean(1))
        told.append(model(pixel_values=pixels).logits.argmax(-1))
    return torch.cat(told).numpy(), torch.cat(features)

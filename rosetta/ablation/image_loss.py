"""What images cost a classifier, image by image, under several treatments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rosetta.ablation.held_neurons import HeldNeurons
from rosetta.errors import ModelError
from rosetta.models.image_inputs import image_input
from rosetta.models.image_models import ImageModel, image_model
from rosetta.models.loading import Where, load_config_of, load_pretrained
from rosetta.models.loading_within_memory import input_device
from rosetta.models.sources import ModelSource
from rosetta.progress import bar

HEAD = "ForImageClassification"  # what the class of a model with such a head is called after


@dataclass(frozen=True)
class Classifier:
    """A loaded classifier of images.

    Attributes
    ----------
    whole : PreTrainedModel
        With its head.
    seeing : ImageModel
        The part that sees, with where its neurons are, and how it is shown images.
    """

    whole: Any
    seeing: ImageModel

    @property
    def n_classes(self) -> int:
        """Classes that it tells apart."""
        return int(self.whole.config.num_labels)


def check_classifier(config: Any, place: str) -> None:
    """Check that a model of a transformers configuration has a head that tells classes.

    Raises
    ------
    ModelError
        If it has none: it makes images, or has nothing that images cost it.
    """
    named = getattr(config, "architectures", None) or []
    if not any(name.endswith(HEAD) for name in named):
        raise ModelError(
            f"{place}: {config.model_type} has no head that tells classes ({', '.join(named)}), so "
            "there is no loss that its neurons could lower. Give a language model, or a classifier "
            "of images."
        )


def load_whole(source: ModelSource, where: Where) -> Any:
    """Load a classifier of images with its head, in evaluation mode.

    Raises
    ------
    ModelError
        If it has no such head, or cannot be loaded.
    """
    config = load_config_of(source)
    check_classifier(config, source.place)
    return load_pretrained(source, config, where, "AutoModelForImageClassification").eval()


def classifier_of(whole: Any, source: ModelSource) -> Classifier:
    """Return a loaded classifier with what is known of how it sees."""
    shown = image_input(source, whole.config)
    return Classifier(whole, image_model(whole.base_model, shown, source))


@torch.inference_mode()
def image_losses(
    classifier: Classifier,
    batches: Sequence[tuple[np.ndarray, np.ndarray]],
    held: HeldNeurons,
    masks: Sequence[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Return what each image costs while neurons are held, and whether its class is told.

    Parameters
    ----------
    classifier : Classifier
        The model.
    batches : sequence of (ndarray of uint8 (n, height, width, 3), ndarray of int64 (n,))
        Images and their classes; each batch is one forward pass per treatment.
    held : HeldNeurons
        What its neurons are held at.
    masks : sequence of ndarray of bool, each of shape (n_layers, d_mlp)
        The neurons that are held, treatment by treatment.

    Returns
    -------
    losses : ndarray of float64, shape (n_treatments, n_images)
        Cross-entropy in bits.
    right : ndarray of float64, shape (n_treatments, n_images)
        1 where the most probable class is the image's.

    Raises
    ------
    ModelError
        If a loss is not finite.
    """
    device = input_device(classifier.whole)
    losses, right = [], []
    with bar(total=len(batches) * len(masks), label="losses", unit="batch") as shown:
        for images, labels in batches:
            arguments = classifier.seeing.arguments(torch.from_numpy(images).to(device))
            found = [_told(classifier.whole, arguments, held, mask, labels) for mask in masks]
            losses.append([loss for loss, _ in found])
            right.append([told for _, told in found])
            shown.update(len(masks))
    joined = np.concatenate(losses, axis=1), np.concatenate(right, axis=1)
    if not np.isfinite(joined[0]).all():
        raise ModelError("the loss of a held-out image is not finite. Run the model in float32.")
    return joined


def _told(
    model: Any, arguments: dict[str, Any], held: HeldNeurons, mask: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    with held.holding(mask):
        logits = model(**arguments).logits.double().cpu()
    wanted = torch.tensor(labels)
    bits = functional.cross_entropy(logits, wanted, reduction="none") / np.log(2)
    return bits.numpy(), (logits.argmax(-1) == wanted).double().numpy()

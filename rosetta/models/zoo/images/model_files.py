"""Zoo models of images as folders in Hugging Face format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image
from transformers import AutoConfig

from rosetta.config.zoo import IMAGE_TASKS
from rosetta.models.zoo.images.captions import CaptionVocabulary
from rosetta.models.zoo.images.labelled_images import MEAN, STD
from rosetta.models.zoo.images.model_training import MODEL_CLASSES
from rosetta.storage.atomic import replacing


def save_image_model(model: Any, vocabulary: CaptionVocabulary, folder: Path) -> None:
    """Save a model, whole or not at all, with what its input goes through: images are scaled and
    resized, captions are words.
    """
    with replacing(folder, sum(parameter.nbytes for parameter in model.parameters())) as temporary:
        model.save_pretrained(temporary)
        task = IMAGE_TASKS[model.config.model_type]
        if task != "generator":
            text = json.dumps(preprocessing(model.config), indent=2)
            (temporary / "preprocessor_config.json").write_text(text + "\n", encoding="utf-8")
        if task == "contrastive":
            vocabulary.save(temporary)


def preprocessing(config: Any) -> dict[str, Any]:
    """Return the content of preprocessor_config.json: whole images, resized as in training."""
    side = getattr(config, "vision_config", config).image_size
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": side, "width": side},
        "resample": int(Image.Resampling.BICUBIC),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }


def load_trained_model(folder: Path) -> Any:
    """Return a saved model of the zoo, with its head."""
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    return MODEL_CLASSES[config.model_type].from_pretrained(folder, use_safetensors=True).eval()

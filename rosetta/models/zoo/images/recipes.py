"""From a family and a size to the transformers configuration of a zoo model of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig

import rosetta.models.pmf.config  # noqa: F401  (registers `pmf` with transformers)
from rosetta.config.zoo import ZooFamily, ZooImage, ZooSize
from rosetta.models.zoo.images.captions import END_ID, PADDING_ID
from rosetta.models.zoo.recipes import weight_spread


@dataclass(frozen=True)
class ImageTargets:
    """What models learn of images: how many classes there are, and the size of the captions.

    Attributes
    ----------
    n_classes : int
    n_words : int
        Ids of a caption vocabulary.
    n_tokens : int
        Of a caption.
    """

    n_classes: int
    n_words: int
    n_tokens: int


def image_model_config(family: ZooFamily, size: ZooSize, targets: ImageTargets) -> Any:
    """Return the transformers configuration of a zoo model of images."""
    assert family.image is not None, "the configuration is checked for it"
    build = RECIPES[family.architecture]
    return AutoConfig.for_model(family.architecture, **build(family.image, size, targets))


def _common(image: ZooImage, size: ZooSize) -> dict[str, Any]:
    return {
        "image_size": image.image_size,
        "patch_size": image.patch_size,
        "hidden_size": size.d_model,
        "num_hidden_layers": size.n_layers,
        "num_attention_heads": size.n_heads,
        "initializer_range": weight_spread(size),
    }


def _generator(image: ZooImage, size: ZooSize, targets: ImageTargets) -> dict[str, Any]:
    sizes = _common(image, size)
    del sizes["initializer_range"]  # a pMF has its own
    return {**sizes, "intermediate_size": size.d_mlp, "n_classes": targets.n_classes}


def _vit(image: ZooImage, size: ZooSize, targets: ImageTargets) -> dict[str, Any]:
    return {
        **_common(image, size),
        "intermediate_size": size.d_mlp,
        "num_labels": targets.n_classes,
    }


def _with_registers(image: ZooImage, size: ZooSize, targets: ImageTargets) -> dict[str, Any]:
    return {
        **_common(image, size),
        "mlp_ratio": size.mlp_ratio(image.gated),
        "use_swiglu_ffn": image.gated,
        "num_register_tokens": image.n_registers,
        "num_labels": targets.n_classes,
    }


def _autoencoder(image: ZooImage, size: ZooSize, _targets: ImageTargets) -> dict[str, Any]:
    decoder = {
        "decoder_hidden_size": size.d_model,
        "decoder_num_hidden_layers": 1,
        "decoder_num_attention_heads": size.n_heads,
        "decoder_intermediate_size": 2 * size.d_model,
    }
    return {
        **_common(image, size),
        "intermediate_size": size.d_mlp,
        "norm_pix_loss": True,
        **decoder,
    }


def _contrastive(image: ZooImage, size: ZooSize, targets: ImageTargets) -> dict[str, Any]:
    vision = {
        **_common(image, size),
        "intermediate_size": size.d_mlp,
        "hidden_act": "gelu",
        "projection_dim": size.d_model,
    }
    text = {
        "vocab_size": targets.n_words,
        "max_position_embeddings": targets.n_tokens,
        "hidden_size": size.d_model,
        "num_hidden_layers": 1,
        "num_attention_heads": size.n_heads,
        "intermediate_size": 2 * size.d_model,
        "hidden_act": "gelu",
        "projection_dim": size.d_model,
        "pad_token_id": PADDING_ID,
        "bos_token_id": None,
        "eos_token_id": END_ID,
    }
    return {"vision_config": vision, "text_config": text, "projection_dim": size.d_model}


# By `model_type`; each of them stands in the table of `rosetta.models.architectures`, too.
RECIPES = {
    "pmf": _generator,
    "vit": _vit,
    "dinov2_with_registers": _with_registers,
    "vit_mae": _autoencoder,
    "clip": _contrastive,
}

"""A tiny random model of each architecture and variant that sees images."""

import itertools

import numpy as np
import torch
import transformers
from safetensors.torch import load_file
from scipy.special import erf
from transformers import AutoConfig

from rosetta.models.eva02.model import Eva02Model
from rosetta.models.sources import ModelSource

LAYERS = {"num_hidden_layers": 2, "num_attention_heads": 2}
WIDTHS = {**LAYERS, "hidden_size": 16, "intermediate_size": 24}
SIZES = {**WIDTHS, "image_size": 16, "patch_size": 4}
RATIO = {**LAYERS, "hidden_size": 16, "mlp_ratio": 2, "image_size": 16, "patch_size": 4}
TEXT = {**WIDTHS, "num_hidden_layers": 3, "vocab_size": 50, "max_position_embeddings": 8}
NAFLEX = {**WIDTHS, "patch_size": 4, "num_patches": 16}
BOTH = {"vision_config": SIZES, "text_config": TEXT}
DECODER = {
    "decoder_num_attention_heads": 2,
    "decoder_hidden_size": 16,
    "decoder_num_hidden_layers": 1,
    "decoder_intermediate_size": 12,
}
# By variant: the class that is saved, and its configuration's values. The name begins with the
# `model_type`.
VARIANTS = {
    "vit": ("ViTModel", SIZES),
    "vit-classifier": ("ViTForImageClassification", SIZES),
    "vit-masked": ("ViTForMaskedImageModeling", {**SIZES, "encoder_stride": 4}),
    "vit_mae": ("ViTMAEModel", SIZES),
    "vit_mae-decoder": ("ViTMAEForPreTraining", {**SIZES, **DECODER}),
    "beit": ("BeitModel", {**SIZES, "use_relative_position_bias": True}),
    "beit-shared": (
        "BeitForImageClassification",
        {**SIZES, "use_shared_relative_position_bias": True},
    ),
    "beit-masked": (
        "BeitForMaskedImageModeling",
        {**SIZES, "use_mask_token": True, "use_absolute_position_embeddings": True},
    ),
    "dinov2": ("Dinov2Model", RATIO),
    "dinov2-giant": ("Dinov2Model", {**RATIO, "use_swiglu_ffn": True}),
    "dinov2-classifier": ("Dinov2ForImageClassification", RATIO),
    "dinov2_with_registers": (
        "Dinov2WithRegistersForImageClassification",
        {**RATIO, "num_register_tokens": 3},
    ),
    "dinov2_with_registers-giant": (
        "Dinov2WithRegistersModel",
        {**RATIO, "num_register_tokens": 2, "use_swiglu_ffn": True},
    ),
    "dinov3_vit": ("DINOv3ViTModel", {**SIZES, "num_register_tokens": 4}),
    "dinov3_vit-gated": (
        "DINOv3ViTModel",
        {**SIZES, "num_register_tokens": 4, "use_gated_mlp": True, "hidden_act": "silu"},
    ),
    "clip": ("CLIPModel", BOTH),
    "clip-gelu": ("CLIPModel", {**BOTH, "vision_config": {**SIZES, "hidden_act": "gelu"}}),
    "clip_vision_model": ("CLIPVisionModel", SIZES),
    "clip_vision_model-projection": ("CLIPVisionModelWithProjection", SIZES),
    "siglip": ("SiglipModel", BOTH),
    "siglip_vision_model": ("SiglipVisionModel", SIZES),
    "siglip2": ("Siglip2Model", {"vision_config": NAFLEX, "text_config": TEXT}),
    "siglip2_vision_model": ("Siglip2VisionModel", NAFLEX),
    "ijepa": ("IJepaModel", SIZES),
    "ijepa-classifier": ("IJepaForImageClassification", SIZES),
    "pixio": ("PixioModel", {**RATIO, "n_cls_tokens": 8}),
    "eva02_enormous": ("Eva02Model", SIZES),
}
OWN = {"Eva02Model": Eva02Model}  # that transformers does not have
# Tokens before the patches.
PREFIX = {
    "vit": 1,
    "vit_mae": 1,
    "beit": 1,
    "dinov2": 1,
    "dinov2_with_registers": 4,
    "dinov2_with_registers-giant": 3,
    "dinov3_vit": 5,
    "clip": 1,
    "clip_vision_model": 1,
    "siglip": 0,
    "siglip_vision_model": 0,
    "siglip2": 0,
    "siglip2_vision_model": 0,
    "ijepa": 0,
    "pixio": 8,
    "eva02_enormous": 1,
}


def prefix_of(variant):
    return PREFIX.get(variant, PREFIX[variant.split("-")[0]])


def tiny_image_model(variant, seed=0, **changes):
    """A model in evaluation mode whose every weight is random."""
    loader, sizes = VARIANTS[variant]
    config = AutoConfig.for_model(variant.split("-")[0], **{**sizes, **changes})
    torch.manual_seed(seed)
    model = (OWN.get(loader) or getattr(transformers, loader))(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # some start at 0 or 1, where much would go unseen
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def saved_source(folder):
    return ModelSource("m", str(folder))


def saved(folder, model, **options):
    model.save_pretrained(folder, **options)
    return saved_source(folder)


def noise_images(n=3, height=16, width=16, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def scaled(images, mean, std):
    """Pixel values as a model takes them, float64, shape (n, 3, height, width)."""
    return ((images / 255.0 - np.array(mean)) / np.array(std)).transpose(0, 3, 1, 2)


def in_patches(pixels, size=4):
    """Rows of (row, column, channel) by patch, cut one by one."""
    rows, columns = pixels.shape[2] // size, pixels.shape[3] // size
    cut = [
        [
            image[:, size * i : size * (i + 1), size * j : size * (j + 1)]
            .transpose(1, 2, 0)
            .reshape(-1)
            for i, j in itertools.product(range(rows), range(columns))
        ]
        for image in pixels
    ]
    return np.array(cut), (rows, columns)


def tower_of(model):
    """The part of a model that sees images."""
    for name in ("vision_model", "vit", "beit", "dinov2", "dinov2_with_registers", "ijepa"):
        if isinstance(getattr(model, name, None), transformers.PreTrainedModel):
            return getattr(model, name)
    return model


def mlps_of(tower):
    """The MLP of each layer of a vision tower, in order."""
    name = type(tower).__name__
    if name in OWN:
        return [block.mlp for block in tower.blocks]
    if name.startswith(("Dinov2", "CLIP", "Siglip")):
        return [
            layer.mlp for layer in getattr(tower.encoder, "layers", None) or tower.encoder.layer
        ]
    return [layer.mlp for layer in (tower.model.layer if "DINOv3" in name else tower.layers)]


def mlp_inputs(model, pixels):
    """What each MLP of a model reads, float64, shape (n_layers, n, n_tokens, d_model)."""
    tower, seen = tower_of(model), []
    hooks = [
        mlp.register_forward_pre_hook(lambda _m, x: seen.append(x[0].double().numpy()))
        for mlp in mlps_of(tower)
    ]
    given = {"pixel_values": torch.from_numpy(pixels).float()}
    name = type(tower).__name__
    if name.startswith("Siglip2"):
        patches, grid = in_patches(pixels)
        given = {
            "pixel_values": torch.from_numpy(patches).float(),
            "spatial_shapes": torch.tensor([grid] * len(pixels)),
            "pixel_attention_mask": torch.ones(patches.shape[:2], dtype=torch.long),
        }
    elif name.startswith(("ViT", "CLIP", "Siglip", "IJepa")):
        given["interpolate_pos_encoding"] = True
    if "MAE" in name:
        tower.config.mask_ratio = 0.0
        n_patches = pixels.shape[2] * pixels.shape[3] // 16
        given["noise"] = torch.linspace(0, 1, n_patches).expand(len(pixels), -1)
    with torch.no_grad():
        tower(**given)
    for hook in hooks:
        hook.remove()
    return np.array(seen)


ACTIVATIONS = {
    "gelu": lambda x: x * (1 + erf(x / np.sqrt(2))) / 2,
    "gelu_pytorch_tanh": lambda x: (
        x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    ),
    "quick_gelu": lambda x: x / (1 + np.exp(-1.702 * x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


def neurons_by_hand(folder, layer, x, config):
    """The neurons of a layer from the weights in a model's file, float64."""
    weights = {
        name: value.double().numpy()
        for name, value in load_file(folder / "model.safetensors").items()
        if f".{layer}." in f".{name}" and not name.startswith(("text_model", "decoder"))
    }

    def linear(end):
        name = next(name for name in weights if name.endswith(f"{end}.weight"))
        return x @ weights[name].T + weights[f"{name.removesuffix('.weight')}.bias"]

    ends = {name.rsplit(".", 1)[0] for name in weights}
    act = ACTIVATIONS[config.hidden_act]
    if any(end.endswith("weights_in") for end in ends):
        gate, up = np.split(linear("weights_in"), 2, axis=-1)
        return ACTIVATIONS["silu"](gate) * up
    if any(end.endswith("gate_proj") for end in ends):
        return act(linear("gate_proj")) * linear("up_proj")
    first = ("fc1", "intermediate.dense", "up_proj")
    return act(linear(next(one for one in first if any(end.endswith(one) for end in ends))))

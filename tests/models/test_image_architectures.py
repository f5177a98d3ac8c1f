"""Every architecture that sees images: its neurons against the MLP written out by hand."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_image_architectures import (
    VARIANTS,
    mlp_inputs,
    neurons_by_hand,
    noise_images,
    prefix_of,
    saved,
    saved_source,
    scaled,
    tiny_image_model,
    tower_of,
)
from transformers import ViTModel

from rosetta.activations.image_capture import show_images
from rosetta.errors import ModelError
from rosetta.models.architectures.images import ARCHITECTURES
from rosetta.models.folders import check_model_folder, folder_modality, folder_shape
from rosetta.models.image_models import load_image_model
from rosetta.models.neurons import NeuronShape

GIVEN = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}


def preprocessor(folder, **said):
    (folder / "preprocessor_config.json").write_text(json.dumps(said))


def shown(model, images):
    return torch.cat(list(show_images(model, [images])), dim=1)


def test_every_architecture_is_here():
    assert {variant.split("-")[0] for variant in VARIANTS} == set(ARCHITECTURES)


@pytest.mark.parametrize("size", [16, 24])
@pytest.mark.parametrize("variant", VARIANTS)
def test_neurons_are_what_the_mlp_computes(variant, size, tmp_path):
    """Saved, loaded, and shown images at the trained size and at another; two forward passes."""
    original = tiny_image_model(variant)
    source = saved(tmp_path, original)
    preprocessor(tmp_path, **GIVEN)
    check_model_folder(tmp_path, "models.m.path")
    model = load_image_model(source, image_size=size)
    images = noise_images(5, size, size)
    found = torch.cat(list(show_images(model, [images[:3], images[3:]])), dim=1)
    cells = (size // 4) ** 2
    assert model.grid == (size // 4, size // 4)
    assert model.input_size == (size, size)
    assert found.shape == (2, 5 * cells, model.shape.d_mlp)
    assert found.dtype == torch.float32
    inputs = mlp_inputs(original, scaled(images, GIVEN["image_mean"], GIVEN["image_std"]))
    assert inputs.shape[:3] == (2, 5, prefix_of(variant) + cells)
    for layer, x in enumerate(inputs):
        rows = x[:, prefix_of(variant) :].reshape(5 * cells, -1)
        expected = neurons_by_hand(tmp_path, layer, rows, tower_of(original).config)
        np.testing.assert_allclose(found[layer].numpy(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_file_alone_tells_modality_and_shape(variant, tmp_path):
    model = load_image_model(saved(tmp_path, tiny_image_model(variant)))
    assert folder_modality(tmp_path, "models.m.path") == "images"
    assert folder_shape(tmp_path, "models.m.path") == model.shape
    assert model.shape.n_layers == 2


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_in_files_of_both_vocabularies_are_counted(variant, tmp_path):
    """Those of earlier versions, which the hub has, and those of loaded models."""
    original = tiny_image_model(variant)
    found = []
    for kept in (True, False):
        folder = tmp_path / str(kept)
        source = saved(folder, original, save_original_format=kept)
        check_model_folder(folder, "models.m.path")
        found.append(shown(load_image_model(source), noise_images()))
        content = json.loads((folder / "config.json").read_text())
        content.get("vision_config", content)["num_hidden_layers"] = 3
        (folder / "config.json").write_text(json.dumps(content))
        with pytest.raises(ModelError, match="says 3 layers, and the weights are of 2"):
            check_model_folder(folder, "models.m.path")
    assert torch.equal(*found)


def test_of_two_towers_the_layers_of_the_vision_tower_are_counted(tmp_path):
    saved(tmp_path, tiny_image_model("clip"))
    names = load_file(tmp_path / "model.safetensors")
    assert "text_model.encoder.layers.2.mlp.fc2.weight" in names
    check_model_folder(tmp_path, "models.m.path")
    assert folder_shape(tmp_path, "models.m.path") == NeuronShape(2, 24)


def test_vit_mae_masks_nothing_and_keeps_the_order(tmp_path):
    """A ViT of the same weights, which has no masking, computes the same."""
    mae = tiny_image_model("vit_mae")
    vit = tiny_image_model("vit-classifier")
    vit.vit.load_state_dict(mae.state_dict())
    images = noise_images(4)
    found = [
        shown(load_image_model(saved(tmp_path / name, model)), images)
        for name, model in (("mae", mae), ("vit", vit))
    ]
    assert isinstance(vit.vit, ViTModel)
    assert mae.config.mask_ratio == 0.75
    # The means and deviations that the two are shown by default are not the same.
    for name in ("mae", "vit"):
        preprocessor(tmp_path / name, **GIVEN)
    assert not torch.allclose(*found)
    found = [
        shown(load_image_model(saved(tmp_path / name, model)), images)
        for name, model in (("mae", mae), ("vit", vit))
    ]
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("variant", ["dinov2", "dinov2_with_registers"])
def test_packed_and_unpacked_gates_are_the_same_neurons(variant, tmp_path):
    """Neuron u is row u of the first half, row u of the second, and column u of the output."""
    giant = tiny_image_model(f"{variant}-giant")
    model = load_image_model(saved(tmp_path, giant))
    weights = load_file(tmp_path / "model.safetensors")
    images = noise_images()
    before = shown(model, images)
    assert model.shape.d_mlp == 24  # int(2/3 · 2 · 16) = 21, in eights
    name = next(one for one in weights if one.endswith("layer.1.mlp.weights_in.weight"))
    assert weights[name].shape == (48, 16)
    for unit, row in ((5, 5), (7, 24 + 7)):  # no gate, and no value
        for end in ("weight", "bias"):
            weights[name.removesuffix("weight") + end][row] = 0
        assert before[1, :, unit].abs().max() > 1e-3
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    after = shown(load_image_model(saved_source(tmp_path)), images)
    assert after[1, :, [5, 7]].abs().max() == 0
    others = [unit for unit in range(24) if unit not in (5, 7)]
    torch.testing.assert_close(after[1][:, others], before[1][:, others])
    torch.testing.assert_close(after[0], before[0])


VIT_B = {"num_hidden_layers": 12, "hidden_size": 768, "intermediate_size": 3072}
RATIO_B = {"num_hidden_layers": 12, "hidden_size": 768, "mlp_ratio": 4, "use_swiglu_ffn": False}
BIG_G = {"num_hidden_layers": 48, "hidden_size": 1664, "intermediate_size": 8192}


@pytest.mark.parametrize(
    ("content", "n_layers", "d_mlp"),
    [
        ({"model_type": "dinov2", **RATIO_B}, 12, 3072),
        (
            {
                "model_type": "dinov2",
                "num_hidden_layers": 40,
                "hidden_size": 1536,
                "mlp_ratio": 4,
                "use_swiglu_ffn": True,
            },
            40,
            4096,
        ),
        (
            {"model_type": "pixio", "num_hidden_layers": 48, "hidden_size": 3072, "mlp_ratio": 4},
            48,
            12288,
        ),
        ({"model_type": "clip", "vision_config": BIG_G, "text_config": VIT_B}, 48, 8192),
        ({"model_type": "dinov3_vit", **VIT_B, "use_gated_mlp": False}, 12, 3072),
    ],
)
def test_models_of_the_paper_have_the_neurons_that_it_counts(content, n_layers, d_mlp, tmp_path):
    """Dravid 2026, Table 3: DINOv2-g has 163,840, Pixio-5B 589,824, OpenCLIP bigG 393,216."""
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert folder_shape(tmp_path, "models.m.path") == NeuronShape(n_layers, d_mlp)

"""How models that see images are shown them, and what is rejected."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_image_architectures import (
    mlp_inputs,
    neurons_by_hand,
    noise_images,
    prefix_of,
    saved,
    scaled,
    tiny_image_model,
    tower_of,
)

from rosetta.activations.image_capture import show_images
from rosetta.config import parse_config
from rosetta.errors import ModelError
from rosetta.models.folders import check_model_folder, folder_shape
from rosetta.models.image_models import load_image_model
from rosetta.models.known_sizes import known_size
from rosetta.models.loading import load_config_of
from rosetta.models.model_manifest import checked_manifest, count_parameters, write_model_manifest
from rosetta.models.neurons import NeuronShape
from rosetta.models.sites import neuron_sites
from rosetta.models.sources import model_source
from rosetta.models.steps import model_step
from rosetta.run.paths import Paths
from rosetta.storage.manifests import read_manifest

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
OF_CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def said(folder, name="preprocessor_config.json", **content):
    (folder / name).write_text(json.dumps(content))


def edit_config(folder, **changes):
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**content, **changes}))


def shown(model, images):
    return torch.cat(list(show_images(model, [images])), dim=1)


@pytest.mark.parametrize(
    ("content", "size"),
    [
        ({}, (16, 16)),
        ({"size": 24}, (24, 24)),
        ({"size": {"height": 24, "width": 32}}, (24, 32)),
        ({"size": {"shortest_edge": 20}}, (20, 20)),
        ({"size": {"shortest_edge": 28}, "crop_size": {"height": 24, "width": 24}}, (24, 24)),
        ({"size": 20, "crop_size": 24, "do_center_crop": True}, (24, 24)),
        ({"size": 20, "crop_size": 24, "do_center_crop": False}, (20, 20)),
        ({"size": 27}, (24, 24)),  # to whole patches
    ],
)
def test_the_size_is_what_the_files_say(content, size, tmp_path):
    source = saved(tmp_path, tiny_image_model("dinov2"))
    said(tmp_path, **content)
    model = load_image_model(source)
    assert (model.input_size, model.grid) == (size, (size[0] // 4, size[1] // 4))
    assert load_image_model(source, image_size=12).input_size == (12, 12)
    (tmp_path / "preprocessor_config.json").unlink()
    said(tmp_path, "processor_config.json", image_processor=content)
    assert load_image_model(source).input_size == size


@pytest.mark.parametrize(
    ("variant", "scale"),
    [
        ("vit", HALF),
        ("beit", HALF),
        ("siglip", HALF),
        ("siglip2", HALF),
        ("vit_mae", IMAGENET),
        ("dinov2", IMAGENET),
        ("dinov2_with_registers", IMAGENET),
        ("dinov3_vit", IMAGENET),
        ("ijepa", IMAGENET),
        ("pixio", IMAGENET),
        ("clip", OF_CLIP),
        ("clip_vision_model", OF_CLIP),
    ],
)
def test_without_a_word_the_scale_is_the_architectures(variant, scale, tmp_path):
    source = saved(tmp_path, tiny_image_model(variant))
    model = load_image_model(source)
    assert (model.mean, model.std) == scale
    said(tmp_path, image_mean=[0.1, 0.2, 0.3], image_std=[1, 2, 3])
    model = load_image_model(source)
    assert (model.mean, model.std) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    said(tmp_path, do_normalize=False, image_mean=[0.1, 0.2, 0.3])
    model = load_image_model(source)
    assert (model.mean, model.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("size", [(16, 16), (11, 11), (40, 40), (30, 20)])
def test_whole_images_are_resized(size, tmp_path):
    """As Pillow resizes them, in floating point."""
    model = load_image_model(saved(tmp_path, tiny_image_model("vit")))
    images = noise_images(2, *size)
    found = model.arguments(torch.from_numpy(images))["pixel_values"]
    for image, pixels in zip(images, found, strict=True):
        for channel, values in enumerate(pixels):
            whole = Image.fromarray(image[:, :, channel].astype(np.float32))
            expected = np.asarray(whole.resize((16, 16), Image.Resampling.BICUBIC)) / 127.5 - 1
            np.testing.assert_allclose(values.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "changes"),
    [("vit", {"image_size": [12, 24]}), ("vit", {"patch_size": [4, 2]}), ("ijepa", {})],
)
def test_a_cell_is_a_patch_of_the_image_by_rows(variant, changes, tmp_path):
    """Where nothing attends, only the cell of a patch sees it; also on a grid that is no square."""
    original = tiny_image_model(variant, **changes)
    with torch.no_grad():
        for layer in tower_of(original).layers:
            layer.attention.o_proj.weight.zero_()
    model = load_image_model(saved(tmp_path, original))
    (height, width), (rows, columns) = model.input_size, model.grid
    images = noise_images(2, height, width)
    before = shown(model, images)
    assert before.shape[1] == 2 * rows * columns
    row, column = 1, columns - 1
    high, wide = height // rows, width // columns
    images[1, row * high : (row + 1) * high, column * wide : (column + 1) * wide] = 255
    moved = (shown(model, images) != before).any(dim=2).any(dim=0)
    assert moved.nonzero().flatten().tolist() == [rows * columns + row * columns + column]


@pytest.mark.parametrize("variant", ["dinov2", "dinov2_with_registers", "dinov3_vit", "siglip2"])
def test_a_model_may_be_shown_images_that_are_no_squares(variant, tmp_path):
    original = tiny_image_model(variant)
    source = saved(tmp_path, original)
    said(tmp_path, size={"height": 12, "width": 24}, image_mean=HALF[0], image_std=HALF[1])
    images = noise_images(2, 12, 24)
    found = shown(load_image_model(source), images)
    inputs = mlp_inputs(original, scaled(images, *HALF))
    for layer, x in enumerate(inputs):
        rows = x[:, prefix_of(variant) :].reshape(2 * 18, -1)
        expected = neurons_by_hand(tmp_path, layer, rows, tower_of(original).config)
        np.testing.assert_allclose(found[layer].numpy(), expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", ["dinov2_with_registers", "dinov3_vit-gated", "pixio", "clip"])
def test_what_the_tokens_before_the_patches_hold_does_not_matter(variant, tmp_path):
    """Not even NaN, in the last layer, after which nothing attends to them."""
    model = load_image_model(saved(tmp_path, tiny_image_model(variant)))
    images = noise_images()
    expected = shown(model, images)

    def spoil(_module, inputs):
        inputs[0][:, : prefix_of(variant)] = torch.nan

    neuron_sites(model.module, "m")[-1][0].module.register_forward_pre_hook(spoil)
    assert model.n_prefix == prefix_of(variant)
    assert torch.equal(shown(model, images), expected)


@pytest.mark.parametrize("variant", ["dinov3_vit", "dinov3_vit-gated"])
def test_of_dinov3_the_input_of_the_down_projection_is_read(variant, tmp_path):
    """As many neurons as `intermediate_size`, not the width of the residual stream."""
    model = load_image_model(saved(tmp_path, tiny_image_model(variant)))
    for layer, (site,) in enumerate(neuron_sites(model.module, "m")):
        assert site.module is model.module.model.layer[layer].mlp.down_proj
        assert site.width == 24 != model.config.hidden_size


@pytest.mark.parametrize("variant", ["dinov3_vit", "dinov3_vit-gated", "vit", "dinov2-giant"])
def test_what_the_mlp_reads_is_recorded_where_that_is_asked_for(variant, tmp_path):
    """Of a gated MLP it is the input of `w2`, as wide as the residual stream."""
    source = replace(saved(tmp_path, tiny_image_model(variant)), recorded="mlp_input")
    model, images, read = load_image_model(source), noise_images(), []
    blocks = [m for name, m in model.module.named_modules() if name.rpartition(".")[2] == "mlp"]
    for mlp in blocks:
        mlp.register_forward_pre_hook(lambda _mlp, inputs: read.append(inputs[0]))
    found = shown(model, images)
    assert model.shape == NeuronShape(2, model.config.hidden_size)
    cells = torch.stack([values[:, model.n_prefix :].flatten(0, 1) for values in read])
    assert torch.equal(found, cells)
    assert folder_shape(tmp_path, "models.m.path", "mlp_input") == model.shape
    manifest = tmp_path / "m.json"
    write_model_manifest(source, manifest, {})
    assert read_manifest(manifest, "model")["d_mlp"] == model.config.hidden_size


def test_a_twin_records_what_its_model_does(tmp_path):
    models = {
        "m": {"path": "m", "modality": "images", "recorded": "mlp_input"},
        "twin": {"untrained": {"of": "m", "seed": 3}},
    }
    config = parse_config({"models": models, "ladders": {"l": [["m", "twin"]]}})
    twin = model_source(config, Paths(tmp_path), "twin")
    assert (twin.recorded, twin.untrained_seed, twin.location) == ("mlp_input", 3, "m")


def test_an_image_is_read_the_same_in_every_batch(tmp_path):
    model = load_image_model(saved(tmp_path, tiny_image_model("vit_mae")))
    images = noise_images(6)
    together = shown(model, images).unflatten(1, (6, 16))
    for i in range(6):
        alone = shown(model, images[i : i + 1])
        torch.testing.assert_close(alone, together[:, i])
    assert list(show_images(model, [images[:0]])) == []


def test_a_pass_in_less_precision_stays_so(tmp_path):
    source = saved(tmp_path, tiny_image_model("vit"))
    exact = shown(load_image_model(source), noise_images())
    rounded = shown(load_image_model(replace(source, dtype="bfloat16")), noise_images())
    assert rounded.dtype == torch.bfloat16
    assert 0 < (rounded.float() - exact).abs().max() < 0.05 * exact.abs().max()


@pytest.mark.parametrize("variant", ["vit", "vit_mae", "clip", "dinov2_with_registers-giant"])
def test_a_twin_is_drawn_from_its_seed(variant, tmp_path):
    source = saved(tmp_path, tiny_image_model(variant))
    (tmp_path / "model.safetensors").unlink()
    models = [load_image_model(replace(source, untrained_seed=seed)) for seed in (1, 1, 2)]
    first, same, other = (shown(model, noise_images()) for model in models)
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    assert not models[0].module.training
    assert type(models[0].module).__name__.endswith("Model")


def test_weights_that_wait_on_disk_give_the_same_neurons(tmp_path):
    source = saved(tmp_path, tiny_image_model("vit"))
    exact = load_image_model(source)
    size = sum(p.numel() * 4 for p in exact.module.parameters())
    waiting = load_image_model(source, where={"cpu": size // 2})
    assert "disk" in waiting.module.hf_device_map.values()
    torch.testing.assert_close(shown(waiting, noise_images()), shown(exact, noise_images()))


@pytest.mark.parametrize("variant", ["vit-classifier", "clip", "dinov2-giant", "siglip2"])
def test_the_manifest_tells_how_images_are_shown(variant, tmp_path):
    original = tiny_image_model(variant)
    source = saved(tmp_path / "m", original)
    config = parse_config(
        {
            "models": {
                "mine": {"path": str(tmp_path / "m"), "modality": "images"},
                "twin": {"untrained": {"of": "mine"}},
            },
            "ladders": {"l": [["mine", "twin"]]},
            "results": str(tmp_path / "r"),
        }
    )
    paths = Paths(tmp_path / "r")
    for name in ("mine", "twin"):
        model_step(config, paths, name)
    model = load_image_model(source)
    manifest = read_manifest(paths.model_manifest("mine"), "model")
    assert manifest["architecture"] == variant.split("-")[0]
    assert (manifest["n_layers"], manifest["d_mlp"]) == (2, model.shape.d_mlp)
    assert manifest["grid"] == [4, 4]
    assert manifest["input_size"] == [16, 16]
    assert manifest["n_prefix"] == prefix_of(variant)
    assert not {name for name in manifest if "token" in name or "vocab" in name}
    loaded = sum(parameter.numel() for parameter in model.module.parameters())
    assert manifest["n_parameters"] == count_parameters(load_config_of(source)) == loaded
    heads = sum(p.numel() for name, p in original.named_parameters() if "classifier" in name)
    size = known_size(config, paths, "mine")
    assert size.n_parameters == loaded + heads
    assert size.shape == model.shape


def test_a_manifest_of_other_weights_is_noticed(tmp_path):
    source = saved(tmp_path / "m", tiny_image_model("vit"))
    write_model_manifest(source, tmp_path / "m.json", {})
    assert checked_manifest(source, tmp_path / "m.json")["n_neurons"] == 48
    saved(tmp_path / "m", tiny_image_model("vit", seed=1))
    with pytest.raises(ModelError, match="not what it was"):
        checked_manifest(source, tmp_path / "m.json")


def rename(old, new):
    def change(weights):
        weights[new] = weights.pop(old)

    return change


@pytest.mark.parametrize(
    ("variant", "change", "message"),
    [
        ("vit", lambda w: w.pop("layernorm.weight"), "lack layernorm.weight"),
        (
            "clip",
            rename("vision_model.pre_layrnorm.bias", "vision_model.norm.bias"),
            "lack pre_layrnorm.bias",
        ),
        ("dinov2", lambda w: w.update({"layernorm.gain": torch.ones(16)}), "hold layernorm.gain"),
        ("siglip", lambda w: w.update({"vision_model.x": torch.ones(16)}), "hold .*x, which"),
        (
            "pixio",
            lambda w: w.update({"embeddings.cls_token": torch.ones(1, 4, 16)}),
            r"other shapes .*cls_token \(1 × 4 × 16 for 1 × 8 × 16\)",
        ),
        ("vit", lambda w: w["embeddings.cls_token"].fill_(torch.nan), "cls_token in .* not finite"),
        ("vit", lambda w: w.clear(), "says 2 layers, and the weights are of 0"),
    ],
)
def test_weights_are_held_to_the_configuration(variant, change, message, tmp_path):
    source = saved(tmp_path / "m", tiny_image_model(variant))
    weights = load_file(tmp_path / "m" / "model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "m" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=message):
        write_model_manifest(source, tmp_path / "m.json", {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"size": {"longest_edge": 16}}, r"gives {'longest_edge': 16} as size\. Give its height"),
        ({"size": [16, 16, 16]}, r"gives \[16, 16, 16\] as size"),
        ({"crop_size": -16}, "gives -16 as crop_size"),
        ({"size": 3}, "images of 3 × 3 pixels are no whole number of its patches"),
        ({"image_mean": [0.5]}, r"gives \[0\.5\] as image_mean\. Give three"),
        ({"image_mean": [0.5, 0.5, "x"]}, r"as image_mean\. Give three"),
        ({"image_mean": [0.5, 0.5, float("nan")]}, r"nan\] as image_mean\. Give three"),
        ({"image_std": [0.5, 0.5, 0]}, r"gives \[0\.5, 0\.5, 0\.0\] as image_std"),
        ({"do_rescale": False}, "does not bring pixel values to a scale of 0 to 1"),
        ({"rescale_factor": 1 / 127.5}, "does not bring pixel values to a scale of 0 to 1"),
        ({"rescale_factor": "x"}, "does not bring pixel values to a scale of 0 to 1"),
    ],
)
def test_a_processor_that_says_nonsense_is_rejected(content, message, tmp_path):
    source = saved(tmp_path / "m", tiny_image_model("vit"))
    said(tmp_path / "m", **content)
    with pytest.raises(ModelError, match=message):
        write_model_manifest(source, tmp_path / "m.json", {})


def test_a_processor_that_cannot_be_read_is_rejected(tmp_path):
    source = saved(tmp_path, tiny_image_model("vit"))
    for text in ("{", "[]", "\x00"):
        (tmp_path / "preprocessor_config.json").write_text(text)
        with pytest.raises(ModelError, match=r"models\.m: preprocessor_config\.json cannot be"):
            load_image_model(source)


@pytest.mark.parametrize(
    ("variant", "changes", "size", "message"),
    [
        ("vit", {}, 18, "images of 18 × 18 pixels are no whole number of its patches of 4 × 4"),
        ("vit", {"num_channels": 1}, None, "sees images of 1 channels"),
        # Two tables of 16 positions may be of 2 × 8 or of 4 × 4 patches.
        ("vit", {"image_size": [8, 32]}, 16, "known on a grid of 2 × 8 patches"),
        ("dinov2", {"image_size": [8, 32]}, None, "known on a grid of 2 × 8 patches"),
        ("vit", {"patch_size": [4, 2]}, 32, "patches of 4 × 2 pixels, and only those of square"),
    ],
)
def test_images_that_a_model_does_not_know_are_rejected(variant, changes, size, message, tmp_path):
    source = saved(tmp_path, tiny_image_model(variant, **changes))
    with pytest.raises(ModelError, match=message):
        load_image_model(source, image_size=size)


def test_the_wrong_activation_is_rejected_where_the_origin_tells(tmp_path):
    """OpenAI's models have QuickGELU, those that LAION trained GELU."""
    quick = saved(tmp_path / "openai" / "clip-vit-tiny", tiny_image_model("clip"))
    load_image_model(quick)
    exact = saved(tmp_path / "openai" / "clip-vit-base", tiny_image_model("clip-gelu"))
    with pytest.raises(
        ModelError, match=r"trained with quick_gelu; config.json says hidden_act gelu"
    ):
        load_image_model(exact)
    other = saved(tmp_path / "other", tiny_image_model("clip"))
    load_image_model(other)
    edit_config(tmp_path / "other", _name_or_path="laion/CLIP-ViT-B-16-laion2B-s34B-b88K")
    with pytest.raises(
        ModelError, match=r"trained with gelu; config.json says hidden_act quick_gelu"
    ):
        load_image_model(other)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"intermediate_size": 32}, r"says 32 neurons per layer, and the weights of layer 0 are"),
        ({"num_hidden_layers": 0}, "gives 0 as the number of layers"),
        ({"vision_config": {"quantization_config": {"quant_method": "awq"}}}, "quantised.*awq"),
        ({"model_type": "vivit"}, "architecture 'vivit' is not supported.* siglip2"),
    ],
)
def test_bad_folders_are_rejected_before_anything_is_loaded(changes, message, tmp_path):
    saved(tmp_path, tiny_image_model("vit"))
    edit_config(tmp_path, **changes)
    with pytest.raises(ModelError, match=message):
        check_model_folder(tmp_path, "models.m.path")


def test_another_number_of_tokens_is_noticed(tmp_path):
    model = load_image_model(saved(tmp_path, tiny_image_model("vit")))
    with pytest.raises(
        ModelError, match=r"has 51 positions for 3 image.* 4 tokens and 4 × 4 patch"
    ):
        shown(replace(model, n_prefix=4), noise_images())


@pytest.mark.parametrize(
    "images", [noise_images().astype(np.float32), noise_images()[0], noise_images()[..., :1]]
)
def test_what_is_no_batch_of_images_is_rejected(images, tmp_path):
    model = load_image_model(saved(tmp_path, tiny_image_model("vit")))
    with pytest.raises(ModelError, match=r"models\.m: was shown an array of .* Give 8-bit images"):
        shown(model, images)

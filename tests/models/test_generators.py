"""Generators: each image is its own, and its activations are those of the pass that made it."""

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModel

from rosetta.errors import ModelError
from rosetta.models.generator_inputs import balanced_labels, image_noise
from rosetta.models.generators import generate_shard, load_generator
from rosetta.models.image_models import load_image_model
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.pmf.config import PmfConfig
from rosetta.models.pmf.generator import PmfGenerator
from rosetta.models.pmf.model import PmfModel
from rosetta.models.sources import ModelSource
from rosetta.storage.manifests import read_manifest

SEEDS, LABELS = [11, 5, 5, 8, 2, 0, 90, 7], [0, 3, 1, 3, 4, 0, 2, 1]


def tiny(**sizes):
    torch.manual_seed(0)
    given = {
        "image_size": 12,
        "n_classes": 5,
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 40,
    }
    model = PmfModel(PmfConfig(**{**given, **sizes})).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    return model


def generated(generator, seeds=SEEDS, labels=LABELS, batch_size=3):
    batches = list(generate_shard(generator, seeds, labels, batch_size))
    return np.concatenate([pixels for pixels, _ in batches]), torch.cat(
        [values for _, values in batches], dim=1
    )


def test_an_image_is_the_same_in_batches_of_any_size_and_order():
    generator = PmfGenerator(tiny(), "models.g")
    pixels, values = generated(generator, batch_size=1)
    assert pixels.shape == (8, 12, 12, 3)
    assert pixels.dtype == np.uint8
    assert values.shape == (3, 8 * 9, 40)
    for batch_size in (3, 7, 8):
        others, other_values = generated(generator, batch_size=batch_size)
        np.testing.assert_array_equal(others, pixels)
        torch.testing.assert_close(other_values, values, rtol=1e-5, atol=1e-6)
    order = [5, 2, 7, 0, 1]
    others, _ = generated(generator, [SEEDS[i] for i in order], [LABELS[i] for i in order])
    np.testing.assert_array_equal(others, pixels[order])
    assert len(np.unique(pixels.reshape(8, -1), axis=0)) == 8


def test_noise_follows_from_seed_and_label():
    noise = image_noise(SEEDS, LABELS, (3, 4, 4))
    again = image_noise([5], [1], (3, 4, 4))
    assert torch.equal(noise[2], again[0])
    assert not torch.equal(noise[1], noise[2]), "the same seed and another label"
    many = image_noise(range(400), [0] * 400, (3, 4, 4))
    assert abs(float(many.mean())) < 4 / 400**0.5 / 48**0.5
    assert float(many.std()) == pytest.approx(1, abs=0.03)
    assert abs(float(torch.corrcoef(many.flatten(1))[0, 1:].mean())) < 0.05


def test_pixels_are_the_samples_rounded_to_levels():
    model = tiny()
    pixels, _ = generated(PmfGenerator(model, "models.g"))
    samples = model.sample(image_noise(SEEDS, LABELS, (3, 12, 12)), torch.tensor(LABELS)).numpy()
    for i, sample in enumerate(samples):
        levels = np.clip((sample.astype(np.float64) + 1) * 255 / 2, 0, 255)
        assert np.abs(pixels[i].transpose(2, 0, 1) - levels).max() <= 0.5 + 1e-4
    assert (samples > 1).any()
    assert (samples < -1).any()


def test_neurons_are_those_of_the_patches_in_the_pass_of_the_image():
    model = tiny()
    _, values = generated(PmfGenerator(model, "models.g"))
    hidden = []
    hooks = [
        block.norm2.register_forward_hook(lambda _, inputs, output: hidden.append(output))
        for block in model.blocks
    ]
    model.sample(image_noise(SEEDS, LABELS, (3, 12, 12)), torch.tensor(LABELS))
    for hook in hooks:
        hook.remove()
    assert model.config.n_prefix == 2
    for layer, (block, x) in enumerate(zip(model.blocks, hidden, strict=True)):
        mlp = block.mlp
        wanted = functional.silu(x @ mlp.w1.weight.T) * (x @ mlp.w3.weight.T)
        cells = torch.cat(
            [wanted[image, 2 + cell][None] for image in range(8) for cell in range(9)]
        )
        torch.testing.assert_close(values[layer], cells, rtol=1e-4, atol=1e-5)


def test_the_last_of_several_steps_is_captured():
    model = tiny(n_steps=2)
    generator = PmfGenerator(model, "models.g")
    assert generator.step == "2 of 2, t = 0.5 to 0"
    _, values = generated(generator)
    inputs = []
    hook = model.blocks[1].mlp.w2.register_forward_pre_hook(
        lambda _, given: inputs.append(given[0])
    )
    model.sample(image_noise(SEEDS, LABELS, (3, 12, 12)), torch.tensor(LABELS))
    hook.remove()
    first, last = (given[:, 2:].flatten(0, 1) for given in inputs)
    torch.testing.assert_close(values[1], last, rtol=1e-4, atol=1e-5)
    assert (values[1] - first).abs().max() > 0.01


def test_labels_are_balanced():
    labels = balanced_labels(10, 4)
    assert labels.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert labels.dtype == np.int64


@pytest.mark.parametrize("label", [5, -1])
def test_a_class_that_the_generator_does_not_have_is_rejected_before_any_image(label):
    generator = PmfGenerator(tiny(), "models.g")
    with pytest.raises(ModelError, match=f"models.g: generates classes 0 to 4, and {label} was"):
        generate_shard(generator, [0, 1], [0, label], 1)
    with pytest.raises(ModelError, match="classes 0 to 4"):
        generator.generate([0], [label])


def test_an_image_that_is_not_finite_is_rejected():
    model = tiny()
    model.u_final_layer.linear.bias.data[0] = float("nan")
    with pytest.raises(ModelError, match=r"models.g: made an image .* not finite"):
        generated(PmfGenerator(model, "models.g"))


def test_a_generator_is_loaded_from_its_folder_and_its_untrained_twin_from_a_seed(tmp_path):
    model = tiny()
    model.save_pretrained(tmp_path)
    loaded = load_generator(ModelSource("g", str(tmp_path)))
    pixels, values = generated(loaded)
    wanted, wanted_values = generated(PmfGenerator(model, "models.g"))
    np.testing.assert_array_equal(pixels, wanted)
    assert torch.equal(values, wanted_values)
    assert (loaded.place, loaded.size, loaded.grid, loaded.n_classes) == ("models.g", 12, (3, 3), 5)
    assert (loaded.shape.n_layers, loaded.shape.d_mlp) == (3, 40)

    twin = load_generator(ModelSource("g", str(tmp_path), untrained_seed=1))
    grey, twin_values = generated(twin)
    assert (grey == grey[0, 0, 0, 0]).all()
    again = generated(load_generator(ModelSource("g", str(tmp_path), untrained_seed=1)))
    other = generated(load_generator(ModelSource("g", str(tmp_path), untrained_seed=2)))
    assert torch.equal(again[1], twin_values)
    assert not torch.equal(other[1], twin_values)
    assert twin_values.std(dim=1).min() > 0, "its neurons still follow the noise"


def test_a_model_that_generates_nothing_is_rejected(tmp_path):
    config = AutoConfig.for_model(
        "vit",
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
    )
    AutoModel.from_config(config, add_pooling_layer=False).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"models.d: vit generates no images.*pmf"):
        load_generator(ModelSource("d", str(tmp_path)))


def test_a_layer_that_the_table_does_not_fit_is_named():
    generator = PmfGenerator(tiny(), "models.g")
    skipped = generator.module.blocks[1].mlp
    skipped.forward = lambda x: x
    with pytest.raises(ModelError, match=r"models.g: layer 1 left nothing"):
        generated(generator)


def test_the_manifest_of_a_generator_tells_which_images_it_makes(tmp_path):
    tiny().save_pretrained(tmp_path / "g")
    source = ModelSource("g", str(tmp_path / "g"))
    write_model_manifest(source, tmp_path / "g.json", {})
    facts = read_manifest(tmp_path / "g.json", "model")
    assert (facts["architecture"], facts["n_neurons"]) == ("pmf", 120)
    assert (facts["grid"], facts["size"], facts["n_classes"]) == ([3, 3], 12, 5)
    with pytest.raises(ModelError, match=r"models.g: pmf makes images and is not shown any"):
        load_image_model(source)

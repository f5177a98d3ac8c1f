"""Zoo models of images: what they learn, resumable, loadable by anyone."""

import json
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from labelled_images import IMAGES, MODELS, SIZE, TRAINING, family, started
from transformers import AutoModel

import rosetta.models.zoo.training_loop
from rosetta.activations.image_capture import show_images
from rosetta.config.zoo import IMAGE_TASKS, ImageArchitecture, ImageTask, ZooImageSteps
from rosetta.errors import ConfigError, CorpusError
from rosetta.inputs.images.image_sets import ImageSet, write_image_set
from rosetta.models.architectures import generators
from rosetta.models.architectures.images import ARCHITECTURES
from rosetta.models.generators import load_generator
from rosetta.models.image_models import load_image_model
from rosetta.models.pmf.generator import PmfGenerator
from rosetta.models.sources import ModelSource
from rosetta.models.zoo.images.captions import CaptionVocabulary
from rosetta.models.zoo.images.labelled_images import (
    MEAN,
    STD,
    LabelledImages,
    image_order,
    input_pixels,
)
from rosetta.models.zoo.images.model_files import load_trained_model, save_image_model
from rosetta.models.zoo.images.model_training import train_image_model
from rosetta.models.zoo.images.recipes import RECIPES
from rosetta.models.zoo.optimizers import zoo_optimizer

VOCABULARY = CaptionVocabulary.of(IMAGES.captions)


def train(name, checkpoints, **changes):
    training = TRAINING.model_copy(update=changes)
    return train_image_model(family(name), SIZE, training, IMAGES, checkpoints)


def same_weights(a, b):
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_every_architecture_learns_one_thing_and_has_steps_for_it():
    assert set(IMAGE_TASKS) == set(get_args(ImageArchitecture)) == set(RECIPES)
    assert set(RECIPES) <= {*ARCHITECTURES, *generators.ARCHITECTURES}
    assert set(IMAGE_TASKS.values()) == set(get_args(ImageTask)) == set(ZooImageSteps.model_fields)


@pytest.mark.parametrize("name", MODELS)
def test_an_interrupted_training_ends_with_the_same_weights(tmp_path, monkeypatch, name):
    whole, facts = train(name, tmp_path / "whole")
    step, made = rosetta.models.zoo.training_loop._step, []

    def killed_at_the_third(*arguments):
        if len(made) == 2:
            made.append("killed")
            raise KeyboardInterrupt
        made.append("step")
        return step(*arguments)

    monkeypatch.setattr(rosetta.models.zoo.training_loop, "_step", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        train(name, tmp_path / "killed")
    resumed, resumed_facts = train(name, tmp_path / "killed")
    assert made == ["step", "step", "killed", "step"], "the first two are not made again"
    assert same_weights(whole, resumed)
    assert facts == resumed_facts
    assert facts["images"] == 3 * TRAINING.batch_size


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_is_the_trained_one_and_loads_with_plain_transformers(tmp_path, name):
    model, _ = train(name, tmp_path / "checkpoints")
    save_image_model(model, VOCABULARY, tmp_path / "m")
    assert same_weights(model, load_trained_model(tmp_path / "m"))
    base = AutoModel.from_pretrained(tmp_path / "m", use_safetensors=True)
    assert base.config.model_type == family(name).architecture
    processor = tmp_path / "m" / "preprocessor_config.json"
    assert processor.exists() == (name != "pmf")
    if processor.exists():
        side = family(name).image.image_size
        assert json.loads(processor.read_text())["size"] == {"height": side, "width": side}
    assert (tmp_path / "m" / "caption_vocabulary.json").exists() == (name == "clip")


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"pmf"}))
def test_a_saved_model_is_captured_as_it_was_trained(tmp_path, name):
    """Neurons of the loaded vision tower are the inputs of the trained model's last projection."""
    trained = started(name)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    save_image_model(trained.eval(), VOCABULARY, tmp_path / "m")
    loaded = load_image_model(ModelSource(name, str(tmp_path / "m")))
    shape, image = loaded.shape, family(name).image
    assert (shape.n_layers, shape.d_mlp, loaded.grid) == (SIZE.n_layers, SIZE.d_mlp, image.grid)
    assert (loaded.mean, loaded.std) == (MEAN, STD)
    pixels = torch.from_numpy(IMAGES.pixels[:3])
    shown = input_pixels(pixels, image.image_size)
    own = loaded.arguments(pixels)
    torch.testing.assert_close(own["pixel_values"], shown)
    tower, seen = getattr(trained, "vision_model", trained.base_model), []
    last = [part for key, part in tower.named_modules() if key.endswith((".fc2", ".down_proj"))][-1]
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tower.config.mask_ratio = 0.0
    with torch.no_grad():
        tower(**own)
    n_cells = loaded.grid[0] * loaded.grid[1]
    (captured,) = show_images(loaded, [IMAGES.pixels[:3]])
    expected = seen[0][:, -n_cells:].flatten(0, 1)
    torch.testing.assert_close(captured[-1], expected)


def test_a_saved_generator_draws_what_the_trained_one_draws(tmp_path):
    trained, _ = train("pmf", tmp_path / "checkpoints")
    save_image_model(trained, VOCABULARY, tmp_path / "m")
    loaded = load_generator(ModelSource("pmf", str(tmp_path / "m")))
    assert (loaded.n_classes, loaded.size, loaded.grid) == (4, 16, (4, 4))
    assert (loaded.shape.n_layers, loaded.shape.d_mlp) == (SIZE.n_layers, SIZE.d_mlp)
    images = loaded.generate([5, 6], [0, 3])
    own = PmfGenerator(trained, "pmf").generate([5, 6], [0, 3])
    torch.testing.assert_close(images, own)
    assert images.std() > 0.01, "it has learned to draw something"


@pytest.mark.parametrize("name", MODELS)
def test_a_checkpoint_of_other_images_is_not_resumed(tmp_path, name):
    train(name, tmp_path / "a")
    pixels = IMAGES.pixels.copy()
    pixels[0, 0, 0, 0] ^= 1
    others = LabelledImages(pixels, IMAGES.labels, IMAGES.captions, IMAGES.n_classes)
    after, fresh = (
        train_image_model(family(name), SIZE, TRAINING, others, tmp_path / folder)[0]
        for folder in ("a", "b")
    )
    assert same_weights(after, fresh)


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"pmf"}))
def test_layers_start_silent(name):
    model = started(name).eval()
    tower = getattr(model, "vision_model", model)
    pixels = input_pixels(torch.from_numpy(IMAGES.pixels[:2]), family(name).image.image_size)
    with torch.no_grad():
        hidden = tower(pixel_values=pixels, output_hidden_states=True).hidden_states
    torch.testing.assert_close(hidden[0], hidden[-1], msg="a layer adds something")


@pytest.mark.parametrize("name", MODELS)
def test_matrices_of_layers_are_muons(name):
    model = started(name)
    adamw, muon = zoo_optimizer(model, TRAINING).parts
    names = {id(parameter): key for key, parameter in model.named_parameters()}
    matrices, rest = (
        {names[id(one)] for group in part.param_groups for one in group["params"]}
        for part in (muon, adamw)
    )
    assert not matrices & rest
    frozen = {key for key, one in model.named_parameters() if not one.requires_grad}
    assert matrices | rest | frozen == set(names.values())
    assert all(any(part.isdecimal() for part in key.split(".")) for key in matrices)
    assert all(model.get_parameter(key).ndim == 2 for key in matrices)
    of_layers = ("fc1.weight", "fc2.weight", "down_proj.weight", "w2.weight", "q_proj.weight")
    assert any(key.endswith(of_layers) for key in matrices)
    assert not any(key.endswith(of_layers) for key in rest)


def test_an_autoencoder_knows_where_patches_lie():
    model = started("vit_mae")
    for positions in (model.vit.embeddings.position_embeddings, model.decoder.decoder_pos_embed):
        patches = positions[0, 1:]
        assert len(patches.unique(dim=0)) == len(patches) == 16
        assert not positions.requires_grad


def test_an_untrained_autoencoder_knows_it_too(tmp_path):
    trained = started("vit_mae")
    save_image_model(trained, VOCABULARY, tmp_path / "m")
    untrained = load_image_model(ModelSource("twin", str(tmp_path / "m"), untrained_seed=3))
    positions = untrained.module.embeddings.position_embeddings
    torch.testing.assert_close(positions, trained.vit.embeddings.position_embeddings)
    assert not torch.equal(
        untrained.module.layers[0].mlp.fc1.weight, trained.vit.layers[0].mlp.fc1.weight
    )


def test_training_lowers_the_loss(tmp_path):
    steps = dict.fromkeys(ZooImageSteps.model_fields, 40)
    for name, below in (("pmf", 0.6), ("vit", 0.5), ("vit_mae", 0.97), ("clip", 1.5)):
        _, facts = train(name, tmp_path / name, steps=ZooImageSteps(**steps))
        assert facts["train_loss"] < below, name


def test_every_pass_over_the_images_has_an_order_of_its_own():
    order = image_order(10, 5, 4, seed=3).flatten()
    first, second = order[:10], order[10:]
    assert sorted(first) == sorted(second) == list(range(10))
    assert not torch.equal(first, second)
    assert torch.equal(image_order(10, 3, 4, seed=3).flatten(), order[:12])
    assert not torch.equal(image_order(10, 5, 4, seed=4).flatten(), order)


def test_images_are_resized_whole_and_scaled():
    from PIL import Image

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, 24, 24, 3), dtype=np.uint8)
    kept = input_pixels(torch.from_numpy(pixels), 24)
    np.testing.assert_allclose(kept, pixels.transpose(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)
    channel = Image.fromarray(pixels[0, :, :, 1].astype(np.float32))
    expected = np.asarray(channel.resize((16, 16), Image.Resampling.BICUBIC)) / 127.5 - 1
    np.testing.assert_allclose(
        input_pixels(torch.from_numpy(pixels), 16)[0, 1], expected, atol=1e-3
    )


def test_captions_are_words_an_end_and_padding(tmp_path):
    vocabulary = CaptionVocabulary.of(["a Red disc", "a disc", "a disc"])
    assert vocabulary == CaptionVocabulary(("a", "disc", "red"), 4)
    assert CaptionVocabulary.of(["disc " * 75, "disc"]).n_tokens == 76
    assert CaptionVocabulary.of(["disc " * 9_000]).n_tokens == 77, "of a book, as much as CLIP has"
    assert vocabulary.ids(["a red disc", "red", "a blue disc on red", ""]).tolist() == [
        [3, 5, 4, 1],
        [5, 1, 0, 0],
        [3, 2, 4, 1],
        [1, 0, 0, 0],
    ]
    vocabulary.save(tmp_path)
    assert CaptionVocabulary.load(tmp_path) == vocabulary


def test_a_split_is_read_with_its_classes(tmp_path):
    rows = {"label": IMAGES.labels, "caption": list(IMAGES.captions), "index": np.arange(48)}
    table = pd.DataFrame({**rows, "domain": "x", "source": "s"})
    write_image_set(
        tmp_path / "train.json",
        table,
        iter([IMAGES.pixels[:40], IMAGES.pixels[40:]]),
        made_by={},
        facts={"classes": ["a", "b", "c", "d", "not in this split"]},
    )
    read = LabelledImages.of(ImageSet(tmp_path / "train.json"))
    assert np.array_equal(read.pixels, IMAGES.pixels)
    assert np.array_equal(read.labels, IMAGES.labels)
    assert read.captions == IMAGES.captions
    assert read.n_classes == 5


def spoilt(**changes):
    known = {name: getattr(IMAGES, name) for name in ("pixels", "labels", "captions", "n_classes")}
    return {**known, **changes}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (spoilt(pixels=IMAGES.pixels[:0]), "none to train on"),
        (spoilt(pixels=IMAGES.pixels[:, 1:]), "not squares"),
        (spoilt(pixels=IMAGES.pixels.astype(np.float32)), "float32, not uint8"),
        (spoilt(labels=IMAGES.labels[1:]), r"47 labels and 48 captions"),
        (spoilt(captions=IMAGES.captions[1:]), r"48 labels and 47 captions"),
        (spoilt(n_classes=2), "from 0 to 3, which are not 2 classes"),
    ],
)
def test_images_that_do_not_fit_their_labels_are_rejected(parts, message):
    with pytest.raises(CorpusError, match=message):
        LabelledImages(**parts)


def test_a_gpu_that_is_not_there_is_named_by_its_key(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r"^zoo\.image_training\.device: cuda, but"):
        train("vit", tmp_path, device="cuda")

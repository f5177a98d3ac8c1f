"""EVA-02-CLIP-E and its converter, against the network written out in NumPy from timm's names."""

import json
import pickle

import accelerate
import numpy as np
import pytest
import torch
from commands import run_here
from PIL import Image
from safetensors.torch import load_file, save_file
from tiny_image_architectures import ACTIVATIONS, noise_images, saved_source, scaled
from transformers import AutoModel

from rosetta.activations.image_capture import show_images
from rosetta.errors import ModelError
from rosetta.models.architectures.images import CLIP
from rosetta.models.eva02 import convert
from rosetta.models.eva02.config import Eva02Config
from rosetta.models.eva02.convert import convert_eva
from rosetta.models.eva02.model import Eva02Model
from rosetta.models.folders import check_model_folder
from rosetta.models.image_models import load_image_model
from rosetta.models.loading import load_model
from rosetta.models.neurons import NeuronShape

D, HEADS, LAYERS, PATCH, SIDE, WIDTH = 12, 3, 2, 4, 3, 20
TINY = Eva02Config(
    image_size=SIDE * PATCH,
    patch_size=PATCH,
    hidden_size=D,
    num_hidden_layers=LAYERS,
    num_attention_heads=HEADS,
    intermediate_size=WIDTH,
)
BLOCK = {
    "attn.qkv.weight": (3 * D, D),
    "attn.proj.weight": (D, D),
    "mlp.fc1.weight": (WIDTH, D),
    "mlp.fc1.bias": (WIDTH,),
    "mlp.fc2.weight": (D, WIDTH),
    **{f"{name}.{end}": (D,) for name in ("norm1", "norm2") for end in ("weight", "bias")},
    **dict.fromkeys(("attn.q_bias", "attn.v_bias", "attn.proj.bias", "mlp.fc2.bias"), (D,)),
}
TRUNK = {
    "cls_token": (1, 1, D),
    "pos_embed": (1, 1 + SIDE**2, D),
    "patch_embed.proj.weight": (D, 3, PATCH, PATCH),
    "patch_embed.proj.bias": (D,),
    **{f"blocks.{i}.{name}": shape for i in range(LAYERS) for name, shape in BLOCK.items()},
    "norm.weight": (D,),
    "norm.bias": (D,),
    "head.weight": (7, D),
    "head.bias": (7,),
}


def published(prefix="", dtype=torch.float32):
    """Random weights with the names and shapes of timm's file, or of OpenCLIP's with a prefix."""
    rng = np.random.default_rng(0)
    state = {prefix + name: rng.normal(0, 0.5, shape) for name, shape in TRUNK.items()}
    if prefix:
        state |= {"text.transformer.resblocks.0.ln_1.weight": np.ones(4), "logit_scale": np.ones(1)}
    return {name: torch.tensor(value, dtype=dtype) for name, value in state.items()}


def normed(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * weight + bias


def attention(w, x):
    """Of one image's tokens (n_tokens, D), head by head; keys have no bias."""
    q, k, v = (x @ part.T for part in np.split(w["attn.qkv.weight"], 3))
    q, v = q + w["attn.q_bias"], v + w["attn.v_bias"]
    heads = []
    for part in np.split(np.arange(D), HEADS):
        shares = np.exp(q[:, part] @ k[:, part].T / np.sqrt(D // HEADS))
        heads.append(shares / shares.sum(1, keepdims=True) @ v[:, part])
    return np.concatenate(heads, axis=1) @ w["attn.proj.weight"].T + w["attn.proj.bias"]


def forward(state, image, positions):
    """Tokens after the last norm of one image (3, height, width), and the neurons of all layers."""
    kernel, cells = state["patch_embed.proj.weight"], []
    for top in range(0, image.shape[1], PATCH):
        for left in range(0, image.shape[2], PATCH):
            patch = image[:, top : top + PATCH, left : left + PATCH]
            cells.append((kernel * patch).sum((1, 2, 3)) + state["patch_embed.proj.bias"])
    x, neurons = np.array([state["cls_token"][0, 0], *cells]) + positions, []
    for layer in range(LAYERS):
        w = {name: state[f"blocks.{layer}.{name}"] for name in BLOCK}
        x = x + normed(attention(w, x), w["norm1.weight"], w["norm1.bias"])
        neurons.append(ACTIVATIONS["gelu"](x @ w["mlp.fc1.weight"].T + w["mlp.fc1.bias"]))
        added = neurons[-1] @ w["mlp.fc2.weight"].T + w["mlp.fc2.bias"]
        x = x + normed(added, w["norm2.weight"], w["norm2.bias"])
    return normed(x, state["norm.weight"], state["norm.bias"]), np.array(neurons)


def resized(positions, side):
    """Positions (1 + n_patches, D) on another grid, by Pillow, which antialiases too."""
    planes = positions[1:].reshape(SIDE, SIDE, D).astype(np.float32)
    fitted = [
        Image.fromarray(planes[:, :, i]).resize((side, side), Image.Resampling.BICUBIC)
        for i in range(D)
    ]
    return np.concatenate([positions[:1], np.stack(fitted, axis=-1).reshape(-1, D)])


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(convert, "PUBLISHED", TINY)


def written(folder, state):
    save_file(state, folder / "published.safetensors")
    return folder / "published.safetensors"


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("prefix", ["", "visual.trunk."])
@pytest.mark.parametrize("side", [SIDE, 2, 5])
def test_a_converted_file_computes_what_the_published_network_does(tmp_path, prefix, side):
    convert_eva(written(tmp_path, published(prefix)), tmp_path / "out")
    model = AutoModel.from_pretrained(tmp_path / "out", dtype="float64").eval()
    assert isinstance(model, Eva02Model)
    pixels = np.random.default_rng(1).normal(size=(2, 3, side * PATCH, side * PATCH))
    neurons = []
    for block in model.blocks:
        block.mlp.fc2.register_forward_pre_hook(lambda _, x: neurons.append(x[0].numpy()))
    with torch.no_grad():
        found = model(torch.tensor(pixels)).last_hidden_state.numpy()
    state = {name: weight.double().numpy() for name, weight in published().items()}
    positions = state["pos_embed"][0]
    exact = side == SIDE
    tolerance = {"rtol": 1e-9, "atol": 1e-9} if exact else {"rtol": 1e-4, "atol": 1e-4}
    positions = positions if exact else resized(positions, side)
    for i in range(2):
        wanted, wanted_neurons = forward(state, pixels[i], positions)
        np.testing.assert_allclose(found[i], wanted, **tolerance)
        np.testing.assert_allclose(np.array(neurons)[:, i], wanted_neurons, **tolerance)


@pytest.mark.usefixtures("tiny")
def test_its_neurons_on_the_patches_are_captured_and_the_class_token_is_not(tmp_path):
    """A file of half precision, through the command and the path that every model takes."""
    state = published("visual.trunk.", torch.float16)
    file = written(tmp_path, state)
    done = run_here("convert-eva", file, "--out", tmp_path / "out", folder=tmp_path)
    assert done.code == 0, done.err
    kept = load_file(tmp_path / "out" / "model.safetensors")
    assert {weight.dtype for weight in kept.values()} == {torch.float16}
    assert set(kept) == {name for name in TRUNK if not name.startswith("head.")}
    check_model_folder(tmp_path / "out", "models.m.path")
    model = load_image_model(saved_source(tmp_path / "out"))
    images = noise_images(3, 12, 12)
    found = torch.cat(list(show_images(model, [images])), dim=1).numpy()
    assert (model.shape, model.n_prefix) == (NeuronShape(LAYERS, WIDTH), 1)
    trunk = {name: state[f"visual.trunk.{name}"].double().numpy() for name in TRUNK}
    neurons = [forward(trunk, image, trunk["pos_embed"][0])[1] for image in scaled(images, *CLIP)]
    wanted = np.concatenate([one[:, 1:] for one in neurons], axis=1)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("prefix", ["", "visual.trunk."])
@pytest.mark.parametrize(
    ("name", "weight", "said"),
    [
        ("blocks.1.attn.q_bias", None, "lacks {}blocks.1.attn.q_bias"),
        ("blocks.1.attn.k_bias", torch.ones(D), "also has {}blocks.1.attn.k_bias"),
        ("blocks.2.norm1.weight", torch.ones(D), "also has {}blocks.2.norm1.weight"),
        ("pos_embed", torch.ones(1, SIDE**2, D), r"misshapes {}pos_embed \(1, 9, 12\)"),
        ("mlp.weight", torch.ones(D), "also has {}mlp.weight"),
    ],
)
def test_weights_that_do_not_match_are_named(tmp_path, prefix, name, weight, said):
    state = published(prefix)
    state.pop(prefix + name, None)
    state |= {} if weight is None else {prefix + name: weight}
    with pytest.raises(ModelError, match=said.format(prefix) + ".*no EVA-02-CLIP-E"):
        convert_eva(written(tmp_path, state), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_safetensors_are_rejected(tmp_path):
    (tmp_path / "pickled.bin").write_bytes(pickle.dumps({"cls_token": 1}))
    whole = written(tmp_path, published()).read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    for name in ("pickled.bin", "cut.safetensors", "missing.safetensors"):
        with pytest.raises(ModelError, match=f"{name}: is no safetensors file that can be read"):
            convert_eva(tmp_path / name, tmp_path / "out")


@pytest.mark.usefixtures("tiny")
def test_a_file_is_not_replaced_by_what_is_made_of_it(tmp_path):
    file = written(tmp_path, published())
    for out in (tmp_path, tmp_path / "." / "none" / ".."):
        with pytest.raises(ModelError, match=r"lies in .* which is replaced"):
            convert_eva(file, out)
    assert file.exists()


def test_a_converted_folder_that_lost_a_weight_is_not_loaded(tmp_path):
    Eva02Model(TINY).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["blocks.0.attn.v_bias"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"lack blocks\.0\.attn\.v_bias"):
        load_image_model(saved_source(tmp_path))


def test_weights_that_wait_elsewhere_give_the_same_neurons(tmp_path):
    """On disk, and in memory: what a layer holds outside of its linear maps is fetched, too."""
    torch.manual_seed(0)
    Eva02Model(TINY).save_pretrained(tmp_path)
    source, pixels = saved_source(tmp_path), torch.randn(2, 3, 12, 12)
    whole = load_model(source)
    on_disk = load_model(source, {"cpu": whole.num_parameters() * 2})
    in_memory = accelerate.cpu_offload(load_model(source), execution_device=torch.device("cpu"))
    assert on_disk.hf_device_map["blocks"] == "disk"
    with torch.no_grad():
        for model in (on_disk, in_memory):
            assert model.blocks[0].attn.q_bias.device.type == "meta"
            found, wanted = model(pixels), whole(pixels)
            assert torch.equal(found.last_hidden_state, wanted.last_hidden_state)


def test_the_published_size():
    """64 layers of 15,360; 4.35 thousand million parameters with the head's 1.8 million."""
    with torch.device("meta"):
        model = Eva02Model(convert.PUBLISHED)
    config = model.config
    assert config.num_hidden_layers * config.intermediate_size == 983_040
    assert config.side**2 == 256
    assert round(sum(p.numel() for p in model.parameters()) / 1e7) == 435
    assert model.blocks[63].attn.q_bias.shape == (16 * 112,)


def test_a_model_of_random_weights_follows_from_its_seed():
    """Nothing is left as memory happened to be."""

    def drawn():
        torch.manual_seed(3)
        return Eva02Model(TINY).state_dict()

    first, second = drawn(), drawn()
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    for name, value in first.items():
        if "norm" in name or name.endswith("bias"):
            assert value.unique().tolist() == [float("norm" in name and "weight" in name)], name
        else:
            assert 0.015 < float(value.std()) < 0.03, name


@pytest.mark.parametrize("sizes", [{"patch_size": 5}, {"num_attention_heads": 5}])
def test_sizes_that_do_not_go_together_are_rejected(tmp_path, sizes):
    (name,) = sizes
    with pytest.raises(ModelError, match=name):
        Eva02Config(**{**TINY.to_dict(), **sizes})
    Eva02Model(TINY).save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**content, **sizes}))
    with pytest.raises(ModelError, match=name):
        load_image_model(saved_source(tmp_path))

"""Activations as stored: tiny layers keep their values, and what is lost or cannot be stored is
told.
"""

import numpy as np
import pytest
import torch
import zarr
from helpers import random_ranges, save_stores, save_tiny_model, shard_inputs
from safetensors.torch import load_file, save_file

import rosetta.activations.rounding
from rosetta.activations.capture import capture_shard
from rosetta.activations.folders import open_stores
from rosetta.activations.rounding import Rounding, Scale
from rosetta.activations.steps import store_check_step
from rosetta.config import Activations
from rosetta.errors import StoreError
from rosetta.models.neurons import NeuronShape
from rosetta.models.sources import ModelSource
from rosetta.storage.manifests import describe_files, read_manifest, write_manifest

DOCUMENTS = [40, 10, 25, 60, 33, 7] * 4
SCALES = (1.0, 3e-9, 1e-3, 1e-30)  # of the layers


@pytest.fixture(scope="module")
def tiny():
    """Activations of layers of very different scale, (n_layers, n_positions, d_mlp); huge where
    there are no bytes.
    """
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, DOCUMENTS, special=True, truncate=False)
    values = rng.normal(size=(len(SCALES), len(ranges[0]), 48)).astype(np.float32)
    values *= np.float32(SCALES)[:, None, None]
    values[:, ranges[1] == ranges[2]] = 5e3
    return values, ranges


def all_of(store):
    return np.stack(
        [
            store.activations(i, slice(None), slice(None)).float().numpy()
            for i in range(store.n_layers)
        ]
    )


@pytest.mark.parametrize("n_shards", [1, 3])
def test_tiny_layers_are_stored_as_precisely_as_others(tiny, tmp_path, n_shards):
    values, ranges = tiny
    stores = save_stores(
        tmp_path / "a", values, ranges, len(DOCUMENTS), n_shards=n_shards, dtype="float16"
    )
    kept = ranges[2] > ranges[1]
    found, true = (
        np.concatenate([all_of(store) for store in stores], axis=1)[:, kept],
        values[:, kept],
    )
    for layer in range(len(SCALES)):
        r = [
            np.corrcoef(found[layer, :, u].astype(float), true[layer, :, u].astype(float))[0, 1]
            for u in range(48)
        ]
        assert min(r) > 1 - 1e-6, layer
        assert np.abs(found[layer] - true[layer]).max() <= 2.0**-11 * np.abs(true[layer]).max(), (
            layer
        )
    np.testing.assert_array_equal(
        found[0], true[0].astype(np.float16), "layers that float16 holds are as they were"
    )
    for store in stores:
        assert store.manifest["holds"]["n_dead"] == 0
        moments = store.moments()
        rows = all_of(store)[:, store.positions().counted].astype(float)
        np.testing.assert_allclose(moments.mean, rows.mean(axis=1).ravel(), rtol=1e-9, atol=1e-45)
        np.testing.assert_allclose(moments.std, rows.std(axis=1).ravel(), rtol=1e-9)
        assert store.read("exponent")[0] == 0
        assert (store.read("exponent")[1:] < -5).all()
    assert len(list(store_check_step(tmp_path / "a"))) == n_shards


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_dtypes_of_a_wide_range_need_no_scale(tiny, tmp_path, dtype):
    values, ranges = tiny
    (store,) = save_stores(tmp_path / "a", values, ranges, len(DOCUMENTS), dtype=dtype)
    assert not store.read("exponent").any()
    np.testing.assert_allclose(all_of(store), values, rtol=2.0**-8)
    assert store.manifest["holds"]["n_underflow"] == 0


def test_the_scale_does_not_depend_on_the_batches(tiny, tmp_path, monkeypatch):
    """It is chosen by the first positions alone, however they come."""
    monkeypatch.setattr(rosetta.activations.rounding, "CHUNK_POSITIONS", 100)
    values, ranges = tiny
    with_bytes, found = ranges[2] > ranges[1], []
    values[1, 100:] *= 100  # later, so that they do not count
    for n_batches in (1, 7, 40):
        scale = Scale(with_bytes, len(SCALES), "float16")
        for batch in torch.from_numpy(values).tensor_split(n_batches, dim=1):
            scale.see(batch)
        assert scale.complete
        found.append(scale.exponents)
    largest = np.abs(values[:, :100][:, with_bytes[:100]]).max(axis=(1, 2))
    expected = np.where(largest < 2.0**-6, np.floor(np.log2(largest.astype(float))), 0)
    for exponents in found:
        np.testing.assert_array_equal(exponents, expected)
    values[1, 100:] /= 100


def test_what_is_lost_beside_large_values_is_counted_and_told(tmp_path, capsys):
    rng = np.random.default_rng(1)
    ranges = random_ranges(rng, DOCUMENTS, special=True, truncate=False)
    values = rng.normal(size=(2, len(ranges[0]), 6)).astype(np.float32)
    values[1, :, 2:] *= 1e-9
    values[0, 5:9, 3] = 1e-9
    values[0, 20:, 4] = 0  # which is nothing to lose
    (store,) = save_stores(tmp_path / "a", values, ranges, len(DOCUMENTS), dtype="float16")
    kept = values[:, ranges[2] > ranges[1]]
    lost = int(((kept != 0) & (kept.astype(np.float16) == 0)).sum())
    assert lost > 4 * (kept.shape[1] - 1)
    assert store.manifest["holds"]["n_underflow"] == lost
    said = capsys.readouterr().err
    assert (
        "67% of the values of layer 1 are too small for float16 and are stored as 0 (1 such "
        "layer(s))" in said
    )


def test_stores_of_format_2_read_as_before(tiny, tmp_path):
    values, ranges = tiny
    (new,) = save_stores(tmp_path / "a", values[:1], ranges, len(DOCUMENTS), dtype="float16")
    path, before = tmp_path / "a" / "0.json", all_of(new)
    group = zarr.open_group(path.with_suffix(".zarr"), mode="r+")
    del group["exponent"]
    group.attrs.update(rosetta_store=2)
    manifest = read_manifest(path, "activations")
    write_manifest(
        path, {**manifest, "format_version": 2, "files": describe_files(path.with_suffix(".zarr"))}
    )
    (old,) = open_stores(tmp_path / "a")
    np.testing.assert_array_equal(all_of(old), before)
    assert len(list(store_check_step(tmp_path / "a"))) == 1


def test_what_a_tiny_layer_cannot_hold_later_is_rejected_with_the_fix():
    rounding = Rounding(
        np.ones(4, bool), NeuronShape(1, 2), "float16", "models.m", np.array([-30], np.int16)
    )
    assert torch.equal(
        rounding(torch.full((1, 2, 2), 3e-9)), torch.full((1, 2, 2), 3e-9 * 2.0**30).half()
    )
    message = (
        r"L0/U1 reads 0\.001, which float16 cannot hold beside the first values of its "
        r"layer.*bfloat16 or float32"
    )
    with pytest.raises(StoreError, match=message):
        rounding(torch.tensor([[[0.0, 1e-3]]]))


@pytest.mark.parametrize(
    ("dtype", "message"),
    [
        (
            torch.float16,
            r"reads -inf: the forward pass in float16 overflows.*models\.NAME\.dtype\) to "
            r"bfloat16 or float",
        ),
        (
            torch.float32,
            r"reads -inf in a forward pass in float32, which no dtype can hold\. Check the weights",
        ),
        (
            torch.bfloat16,
            r"reads -inf in a forward pass in bfloat16, which no dtype can hold\. Check the "
            r"weights",
        ),
    ],
)
@pytest.mark.parametrize("stored", ["float16", "float32"])
def test_an_overflow_of_the_forward_pass_is_told_as_such(dtype, message, stored):
    rounding = Rounding(np.ones(4, bool), NeuronShape(1, 2), stored, "models.m")
    with pytest.raises(StoreError, match=rf"models\.m: neuron L0/U1 {message}"):
        rounding(torch.tensor([[[0.0, -torch.inf]]], dtype=dtype))


def tiny_activations(folder, texts, factor):
    """A model whose second layer's activations are tiny, and documents for it."""
    save_tiny_model(folder, texts, "llama")
    weights = load_file(folder / "model.safetensors")
    weights["model.layers.1.mlp.up_proj.weight"] *= factor
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return ModelSource("m", str(folder)), [(i, text) for i, text in enumerate(texts[:40])]


@pytest.mark.parametrize(("forward_dtype", "factor"), [("float32", 1e-6), ("float16", 1e-3)])
def test_a_model_with_a_tiny_layer_is_captured_as_it_is(tmp_path, texts, forward_dtype, factor):
    source, documents = tiny_activations(tmp_path / "m", texts, factor)
    source = ModelSource("m", source.location, dtype=forward_dtype)
    found = []
    for dtype, batch_size in (("float32", 16), ("float16", 16), ("float16", 3)):
        settings, folder = (
            Activations(sequence_length=32, dtype=dtype, n_shards=1),
            tmp_path / f"{dtype}-{batch_size}",
        )
        capture_shard(
            shard_inputs(source, documents, batch_size=batch_size), settings, folder / "0.json", 0
        )
        (store,) = open_stores(folder)
        found.append((store.read("exponent"), all_of(store)))
    (_, true), (exponents, stored), (again, _) = found
    assert 0 < np.abs(true[1]).max() < 10 * factor
    assert exponents[1] < -6
    assert np.array_equal(exponents, again)
    varying = true[1].std(axis=0) > 0
    r = [
        np.corrcoef(true[1, :, u].astype(float), stored[1, :, u].astype(float))[0, 1]
        for u in np.flatnonzero(varying)
    ]
    assert len(r) == 24 or forward_dtype == "float16"
    assert min(r) > 1 - 1e-5

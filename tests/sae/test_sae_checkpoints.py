"""Autoencoders that are read, in the formats of SAELens and dictionary_learning."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rosetta.errors import ModelError
from rosetta.sae.checkpoints import load_dictionary, save_dictionary
from rosetta.sae.dictionary import Dictionary
from rosetta.sae.folders import check_inputs, stated_size, weight_files

D, F = 5, 9


def arrays(threshold=False):
    rng = np.random.default_rng(0)
    shapes = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}
    if threshold:
        shapes["threshold"] = (F,)
    return {
        name: torch.from_numpy(rng.normal(size=shape)).float() for name, shape in shapes.items()
    }


def write_lens(folder, weights=None, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "architecture": "standard",
        "d_in": D,
        "d_sae": F,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": True,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"hook_name": "blocks.0.mlp.hook_post"},
    }
    told = {name: value for name, value in (told | facts).items() if value is not None}
    (folder / "cfg.json").write_text(json.dumps(told))
    save_file(arrays() if weights is None else weights, folder / "sae_weights.safetensors")
    return folder


def write_learnt(folder, state=None, **facts):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    shapes = {
        "encoder.weight": (F, D),
        "encoder.bias": (F,),
        "decoder.weight": (D, F),
        "b_dec": (D,),
    }
    made = {
        name: torch.from_numpy(rng.normal(size=shape)).float() for name, shape in shapes.items()
    }
    made |= {"k": torch.tensor(3, dtype=torch.int), "threshold": torch.tensor(-1.0)}
    torch.save(made if state is None else state, folder / "ae.pt")
    told = {"dict_class": "AutoEncoderTopK", "activation_dim": D, "dict_size": F, "k": 3, **facts}
    (folder / "config.json").write_text(json.dumps({"trainer": told, "buffer": {"d_submodule": D}}))
    return made


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("kind", ["standard", "topk", "jumprelu"])
def test_saelens_is_read(tmp_path, kind, centred):
    weights = arrays(threshold=kind == "jumprelu")
    facts = {"k": 2} if kind == "topk" else {}
    write_lens(tmp_path, weights, architecture=kind, apply_b_dec_to_input=centred, **facts)
    of = load_dictionary(tmp_path, "sae.path.m")
    assert of.kind == kind
    assert stated_size(tmp_path, "m") == (D, F)
    x = np.random.default_rng(2).normal(size=(20, D))
    w = {name: part.numpy().astype(float) for name, part in weights.items()}
    before = (x - centred * w["b_dec"]) @ w["W_enc"] + w["b_enc"]
    z = np.maximum(before, 0)
    if kind == "jumprelu":
        z = z * (before > w["threshold"])
    if kind == "topk":
        z = np.where(before >= np.sort(before, axis=1)[:, [-2]], z, 0)
    found = of.encode(torch.from_numpy(x).float())
    np.testing.assert_allclose(found, z, atol=1e-5)
    np.testing.assert_allclose(of.decode(found), z @ w["W_dec"] + w["b_dec"], atol=1e-5)


def test_topk_of_earlier_versions_of_saelens_is_read(tmp_path):
    facts = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}
    write_lens(tmp_path, **facts)
    of = load_dictionary(tmp_path, "m")
    assert (of.kind, of.k) == ("topk", 4)


def test_dictionary_learning_is_read(tmp_path):
    state = write_learnt(tmp_path)
    of = load_dictionary(tmp_path, "sae.path.m")
    assert (of.kind, of.k, of.centred) == ("topk", 3, True)
    x = torch.randn(20, D, generator=torch.Generator().manual_seed(0))
    before = (x - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    kept = before.relu().topk(3, dim=1)
    z = torch.zeros_like(before).scatter(1, kept.indices, kept.values)
    np.testing.assert_allclose(of.encode(x), z, atol=1e-5)
    made = z @ state["decoder.weight"].T + state["b_dec"]
    np.testing.assert_allclose(of.decode(z), made, atol=1e-5)


def test_what_is_written_is_read_again(tmp_path):
    write_lens(tmp_path / "a", arrays(threshold=True), architecture="jumprelu")
    for number, of in enumerate(
        (load_dictionary(tmp_path / "a", "m"), _topk(load_dictionary(tmp_path / "a", "m")))
    ):
        save_dictionary(of, tmp_path / "b" / str(number))
        again = load_dictionary(tmp_path / "b" / str(number), "m")
        x = torch.randn(8, D, generator=torch.Generator().manual_seed(1))
        assert torch.equal(of.encode(x), again.encode(x))
        assert torch.equal(of.decode(of.encode(x)), again.decode(again.encode(x)))
    names = [path.relative_to(tmp_path / "b").as_posix() for path in weight_files(tmp_path / "b")]
    files = ("cfg.json", "sae_weights.safetensors")
    assert names == [f"{number}/{file}" for number in range(2) for file in files]


def _topk(of):
    return Dictionary(of.encoder, of.encoder_bias, of.decoder, of.decoder_bias, centred=False, k=2)


def without(name):
    weights = arrays()
    del weights[name]
    return weights


BAD_LENS = {
    "gated": ({"architecture": "gated"}, None, "architecture is 'gated'; these are read: standard"),
    "no k": ({"architecture": "topk"}, None, "k is None, not a whole number above 0"),
    "size": ({"d_in": "5"}, None, "d_in is '5', not a whole number above 0"),
    "normalised": (
        {"normalize_activations": "expected_average_only_in"},
        None,
        "normalize_activations is 'expected_average_only_in', which is not done here. Fold it",
    ),
    "reshaped": ({"reshape_activations": "hook_z"}, None, "reshape_activations is 'hook_z'"),
    "rescaled": (
        {"architecture": "topk", "k": 2, "rescale_acts_by_decoder_norm": True},
        None,
        "rescale_acts_by_decoder_norm is true, which is not done here",
    ),
    "subtracted": ({"apply_b_dec_to_input": 1}, None, "apply_b_dec_to_input is 1, not true or fal"),
    "shape": ({"d_sae": 8}, None, r"W_enc has the shape \(5, 9\), but should have \(5, 8\)"),
    "array": ({}, without("W_dec"), "has no array W_dec; it has"),
    "threshold": ({"architecture": "jumprelu"}, None, "has no array threshold"),
    "finite": ({}, arrays() | {"b_dec": torch.full((D,), torch.nan)}, "b_dec holds non-finite"),
}


@pytest.mark.parametrize("case", BAD_LENS)
def test_what_saelens_has_and_this_does_not_is_rejected(tmp_path, case):
    facts, weights, message = BAD_LENS[case]
    write_lens(tmp_path, weights, **facts)
    with pytest.raises(ModelError, match=rf"^sae\.path\.m: {tmp_path}.*{message}"):
        load_dictionary(tmp_path, "sae.path.m")


class Harmful:
    """What a pickle could run."""

    def __reduce__(self):
        return print, ("ran",)


BAD_LEARNT = {
    "class": ({"dict_class": "GatedAutoEncoder"}, None, "trainer.dict_class is 'GatedAutoEncoder'"),
    "k": ({"k": 0}, None, "k is 0, not a whole number above 0"),
    "shape": ({"dict_size": 8}, None, r"encoder.weight has the shape \(9, 5\)"),
    "list": ({}, [torch.zeros(2)], "holds no arrays by name"),
    "empty": ({}, {}, "has no array encoder.weight; it has nothing"),
    "pickle": ({}, {"encoder.weight": Harmful()}, "is not a file of arrays alone"),
}


@pytest.mark.parametrize("case", BAD_LEARNT)
def test_what_dictionary_learning_has_and_this_does_not_is_rejected(tmp_path, case, capsys):
    facts, state, message = BAD_LEARNT[case]
    write_learnt(tmp_path, state, **facts)
    with pytest.raises(ModelError, match=rf"^sae\.path\.m: {tmp_path}.*{message}"):
        load_dictionary(tmp_path, "sae.path.m")
    assert "ran" not in capsys.readouterr().out


def test_damaged_and_missing_files_are_told(tmp_path):
    with pytest.raises(ModelError, match=r"has neither cfg\.json of SAELens nor config\.json of"):
        load_dictionary(tmp_path, "m")
    write_lens(tmp_path)
    (tmp_path / "sae_weights.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ModelError, match="cannot be read"):
        load_dictionary(tmp_path, "m")
    (tmp_path / "sae_weights.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_dictionary(tmp_path, "m")
    (tmp_path / "cfg.json").write_text("[1]")
    with pytest.raises(ModelError, match="is no JSON object"):
        load_dictionary(tmp_path, "m")


def test_inputs_are_compared_with_the_neurons(tmp_path):
    write_lens(tmp_path)
    check_inputs(tmp_path, D, "m")
    with pytest.raises(ModelError, match=r"reads 5 inputs, but there are 7 neurons to read\. Set"):
        check_inputs(tmp_path, 7, "m")

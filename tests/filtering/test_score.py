"""Scores: the forward pass that ends at the neuron, what a score is, and that it does not depend on
how work is cut.
"""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ARCHITECTURES, save_tiny_model
from hypothesis import given
from hypothesis import strategies as st

from rosetta.config.filtering import FilterScoring
from rosetta.errors import ModelError
from rosetta.filtering.document_scores import NeuronProbe, Scorer, document_score, encode
from rosetta.models.architectures.registry import architecture_of
from rosetta.models.loading import load_model
from rosetta.models.neurons import Neuron, NeuronShape, parse_neuron
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import load_tokenizer
from rosetta.storage.digests import hash64

TOLERANCE = 1e-5  # of the largest score: how documents are grouped changes rounding only


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, texts):
    """Return a function that loads a tiny model of an architecture, and its tokenizer."""

    def load(architecture, bos=False):
        folder = tmp_path_factory.mktemp(architecture)
        source = ModelSource(
            "tiny", str(save_tiny_model(folder / "m", texts, architecture, bos=bos))
        )
        return load_model(source), load_tokenizer(source)

    return load


def documents_of(texts):
    ids = np.array([hash64(text) for text in texts], dtype=np.uint64)
    return pd.DataFrame({"id": ids, "text": texts, "domain": ""})


def reference(model, tokenizer, text, neuron, length):
    """What a neuron reads on a document alone, from whole forward passes over its pieces."""
    path = architecture_of(model.config.model_type, "").down_projection.format(layer=neuron.layer)
    ids = tokenizer(text)["input_ids"]
    is_text = np.array(
        [
            not found
            for found in tokenizer(text, return_special_tokens_mask=True)["special_tokens_mask"]
        ]
    )
    seen = []
    hook = model.get_submodule(path).register_forward_pre_hook(lambda _m, x: seen.append(x[0]))
    with torch.no_grad():
        for start in range(0, len(ids), length):
            model(input_ids=torch.tensor([ids[start : start + length]]))
    hook.remove()
    values = torch.cat([x.reshape(-1, x.shape[-1])[:, neuron.unit] for x in seen]).double().numpy()
    return values[is_text]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_scores_are_those_of_whole_forward_passes_over_single_documents(
    loaded, texts, architecture
):
    model, tokenizer = loaded(architecture, bos=architecture == "opt")
    neurons = {"rosetta": Neuron(1, 3), "non_rosetta": Neuron(0, 5)}
    documents = documents_of([texts[i] * (1 + i % 4) for i in range(12)])
    scorer = Scorer(
        model, tokenizer, neurons, FilterScoring(sequence_length=24, batch_size=4), "tiny"
    )
    table = scorer.score(documents)
    assert table.columns.tolist() == ["id", "domain", "tokens", "rosetta", "non_rosetta"]
    for name, neuron in neurons.items():
        values = [reference(model, tokenizer, text, neuron, 24) for text in documents["text"]]
        assert table["tokens"].tolist() == [len(v) for v in values]
        np.testing.assert_allclose(
            table[name], [v.mean() for v in values], atol=TOLERANCE, rtol=TOLERANCE
        )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_nothing_after_the_last_neuron_runs(loaded, texts, architecture):
    """Neither that neuron's own down projection nor any later layer, and the model is whole again
    afterwards.
    """
    model, tokenizer = loaded(architecture)
    ids = torch.from_numpy(encode(tokenizer, [texts[0]])[0].ids[:16])[None]
    before = model(input_ids=ids).logits
    ran = set()
    hooks = [
        module.register_forward_hook(lambda _m, _x, _y, name=name: ran.add(name))
        for name, module in model.named_modules()
    ]
    probe = NeuronProbe(model, [Neuron(0, 1), Neuron(0, 2)], "tiny")
    assert probe(ids, torch.ones_like(ids)).shape == (2, 1, 16)
    for hook in hooks:
        hook.remove()
    down = architecture_of(model.config.model_type, "").down_projection
    first, second = (
        down.format(layer=layer).rsplit(".mlp", 1)[0].removesuffix(".fc2") for layer in range(2)
    )
    assert any(name.startswith(first) for name in ran)
    assert down.format(layer=0) not in ran
    assert not any(name.startswith(second) for name in ran)
    torch.testing.assert_close(model(input_ids=ids).logits, before, rtol=0, atol=0)


def test_scores_do_not_depend_on_how_the_pool_is_cut(loaded, texts):
    model, tokenizer = loaded("gpt_neox")
    documents = documents_of(list(dict.fromkeys(texts))[:60])

    def scores(batch_size, parts):
        scorer = Scorer(
            model,
            tokenizer,
            {"n": Neuron(1, 3)},
            FilterScoring(sequence_length=32, batch_size=batch_size),
            "",
        )
        cuts = np.array_split(np.arange(len(documents)), parts)
        return pd.concat([scorer.score(documents.iloc[rows]) for rows in cuts], ignore_index=True)

    alone = scores(1, 60)
    for batch_size, parts in ((7, 1), (32, 3), (1, 1)):
        other = scores(batch_size, parts)
        assert other["id"].tolist() == alone["id"].tolist()
        np.testing.assert_allclose(
            other["n"], alone["n"], atol=TOLERANCE * np.abs(alone["n"]).max(), rtol=0
        )
    pd.testing.assert_frame_equal(scores(7, 1), scores(7, 1), check_exact=True)


def test_an_empty_shard_has_the_columns_of_others(loaded):
    model, tokenizer = loaded("gpt_neox")
    table = Scorer(model, tokenizer, {"n": Neuron(0, 0)}, FilterScoring(), "").score(
        documents_of([])
    )
    assert table.columns.tolist() == ["id", "domain", "tokens", "n"]
    assert table.dtypes[["tokens", "n"]].tolist() == [np.int64, np.float64]


def test_the_size_of_documents_is_told_in_the_tokens_of_the_model_that_is_trained(
    loaded, texts, tmp_path
):
    model, tokenizer = loaded("gpt_neox")
    other = load_tokenizer(
        ModelSource("o", str(save_tiny_model(tmp_path / "o", texts, "opt", seed=4, bos=True)))
    )
    table = Scorer(model, tokenizer, {"n": Neuron(0, 0)}, FilterScoring(), "", counter=other).score(
        documents_of(texts[:3])
    )
    assert table["tokens"].tolist() == [
        len(other(text, add_special_tokens=False)["input_ids"]) for text in texts[:3]
    ]


def test_a_score_that_is_not_finite_names_the_document(loaded, texts):
    model, tokenizer = loaded("gpt_neox")
    with torch.no_grad():
        model.gpt_neox.layers[0].mlp.dense_h_to_4h.bias[2] = np.inf
    with pytest.raises(ModelError, match=f"document {hash64(texts[0]):016x} is not finite"):
        Scorer(model, tokenizer, {"n": Neuron(0, 2)}, FilterScoring(), "m").score(
            documents_of(texts[:1])
        )


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=40),
    st.sampled_from(["mean", "max", "top_mean", "above"]),
    st.floats(0.01, 1),
)
def test_a_score_is_what_its_definition_says(values, kind, fraction):
    settings = FilterScoring(score=kind, top_fraction=fraction, threshold=0.5)
    ordered = sorted(values, reverse=True)
    wanted = Fraction(str(fraction)) * len(values)
    n_top = next(n for n in range(1, len(values) + 1) if n >= wanted or n == len(values))
    expected = {
        "mean": sum(values) / len(values),
        "max": ordered[0],
        "top_mean": sum(ordered[:n_top]) / n_top,
        "above": sum(value > 0.5 for value in values) / len(values),
    }
    found = document_score(np.array([values, values]), settings)
    assert found == pytest.approx([expected[kind]] * 2, abs=1e-9)


def test_the_top_fraction_is_not_off_by_a_rounding():
    settings = FilterScoring(score="top_mean", top_fraction=0.07)
    assert document_score(np.arange(100.0)[None], settings) == np.arange(93, 100).mean()


SHAPE = NeuronShape(6, 384)


@pytest.mark.parametrize("text", ["L3/U12", "l3/u12", "L3.N12", "3.12", " L3/U12 "])
def test_forms_of_a_neurons_name(text):
    assert parse_neuron(text, SHAPE, "--neuron") == (3, 12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "L6/U0",
            r"--neuron: L6/U0 is not in the model, whose 6 layers of 384 units go from L0/U0 to "
            r"L5/U383",
        ),
        ("L0/U384", "is not in the model"),
        ("L-1/U3", "is not a neuron. Write it like L3/U12"),
        ("3/12", "is not a neuron"),
    ],
)
def test_bad_neurons_are_rejected(text, message):
    with pytest.raises(ModelError, match=message):
        parse_neuron(text, SHAPE, "--neuron")


def test_the_probe_lets_other_errors_through(loaded, monkeypatch):
    model, _ = loaded("gpt_neox")
    probe = NeuronProbe(model, [Neuron(0, 1)], "tiny")
    broken = SimpleNamespace(
        get_input_embeddings=model.get_input_embeddings, base_model=lambda **_: 1 / 0
    )
    monkeypatch.setattr(probe, "_model", broken)
    with pytest.raises(ZeroDivisionError):
        probe(torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 2, dtype=torch.long))
    assert not any(module._forward_pre_hooks for module in model.modules())

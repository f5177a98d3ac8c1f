"""Zoo models: deterministic, resumable, loadable by anyone."""

import json
from typing import get_args

import helpers
import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, tiny_sizes, tiny_tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer

import rosetta.models.zoo.training_loop
from rosetta.config.zoo import MIXTURES, TextArchitecture, ZooFamily, ZooTraining
from rosetta.errors import CorpusError
from rosetta.models.architectures.text import ARCHITECTURES as TEXT
from rosetta.models.zoo.heldout_loss import bits_per_byte, training_readings
from rosetta.models.zoo.model_training import learning_rate, train_zoo_model
from rosetta.models.zoo.recipes import END_OF_TEXT_ID, RECIPES, zoo_model_config
from rosetta.models.zoo.token_stream import packed_tokens
from rosetta.models.zoo.tokenizer_training import save_tokenizer, train_tokenizer

SIZE, _ = tiny_sizes()
TRAINING = ZooTraining(
    steps=12, batch_size=4, sequence_length=16, warmup_steps=2, checkpoint_every=4
)


def family(architecture="gpt_neox", seed=3):
    return ZooFamily(architecture=architecture, vocab_size=300, seed=seed)


def train(texts, checkpoints, architecture="gpt_neox", seed=3):
    return train_zoo_model(
        family(architecture, seed),
        SIZE,
        TRAINING,
        tiny_tokenizer(texts, seed=seed),
        texts,
        checkpoints,
    )


def same_weights(a, b):
    return all(
        torch.equal(x, y)
        for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


def test_every_architecture_of_the_zoo_has_a_recipe_and_a_place_in_the_table():
    named = set(get_args(TextArchitecture))
    assert named == set(RECIPES) == {*helpers.ARCHITECTURES, *MIXTURES}
    assert named <= set(TEXT)
    assert set(MIXTURES) == {name for name in named if TEXT[name].experts}


@pytest.mark.parametrize("architecture", ["gpt_neox", "opt", "qwen2", "qwen2_moe"])
def test_an_interrupted_training_ends_with_the_same_weights(
    tmp_path, texts, monkeypatch, architecture
):
    whole, facts = train(texts, tmp_path / "whole", architecture)
    original, steps = rosetta.models.zoo.training_loop._step, []

    def dies_at_step_ten(*arguments):
        if len(steps) == 10:
            steps.append("killed")
            raise KeyboardInterrupt
        steps.append(1)
        return original(*arguments)

    monkeypatch.setattr(rosetta.models.zoo.training_loop, "_step", dies_at_step_ten)
    with pytest.raises(KeyboardInterrupt):
        train(texts, tmp_path / "killed", architecture)
    resumed, resumed_facts = train(texts, tmp_path / "killed", architecture)
    assert len(steps) - 11 == 12 - 8, "only the steps after the last checkpoint are done again"
    assert same_weights(whole, resumed)
    assert facts == resumed_facts


def test_a_checkpoint_of_another_recipe_is_not_resumed(tmp_path, texts):
    train(texts, tmp_path, seed=3)
    fresh, _ = train(texts, tmp_path / "fresh", seed=4)
    other, _ = train(texts, tmp_path, seed=4)
    assert same_weights(fresh, other)


def test_seeds_make_different_models(tmp_path, texts):
    first, _ = train(texts, tmp_path / "1", seed=3)
    second, _ = train(texts, tmp_path / "2", seed=4)
    assert not same_weights(first, second)


def test_training_lowers_the_loss(tmp_path, texts):
    training = TRAINING.model_copy(update={"steps": 60})
    tokenizer = tiny_tokenizer(texts)
    model, facts = train_zoo_model(family(), SIZE, training, tokenizer, texts, tmp_path)
    assert facts["train_loss"] < np.log(300) - 1
    untrained = AutoModelForCausalLM.from_config(model.config).eval()
    readings = list(training_readings(tokenizer, texts, 16))
    assert bits_per_byte(model, readings) < bits_per_byte(untrained, readings) - 0.5


def test_a_mixture_is_trained_with_its_routers_loss_and_told_without(tmp_path, texts, monkeypatch):
    seen, step = [], rosetta.models.zoo.training_loop._step

    def watched(model, optimizer, parts, *others):
        with torch.no_grad():
            out = model(input_ids=parts[0], labels=parts[0])
        told = step(model, optimizer, parts, *others)
        seen.append((told, float(out.loss), float(out.aux_loss)))
        return told

    monkeypatch.setattr(rosetta.models.zoo.training_loop, "_step", watched)
    trained, facts = train(texts, tmp_path, "qwen2_moe")
    told, minimised, router = map(np.array, zip(*seen, strict=True))
    np.testing.assert_allclose(told, minimised - 0.01 * router, rtol=1e-5)
    assert facts["train_loss"] == pytest.approx(told.mean())
    assert (router > 1.9).all(), (
        "it is there; with balanced experts it is the number of experts per token"
    )
    assert not trained.config.output_router_logits, "its loss is that of the text from now on"


def test_bits_per_byte_of_a_uniform_model(texts):
    """A model that gives every token the same probability costs log2(V) bits per token."""
    tokenizer = tiny_tokenizer(texts)
    model = AutoModelForCausalLM.from_config(
        zoo_model_config(family("gpt2"), SIZE, TRAINING)
    ).eval()
    torch.nn.init.zeros_(model.get_output_embeddings().weight)
    text = texts[0]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"][:15]
    expected = len(ids) * np.log2(300) / len(tokenizer.decode(ids).encode())
    assert bits_per_byte(model, training_readings(tokenizer, [text], 16)) == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "qwen2_moe"])
def test_saved_models_load_with_plain_transformers(tmp_path, texts, architecture):
    model = AutoModelForCausalLM.from_config(zoo_model_config(family(architecture), SIZE, TRAINING))
    model.save_pretrained(tmp_path / "m")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    assert same_weights(model, loaded)
    assert (tmp_path / "m" / "model.safetensors").exists()
    down = json.loads((tmp_path / "m" / "config.json").read_text())
    assert down["model_type"] == architecture


def test_families_have_different_tokenizers_that_reload(tmp_path, texts):
    first, again, second = (
        tiny_tokenizer(texts * 3, seed=seed, vocab_size=340) for seed in (1, 1, 2)
    )
    assert first.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()
    assert first.get_vocab() != second.get_vocab()
    trained = train_tokenizer(ZooFamily(architecture="opt", vocab_size=300, seed=1), texts, 20_000)
    save_tokenizer(trained, tmp_path / "t")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "t")
    assert loaded("a b")["input_ids"] == trained("a b")["input_ids"]
    assert loaded("a b")["input_ids"][0] == END_OF_TEXT_ID


def test_packed_tokens_hold_every_document_once_per_pass(texts):
    tokenizer = tiny_tokenizer(texts)
    lengths = [len(ids) + 1 for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    tokens = packed_tokens(tokenizer, texts, sum(lengths), seed=1)
    documents = tokenizer.decode(tokens).split(tokenizer.bos_token)[1:]
    assert sorted(documents) == sorted(texts)
    assert documents != texts
    longer = packed_tokens(tokenizer, texts, 2 * sum(lengths), seed=1)
    assert np.array_equal(longer[: len(tokens)], tokens)
    assert not np.array_equal(longer[len(tokens) :], tokens), "the second pass has another order"


@pytest.mark.parametrize(
    "step", [lambda: packed_tokens(None, [], 10, seed=1), lambda: train_tokenizer(family(), [], 9)]
)
def test_an_empty_training_split_is_rejected_by_its_key(step):
    with pytest.raises(CorpusError, match=r"corpus\.splits\.train: no document"):
        step()


def test_the_learning_rate_warms_up_and_decays():
    rates = [learning_rate(TRAINING, step) for step in range(TRAINING.steps)]
    assert rates[0] == pytest.approx(TRAINING.learning_rate / 2)
    assert max(rates) == pytest.approx(TRAINING.learning_rate)
    np.testing.assert_allclose(np.diff(rates[2:]), -TRAINING.learning_rate / 10)
    assert rates[-1] == pytest.approx(TRAINING.learning_rate / 10), "the next would be zero"


def test_a_warm_up_longer_than_a_training_ends_at_the_peak():
    short = TRAINING.model_copy(update={"steps": 3, "warmup_steps": 10})
    assert [learning_rate(short, step) for step in range(3)] == pytest.approx([0.02, 0.04, 0.06])

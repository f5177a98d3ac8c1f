"""Continued pre-training and perplexity: what is trained, on what, and that a kill changes
nothing.
"""

import copy

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, save_tiny_model
from transformers import AutoModelForCausalLM

from rosetta.config.filtering import FilterPretraining
from rosetta.errors import CorpusError, ModelError, PlanError
from rosetta.filtering.perplexity import perplexity
from rosetta.filtering.pretrain import (
    Training,
    compute_dtype,
    continue_training,
    count_steps,
    separator_of,
    with_lora,
)
from rosetta.models.loading import load_model
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import load_tokenizer
from rosetta.models.zoo import training_loop
from rosetta.models.zoo.training_loop import warmup_cosine

SETTINGS = FilterPretraining(model="m", sequence_length=16, batch_size=2, checkpoint_every=3)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, texts):
    def load(architecture):
        source = ModelSource(
            "m", str(save_tiny_model(tmp_path_factory.mktemp("m") / "m", texts, architecture))
        )
        return load_model(source), load_tokenizer(source)

    return load


def train(loaded, texts, folder, settings=SETTINGS, n_steps=8, seed=1):
    model, tokenizer = loaded
    training = Training(settings, n_steps, seed, folder, "weights")
    return continue_training(copy.deepcopy(model), tokenizer, texts, training)


def updates(model):
    return {
        name: parameter.detach() for name, parameter in model.named_parameters() if "lora" in name
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_attention_and_mlp_are_updated_and_nothing_else(loaded, texts, tmp_path, architecture):
    model, tokenizer = loaded(architecture)
    before = copy.deepcopy(model.state_dict())
    tuned, facts = train((model, tokenizer), texts, tmp_path)
    assert facts["tokens"] == 8 * 2 * 16
    trained = {name for name, parameter in tuned.named_parameters() if parameter.requires_grad}
    assert trained == set(updates(tuned))
    matrices = {
        name
        for name, value in before.items()
        if ".layers." in name or ".h." in name
        if value.ndim == 2
    }
    covered = {name.split("base_model.model.")[1].split(".lora_")[0] for name in trained}
    assert covered == {name.removesuffix(".weight") for name in matrices}, (
        "every matrix of attention and MLP"
    )
    state = tuned.state_dict().items()
    kept = {
        name.replace(".base_layer", "").removeprefix("base_model.model."): value
        for name, value in state
    }
    assert all(torch.equal(kept[name], value) for name, value in before.items())
    assert all(min(value.shape) == 1 for value in updates(tuned).values()), "of rank 1"
    assert any(value.abs().max() > 0 for name, value in updates(tuned).items() if "lora_B" in name)


def test_lora_starts_as_the_base_model(loaded, texts):
    model, tokenizer = loaded("gpt2")
    tuned = with_lora(copy.deepcopy(model), SETTINGS, 0, "m").eval()
    ids = torch.tensor([tokenizer(texts[0])["input_ids"][:12]])
    torch.testing.assert_close(tuned(input_ids=ids).logits, model(input_ids=ids).logits)


@pytest.mark.parametrize("dropout", [0.0, 0.3])  # GPT-2 of the hub has some
def test_a_killed_training_ends_as_if_it_had_not_been(
    loaded, texts, tmp_path, monkeypatch, dropout
):
    base = loaded("gpt2")
    for module in base[0].modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    whole, facts = train(base, texts, tmp_path / "whole")
    real, calls = training_loop._step, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(training_loop, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(base, texts, tmp_path / "killed")
    monkeypatch.setattr(
        training_loop, "_step", lambda *arguments: calls.append(1) or real(*arguments)
    )
    resumed, again = train(base, texts, tmp_path / "killed")
    assert len(calls) == 6 + 5, "steps 4 to 8: the checkpoint is of step 3"
    assert again == facts
    for name, value in updates(whole).items():
        assert torch.equal(updates(resumed)[name], value), name


def test_a_step_in_parts_is_the_step(loaded, texts, tmp_path):
    """Gradients add up to the whole batch's, the loss is its mean, also where the parts are not of
    one size.
    """
    base = loaded("gpt_neox")
    settings = SETTINGS.model_copy(update={"batch_size": 5})
    whole, facts = train(base, texts, tmp_path / "whole", settings, n_steps=4)
    parts, again = train(
        base,
        texts,
        tmp_path / "parts",
        settings.model_copy(update={"micro_batch_size": 2}),
        n_steps=4,
    )
    assert again["train_loss"] == pytest.approx(facts["train_loss"], rel=1e-5)
    for name, value in updates(whole).items():
        torch.testing.assert_close(updates(parts)[name], value, rtol=1e-2, atol=1e-4)


def test_seeds_make_different_trainings(loaded, texts, tmp_path):
    base = loaded("gpt_neox")
    first, second = (
        updates(train(base, texts, tmp_path / str(seed), seed=seed)[0]) for seed in (1, 2)
    )
    assert not all(torch.equal(first[name], second[name]) for name in first)


def test_training_lowers_the_perplexity_of_its_domain(loaded, texts, tmp_path):
    model, tokenizer = loaded("qwen2")
    code = texts[1::3]
    settings = SETTINGS.model_copy(update={"learning_rate": 0.01, "lora_rank": 8})
    tuned, _ = train((model, tokenizer), code, tmp_path, settings, n_steps=60)
    before, _ = perplexity(model, tokenizer, code[:20], 0, 16, 4)
    after, _ = perplexity(tuned, tokenizer, code[:20], 0, 16, 4)
    assert after < 0.9 * before


def test_perplexity_is_that_of_every_token_once(loaded, texts):
    """Against a loop over single windows in float64, documents longer than the window included."""
    model, tokenizer = loaded("gpt_neox")
    nats, n_tokens = 0.0, 0
    for text in texts[:7]:
        ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        for start in range(0, len(ids) - 1, 8):
            window = ids[start : start + 9]
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([window])).logits[0].double()
            for position, token in enumerate(window[1:]):
                nats -= float(torch.log_softmax(logits[position], dim=-1)[token])
                n_tokens += 1
    found, counted = perplexity(model, tokenizer, texts[:7], 0, 8, 3)
    assert (
        counted
        == n_tokens
        == sum(len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts[:7])
    )
    assert found == pytest.approx(np.exp(nats / n_tokens), rel=1e-5)


def test_a_model_that_knows_nothing_has_the_perplexity_of_its_vocabulary(loaded, texts):
    model, tokenizer = loaded("gpt2")
    uniform = AutoModelForCausalLM.from_config(model.config).eval()
    torch.nn.init.zeros_(uniform.get_output_embeddings().weight)
    found, _ = perplexity(uniform, tokenizer, texts[:3], 0, 16, 2)
    assert found == pytest.approx(model.config.vocab_size, rel=1e-5)


def test_perplexity_of_nothing_is_rejected(loaded):
    with pytest.raises(CorpusError, match="no held-out document of the target domain"):
        perplexity(*loaded("gpt2"), [], 0, 16, 2)


def test_the_rate_warms_up_and_falls_to_nothing():
    rates = [warmup_cosine(1e-3, step, 100, 3, floor=0.0) for step in range(101)]
    assert rates[:3] == pytest.approx([1e-3 / 3, 2e-3 / 3, 1e-3])
    assert rates[3:] == sorted(rates[3:], reverse=True)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    half = 3 + 97 / 2
    assert warmup_cosine(1e-3, half, 100, 3, floor=0.0) == pytest.approx(5e-4)


def test_one_epoch_is_what_fills_whole_steps():
    assert count_steps(2 * 16 * 5 + 31, SETTINGS) == 5
    with pytest.raises(PlanError, match="31 tokens, less than one step of 2 × 16"):
        count_steps(31, SETTINGS)


def test_the_separator(loaded):
    _, tokenizer = loaded("gpt2")
    assert separator_of(tokenizer, "m") == 0
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.bos_token = tokenizer.eos_token = None
    with pytest.raises(ModelError, match="neither a BOS nor an EOS token"):
        separator_of(tokenizer, "m")


def test_products_are_in_bfloat16_only_where_asked_or_fast():
    cpu = torch.device("cpu")
    assert compute_dtype("auto", cpu) == compute_dtype("float32", cpu) == torch.float32
    assert compute_dtype("bfloat16", cpu) == torch.bfloat16

"""Faults of models that only a job can find, and the smallest models, which work."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from commands import assert_rejected, run_here
from spoilt_models import INDEX, WEIGHTS, add, configured, edit_weights, truncate, write
from transformers import AutoModelForCausalLM, GPTNeoXConfig


def without_a_bias(weights):
    del weights["gpt_neox.layers.1.mlp.dense_4h_to_h.bias"]


def longer_norm(weights):
    weights["gpt_neox.final_layer_norm.weight"] = torch.ones(17)


def spoil_tokenizer(model):
    content = json.loads((model / "tokenizer.json").read_text())
    content["model"]["vocab"] = {
        token: id_ + 50 for token, id_ in content["model"]["vocab"].items()
    }
    (model / "tokenizer.json").write_text(json.dumps(content))


def fill(value):
    def change(weights):
        weights["gpt_neox.layers.0.mlp.dense_4h_to_h.weight"][0, 0] = value

    return lambda model: edit_weights(model, change)


def longrope(**limit):
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0],
        "long_factor": [8.0],
    }
    return configured(rope_parameters={**rope, **limit})


LATE = {
    "tokenizer's settings not JSON": (
        write("tokenizer_config.json", "{"),
        r"cannot load the tokenizer \(",
    ),
    "tokenizer's settings a list": (
        write("tokenizer_config.json", "[]"),
        "tokenizer_config.json is not a JSON object",
    ),
    "special tokens numbers": (
        write("tokenizer_config.json", '{"bos_token": 7}'),
        r"cannot load the tokenizer \(",
    ),
    "vocabulary of another": (
        spoil_tokenizer,
        "its tokenizer has token 349, and the model embeds 300 tokens only",
    ),
    "NaN in weights": (
        fill(float("nan")),
        "dense_4h_to_h.weight in .* holds values that are not finite",
    ),
    "infinity in weights": (
        fill(float("inf")),
        "dense_4h_to_h.weight in .* holds values that are not finite",
    ),
    "weights that are not used": (
        configured(attention_bias=False),
        "hold gpt_neox.layers.0.attention.dense.bias, .* and 1 more, which the model of "
        "config.json does not use",
    ),
    "one that is not used": (
        add("gpt_neox.layers.1.mlp.gate.bias"),
        "hold gpt_neox.layers.1.mlp.gate.bias, which the model of config.json",
    ),
    "one that is missing": (
        lambda model: edit_weights(model, without_a_bias),
        "lack gpt_neox.layers.1.mlp.dense_4h_to_h.bias, which",
    ),
    "one of another shape": (
        lambda model: edit_weights(model, longer_norm),
        r"of other shapes than config.json says: gpt_neox.final_layer_norm.weight \(17 for 16\)",
    ),
    "a LongRoPE without its limit": (
        longrope(original_max_position_embeddings=None),
        "gives None as original_max_position_embeddings of a LongRoPE .*Give the number of tokens",
    ),
    "a LongRoPE with a limit in words": (
        longrope(original_max_position_embeddings="long"),
        "gives 'long' as original_max_position_embeddings of a LongRoPE",
    ),
    "nonsense in the configuration": (configured(hidden_size="wide"), "cannot load m"),
}


@pytest.mark.parametrize(("spoil", "message"), LATE.values(), ids=LATE)
def test_what_only_its_library_can_tell_is_rejected_by_the_job_that_checks_the_model(
    folder, spoil, message
):
    spoil(folder / "m")
    assert_rejected(
        run_here("model", "--config", "run.yaml", "--model", "m", folder=folder),
        rf"models\.m: .*{message}",
    )
    assert not (folder / "results").exists()


def test_a_stale_index_beside_whole_weights_is_told_of_and_not_read(folder):
    write(INDEX, '{"weight_map": {"embed_out.weight": "model-00001-of-00002.safetensors"}}')(
        folder / "m"
    )
    assert run_here("check", "--configfile", "run.yaml", folder=folder).code == 0
    done = run_here("model", "--config", "run.yaml", "--model", "m", folder=folder)
    assert done.code == 0, done.err
    assert (
        f"models.m: {WEIGHTS} is read, and {INDEX} beside it is not. Remove the one that is "
        "left over." in done.err
    )


def add_token(*, special, normalized=False):
    """Add a token at an id that the model does not embed, as Gemma 3's image token is."""

    def change(model):
        content = json.loads((model / "tokenizer.json").read_text())
        token = {"id": 300, "content": "neuron", "special": special, "normalized": normalized}
        content["added_tokens"].append(
            {**token, "single_word": False, "lstrip": False, "rstrip": False}
        )
        (model / "tokenizer.json").write_text(json.dumps(content))

    return change


def begin_with_it(model):
    add_token(special=True)(model)
    content = json.loads((model / "tokenizer.json").read_text())
    content["post_processor"] = {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "neuron", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"neuron": {"id": "neuron", "ids": [300], "tokens": ["neuron"]}},
    }
    (model / "tokenizer.json").write_text(json.dumps(content))


def ready(folder):
    for command in ("corpus", "model --model m"):
        done = run_here(*command.split(), "--config", "run.yaml", folder=folder)
        assert done.code == 0, done.err
    return ["activations", "--config", "run.yaml", "--model", "m", "--shard", 0]


FILTER = [
    "filter",
    "--neuron",
    "L0/U0",
    "--pool",
    "corpus.jsonl",
    "--out",
    "out",
    "--count",
    "3",
    "--model",
    "m",
]


def test_a_token_without_an_embedding_that_no_text_gives_does_no_harm(folder):
    """A special token's name in a text, as here in a third of them, is text."""
    add_token(special=True)(folder / "m")
    for arguments in (ready(folder), FILTER):
        done = run_here(*arguments, folder=folder)
        assert done.code == 0, done.err


@pytest.mark.parametrize("spoil", [add_token(special=False), begin_with_it])
def test_a_token_without_an_embedding_that_a_text_gives_is_named_with_it(folder, spoil):
    spoil(folder / "m")
    message = (
        r": document [0-9a-f]{16} has the token 'neuron' \(300\), of which the model has "
        r"no embedding: it embeds 300"
    )
    assert_rejected(run_here(*ready(folder), folder=folder), f"rosetta: m{message}")
    assert not list((folder / "results" / "activations").rglob("*.json"))
    assert_rejected(run_here(*FILTER, folder=folder), f"rosetta: shard 1/1{message}")


def test_the_same_is_told_of_an_option(folder, texts):
    """`rosetta filter` has no entry `models.m` to name."""
    arguments = [
        "filter",
        "--neuron",
        "L0/U0",
        "--pool",
        "corpus.jsonl",
        "--out",
        "out",
        "--count",
        "3",
        "--model",
        "m",
    ]
    spoil_tokenizer(folder / "m")
    assert_rejected(
        run_here(*arguments, folder=folder), "rosetta: --model: its tokenizer has token 349"
    )
    truncate(folder / "m")
    assert_rejected(
        run_here(*arguments, folder=folder), "rosetta: --model: m: model.safetensors cannot be read"
    )
    write("tokenizer.json", "{}")(folder / "m")
    assert_rejected(
        run_here(*arguments, folder=folder), "rosetta: --model: m: tokenizer.json is no tokenizer"
    )
    assert not (folder / "out").exists()


@pytest.mark.parametrize(("n_layers", "d_mlp"), [(1, 24), (2, 1), (1, 1)])
def test_the_smallest_models_are_models(folder, n_layers, d_mlp):
    """One layer, or one neuron per layer, and the single neuron of both together."""
    sizes = dict(
        num_hidden_layers=n_layers, intermediate_size=d_mlp, hidden_size=16, num_attention_heads=2
    )
    torch.manual_seed(0)
    small = AutoModelForCausalLM.from_config(
        GPTNeoXConfig(vocab_size=300, max_position_embeddings=32, **sizes)
    )
    small.save_pretrained(folder / "m")
    run = yaml.safe_load((folder / "run.yaml").read_text())
    (folder / "run.yaml").write_text(yaml.safe_dump({**run, "max_scale_ratio": 100.0}))
    for command in ("corpus", "model --model m", "model --model other"):
        assert run_here(*command.split(), "--config", "run.yaml", folder=folder).code == 0
    for model in ("m", "other"):
        done = run_here(
            "activations", "--config", "run.yaml", "--model", model, "--shard", 0, folder=folder
        )
        assert done.code == 0, done.err
    stores = [f"results/activations/{model}/1-shards" for model in ("m", "other")]
    done = run_here(
        "match",
        "--a",
        stores[0],
        "--b",
        stores[1],
        "--precision",
        "float64",
        "--out",
        "m.parquet",
        folder=folder,
    )
    assert done.code == 0, done.err
    found = pd.read_parquet(folder / "m.parquet")
    assert 1 <= len(found) <= n_layers * d_mlp
    assert np.isfinite(found["r"]).all()
    assert run_here("neurons", "--config", "run.yaml", "--model", "m", folder=folder).code == 0
    assert len(pd.read_parquet(folder / "results" / "neurons" / "m.parquet")) == n_layers * d_mlp

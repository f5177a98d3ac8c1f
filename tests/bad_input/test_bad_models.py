"""Model folders that cannot be used are refused, if possible before any job; the smallest of all
models work.
"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from commands import assert_refused, run_here, tree
from helpers import save_tiny_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPTNeoXConfig

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@pytest.fixture(scope="module")
def sound(tmp_path_factory, texts):
    """A sound model of two layers, its documents, and the configuration of a run that uses it."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "m", texts, "gpt_neox")
    save_tiny_model(folder / "other", texts, "opt", seed=1)
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts)
    )
    config = {
        "corpus": {
            "source": {"kind": "files", "path": "corpus.jsonl"},
            "min_document_bytes": 8,
            "splits": HALVES,
        },
        "models": {"m": {"path": "m"}, "other": {"path": "other"}},
        "ladders": {"l": [["m", "other"]]},
        "activations": {"sequence_length": 32, "n_shards": 1, "max_documents": 40},
        "correlation": {"memory_gb": 1.0, "precision": "float32"},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return folder


HALVES = {"train": 0.0, "match": 0.6, "pool": 0.2, "heldout": 0.2}


@pytest.fixture
def folder(sound, tmp_path):
    """A copy of it that may be spoilt."""
    shutil.copytree(sound, tmp_path / "run")
    return tmp_path / "run"


def edit_config(model, **changes):
    content = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**content, **changes}))


def configured(**changes):
    return lambda model: edit_config(model, **changes)


def edit_weights(model, change):
    weights = load_file(model / WEIGHTS)
    change(weights)
    save_file(weights, model / WEIGHTS, {"format": "pt"})


def without_whole_weights(text):
    def change(model):
        (model / WEIGHTS).unlink()
        (model / INDEX).write_text(text)

    return change


def shard_weights(model, name):
    (model / WEIGHTS).rename(model / "part.safetensors")
    keys = load_file(model / "part.safetensors")
    (model / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(keys, name)}))


def remove(*names):
    return lambda model: [(model / name).unlink() for name in names]


def write(name, text):
    return lambda model: (model / name).write_text(text)


def as_pickle(model):
    torch.save(load_file(model / WEIGHTS), model / "pytorch_model.bin")
    (model / WEIGHTS).unlink()


def truncate(model):
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:-100])


def without_a_layer(weights):
    for key in [key for key in weights if ".layers.1." in key]:
        del weights[key]


def add(name):
    return lambda model: edit_weights(model, lambda weights: weights.update({name: torch.ones(24)}))


def quantised(method):
    return configured(quantization_config={"quant_method": method, "bits": 4})


def without_a_bias(weights):
    del weights["gpt_neox.layers.1.mlp.dense_4h_to_h.bias"]


def longer_norm(weights):
    weights["gpt_neox.final_layer_norm.weight"] = torch.ones(17)


def narrower(weights):
    key = "gpt_neox.layers.1.mlp.dense_4h_to_h.weight"
    weights[key] = weights[key][:, :20].contiguous()


# How a folder is spoilt, and what is said of it before any job.
EARLY = {
    "no folder": (shutil.rmtree, "is not a folder. Give a folder in Hugging Face format"),
    "no configuration": (remove("config.json"), "has no config.json"),
    "configuration not JSON": (write("config.json", "{"), "config.json cannot be read"),
    "configuration not text": (
        lambda model: (model / "config.json").write_bytes(b"\xff\xfe"),
        "config.json cannot be",
    ),
    "configuration a list": (write("config.json", "[]"), "config.json is not a JSON object"),
    "configuration without end": (
        write("config.json", "[" * 100_000),
        "config.json cannot be read",
    ),
    "unknown architecture": (
        configured(model_type="mamba"),
        "'mamba' is not supported. Supported: ",
    ),
    "architecture a list": (configured(model_type=["gpt2"]), "is not supported. Supported: "),
    "remote code": (configured(model_type=None, auto_map={"AutoModel": "m.M"}), "code of its own"),
    "remote kernels": (configured(attn_implementation="evil/kernels"), "code of its own"),
    "an adapter": (
        write("adapter_config.json", '{"base_model_name_or_path": "../other"}'),
        "holds an adapter",
    ),
    "no tokenizer": (remove("tokenizer.json"), "has no tokenizer .* Save the tokenizer there"),
    "pickled weights only": (as_pickle, "safetensors only: convert them"),
    "a pointer for weights": (
        write(WEIGHTS, "version https://git-lfs.github.com/spec/v1"),
        "cannot be read",
    ),
    "truncated weights": (truncate, "model.safetensors cannot be read .*Complete the download"),
    "a part is missing": (
        lambda model: shard_weights(model, "part-2.safetensors"),
        "lacks part-2.safetensors, which",
    ),
    "a part elsewhere": (
        lambda model: shard_weights(model, "../other/model.safetensors"),
        r"names '\.\./other/model",
    ),
    "a part pickled": (
        lambda model: shard_weights(model, "pytorch_model.bin"),
        "names 'pytorch_model.bin'",
    ),
    "an index without map": (without_whole_weights("{}"), "has no weight_map"),
    "weights by another name": (
        configured(transformers_weights="other.safetensors"),
        "names a file of weights",
    ),
    **{
        f"quantised by {method}": (
            quantised(method),
            rf"weights are quantised \({method}: quantization_config",
        )
        for method in ("awq", "gptq", "bitsandbytes", "compressed-tensors", "fp8")
    },
    "quantised by who knows what": (
        configured(quantization_config={"bits": 4}),
        "by a method that is not named",
    ),
    "scales that nothing speaks of": (
        add("gpt_neox.layers.0.mlp.dense_4h_to_h.weight_scale_inv"),
        r"weights are quantised \(gpt_neox.layers.0.mlp.dense_4h_to_h.weight_scale_inv\), and "
        r"config.json has no",
    ),
    "a layer too few": (
        lambda model: edit_weights(model, without_a_layer),
        "says 2 layers, and the weights are of 1",
    ),
    "a layer too many": (
        configured(num_hidden_layers=1),
        "says 1 layers, and the weights are of 2",
    ),
    "another width": (configured(intermediate_size=25), "says 25 neurons per layer"),
    "one layer narrower": (
        lambda model: edit_weights(model, narrower),
        r"the weights of layer 1 are \[16, 20\]",
    ),
    "weights of another": (
        lambda model: shutil.copy(model.parent / "other" / WEIGHTS, model),
        "the weights are of 0",
    ),
    "no layer": (configured(num_hidden_layers=0), "gives 0 as the number of layers"),
    "layers in words": (configured(num_hidden_layers="two"), "gives 'two' as the number of layers"),
    "negative width": (configured(intermediate_size=-3), "gives -3 as the number of neurons"),
    "context in words": (configured(max_position_embeddings="long"), "reads 'long' tokens"),
    "context too short": (
        configured(max_position_embeddings=8),
        "reads 8 tokens; lower activations",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), EARLY.values(), ids=EARLY)
def test_a_bad_model_is_refused_before_any_job(folder, spoil, message):
    spoil(folder / "m")
    before = tree(folder)
    done = run_here("check", "--configfile", "run.yaml", folder=folder)
    assert_refused(done, rf"rosetta: models\.m\.path: m\b.*{message}")
    assert tree(folder) == before


@pytest.mark.parametrize(
    ("name", "is_quantised"),
    [
        *(
            (f"gpt_neox.layers.0.mlp.dense_4h_to_h.{name}", True)
            for name in (
                "qweight",
                "qzeros",
                "scales",
                "g_idx",
                "SCB",
                "weight.absmax",
                "weight_packed",
                "weight_scale",
                "weight_scale_inv",
                "weight_zero_point",
                "input_scale",
                "weight._scale",
                "W_q",
            )
        ),
        *(
            (f"model.layers.0.mlp.experts.{name}", True)
            for name in (
                "down_proj_scale_inv",
                "down_proj_scales",
                "gate_up_proj_scale",
            )
        ),
        *(
            (name, False)
            for name in ("logit_scale", "model.logit_scale", "layers.0.layer_scale", "norm.scale")
        ),
    ],
)
def test_a_quantisation_is_known_by_the_names_of_weights_and_a_plain_scale_is_none(
    folder, name, is_quantised
):
    """Of GPTQ, AWQ, bitsandbytes, compressed-tensors, FP8, HQQ, quanto and of mixtures; and of
    models that scale.
    """
    add(name)(folder / "m")
    done = run_here("check", "--configfile", "run.yaml", folder=folder)
    if is_quantised:
        assert_refused(done, rf"weights are quantised \({name}\)")
    else:
        assert done.code == 0, done.err


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
    "tokenizer of nothing": (write("tokenizer.json", "{}"), r"cannot load the tokenizer \("),
    "tokenizer not JSON": (write("tokenizer.json", "{"), r"cannot load the tokenizer \("),
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
def test_what_only_its_library_can_tell_is_refused_by_the_job_that_checks_the_model(
    folder, spoil, message
):
    spoil(folder / "m")
    assert_refused(
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
    assert_refused(run_here(*ready(folder), folder=folder), f"rosetta: m{message}")
    assert not list((folder / "results" / "activations").rglob("*.json"))
    assert_refused(run_here(*FILTER, folder=folder), f"rosetta: shard 1/1{message}")


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
    assert_refused(
        run_here(*arguments, folder=folder), "rosetta: --model: its tokenizer has token 349"
    )
    write("tokenizer.json", "{}")(folder / "m")
    assert_refused(
        run_here(*arguments, folder=folder), "rosetta: --model: cannot load the tokenizer"
    )
    truncate(folder / "m")
    assert_refused(
        run_here(*arguments, folder=folder), "rosetta: --model: m: model.safetensors cannot be read"
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

"""Model folders that cannot be used are rejected before any job."""

import json
import shutil

import pytest
import torch
import yaml
from commands import assert_rejected, run_here, tree
from safetensors.torch import load_file
from spoilt_models import INDEX, WEIGHTS, add, configured, edit_weights, truncate, write


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


def as_pickle(model):
    torch.save(load_file(model / WEIGHTS), model / "pytorch_model.bin")
    (model / WEIGHTS).unlink()


def without_a_layer(weights):
    for key in [key for key in weights if ".layers.1." in key]:
        del weights[key]


def quantised(method):
    return configured(quantization_config={"quant_method": method, "bits": 4})


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
    **{
        f"a tokenizer of {content!r}": (
            write("tokenizer.json", content),
            r"tokenizer\.json is no tokenizer \(.*\)\. Save the model's tokenizer there",
        )
        for content in ("[]", "{}", "{", "null", '{"model": []}')
    },
    "a tokenizer not text": (
        lambda model: (model / "tokenizer.json").write_bytes(b"\xff\xfe"),
        "tokenizer.json is no tokenizer",
    ),
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
def test_a_bad_model_is_rejected_before_any_job(folder, spoil, message):
    spoil(folder / "m")
    before = tree(folder)
    done = run_here("check", "--configfile", "run.yaml", folder=folder)
    assert_rejected(done, rf"rosetta: models\.m\.path: m\b.*{message}")
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
        assert_rejected(done, rf"weights are quantised \({name}\)")
    else:
        assert done.code == 0, done.err


def renumbered(model):
    content = json.loads((model / "tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (model / "tokenizer.json").write_text(json.dumps(content))


def padding(model):
    content = json.loads((model / "tokenizer.json").read_text())
    content["truncation"] = {
        "direction": "Right",
        "max_length": 8,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    (model / "tokenizer.json").write_text(json.dumps(content, indent=1))


def retrained(model):
    """Make a further training of a model, with another last weight."""

    def change(weights):
        weights[max(weights)] += 1

    edit_weights(model, change)


def nothing(model):
    pass


NO_TRAINING = r"models\.again\.replicate_of: again is no training of the model that m is: its "
SAME = r"ladders\.l\[0\]: models\.{} and models\.{}, which it counts, are the same weights"
HUB = {"hub": "somebody/model", "revision": "main"}
AGAIN = {**HUB, "replicate_of": "m"}
# Entries beside those of the run, what is done to the copy of a model that is called `again`, and
# what is said; None where it is right.
REPLICATES = {
    "another training": ({}, retrained, None),
    "a tokenizer that is written in another way": (
        {},
        lambda model: (retrained(model), padding(model)),
        None,
    ),
    "another architecture": (
        {"again": {"path": "other", "replicate_of": "m"}},
        nothing,
        NO_TRAINING + "architecture is opt, and that of m gpt_neox",
    ),
    "more layers": (
        {"again": {**AGAIN, "dimensions": {"n_layers": 9, "d_mlp": 24, "n_parameters": 9}}},
        nothing,
        NO_TRAINING + "n_layers is 9, and that of m 2",
    ),
    "more neurons": (
        {"again": {**AGAIN, "dimensions": {"n_layers": 2, "d_mlp": 25, "n_parameters": 9}}},
        nothing,
        NO_TRAINING + "d_mlp is 25, and that of m 24",
    ),
    "another vocabulary": (
        {},
        lambda model: (retrained(model), configured(vocab_size=299)(model)),
        NO_TRAINING + "vocab_size is 299, and that of m 300",
    ),
    "other heads": (
        {},
        lambda model: (retrained(model), configured(num_attention_heads=1)(model)),
        NO_TRAINING + "num_attention_heads is 1",
    ),
    "another tokenizer": (
        {},
        lambda model: (retrained(model), renumbered(model)),
        NO_TRAINING + "tokenizer.json is another than that of m",
    ),
    "a copy": ({}, nothing, SAME.format("m", "again")),
    "the same folder": (
        {"again": {"path": "./again/../m", "replicate_of": "m"}},
        nothing,
        SAME.format("m", "again"),
    ),
    "twice the same": (
        {"once": {"path": "again", "replicate_of": "m"}},
        retrained,
        SAME.format("again", "once"),
    ),
    "a partner": (
        {"other": {"path": "again"}},
        retrained,
        SAME.format("again", "other"),
    ),
    "one commit": (
        {"m": HUB, "other": HUB, "again": {"path": "again"}},
        nothing,
        SAME.format("m", "other"),
    ),
    "one twin": (
        {
            "m": {"untrained": {"of": "again"}},
            "other": {"untrained": {"of": "again"}},
            "again": {"path": "again"},
        },
        retrained,
        SAME.format("m", "other"),
    ),
}


@pytest.mark.parametrize(("entries", "change", "message"), REPLICATES.values(), ids=REPLICATES)
def test_a_replicate_is_another_training_of_its_model(folder, entries, change, message):
    shutil.copytree(folder / "m", folder / "again")
    change(folder / "again")
    content = yaml.safe_load((folder / "run.yaml").read_text())
    models = content["models"] | {"again": {"path": "again", "replicate_of": "m"}} | entries
    (folder / "run.yaml").write_text(yaml.safe_dump({**content, "models": models}))
    done = run_here("check", "--configfile", "run.yaml", folder=folder)
    if message is None:
        assert done.code == 0, done.err
    else:
        assert_rejected(done, message)

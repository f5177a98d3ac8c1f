"""`rosetta.ablate` against transformers in float64, and against what `rosetta ablate` writes."""

import copy
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from commands import assert_rejected, run_here
from helpers import save_tiny_model
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

import rosetta
from rosetta.ablation.columns import ABLATION_COLUMNS, NAMED_COLUMNS, WHOLE
from rosetta.errors import ConfigError, CorpusError, ModelError, StoreError
from rosetta.storage.tables import read_csv

DOWN = {"first": "transformer.h.{}.mlp.c_proj", "second": "model.layers.{}.mlp.down_proj"}
NAMES, LENGTH = ["L0/U3", "L1/U7", "L1/U20"], 24
TABLE = pd.DataFrame({"layer": [0, 1, 1], "unit": [3, 7, 20]})


@pytest.fixture(scope="module")
def project(tmp_path_factory, texts):
    """A folder with two tiny models."""
    folder = tmp_path_factory.mktemp("ablated-in-memory")
    for seed, (name, architecture) in enumerate({"first": "gpt2", "second": "llama"}.items()):
        save_tiny_model(folder / name, texts, architecture, seed=seed, bos=name == "second")
    torch.set_num_threads(1)  # as the command does: sums split over threads round differently
    return folder


@pytest.fixture(scope="module")
def read(texts):
    """The texts that are read, each once."""
    return list(dict.fromkeys(text for text in texts if text.isascii()))[:40]


def load(project, name):
    return (one.from_pretrained(project / name) for one in (AutoModelForCausalLM, AutoTokenizer))


def tokens_of(tokenizer, texts):
    return [tokenizer(text)["input_ids"][:LENGTH] for text in texts]


@torch.no_grad()
def bits_by_hand(network, tokenizer, texts):
    """Return bits per byte; a byte-level BPE spells a byte by a character."""
    nats, n_bytes = 0.0, 0
    for ids in tokens_of(tokenizer, texts):
        shares = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        nats -= sum(float(shares[i, id_]) for i, id_ in enumerate(ids[1:]))
        n_bytes += sum(map(len, tokenizer.convert_ids_to_tokens(ids[1:])))
    return nats / math.log(2) / n_bytes


@torch.no_grad()
def means_by_hand(network, name, tokenizer, texts):
    """Return the mean activation of every neuron over all tokens, (n_layers, d_mlp)."""
    read = [[], []]
    for layer in range(2):
        module = network.get_submodule(DOWN[name].format(layer))
        module.register_forward_pre_hook(lambda _, args, of=read[layer]: of.append(args[0][0]))
    for ids in tokens_of(tokenizer, texts):
        network(torch.tensor([ids]))
    return [torch.cat(of).mean(0) for of in read]


@torch.no_grad()
def without(network, name, ablated, values):
    """Return a copy that writes fixed values of some neurons, in its biases."""
    changed = copy.deepcopy(network)
    for layer, (mask, at) in enumerate(zip(ablated, values, strict=True)):
        module = changed.get_submodule(DOWN[name].format(layer))
        weight = module.weight if name == "first" else module.weight.T
        written = (weight[mask] * at[mask, None]).sum(0)
        own = torch.zeros_like(written) if module.bias is None else module.bias
        module.bias = torch.nn.Parameter(own + written)
        weight[mask] = 0
    return changed


@pytest.mark.parametrize("method", ["mean", "zero"])
@pytest.mark.parametrize("name", DOWN)
def test_the_costs_are_those_of_transformers_in_float64(project, read, name, method):
    model, tokenizer = load(project, name)
    found = rosetta.ablate(model, tokenizer, read, NAMES, method=method, sequence_length=LENGTH)
    assert list(found.columns) == NAMED_COLUMNS
    rows = found[found["domain"] == WHOLE].set_index(["treatment", "population"])
    network = copy.deepcopy(model).double()
    means = means_by_hand(copy.deepcopy(network), name, tokenizer, read)
    values = means if method == "mean" else [torch.zeros_like(of) for of in means]
    mask = torch.zeros((2, len(means[0])), dtype=torch.bool)
    mask[TABLE["layer"].tolist(), TABLE["unit"].tolist()] = True
    intact = bits_by_hand(network, tokenizer, read)
    assert rows.loc[("none", "none"), "value"] == pytest.approx(intact, abs=1e-6)
    for treatment, ablated in (("ablate", mask), ("keep", ~mask)):
        cost = bits_by_hand(without(network, name, ablated, values), tokenizer, read) - intact
        row = rows.loc[(treatment, "rosetta")]
        assert row["difference"] == pytest.approx(cost, abs=1e-6)
        assert row["difference_ci_low"] < row["difference"] < row["difference_ci_high"]
        assert row["n_ablated"] == ablated.sum()
        assert abs(cost) > 1e-5
    assert (rows.loc[("ablate", "matched")][["n_draws", "n_ablated"]] == [20, 3]).all()


def test_the_command_says_the_same(project, read, tmp_path):
    domains = [f"d{number % 3}" for number in range(len(read))]
    rows = zip(read, domains, strict=True)
    lines = [json.dumps({"text": text, "domain": domain}) for text, domain in rows]
    (tmp_path / "t.jsonl").write_text("\n".join([*lines, '{"text": "  ", "domain": "d0"}']))
    TABLE.to_csv(tmp_path / "n.csv", index=False)
    options = ("--texts", "t.jsonl", "--domain-column", "domain", "--seed", 3, "--n-draws", 21)
    given = ("--model", project / "second", "--neurons", "n.csv", "--out", "out.csv", *options)
    done = run_here("ablate", *given, "--sequence-length", LENGTH, folder=tmp_path)
    assert done.code == 0, done
    written = read_csv(tmp_path / "out.csv", ABLATION_COLUMNS)[NAMED_COLUMNS]
    model, tokenizer = load(project, "second")
    how = {"seed": 3, "n_draws": 21, "sequence_length": LENGTH}
    found = rosetta.ablate(model, tokenizer, [*read, "  "], TABLE, domains=[*domains, "d0"], **how)
    assert set(found["domain"]) == {WHOLE, "d0", "d1", "d2"}
    assert (found["model"] == str(project / "second")).all()
    told = {"reason": found["reason"].replace("", np.nan).astype(written["reason"].dtype)}
    pd.testing.assert_frame_equal(
        found.assign(**told), written, check_dtype=False, rtol=1e-9, atol=1e-12
    )


def test_a_model_is_given_back_as_it_was(project, read):
    model, tokenizer = load(project, "first")
    model.train()
    weights = copy.deepcopy(model.state_dict())
    named = rosetta.ablate(model, tokenizer, read, NAMES, name="m", sequence_length=LENGTH)
    assert model.training
    assert all(not module._forward_pre_hooks for module in model.modules())
    assert all(torch.equal(weight, weights[key]) for key, weight in model.state_dict().items())
    assert (named["model"] == "m").all()
    model.eval()
    again = rosetta.ablate(
        model, tokenizer, reversed(read), TABLE, name="m", sequence_length=LENGTH, batch_size=7
    )
    pd.testing.assert_frame_equal(again, named, rtol=1e-3, atol=1e-6)


def test_the_model_says_how_much_of_a_text_is_read(project, read):
    model, tokenizer = load(project, "second")
    context = model.config.max_position_embeddings
    whole, cut = (
        rosetta.ablate(model, tokenizer, read, NAMES, sequence_length=length).loc[0, "value"]
        for length in (None, context)
    )
    assert whole == cut
    with pytest.raises(ModelError, match=f"sequence_length: the model reads {context} tokens"):
        rosetta.ablate(model, tokenizer, read, NAMES, sequence_length=context + 1)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"neurons": "L0/U3"}, ConfigError, "neurons: 'L0/U3' is not a list of neurons"),
        ({"neurons": 3}, ConfigError, "neurons: 3 is not a list of neurons"),
        ({"neurons": [3]}, ConfigError, "neurons: 3 is not the name of a neuron"),
        ({"neurons": ["L9/U3"]}, ModelError, "neurons: L9/U3 is not in the model"),
        ({"neurons": ["L0/U3", "0.3"]}, ConfigError, "neurons: the neuron of row 2 is there"),
        ({"neurons": []}, StoreError, "neurons: holds no row"),
        ({"neurons": TABLE[["unit"]]}, StoreError, r"neurons: lacks the columns \['layer'\]"),
        ({"neurons": TABLE - 1}, StoreError, "neurons: layer in row 1 is '-1'"),
        ({"neurons": TABLE + 0.5}, ConfigError, "neurons: row 1 names no neuron"),
        ({"neurons": TABLE * 9}, ConfigError, "neurons: row 1, layer 0, unit 27, is not in"),
        ({"texts": "one"}, CorpusError, "texts: one string is given"),
        ({"texts": ["a b", "a b"]}, CorpusError, r"texts\[1\]: is there twice"),
        ({"texts": [" ", "\n"]}, CorpusError, "texts: all are blank"),
        ({"domains": "ab"}, ConfigError, "domains: 'ab' is not a list of labels"),
        ({"domains": ["a"]}, ConfigError, "domains: has 1 labels of 40 texts"),
        ({"domains": ["a", 3]}, ConfigError, r"domains\[1\]: 3 is not a label"),
        ({"method": "median"}, ConfigError, "method: .*'mean' or 'zero'"),
        ({"n_draws": 5}, ConfigError, "n_draws: .*greater than or equal to 20"),
        ({"n_draws": 20.5}, ConfigError, "n_draws: 20.5 is not a whole number"),
        ({"n_nearest": 0}, ConfigError, "n_nearest: .*greater than or equal to 1"),
        ({"seed": "x"}, ConfigError, "seed: 'x' is not a whole number"),
        ({"batch_size": 0}, ConfigError, "batch_size: .*greater than or equal to 1"),
        ({"sequence_length": 1}, ConfigError, "sequence_length: .*greater than or equal to 2"),
        ({"name": ""}, ConfigError, "name: '' is not a name"),
        ({"tokenizer": "second"}, ModelError, "m: str is not a fast tokenizer"),
    ],
)
def test_what_is_wrong_is_told(project, read, changes, error, message):
    model, tokenizer = load(project, "second")
    given = dict(model=model, tokenizer=tokenizer, texts=read, neurons=NAMES, name="m")
    with pytest.raises(error, match=message):
        rosetta.ablate(**{**given, **changes})


def test_texts_of_one_token_predict_nothing(project, tmp_path):
    """The first model's tokens begin with those of the text."""
    message = "no document has two tokens, so nothing is predicted"
    with pytest.raises(CorpusError, match=f"m: {message}"):
        rosetta.ablate(*load(project, "first"), ["a", "b"], NAMES, name="m")
    (tmp_path / "t.jsonl").write_text('{"text": "a"}')
    TABLE.to_csv(tmp_path / "n.csv", index=False)
    given = ("--model", project / "first", "--neurons", "n.csv", "--texts", "t.jsonl")
    assert_rejected(run_here("ablate", *given, folder=tmp_path), message)


def test_a_model_without_a_head_is_rejected(project, read):
    tokenizer = AutoTokenizer.from_pretrained(project / "first")
    backbone = AutoModel.from_pretrained(project / "first")
    with pytest.raises(ModelError, match="GPT2Model is not a causal language model"):
        rosetta.ablate(backbone, tokenizer, read, NAMES)

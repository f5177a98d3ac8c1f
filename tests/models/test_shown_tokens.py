"""Capture and scores show a model what training showed it; names of special tokens in a text are
text.
"""

import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from commands import assert_rejected, run_here
from helpers import ARCHITECTURES, save_tiny_model
from scipy import stats
from tokenizers import Tokenizer

import rosetta.models.steps
import rosetta.models.zoo.model_training
from rosetta.config.filtering import FilterPretraining, FilterScoring
from rosetta.config.zoo import ZooFamily
from rosetta.errors import ModelError
from rosetta.filtering.document_scores import Scorer
from rosetta.filtering.perplexity import perplexity
from rosetta.filtering.pretrain import Training, continue_training, separator_of
from rosetta.inputs.text.documents import document_name
from rosetta.models.loading import load_model
from rosetta.models.neurons import Neuron
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import load_tokenizer
from rosetta.models.zoo import training_loop
from rosetta.models.zoo.recipes import END_OF_TEXT, END_OF_TEXT_ID
from rosetta.models.zoo.token_stream import packed_tokens
from rosetta.models.zoo.tokenizer_training import train_tokenizer
from rosetta.storage.digests import hash64
from rosetta.storage.tables import read_parquet_metadata

ZOO = [*ARCHITECTURES, "qwen2_moe"]
NAMED = f"left {END_OF_TEXT} right\n{END_OF_TEXT}{END_OF_TEXT} and naïve nai\u0308ve 1234567\n"


@pytest.fixture(scope="module")
def zoo(tmp_path_factory, texts):
    """A folder with a corpus, and a configuration with a zoo model of every architecture."""
    folder = tmp_path_factory.mktemp("zoo")
    documents = [text + NAMED.replace("left", f"left {i}") for i, text in enumerate(texts)]
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in documents)
    )
    experts = {"n_experts": 4, "per_token": 2, "d_shared": 8}
    recipe = {
        "families": {name: {"architecture": name, "vocab_size": 300, "seed": 1} for name in ZOO},
        "sizes": {
            "s": {"n_layers": 1, "d_model": 16, "d_mlp": 24, "n_heads": 2, "experts": experts}
        },
        "training": {"steps": 3, "batch_size": 2, "sequence_length": 32, "warmup_steps": 1},
    }
    config = {
        "corpus": {
            "source": {"kind": "files", "path": "corpus.jsonl"},
            "min_document_bytes": 8,
            "splits": SPLITS,
        },
        "zoo": recipe,
        "models": {
            **{name: {"zoo": {"family": name, "size": "s"}} for name in ZOO},
            "rounded": {"zoo": {"family": "qwen2", "size": "s"}, "dtype": "bfloat16"},
        },
        "ladders": {"l": [ZOO[:2]]},
        "activations": {"sequence_length": 32, "n_shards": 1, "max_documents": 20},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    assert run_here("corpus", "--config", "run.yaml", folder=folder).code == 0
    return folder


SPLITS = {"train": 0.5, "match": 0.2, "pool": 0.0, "heldout": 0.3}


def train(zoo, name, family=None):
    done = run_here("tokenizer", "--config", "run.yaml", "--family", family or name, folder=zoo)
    assert done.code == 0, done.err
    return run_here("train", "--config", "run.yaml", "--model", name, folder=zoo)


@pytest.mark.parametrize("name", ZOO)
def test_the_saved_model_costs_as_many_bits_as_the_trained_one(zoo, name):
    done = train(zoo, name)
    assert done.code == 0, done.err
    told = json.loads((zoo / "results" / "models" / f"{name}.json").read_text())["training"]
    assert told["captured_bits_per_byte"] == pytest.approx(told["heldout_bits_per_byte"], abs=1e-6)
    # The definition, from the files alone: documents after a separator, bytes of what is predicted.
    model = load_model(ModelSource(name, str(zoo / "results" / "models" / name)))
    tokenizer = Tokenizer.from_file(str(zoo / "results" / "models" / name / "tokenizer.json"))
    tokenizer.encode_special_tokens = True
    nats, n_bytes = 0.0, 0
    for text in pd.read_parquet(zoo / "results" / "corpus" / "heldout.parquet")["text"]:
        ids = [END_OF_TEXT_ID, *tokenizer.encode(text, add_special_tokens=False).ids][:32]
        with torch.no_grad():
            scores = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
        nats -= sum(float(scores[i, ids[i + 1]]) for i in range(len(ids) - 1))
        n_bytes += sum(len(tokenizer.id_to_token(id_)) for id_ in ids[1:])
    assert told["heldout_bits_per_byte"] == pytest.approx(nats / np.log(2) / n_bytes, rel=1e-5)


def test_weights_that_are_rounded_for_the_forward_pass_may_cost_a_little_more(zoo):
    done = train(zoo, "rounded", "qwen2")
    assert done.code == 0, done.err
    told = json.loads((zoo / "results" / "models" / "rounded.json").read_text())["training"]
    assert 0 < abs(told["captured_bits_per_byte"] - told["heldout_bits_per_byte"]) < 0.01


def digits_apart(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    first = {"type": "Digits", "individual_digits": True}
    content["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [first, content["pre_tokenizer"]],
    }
    (folder / "tokenizer.json").write_text(json.dumps(content))


def without_separator(folder):
    content = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps({**content, "post_processor": None}))


@pytest.mark.parametrize("spoil", [digits_apart, without_separator])
def test_a_saved_model_that_reads_otherwise_is_rejected(zoo, monkeypatch, spoil):
    save = rosetta.models.zoo.model_training.save_model

    def spoilt(model, tokenizer, folder):
        save(model, tokenizer, folder)
        spoil(folder)

    monkeypatch.setattr(rosetta.models.zoo.model_training, "save_model", spoilt)
    (zoo / "results" / "models" / "gpt2.json").unlink(missing_ok=True)
    message = (
        r"models\.gpt2: held-out text costs \d\.\d+ bits per byte at the end of its "
        r"training, and \d\.\d+ when"
    )
    assert_rejected(train(zoo, "gpt2"), message)
    assert not (zoo / "results" / "models" / "gpt2.json").exists()


def test_held_out_text_is_not_needed():
    rosetta.models.steps._check_same(ModelSource("m", "m"), float("nan"), float("nan"))


def test_a_tokenizer_is_trained_on_names_of_special_tokens_as_on_other_text(texts):
    plain, named = (
        train_tokenizer(ZooFamily(architecture="gpt2", vocab_size=400, seed=0), [text] * 50, 10**6)
        for text in ("<|endo of text|>\n", f"{END_OF_TEXT}\n")
    )
    assert "endoftext" in named.get_vocab()
    assert "endoftext" not in plain.get_vocab()
    assert named(END_OF_TEXT)["input_ids"].count(END_OF_TEXT_ID) == 1, "the separator alone"


def test_as_many_tokens_are_trained_on_as_a_budget_counts(tmp_path, texts):
    """Texts that name the separator: every one is one document, in scores, training and perplexity
    alike.
    """
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "gpt2", bos=True)))
    model, tokenizer = load_model(source), load_tokenizer(source)
    documents = [NAMED + str(i) for i in range(5)]
    table = pd.DataFrame({"id": np.arange(5, dtype=np.uint64), "text": documents, "domain": "d"})
    scorer = Scorer(model, tokenizer, {"f": Neuron(0, 0)}, FilterScoring(sequence_length=32), "m")
    counted = int(scorer.score(table)["tokens"].sum())
    one_epoch = packed_tokens(tokenizer, documents, counted + 5, seed=0)
    assert (one_epoch == END_OF_TEXT_ID).sum() == 5
    order = [
        tokenizer.decode(ids)
        for ids in np.split(one_epoch, np.flatnonzero(one_epoch == END_OF_TEXT_ID))[1:]
    ]
    assert sorted(order) == sorted(END_OF_TEXT + text for text in documents)
    _, n_tokens = perplexity(model, tokenizer, documents, separator_of(tokenizer, "m"), 16, 2)
    assert n_tokens == counted


def test_a_continued_training_reads_names_of_special_tokens_as_text(tmp_path, texts, monkeypatch):
    seen = []
    monkeypatch.setattr(
        training_loop, "_step", lambda _model, _optimizer, parts, *_: seen.extend(parts) or 0.0
    )
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "gpt2", bos=True)))
    settings = FilterPretraining(model="m", sequence_length=16, batch_size=2)
    tokenizer = load_tokenizer(source)
    training = Training(settings, 2, 0, tmp_path / "c", "weights")
    continue_training(load_model(source), tokenizer, [NAMED], training)
    ids = torch.cat(seen).flatten().tolist()
    length = len(tokenizer(NAMED)["input_ids"])
    assert [i for i, id_ in enumerate(ids) if id_ == END_OF_TEXT_ID] == list(
        range(0, len(ids), length)
    )


def test_a_token_without_an_embedding_is_named_with_its_document(tmp_path, texts):
    """In a continued training, and in the text by which it is judged."""
    folder = save_tiny_model(tmp_path / "m", texts, "gpt2")
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.add_tokens(["river"])
    backend.save(str(folder / "tokenizer.json"))
    source = ModelSource("m", str(folder))
    model, tokenizer = load_model(source), load_tokenizer(source)
    documents = ["the sea " * 40, "the river " * 40]
    message = rf"document {document_name(hash64(documents[1]))} has the token 'river' \(300\)"
    settings = FilterPretraining(model="m", sequence_length=16, batch_size=2)
    training = Training(settings, 2, 0, tmp_path / "c", "weights")
    with pytest.raises(ModelError, match=rf"models\.m: {message}"):
        continue_training(model, tokenizer, documents, training)
    with pytest.raises(ModelError, match=rf"perplexity: {message}"):
        perplexity(model, tokenizer, documents, 0, 16, 2)


def test_vocabulary_kurtosis_is_over_the_rows_of_tokens(tmp_path, texts):
    """Ids with holes, and rows at the end that only pad: NumPy and SciPy over the rows of
    tokens.
    """
    folder = save_tiny_model(tmp_path / "m", texts, "gpt_neox")
    save_tiny_model(tmp_path / "other", texts, "opt", seed=1)
    content = json.loads((folder / "tokenizer.json").read_text())
    # The last twelve merges go, and three tokens move to the end, which leaves holes.
    gone = {"".join(pair) for pair in content["model"]["merges"][-12:]}
    content["model"]["merges"] = content["model"]["merges"][:-12]
    vocabulary = {
        token: id_ for token, id_ in content["model"]["vocab"].items() if token not in gone
    }
    moved = [token for token, id_ in vocabulary.items() if id_ in (7, 80, 81)]
    content["model"]["vocab"] = {**vocabulary, **{token: 290 + i for i, token in enumerate(moved)}}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    ids = sorted(content["model"]["vocab"].values())
    assert len(ids) == 288
    assert ids[-1] == 292

    (tmp_path / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts)
    )
    splits = {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0}
    config = {
        "corpus": {
            "source": {"kind": "files", "path": "corpus.jsonl"},
            "min_document_bytes": 8,
            "splits": splits,
        },
        "models": {"m": {"path": "m"}, "other": {"path": "other"}},
        "ladders": {"l": [["m", "other"]]},
        "activations": {"sequence_length": 32},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    for command in ("model", "vocabulary"):
        done = run_here(command, "--config", "run.yaml", "--model", "m", folder=tmp_path)
        assert done.code == 0, done.err
    model = load_model(ModelSource("m", str(folder)))
    directions = model.lm_head.weight.detach().double().numpy()[ids]
    weights = model.gpt_neox.layers[1].mlp.dense_4h_to_h.weight.detach().double().numpy().T
    cosines = (
        directions
        @ weights.T
        / np.linalg.norm(directions, axis=1)[:, None]
        / np.linalg.norm(weights, axis=1)
    )
    path = tmp_path / "results" / "vocabulary" / "m.parquet"
    table = pd.read_parquet(path)
    np.testing.assert_allclose(
        table.loc[table["layer"] == 1, "excess_kurtosis"],
        stats.kurtosis(cosines, axis=0),
        rtol=1e-4,
        atol=1e-5,
    )
    names = sorted(content["model"]["vocab"], key=content["model"]["vocab"].get)
    last, plain = table.iloc[-1], re.compile(r"Ġ?[a-zA-Z]+")
    for side, order in (("promoted", -cosines[:, -1]), ("suppressed", cosines[:, -1])):
        raw = [names[row] for row in np.argsort(order)[:10]]
        # Letters stand for themselves in a byte-level vocabulary, and Ġ for a space.
        told = [(name.replace("Ġ", " "), text) for name, text in zip(raw, last[side], strict=True)]
        assert all(text == name for name, text in told if plain.fullmatch(name.strip()))
    facts = read_parquet_metadata(path)
    assert (facts["n_tokens"], facts["n_rows_left_out"]) == (288, 12)
    assert "288 tokens; 12 rows of the unembedding belong to none" in done.err

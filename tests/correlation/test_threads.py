"""Threads change how fast a pair is captured and correlated, and no match."""

import numpy as np
import pandas as pd
import pytest
import torch
from commands import run_here
from helpers import tiny_tokenizer
from small_runs import MODELS
from store_pairs import planted
from transformers import AutoModelForCausalLM

import rosetta
import rosetta.activations.capture
from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreDescription, StoreTokens
from rosetta.config import Dask
from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining
from rosetta.correlation.products import has_fast_bfloat16
from rosetta.models.neurons import NeuronShape
from rosetta.models.zoo.recipes import zoo_model_config

THREADS = (1, 2, 4)
N_POSITIONS, SHAPE = 3000, NeuronShape(2, 200)


@pytest.fixture(autouse=True)
def as_before():
    """Commands run in this process, whose number of threads other tests rely on."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Two models whose neurons are mixtures of the same latents, so that all correlate."""
    folder, rng = tmp_path_factory.mktemp("stores"), np.random.default_rng(0)
    latents = rng.normal(size=(N_POSITIONS, 40))
    start = np.arange(N_POSITIONS, dtype=np.int32)
    for name in "ab":
        mixing = rng.normal(size=(SHAPE.n_layers, 40, SHAPE.d_mlp))
        noise = planted(rng, N_POSITIONS, SHAPE.n_layers, SHAPE.d_mlp, "float32")
        values = (latents @ mixing * 0.3 + noise).astype(np.float32)
        document = np.zeros_like(start), np.array([0], np.uint64), np.array([N_POSITIONS], np.int64)
        tokens = StoreTokens(start, start, start + 1, *document)
        description = StoreDescription(SHAPE, "float32", 0, 1, {"model": name}, name)
        write_store(folder / name / "0.json", iter([torch.from_numpy(values)]), tokens, description)
    return folder


def matches(folder, *options):
    """Return the matches that `rosetta match` finds, and what it says."""
    done = run_here("match", "--out", "matches.parquet", *options, folder=folder)
    assert done.code == 0, done.err
    return pd.read_parquet(folder / "matches.parquet"), done.err


def assert_same(found):
    """The same matches at every number of threads, with r within 1e-6."""
    first, *others = found
    assert len(first) > 20
    keys = ["layer_a", "unit_a", "layer_b", "unit_b"]
    for other in others:
        pd.testing.assert_frame_equal(other[keys], first[keys])
        np.testing.assert_allclose(other["r"], first["r"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float64"])
def test_a_correlation_finds_the_same_on_any_number_of_threads(stores, precision):
    if precision == "bfloat16" and not has_fast_bfloat16():
        pytest.skip("no bfloat16 here")
    found = []
    for threads in THREADS:
        given = ("--a", "a", "--b", "b", "--precision", precision, "--threads", threads)
        table, said = matches(stores, *given)
        assert f"1 × {threads} thread(s) (threads)" in said
        found.append(table)
    assert_same(found)


def test_a_capture_gives_the_same_matches_on_any_number_of_threads(texts, tmp_path):
    """Of models wide enough that torch splits their products."""
    size = ZooSize(n_layers=2, d_model=64, d_mlp=256, n_heads=4)
    training, models = ZooTraining(steps=2, batch_size=2, sequence_length=32), {}
    for seed, architecture in enumerate(("gpt2", "llama")):
        torch.manual_seed(seed)
        family = ZooFamily(architecture=architecture, vocab_size=300, seed=seed)
        model = AutoModelForCausalLM.from_config(zoo_model_config(family, size, training))
        models["ab"[seed]] = model, tiny_tokenizer(texts, seed=seed, architecture=architecture)
    found = []
    for threads in THREADS:
        folder = tmp_path / str(threads)
        torch.set_num_threads(threads)
        for name, loaded in models.items():
            rosetta.capture(*loaded, texts[:40], folder / name, dtype="float32")
        found.append(matches(folder, "--a", "a", "--b", "b", "--precision", "float32")[0])
    assert_same(found)


def test_a_capture_takes_the_threads_that_it_is_given(small_run):
    of_shard = ("--model", next(iter(MODELS)), "--shard", 0, "--threads", 3)
    run = ("activations", "--config", "results/run_config.yaml", *of_shard)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosetta.activations.capture, "capture_shard", lambda *_: None)
        done = run_here(*run, folder=small_run.parent)
    assert done.code == 0, done.err
    assert "shard 0: 3 thread(s)" in done.err
    assert torch.get_num_threads() == 3


def test_tasks_get_the_threads_that_they_are_given():
    from rosetta.correlation.schedule import run_tasks

    def threads(_):
        return torch.get_num_threads()

    for dask in (Dask(threads_per_worker=3), Dask(n_workers=2, threads_per_worker=3)):
        assert run_tasks(threads, [(1,), (2,), (3,)], dask, label="threads") == [3, 3, 3]
    assert run_tasks(threads, [(1,)], Dask(), label="threads") == [1]

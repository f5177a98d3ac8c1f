"""Stores that are never written: the models run again, and give the same matches."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import save_tiny_model
from safetensors.torch import load_file, save_file
from whole_tiles import correlate_tile

import rosetta.correlation.pairs
import rosetta.correlation.rounds
import rosetta.plan.costs.pairs
from rosetta.activations.folders import open_stores
from rosetta.activations.live import LiveStore
from rosetta.activations.steps import activations_step
from rosetta.analysis.points import values_at
from rosetta.analysis.profiles import profile_neurons
from rosetta.analysis.token_positions import TokenPositions
from rosetta.config import Dask, dump_config, group_name, parse_config
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.pairs import correlate_pair
from rosetta.correlation.plan import (
    PairSize,
    ScreenPlan,
    Tile,
    TilePlan,
    correlation_flops,
    screen_flops,
)
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.steps import correlate_step, neighbors_step
from rosetta.correlation.view import View
from rosetta.errors import StoreError
from rosetta.inputs.text.build import build_corpus, read_split
from rosetta.matching.mutual import mutual_matches
from rosetta.matching.steps import nulls_step
from rosetta.models.known_sizes import Size, planned_capture
from rosetta.models.neurons import NeuronShape
from rosetta.models.steps import model_step
from rosetta.plan.costs import pairs
from rosetta.plan.costs.base import Known
from rosetta.plan.extent import Extent
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.digests import write_text
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_parquet


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a function that makes the stores of two tiny models, kept or live, in one results
    folder.
    """
    folder = tmp_path_factory.mktemp("live")
    rng = np.random.default_rng(0)
    words = ["αβγ", "value", "return", "x += 1", "snow ❄", "and", "the", "list"]
    texts = [" ".join(rng.choice(words, size=30)) + f" {i}" for i in range(120)]
    (folder / "corpus.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in texts))
    models = {
        name: save_tiny_model(folder / name, texts, name, seed=i)
        for i, name in enumerate(("gpt2", "qwen2"))
    }
    weights = load_file(models["qwen2"] / "model.safetensors")
    weights["model.layers.0.mlp.up_proj.weight"] *= 1e-8  # a layer that is stored with a scale
    save_file(weights, models["qwen2"] / "model.safetensors", {"format": "pt"})

    def make(keep, method="screened"):
        config = parse_config(
            {
                "results": str(folder / "results"),
                "corpus": {
                    "source": {"kind": "files", "path": str(folder / "corpus.jsonl")},
                    "splits": {"train": 0.0, "match": 0.98, "pool": 0.01, "heldout": 0.01},
                    "min_document_bytes": 1,
                },
                "models": {name: {"path": str(path)} for name, path in models.items()},
                "ladders": {"tiny": [list(models)]},
                "controls": {"permutation_seeds": [0, 1]},
                "activations": {
                    "keep": keep,
                    "n_shards": 2,
                    "sequence_length": 32,
                    "batch_size": 8,
                },
                "correlation": {
                    "method": method,
                    "max_k": 1,
                    "precision": "float32",
                    "screening": {"sketch_rows": 256},
                },
            }
        )
        paths = Paths(folder / "results")
        write_text(paths.run_config, dump_config(config))
        if not paths.corpus_manifest.exists():
            build_corpus(config.corpus, paths, made_by(config, "corpus"))
            for name in models:
                model_step(config, paths, name)
        for name in models:
            for shard in range(2):
                activations_step(config, paths, name, shard)
        return config, paths

    return make


def test_live_rows_are_those_of_a_written_store(run):
    _, paths = run(keep=True)
    folder = paths.stores("qwen2", 2)
    written = [
        (
            store.n_positions,
            store.read("byte_end"),
            torch.cat([p[0][1] for _, p in store.chunks(5, 20)]),
        )
        for store in open_stores(folder)
    ]
    run(keep=False)
    live = open_stores(folder)
    for store, (n_positions, byte_end, rows) in zip(live, written, strict=True):
        assert isinstance(store, LiveStore)
        assert store.n_positions == n_positions
        assert np.array_equal(store.read("byte_end"), byte_end)
        assert torch.equal(torch.cat([parts[0][1] for _, parts in store.chunks(5, 20)]), rows)
        assert 0 < rows.abs().max() < 1e-6


def test_live_stores_take_their_model_of_a_gpu_and_written_ones_nothing(run):
    config, paths = run(keep=True)
    folder = paths.stores("qwen2", 2)
    assert all(store.gpu_bytes == 0 for store in open_stores(folder))
    config, paths = run(keep=False)
    manifest = read_manifest(paths.model_manifest("qwen2"), "model")
    size = Size(NeuronShape.of(manifest), manifest["n_parameters"])
    n_neurons = size.shape.n_layers * size.shape.d_mlp
    for store in open_stores(folder):
        assert store.gpu_bytes == planned_capture(config, "qwen2", size).gpu_bytes
        # Weights in float32, and 8 documents of 32 tokens: as captured twice, stored, and checked.
        assert store.gpu_bytes > 4 * size.n_parameters + 8 * 32 * n_neurons * (4 + 4 + 2 + 1)


def test_live_pairs_have_the_matches_of_written_ones(run, tmp_path, monkeypatch):
    monkeypatch.setattr(rosetta.correlation.rounds, "MAX_DENSE_SHARE", 1.1)
    found = []
    for keep in (True, False):
        config, paths = run(keep=keep)
        out = tmp_path / f"{keep}.parquet"
        folders = (paths.stores(name, 2) for name in config.models)
        correlate_step(CorrelationRequest(*folders, "mean", config.correlation, config.dask), out)
        found.append(read_lists([out]))
    (kept, facts), (live, _) = found
    assert facts.method == "screened"
    assert np.array_equal(kept.a.index[:, 0], live.a.index[:, 0])
    np.testing.assert_allclose(kept.a.r[:, 0], live.a.r[:, 0], atol=1e-6)


def test_exact_matches_and_those_of_permuted_positions_need_no_store(run):
    """The same as from written stores; both models run once for all of them."""
    found = []
    for keep in (True, False):
        config, paths = run(keep, method="exact")
        pair = group_name(config.pairs()[0])
        neighbors_step(config, paths, pair, 0)
        nulls_step(config, paths, "permutation", pair)
        lists = read_lists([paths.neighbors_part(pair, 0, 1)])
        null = read_parquet(paths.null_matches("permutation", pair))
        found.append((mutual_matches(*lists, 1), null))
        seeds = tuple(config.controls.permutation_seeds)
        assert lists.facts.permute_seeds == (() if keep else seeds)
        assert len(seeds) > 1
    for written, live in zip(*found, strict=True):
        assert len(written) > 5
        pd.testing.assert_frame_equal(live, written, rtol=0, atol=1e-6)


def test_a_model_that_runs_in_several_threads_records_each_pass_alone(run, monkeypatch):
    """Both sides of a pair may be one model, and tiles are computed side by side."""
    edges = (0, 24), (24, 48)
    tiles = TilePlan(tuple(Tile(*a, *b) for a in edges for b in edges), 0)
    monkeypatch.setattr(rosetta.correlation.pairs, "plan_orders", lambda *_, **__: (tiles, 1))
    found = []
    for keep in (True, False):
        config, paths = run(keep=keep, method="exact")
        folder, other = (paths.stores(name, 2) for name in config.models)
        for folders in ((folder, folder), (folder, other)):
            dask = Dask(n_workers=4)
            request = CorrelationRequest(*folders, "mean", config.correlation, dask)
            neighbors, _ = correlate_pair(request)
            found.append(neighbors.a.r)
    for written, live in zip(found[:2], found[2:], strict=True):
        np.testing.assert_allclose(live, written, atol=1e-6)


def test_quiet_neurons_of_live_stores_are_those_of_written_ones(run):
    """Their variance is over all positions, not over the first batch only."""
    found = []
    for keep in (True, False):
        config, paths = run(keep=keep)
        stores = (open_stores(paths.stores(name, 2)) for name in config.models)
        pair = align_pair(*stores, View(Exclusions(variance_floor=0.9)))
        found.append((pair.a.quiet, pair.b.quiet))
    for written, live in zip(*found, strict=True):
        assert 0 < written.sum() < len(written)
        assert np.array_equal(written, live)


def test_documents_of_live_stores_are_exchanged_as_those_of_written_ones(run):
    found = []
    for keep in (True, False):
        config, paths = run(keep=keep)
        stores = (open_stores(paths.stores(name, 2)) for name in config.models)
        pair = align_pair(*stores, View(exchange_seed=2, sample_table=paths.split("match")))
        assert isinstance(pair.a.stores[0], LiveStore) is not keep
        r, *_ = correlate_tile(pair, Tile(0, 30, 0, 20), "mean", "float32")
        found.append(r)
    torch.testing.assert_close(*found, atol=1e-6, rtol=0)


def test_a_live_store_of_another_run_is_rejected(run):
    _, paths = run(keep=False)
    changed = paths.run_config.read_text().replace("sequence_length: 32", "sequence_length: 16")
    write_text(paths.run_config, changed)
    with pytest.raises(StoreError, match="changed"):
        open_stores(paths.stores("gpt2", 2))[0].read("byte_end")


def test_neurons_are_profiled_and_read_without_stores(run):
    def profiled():
        _, paths = run(keep)
        documents = read_split(paths, "match")
        stores = open_stores(paths.stores("gpt2", 2))
        positions = TokenPositions.of(stores)
        points = [np.random.default_rng(0).integers(n, size=50) for n in (len(positions), 2, 24)]
        return profile_neurons(stores, documents, 5, firing_std=1.5), values_at(
            stores, positions, *points
        )

    keep = True
    written, values = profiled()
    keep = False
    live, same_values = profiled()
    pd.testing.assert_frame_equal(live.contexts, written.contexts)
    pd.testing.assert_frame_equal(live.neurons, written.neurons, rtol=1e-9)
    np.testing.assert_array_equal(same_values, values)


@pytest.mark.parametrize("method", ["exact", "screened"])
def test_live_models_run_as_often_as_the_plan_counts(run, tmp_path, monkeypatch, method):
    """Every tile reads both models; sketches read each once per range of its neurons."""
    config, paths = run(keep=False)
    pair, settings = config.pairs()[0], config.correlation.model_copy(update={"method": method})
    edges = ((0, 16), (16, 32), (32, 48)), ((0, 24), (24, 48))
    screen = ScreenPlan(256, *edges, peak_bytes=0)
    for module in (rosetta.correlation.pairs, rosetta.plan.costs.pairs):
        monkeypatch.setattr(module, "plan_screen", lambda *_, **__: screen)
        monkeypatch.setattr(module, "plan_orders", lambda *_, **__: (TilePlan(screen.tiles, 0), 1))
    monkeypatch.setattr(
        rosetta.correlation.rounds._Rounds, "any_open", lambda _: False
    )  # all are certified
    runs, moments, chunks, pilots = Counter(), LiveStore.moments, LiveStore.chunks, []

    def pilot(store):  # reads one batch only
        pilots.append(store)
        found = moments(store)
        pilots.pop()
        return found

    def counted(store, low, high, *where):
        if not pilots:
            runs[store.manifest["live"]["model"]] += 1
        return chunks(store, low, high, *where)

    monkeypatch.setattr(LiveStore, "moments", pilot)
    monkeypatch.setattr(LiveStore, "chunks", counted)
    folders = (paths.stores(name, 2) for name in pair)
    correlate_step(
        CorrelationRequest(*folders, "mean", settings, config.dask), tmp_path / "out.parquet"
    )
    planned = {}
    for (
        model
    ) in pair:  # one position, and one parameter of this model alone: two operations each time
        sizes = {name: Size(NeuronShape(2, 24), int(name == model)) for name in pair}
        known = Known(config, Extent(positions=1), sizes.__getitem__, "float32")
        if method == "screened":
            cost = pairs.correlate(known, pair).operations.flops - screen_flops(
                PairSize(48, 48, 1), 256
            )
        else:
            cost = pairs.exact_products(known, pair).flops - correlation_flops(PairSize(48, 48, 1))
        planned[model] = cost / 2
    assert {model: n / config.activations.n_shards for model, n in runs.items()} == planned
    assert list(planned.values()) == ([3 + 6, 2 + 6] if method == "screened" else [6, 6])

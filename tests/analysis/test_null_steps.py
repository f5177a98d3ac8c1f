"""The steps of null models, intervals and sweeps on a corpus whose documents are parts of files."""

import numpy as np
import pandas as pd
import pytest
from helpers import save_stores

import rosetta.correlation.resample
from rosetta.alignment.samples import deal
from rosetta.config import parse_config
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.resample import half_samples
from rosetta.correlation.steps import correlate_step
from rosetta.errors import StoreError
from rosetta.matching.steps import intervals_step, nulls_step, sweeps_step
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, read_parquet_metadata, write_parquet

N_FILES, PIECES, TOKENS, UNITS = 30, 3, 12, 10


@pytest.fixture(params=[1, 2], ids=["one shard", "two shards"])
def run(tmp_path, request):
    """Two models of ten neurons that share what is common to a file, on three pieces of each of
    thirty files.
    """
    rng, paths = np.random.default_rng(0), Paths(tmp_path / "results")
    n_documents = N_FILES * PIECES
    file = rng.permutation(np.repeat(np.arange(N_FILES), PIECES))
    document = np.repeat(np.arange(n_documents), TOKENS)
    start = np.tile(np.arange(TOKENS), n_documents)
    ranges = [
        values.astype(np.int32) for values in (np.arange(len(document)), start, start + 1, document)
    ]
    common = rng.normal(size=(N_FILES, UNITS))[file[document]] + rng.normal(
        size=(len(document), UNITS)
    )
    values = {}
    for name in "ab":
        values[name] = (common + rng.normal(size=common.shape)).astype(np.float32)
        save_stores(
            paths.stores(name, request.param),
            values[name][None],
            ranges,
            n_documents,
            n_shards=request.param,
            made_by={"model": name},
        )
    config = parse_config(
        {
            "results": str(paths.root),
            "models": {name: {"path": name} for name in "ab"},
            "ladders": {"l": [["a", "b"]]},
            "activations": {"n_shards": request.param},
            "correlation": {"max_k": 2, "precision": "float64"},
            "controls": {"document_seeds": [0, 3]},
            "intervals": {"n_blocks": 12},
            "sweeps": {"split_half": True},
        }
    )
    table = pd.DataFrame(
        {"id": np.arange(n_documents, dtype=np.uint64), "domain": np.where(file % 2, "odd", "even")}
    )
    paths.split("match").parent.mkdir(parents=True)
    write_parquet(
        paths.split("match"),
        table.assign(source=[f"p/file-{f}.py#{i}" for i, f in enumerate(file)]),
    )
    folders = (paths.stores(name, request.param) for name in "ab")
    correlate_step(
        CorrelationRequest(*folders, "mean", config.correlation, config.dask),
        paths.neighbors_part("a--b", 0, 1),
    )
    return config, paths, values, np.array([f"p/file-{f}.py" for f in file])


def mutual(a, b):
    r = np.corrcoef(a.T, b.T)[:UNITS, UNITS:]
    best = r.argmax(axis=1)
    return [(u, v, r[u, v]) for u, v in enumerate(best) if r[:, v].argmax() == u]


def test_half_samples_are_of_whole_files(run):
    config, paths, values, clusters = run
    intervals_step(config, paths, "a--b")
    known = read_parquet_metadata(paths.replicates("a--b"))
    assert {
        name: known[name] for name in ("interval", "n_half_samples", "n_blocks", "n_clusters")
    } == {
        "interval": "rematched",
        "n_half_samples": 22,
        "n_blocks": 12,
        "n_clusters": N_FILES,
    }
    table = read_parquet(paths.replicates("a--b"))
    part = deal(clusters, 12)
    for number, half in enumerate(half_samples(12)):
        kept = np.repeat(half[part], TOKENS)
        found = table[table["half_sample"] == number]
        expected = mutual(values["a"][kept], values["b"][kept])
        assert list(zip(found["unit_a"], found["unit_b"], strict=True)) == [
            pair[:2] for pair in expected
        ]
        np.testing.assert_allclose(found["r"], [pair[2] for pair in expected], atol=1e-5)
        assert known["shares"][number] == kept.mean()
    assert (read_parquet(paths.intervals("a--b"))["r_ci_low"] < 1).all()


def test_too_few_files_have_no_intervals(run, monkeypatch):
    config, paths, *_ = run
    monkeypatch.setattr(rosetta.correlation.resample, "MIN_CLUSTERS", N_FILES + 1)
    intervals_step(config, paths, "a--b")
    known = read_parquet_metadata(paths.replicates("a--b"))
    assert (known["interval"], known["n_half_samples"], known["shares"]) == ("none", 0, [])
    assert known["n_clusters"] == N_FILES
    found = read_parquet(paths.intervals("a--b"))
    assert len(found)
    assert found[["r_ci_low", "r_ci_high"]].isna().all(axis=None)
    empty = read_parquet(paths.replicates("a--b"))
    assert len(empty) == 0
    assert {"half_sample", "unit_a", "layer_b", "r"} <= set(empty.columns)


def test_halves_of_the_documents_have_no_file_in_common(run):
    config, paths, values, clusters = run
    sweeps_step(config, paths, "a--b")
    half = deal(clusters, 2)
    assert not set(clusters[half == 0]) & set(clusters[half == 1])
    table = read_parquet(paths.sweeps("a--b"))
    for number in (0, 1):
        kept = np.repeat(half == number, TOKENS)
        found = table[(table["sweep"] == "split_half") & (table["setting"] == str(number))]
        expected = mutual(values["a"][kept], values["b"][kept])
        assert list(zip(found["unit_a"], found["unit_b"], strict=True)) == [
            pair[:2] for pair in expected
        ]


def test_exchanged_documents_are_a_null_model(run):
    config, paths, *_ = run
    nulls_step(config, paths, "documents", "a--b")
    table = read_parquet(paths.null_matches("documents", "a--b"))
    assert set(table["seed"]) == {0, 3}
    known = read_parquet_metadata(paths.null_matches("documents", "a--b"))["seeds"]
    assert known == [{"seed": seed, "n_positions": N_FILES * PIECES * TOKENS} for seed in (0, 3)]
    matched = read_parquet(paths.neighbors_part("a--b", 0, 1))
    assert table["r"].max() < 0.3 < matched.loc[matched["rank"] == 1, "r"].mean()


def test_stores_of_another_corpus_are_told(run):
    config, paths, *_ = run
    table = read_parquet(paths.split("match"))
    write_parquet(paths.split("match"), table.iloc[1:])
    for step in (intervals_step, sweeps_step):
        with pytest.raises(
            StoreError, match=r"match\.parquet: has no document 0{16}, which the stores hold"
        ):
            step(config, paths, "a--b")

"""One pass over the stores: statistics against SciPy and definitions, top contexts against brute
force.
"""

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_stores
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rosetta.activations import store
from rosetta.activations.folders import open_stores
from rosetta.analysis import neuron_blocks
from rosetta.analysis.neuron_blocks import mutual_information
from rosetta.analysis.profiles import profile_neurons
from rosetta.errors import StoreError


def corpus(n_documents, domains="xyz"):
    labels = [domains[i % len(domains)] for i in range(n_documents)]
    return pd.DataFrame(
        {"id": np.arange(n_documents, dtype=np.uint64), "text": "", "domain": labels}
    )


def brute_contexts(values, ranges, n):
    """The n best positions of different documents, by sorting all of them in plain Python."""
    _, start, end, owner = ranges
    best = {}
    for row in np.flatnonzero(end > start):
        if owner[row] not in best or values[row] > best[owner[row]][0]:
            best[owner[row]] = (float(values[row]), int(start[row]), int(end[row]))
    ranked = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:n]
    return [(int(document), *place) for document, place in ranked]


@settings(max_examples=12)  # each writes a store of many small chunks
@given(
    seed=st.integers(0, 10**6),
    n_shards=st.integers(1, 3),
    chunk=st.integers(8, 60),
    n=st.integers(1, 7),
)
def test_top_contexts_are_those_of_brute_force(seed, n_shards, chunk, n, tmp_path_factory):
    """Many ties, special tokens, documents that reach over chunks and shards of any size."""
    rng = np.random.default_rng(seed)
    ranges = random_ranges(rng, rng.integers(1, 60, size=6), special=True)
    values = rng.integers(-3, 3, size=(2, len(ranges[0]), 3)).astype(np.float32)
    values[:, ranges[1] == ranges[2]] = 100  # special tokens must not count
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "CHUNK_POSITIONS", chunk)
        patch.setattr(neuron_blocks, "CHUNK_UNITS", 2)
        stores = save_stores(folder / "a", values, ranges, 6, n_shards=n_shards, dtype="float16")
        found = profile_neurons(stores, corpus(6), n).contexts
    for layer in range(2):
        for unit in range(3):
            rows = found[(found["layer"] == layer) & (found["unit"] == unit)]
            places = rows[["document", "value", "byte_start", "byte_end"]].itertuples(index=False)
            assert [tuple(place) for place in places] == brute_contexts(
                values[layer, :, unit], ranges, n
            )
            assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
            assert rows["domain"].tolist() == ["xyz"[document % 3] for document in rows["document"]]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_statistics_are_those_of_scipy(tmp_path, dtype, monkeypatch):
    monkeypatch.setattr(store, "CHUNK_POSITIONS", 50)
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [80] * 6, special=True)
    values = (rng.gamma(1.0, size=(2, len(ranges[0]), 4)) - 0.7).astype(np.float32)
    values[1, :, 3] = -0.25  # dead
    stores = save_stores(tmp_path / "a", values, ranges, 6, n_shards=2, dtype=dtype)
    found = profile_neurons(stores, corpus(6), 3)
    kept = ranges[2] > ranges[1]
    tolerance = {"float32": 1e-6, "float16": 2e-2, "bfloat16": 1e-1}[dtype]
    flat = np.concatenate(values[:, kept], axis=1).astype(np.float64)
    table = found.neurons
    np.testing.assert_allclose(table["activation_mean"], flat.mean(axis=0), atol=tolerance)
    np.testing.assert_allclose(table["activation_variance"], flat.var(axis=0), atol=tolerance)
    alive = flat[:, :7]
    np.testing.assert_allclose(
        table["activation_skewness"][:7], stats.skew(alive), atol=2 * tolerance
    )
    np.testing.assert_allclose(
        table["activation_kurtosis"][:7], stats.kurtosis(alive), atol=20 * tolerance
    )
    assert table.loc[7, ["activation_skewness", "activation_kurtosis"]].isna().all()
    assert table.loc[7, "activation_variance"] == 0
    np.testing.assert_allclose(table["fraction_active"], (flat > 0).mean(axis=0), atol=tolerance)
    domain = np.array([document % 3 for document in ranges[3][kept]])
    assert found.domain_tokens == np.bincount(domain).tolist()
    if dtype == "float32":
        for neuron in range(8):
            shares = [(flat[domain == d, neuron] > 0).mean() for d in range(3)]
            np.testing.assert_allclose(table["domain_firing"][neuron], shares, rtol=1e-6)
            assert table["domain_information"][neuron] == pytest.approx(
                information(flat[:, neuron] > 0, domain)
            )


def information(fires, domain):
    """Mutual information in bits, by its definition."""
    total = 0.0
    for f in (False, True):
        for d in np.unique(domain):
            joint = np.mean((fires == f) & (domain == d))
            if joint:
                total += joint * np.log2(joint / np.mean(fires == f) / np.mean(domain == d))
    return total


def test_information_runs_from_independence_to_the_entropy_of_firing():
    totals = np.array([100, 100])
    firing = np.array([[50, 100, 0, 30], [50, 0, 0, 30]])
    np.testing.assert_allclose(mutual_information(firing, totals), [0, 1, 0, 0], atol=1e-12)


def test_firing_may_be_counted_from_the_spread(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [200] * 6, truncate=False)
    values = rng.normal(5, 2, size=(1, len(ranges[0]), 3)).astype(np.float32)
    stores = save_stores(tmp_path / "a", values, ranges, 6)
    found = profile_neurons(stores, corpus(6), 3, firing_std=1.0).neurons
    expected = (values[0] > values[0].mean(axis=0) + values[0].std(axis=0)).mean(axis=0)
    np.testing.assert_allclose(found["fraction_active"], expected, atol=1e-3)


def test_a_planted_neuron_tops_its_domain(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [60] * 30, truncate=False)
    values = rng.normal(size=(1, len(ranges[0]), 8)).astype(np.float32)
    values[0, :, 5] = np.where(
        ranges[3] % 3 == 1, 1 + rng.random(len(ranges[0])), -rng.random(len(ranges[0]))
    )
    found = profile_neurons(save_stores(tmp_path / "a", values, ranges, 30), corpus(30), 10)
    assert set(found.contexts.loc[found.contexts["unit"] == 5, "domain"]) == {"y"}
    assert found.neurons["domain_information"].idxmax() == 5
    np.testing.assert_allclose(found.neurons["domain_firing"][5], [0, 1, 0])


def test_shards_do_not_matter(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [50] * 9, special=True)
    values = rng.normal(size=(2, len(ranges[0]), 3)).astype(np.float32)
    one, three = (
        profile_neurons(save_stores(tmp_path / str(n), values, ranges, 9, n_shards=n), corpus(9), 4)
        for n in (1, 3)
    )
    pd.testing.assert_frame_equal(one.contexts, three.contexts)
    pd.testing.assert_frame_equal(one.neurons, three.neurons, rtol=1e-12)
    assert open_stores(tmp_path / "3")[0].n_positions < len(ranges[0])


def test_stores_of_another_corpus_are_rejected(tmp_path):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [20] * 4)
    stores = save_stores(
        tmp_path / "a", rng.normal(size=(1, len(ranges[0]), 3)).astype(np.float32), ranges, 4
    )
    with pytest.raises(StoreError, match="hold document 0000000000000003, which the run lacks"):
        profile_neurons(stores, corpus(3), 2)

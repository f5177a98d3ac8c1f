"""The null model of exchanged samples, against NumPy and planted truth."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import random_ranges, save_stores
from hypothesis import given, settings
from hypothesis import strategies as st
from pooled_reference import pooled_reference
from store_pairs import use_small_chunks
from whole_tiles import correlate_tile, tile_neighbors

import rosetta.correlation.exchange
from rosetta.alignment.samples import SampleFacts
from rosetta.alignment.spans import aligned_spans
from rosetta.alignment.text import sample_facts, token_ranges
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.exchange import Reordering, exchange, partners
from rosetta.correlation.plan import ROWS, WINDOW, Tile
from rosetta.correlation.view import View
from rosetta.errors import StoreError
from rosetta.storage.tables import write_parquet


def facts(domains, clusters):
    return SampleFacts(np.array(domains, dtype=str), np.array(clusters, dtype=str))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(2, 80),
    n_domains=st.integers(1, 4),
    n_clusters=st.integers(1, 30),
    window=st.sampled_from([1, 300, 16_384]),
)
def test_documents_are_paired_with_others_of_their_domain_and_of_other_clusters(
    seed, n, n_domains, n_clusters, window
):
    rng = np.random.default_rng(seed)
    domain = rng.integers(0, n_domains, n)
    cluster = np.where(
        domain == 0, 0, rng.integers(0, n_clusters, n)
    )  # a domain of a single cluster, too
    known = facts(domain, [f"{d}/{c}" for d, c in zip(domain, cluster, strict=True)])
    lengths = rng.integers(0, 50, n)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosetta.correlation.exchange, "WINDOW", window)
        partner = partners(lengths, known, seed)
        assert (partner == partners(lengths, known, seed)).all()
    a = np.flatnonzero(partner >= 0)
    b = partner[a]
    assert (a != b).all()
    assert len(set(b)) == len(b)
    assert (domain[a] == domain[b]).all()
    assert (lengths[[*a, *b]] > 0).all()
    single = [len(set(cluster[(domain == d) & (lengths > 0)])) == 1 for d in range(n_domains)]
    assert ((known.clusters[a] != known.clusters[b]) | np.array(single)[domain[a]]).all()
    for d in range(n_domains):
        mine = (domain == d) & (lengths > 0)
        if mine.sum() < 16 and mine.any():  # one group
            most = np.bincount(cluster[mine]).max()
            out = max(0, 2 * most - mine.sum()) if not single[d] else int(mine.sum() == 1)
            assert mine.sum() - np.isin(a, np.flatnonzero(mine)).sum() == out, (
                "no more than must be left out"
            )


def test_seeds_exchange_differently_and_all_over_a_domain():
    known = facts(["x"] * 60, range(60))
    found = np.array([partners(np.full(60, 10), known, seed) for seed in range(40)])
    assert len({tuple(row) for row in found}) == 40
    assert (found >= 0).all()
    counts = np.bincount(found[:, 7], minlength=60)
    assert counts.max() <= 5, "any other document may be the partner"
    assert (counts > 0).sum() > 20


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 20),
    rows=st.integers(1, 12),
    incoming=st.integers(1, 12),
)
def test_reordered_rows_are_those_of_numpy_and_no_more_wait_than_was_said(seed, n, rows, incoming):
    rng = np.random.default_rng(seed)
    lengths, order = rng.integers(1, 9, n), rng.permutation(n)
    whole = np.arange(lengths.sum())[:, None] + np.array([[0.0, 0.5]])
    blocks = (
        torch.from_numpy(whole[low : low + incoming]) for low in range(0, len(whole), incoming)
    )
    reordering = Reordering(lengths, order)
    found = list(reordering.applied(blocks, rows))
    starts = np.cumsum(lengths) - lengths
    expected = np.concatenate([whole[starts[i] : starts[i] + lengths[i]] for i in order])
    assert all(len(block) == rows for block in found[:-1])
    assert np.array_equal(torch.cat(found).numpy(), expected)
    waiting, most, read = set(), 0, 0
    for wanted in order:
        while read <= wanted:
            waiting.add(read)
            read += 1
        most = max(most, sum(lengths[i] for i in waiting))
        waiting.remove(wanted)
    assert reordering.held == most


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 20),
    rows=st.integers(1, 12),
    block=st.integers(0, 50),
)
def test_reordered_rows_go_on_from_any_block(seed, n, rows, block):
    """What is read again is told from what an undisturbed pass had not read."""
    rng = np.random.default_rng(seed)
    lengths, order = rng.integers(1, 9, n), rng.permutation(n)
    total = int(lengths.sum())
    whole, read = torch.arange(total, dtype=torch.float64)[:, None], 0

    def blocks(first):
        nonlocal read
        for low in range(first, total, rows):
            read = min(low + rows, total)
            yield whole[low : low + rows]

    reordering, position = Reordering(lengths, order), min(block * rows, total // rows * rows)
    undisturbed = reordering.applied(blocks(0), rows)
    before = [next(undisturbed) for _ in range(position // rows)]
    begin, had_read = reordering.resumed(position, rows), read
    assert begin.row % rows == 0
    assert begin.row + begin.n_summed == had_read
    after = list(reordering.applied(blocks(begin.row), rows, position))
    assert torch.equal(torch.cat([whole[:0], *after]), torch.cat([whole[:0], *undisturbed]))
    assert sum(map(len, before + after)) == total


def test_a_pass_that_goes_on_reads_little_again():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 1024, 2000)
    place = np.concatenate([np.arange(n) for n in lengths])
    known = facts(rng.integers(0, 5, 2000), rng.integers(0, 300, 2000))
    made = exchange(lengths, place, known, 0)
    for side in (made.of_a, made.of_b):
        n_positions = int(side.lengths.sum())
        assert n_positions > 500_000
        again = [side.resumed(p, ROWS).n_summed for p in range(0, n_positions, ROWS)]
        assert 0 < max(again) < 3 * WINDOW


DOCUMENTS = [40, 12, 25, 0, 60, 33, 7, 51, 44, 19, 38]
DOMAINS = ["x", "y", "x", "x", "y", "x", "z", "y", "y", "x", "x"]
CLUSTERS = ["f#0", "g", "f#1", "h", "i", "j", "k", "g#7", "l", "m", "f#2"]


def table_of(folder, domains, sources):
    path = folder / "documents.parquet"
    table = pd.DataFrame(
        {"id": np.arange(len(domains), dtype=np.uint64), "domain": domains, "source": sources}
    )
    write_parquet(path, table.sample(frac=1, random_state=0))
    return path


def make_pair(folder, n_shards):
    rng, stores = np.random.default_rng(4), []
    for name, max_token in (("a", 4), ("b", 7)):
        ranges = random_ranges(
            rng, DOCUMENTS, max_token=max_token, special=name == "a", truncate=False
        )
        values = rng.normal(size=(2, len(ranges[0]), 5)).astype(np.float32) + 20
        stores.append(save_stores(folder / name, values, ranges, len(DOCUMENTS), n_shards=n_shards))
    return stores


@pytest.mark.parametrize("n_shards", [1, 2, 3])
def test_correlations_are_those_of_the_exchanged_rows(tmp_path, monkeypatch, n_shards):
    use_small_chunks(monkeypatch)
    sides = make_pair(tmp_path, n_shards)
    spans = [
        aligned_spans(
            [token_ranges(a.positions()), token_ranges(b.positions())], len(a.read("document_ids"))
        )
        for a, b in zip(*sides, strict=True)
    ]
    a, b = (pooled_reference(side, spans, i, "mean") for i, side in enumerate(sides))
    offsets = np.cumsum([0, *(len(store.read("document_ids")) for store in sides[0])])
    document = np.concatenate([s.document_index + o for s, o in zip(spans, offsets, strict=False)])
    path = table_of(tmp_path, DOMAINS, CLUSTERS)
    known = sample_facts(np.arange(len(DOCUMENTS), dtype=np.uint64), path)
    assert known.clusters.tolist() == ["f", "g", "f", "h", "i", "j", "k", "g", "l", "m", "f"]
    partner = partners(np.bincount(document, minlength=len(DOCUMENTS)), known, 3)
    assert (partner[[3, 6]] == -1).all(), "an empty document, and one that is alone in its domain"
    rows_a, rows_b = [], []
    for d in np.flatnonzero(partner >= 0):
        mine, other = np.flatnonzero(document == d), np.flatnonzero(document == partner[d])
        n = min(len(mine), len(other))
        rows_a += [*mine[:n]]
        rows_b += [*other[:n]]
    pair = align_pair(*sides, View(exchange_seed=3, sample_table=path))
    assert pair.n_positions == len(rows_a)
    r, *_ = correlate_tile(pair, Tile(0, 10, 0, 10), "mean", "float64")
    np.testing.assert_allclose(
        r.numpy(), np.corrcoef(a[rows_a].T, b[rows_b].T)[:10, 10:], atol=1e-9
    )
    other, *_ = correlate_tile(
        align_pair(*sides, View(exchange_seed=4, sample_table=path)),
        Tile(0, 10, 0, 10),
        "mean",
        "float64",
    )
    assert not np.allclose(r, other)


def test_what_cannot_be_exchanged_is_told(tmp_path):
    stores = make_pair(tmp_path, 1)
    alone = table_of(tmp_path, [str(i) for i in range(len(DOCUMENTS))], CLUSTERS)
    with pytest.raises(
        StoreError, match=r"no sample has another one of its label .* controls\.document_seeds"
    ):
        align_pair(*stores, View(exchange_seed=0, sample_table=alone))
    with pytest.raises(StoreError, match=r"documents\.parquet: has no document 0{15}a"):
        align_pair(
            *stores,
            View(exchange_seed=0, sample_table=table_of(tmp_path, DOMAINS[:-1], CLUSTERS[:-1])),
        )


# ---- planted truth
# ---------------------------------------------------------------------------------------------


N_DOCUMENTS, LENGTH, N = 80, 40, 24


def planted_stores(folder, shared):
    """Two models that share, neuron by neuron, domain and position, or what is read; the rest is
    noise of their own.
    """
    rng = np.random.default_rng(6)
    lengths = rng.integers(LENGTH // 2, LENGTH + 1, N_DOCUMENTS)
    domains = rng.integers(0, 4, N_DOCUMENTS)
    document = np.repeat(np.arange(N_DOCUMENTS), lengths)
    position = np.concatenate([np.arange(n) for n in lengths])
    ranges = (
        np.arange(len(document), dtype=np.int32),
        *(v.astype(np.int32) for v in (position, position + 1, document)),
    )
    place = rng.normal(size=(4, LENGTH, N))[domains[document], position]
    content = rng.normal(size=(len(document), N))
    common = place if shared == "place" else content
    stores = [
        save_stores(
            folder / name,
            (1.5 * common + rng.normal(size=common.shape)).astype(np.float32)[None],
            ranges,
            N_DOCUMENTS,
            n_shards=2,
        )
        for name in "ab"
    ]
    path = table_of(
        folder, [f"domain-{d}" for d in domains], [f"file-{i // 3}#{i}" for i in range(N_DOCUMENTS)]
    )
    return stores, path


def matched_r(stores, **view):
    lists = tile_neighbors(
        align_pair(*stores, View(**view)), Tile(0, N, 0, N), "mean", "float32", 1
    )
    best, back = lists.a.index[:, 0], lists.b.index[:, 0]
    mutual = back[best] == np.arange(N)
    return float(lists.a.r[mutual, 0].mean()), int((best[mutual] == np.flatnonzero(mutual)).sum())


@pytest.mark.parametrize("shared", ["place", "content"])
def test_what_survives_an_exchange_of_documents_is_domain_and_position(tmp_path, shared):
    stores, path = planted_stores(tmp_path, shared)
    expected = 1.5**2 / (1 + 1.5**2)
    r, found = matched_r(stores)
    assert r == pytest.approx(expected, abs=0.05)
    assert found == N
    exchanged, still = matched_r(stores, exchange_seed=1, sample_table=path)
    permuted, _ = matched_r(stores, permute_seeds=(1,))
    assert permuted < 0.1, "the weaker null loses all that both models share"
    if shared == "place":
        assert exchanged == pytest.approx(expected, abs=0.06)
        assert still == N
    else:
        assert exchanged < 0.1
        assert still < N / 3


def test_an_exchange_uses_each_document_once_on_either_side():
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 30, 200)
    place = np.concatenate([np.arange(n) for n in lengths])
    made = exchange(lengths, place, facts(rng.integers(0, 5, 200), rng.integers(0, 70, 200)), 2)
    assert made.used_a.sum() == made.used_b.sum() > 0.5 * lengths.sum()
    for used, side in ((made.used_a, made.of_a), (made.used_b, made.of_b)):
        per_sample = np.bincount(np.repeat(np.arange(200), lengths)[used], minlength=200)
        assert np.array_equal(per_sample[per_sample > 0], side.lengths)
        assert np.array_equal(
            np.flatnonzero(used), np.flatnonzero(place < np.repeat(per_sample, lengths))
        )
    assert np.array_equal(made.of_a.lengths[made.of_a.order], made.of_b.lengths[made.of_b.order])
    assert max(made.of_a.held, made.of_b.held) <= lengths.sum()

"""Rows of stores for autoencoders: which count, which are held out, and in what order they come."""

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_image_stores, save_stores
from hypothesis import given
from hypothesis import strategies as st

import rosetta.sae.rows
from rosetta.activations.folders import open_stores
from rosetta.sae.dictionary import Standard
from rosetta.sae.rows import CountedRows, ShuffledBatches, standard_of
from rosetta.storage.tables import write_parquet

LENGTHS = [40, 1, 25, 0, 60, 33, 7]


def ragged(folder, n_shards, seed=0, layers=2, d_mlp=5):
    rng = np.random.default_rng(seed)
    ranges = random_ranges(rng, LENGTHS, special=True, truncate=False)
    values = rng.normal(size=(layers, len(ranges[0]), d_mlp)).astype(np.float32)
    save_stores(folder, values, ranges, len(LENGTHS), n_shards=n_shards)
    counted = ranges[2] > ranges[1]
    flat = np.concatenate(list(values), axis=1)
    return open_stores(folder), flat[counted], ranges[3][counted]


@pytest.mark.parametrize("n_shards", [1, 3])
def test_rows_that_count_are_read_in_order(tmp_path, n_shards):
    stores, values, document = ragged(tmp_path, n_shards)
    rows = CountedRows.of(stores, None)
    np.testing.assert_array_equal(rows.sample, document)
    np.testing.assert_array_equal(rows.read(0, len(rows), 0, 10), values)
    np.testing.assert_array_equal(rows.read(3, 17, 2, 9), values[3:17, 2:9])
    found = list(rows.blocks(5, 10))
    assert [first for first, _ in found] == np.cumsum([0, *(len(v) for _, v in found)])[
        :-1
    ].tolist()
    np.testing.assert_array_equal(np.concatenate([part for _, part in found]), values[:, 5:])
    of_stores = standard_of(stores)
    np.testing.assert_allclose(of_stores.mean, values.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(of_stores.scale, values.std(axis=0), rtol=1e-5)


def test_parts_of_one_file_are_held_out_together(tmp_path):
    stores, values, document = ragged(tmp_path / "a", 2)
    ids = {"id": np.arange(len(LENGTHS), dtype=np.uint64), "domain": "d"}
    source = [f"f{number // 2}#{number % 2}" for number in range(len(LENGTHS))]
    write_parquet(tmp_path / "t.parquet", pd.DataFrame(ids).assign(source=source))
    rows = CountedRows.of(stores, tmp_path / "t.parquet")
    heldout = rows.heldout(2)
    files = {source[number].split("#")[0] for number in np.unique(document[heldout])}
    kept = {source[number].split("#")[0] for number in np.unique(document[~heldout])}
    assert files
    assert kept
    assert not files & kept
    trained_on = rows.only(~heldout)
    np.testing.assert_array_equal(trained_on.read(0, len(trained_on), 0, 10), values[~heldout])
    np.testing.assert_array_equal(trained_on.sample, document[~heldout])


def test_all_cells_of_images_count_and_images_are_whole(tmp_path):
    values = np.random.default_rng(0).normal(size=(1, 9, 4, 3)).astype(np.float32)
    stores = save_image_stores(tmp_path, values, (2, 2), n_shards=2)
    rows = CountedRows.of(stores, None)
    assert len(rows) == 36
    heldout = rows.heldout(3).reshape(9, 4)
    assert (heldout.all(axis=1) == heldout.any(axis=1)).all()
    assert heldout.all(axis=1).sum() == 3


@pytest.fixture(scope="module")
def by_shards(tmp_path_factory):
    return {n: ragged(tmp_path_factory.mktemp("rows"), n) for n in (1, 2, 3)}


@given(
    batch_size=st.integers(1, 70),
    block=st.integers(1, 40),
    at_once=st.integers(1, 5),
    n_shards=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_every_row_comes_once_in_an_epoch(by_shards, batch_size, block, at_once, n_shards, seed):
    stores, values, _ = by_shards[n_shards]
    rows = CountedRows.of(stores, None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosetta.sae.rows, "BLOCK", block)
        patch.setattr(rosetta.sae.rows, "WINDOW_BYTES", at_once * 4 * block * 10)
        standard = Standard.of(values.mean(axis=0), np.full(10, 2.0))
        batches = ShuffledBatches(rows, (0, 10), standard, batch_size, seed)
        n_batches = -(-2 * len(rows) // batch_size)
        found = np.concatenate([batches.batch(number).numpy() for number in range(n_batches)])
        again = ShuffledBatches(rows, (0, 10), standard, batch_size, seed)
        last = again.batch(n_batches - 1).numpy()
    expected = ((values - values.mean(axis=0)) / 2).astype(np.float32)
    for epoch in (found[: len(rows)], found[len(rows) : 2 * len(rows)]):
        order = np.lexsort(epoch.T), np.lexsort(expected.T)
        np.testing.assert_allclose(epoch[order[0]], expected[order[1]], atol=1e-5)
    np.testing.assert_array_equal(last, found[-batch_size:])


def test_the_order_depends_on_the_seed_and_not_on_the_shards(tmp_path):
    found = {}
    for n_shards, seed in ((1, 0), (3, 0), (1, 1)):
        stores, values, _ = ragged(tmp_path / f"{n_shards}-{seed}", n_shards)
        standard = Standard.of(np.zeros(10), np.ones(10))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rosetta.sae.rows, "BLOCK", 8)
            patch.setattr(rosetta.sae.rows, "WINDOW_BYTES", 2 * 4 * 8 * 10)
            batches = ShuffledBatches(CountedRows.of(stores, None), (0, 10), standard, 16, seed)
            found[n_shards, seed] = np.concatenate([batches.batch(n).numpy() for n in range(4)])
    np.testing.assert_array_equal(found[1, 0], found[3, 0])
    assert not np.array_equal(found[1, 0], found[1, 1])
    assert not np.array_equal(found[1, 0], values[:64])

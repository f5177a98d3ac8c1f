"""What the writer of stores writes can be read back, and is checked before it gets its name."""

import numpy as np
import pytest
import torch
import zarr
from helpers import random_ranges, save_stores
from hypothesis import given, settings
from hypothesis import strategies as st

import rosetta.activations.store
from rosetta.activations.steps import store_check_step
from rosetta.errors import StoreError


@settings(max_examples=15)
@given(
    seed=st.integers(0, 10**6),
    documents=st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(
        lambda lengths: min(lengths[::3]) > 0
    ),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    dtype=st.sampled_from(["float16", "float32", "bfloat16"]),
    special=st.booleans(),
)
def test_whatever_the_writer_writes_is_right(
    tmp_path_factory, seed, documents, shape, dtype, special
):
    rng = np.random.default_rng(seed)
    ranges = random_ranges(rng, documents, special=special)
    values = (
        rng.normal(size=(shape[0], len(ranges[0]), shape[1])) * 10.0 ** rng.integers(-4, 5)
    ).astype(np.float32)
    values[:, :, 0] = 0.1  # dead, and its mean need not be exact
    folder = tmp_path_factory.mktemp("written") / "a"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosetta.activations.store, "CHUNK_POSITIONS", 16)
        patch.setattr(rosetta.activations.store, "CHUNK_UNITS", 4)
        (store,) = save_stores(folder, values.clip(-6e4, 6e4), ranges, len(documents), dtype=dtype)
    (line,) = store_check_step(folder)
    assert f"{store.n_positions} positions ({(ranges[2] > ranges[1]).sum()} with bytes)" in line
    assert store.manifest["holds"]["chunks"] == [min(16, store.n_positions), min(4, shape[1])]


@pytest.mark.parametrize(
    ("dtype", "limit"), [("float16", 65504.0), ("float32", torch.finfo(torch.float32).max)]
)
def test_overflow_at_positions_without_bytes_is_clamped_and_counted(tmp_path, dtype, limit):
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [30] * 4, special=True, truncate=False)
    values = rng.normal(size=(2, len(ranges[0]), 5)).astype(np.float32)
    bos = np.flatnonzero(ranges[1] == ranges[2])
    values[1, bos[0], 3], values[0, bos[2], 4] = np.inf, -np.inf
    (store,) = save_stores(tmp_path / "a", values, ranges, 4, dtype=dtype)
    assert store.manifest["holds"]["n_clamped"] == 2
    assert store.activations(1, slice(bos[0], bos[0] + 1), slice(3, 4)).item() == limit
    assert store.activations(0, slice(bos[2], bos[2] + 1), slice(4, 5)).item() == -limit
    kept = store.activations(1, slice(None), slice(None))[1:2].float().numpy()
    np.testing.assert_allclose(kept, values[1, 1:2], rtol=1e-3)
    values[1, bos[0], 3] = np.nan
    with pytest.raises(StoreError, match="L1/U3 reads nan"):
        save_stores(tmp_path / "a", values, ranges, 4, dtype=dtype)


def test_a_store_that_does_not_read_back_gets_no_name(tmp_path, monkeypatch):
    write = zarr.Array.__setitem__
    monkeypatch.setattr(
        zarr.Array, "__setitem__", lambda array, rows, values: write(array, rows, values + 1)
    )
    ranges = random_ranges(np.random.default_rng(0), [30] * 4)
    with pytest.raises(StoreError, match="does not read back"):
        save_stores(tmp_path / "a", np.zeros((1, len(ranges[0]), 2), np.float32), ranges, 4)
    assert not list((tmp_path / "a").iterdir())

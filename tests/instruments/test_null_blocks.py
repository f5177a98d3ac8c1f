"""The null's halves keep clusters of the first model's samples whole, as those of the pair do."""

import numpy as np
import pandas as pd
import pytest
from helpers import save_stores

from rosetta.alignment.samples import deal
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.view import View
from rosetta.instruments.pair import blocks_of_first
from rosetta.instruments.sums import ReadPair
from rosetta.storage.tables import write_parquet

N_FILES, PIECES, TOKENS = 24, 3, 5
N_SAMPLES = N_FILES * PIECES
VIEWS = {
    "documents": {"exchange_seed": 1},
    "permutation": {"permute_seeds": (1,)},
    "first": {"exchange_seed": 2, "first": 50},
    "as it is": {},
}


@pytest.mark.parametrize("case", VIEWS)
def test_blocks_are_those_of_the_samples_that_are_read(tmp_path, case):
    """The only neuron of either model holds the number of the sample."""
    rng = np.random.default_rng(0)
    file = rng.permutation(np.repeat(np.arange(N_FILES), PIECES))
    document = np.repeat(np.arange(N_SAMPLES), TOKENS)
    start = np.tile(np.arange(TOKENS), N_SAMPLES)
    ranges = [part.astype(np.int32) for part in (np.arange(len(start)), start, start + 1, document)]
    values = document.astype(np.float32)[None, :, None]
    stores = [save_stores(tmp_path / name, values, ranges, N_SAMPLES, n_shards=3) for name in "ab"]
    table = pd.DataFrame({"id": np.arange(N_SAMPLES, dtype=np.uint64), "domain": "d"})
    source = [f"p/file-{f}.py#{i}" for i, f in enumerate(file)]
    write_parquet(tmp_path / "match.parquet", table.assign(source=source))
    pair = align_pair(*stores, View(sample_table=tmp_path / "match.parquet", **VIEWS[case]))
    block = blocks_of_first(pair, 4)
    read = ReadPair(pair, "mean", "float64", block, 4)
    of_file = deal(np.array([f"p/file-{f}.py" for f in file]), 4)
    n, met = 0, []
    for label, a, b in read.parts(block):
        sample, other = (
            np.rint(rows.numpy()[:, 0] + side.center[0]).astype(int)
            for rows, side in ((a, pair.a), (b, pair.b))
        )
        assert (of_file[sample] == label).all()
        n, met = n + len(sample), [*met, *(sample == other)]
    assert n == len(block) == pair.n_positions
    assert set(block) == set(range(4))
    if case != "permutation":
        assert set(met) == {case == "as it is"}

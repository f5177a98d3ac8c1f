"""Matching with all rows in memory, by other libraries: NumPy in float64, torch, and FAISS.

The rows of both models are read once (`benchmarks/stores.py`); what is timed begins with them and
ends with the mutual nearest neighbours. FAISS searches the standardised neurons of one model for
those of the other, whose inner products are Pearson's r. It is no dependency: install `faiss-cpu`
beside, or leave it out of `--run`.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rosetta.activations.folders import open_stores
from rosetta.correlation.aligned import Side, align_pair
from rosetta.correlation.stream import Neurons, Reading, centred_blocks
from rosetta.correlation.sums import ColumnTotals

ROWS = 4096
# Of each neuron of A its nearest of B, and the reverse.
Nearest = tuple[np.ndarray, np.ndarray]


def rows_of(side: Side) -> np.ndarray:
    """Return a model's pooled rows less constants, shape (n_positions, n_neurons)."""
    neurons = Neurons(side, 0, side.n_neurons)
    blocks = centred_blocks(
        neurons, Reading("mean", torch.float32, ROWS), ColumnTotals(len(neurons))
    )
    return np.concatenate([block.numpy().copy() for block in blocks])


def standardised(rows: np.ndarray) -> np.ndarray:
    """Return neurons of mean 0 and norm 1, shape (n_neurons, n_positions); dead ones are 0."""
    centred = (rows - rows.mean(axis=0)).T
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.ascontiguousarray(centred / np.where(norms > 0, norms, 1))


def by_numpy(a: np.ndarray, b: np.ndarray) -> Nearest:
    """Return the nearest neighbours by float64 products."""
    r = standardised(a.astype(np.float64)) @ standardised(b.astype(np.float64)).T
    return r.argmax(axis=1), r.argmax(axis=0)


def by_torch(a: np.ndarray, b: np.ndarray) -> Nearest:
    """Return the nearest neighbours by a float32 product of standardised neurons."""
    r = torch.from_numpy(standardised(a)) @ torch.from_numpy(standardised(b)).T
    return r.argmax(dim=1).numpy(), r.argmax(dim=0).numpy()


def by_faiss(a: np.ndarray, b: np.ndarray) -> Nearest:
    """Return the nearest neighbours by FAISS's exhaustive search of inner products."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    sides, found = (standardised(a), standardised(b)), []
    for asked, searched in (sides, sides[::-1]):
        index = faiss.IndexFlatIP(searched.shape[1])
        index.add(searched)
        found.append(index.search(asked, 1)[1][:, 0])
    return found[0], found[1]


SIDES: dict[str, Callable[[np.ndarray, np.ndarray], Nearest]] = {
    "numpy float64": by_numpy,
    "torch": by_torch,
    "faiss": by_faiss,
}


def mutual(nearest: Nearest) -> set[tuple[int, int]]:
    """Return the pairs that are each other's nearest neighbours."""
    of_a, of_b = nearest
    return {(i, int(j)) for i, j in enumerate(of_a) if of_b[j] == i}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with the stores a/ and b/")
    parser.add_argument("--run", nargs="+", default=list(SIDES), choices=list(SIDES))
    args = parser.parse_args()
    pair = align_pair(open_stores(args.folder / "a"), open_stores(args.folder / "b"))
    a, b = rows_of(pair.a), rows_of(pair.b)
    print(f"{len(a)} positions, {a.shape[1]} × {b.shape[1]} neurons")
    reference, table = None, []
    for name in args.run:
        start, cpu = time.perf_counter(), time.process_time()
        found = mutual(SIDES[name](a, b))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        reference = found if reference is None else reference
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        row = {"side": name, "seconds": seconds, "cpu": cpu, "peak_gb_so_far": peak}
        shared = len(found & reference) / max(len(reference), 1)
        table.append({**row, "matches": len(found), "of_the_first": shared})
    print(pd.DataFrame(table).round(4).to_string(index=False))


if __name__ == "__main__":
    main()

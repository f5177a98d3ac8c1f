"""Processor time of pooling to aligned spans and centring, over that of the matrix product that
they feed.

Activations are in memory, so reading is left out; both sides are made ready by a thread each, as in
a tile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import torch

from rosetta.alignment.spans import Segments, TokenRanges, aligned_spans
from rosetta.correlation.aligned import Side
from rosetta.correlation.plan import ROWS
from rosetta.correlation.products import Products
from rosetta.correlation.stream import Neurons, Reading, centred_blocks, prefetched
from rosetta.correlation.sums import ColumnSums
from rosetta.models.devices import CPU

CHUNK = 4096


class MemoryStore:
    """One layer of float16 activations in memory, read like a store."""

    def __init__(self, n_positions: int, d_mlp: int) -> None:
        self.d_mlp = d_mlp
        self.n_positions = n_positions
        self._values = torch.randn(CHUNK, d_mlp).half()

    def chunks(
        self, low: int, high: int, first_row: int = 0, where: torch.device = CPU
    ) -> Iterator[tuple[int, list[tuple[int, torch.Tensor]]]]:
        """Yield the chunks of all positions, as a store does."""
        for start in range(first_row // CHUNK * CHUNK, self.n_positions, CHUNK):
            yield start, [(0, self._values[: self.n_positions - start, low:high])]


def sides(n_bytes: int, d_mlp: int) -> tuple[Side, Side]:
    """Return two models whose tokens have 1 to 7 bytes each, and cut a text in different places."""
    rng = np.random.default_rng(0)
    ranges = []
    for _ in range(2):
        # Most boundaries are shared, as between real tokenizers.
        common = np.flatnonzero(np.random.default_rng(1).random(n_bytes - 1) < 0.2) + 1
        own = np.flatnonzero(rng.random(n_bytes - 1) < 0.08) + 1
        cuts = np.concatenate([[0], np.union1d(common, own), [n_bytes]])
        ranges.append(TokenRanges(np.zeros(len(cuts) - 1, np.int32), cuts[:-1], cuts[1:]))
    spans = aligned_spans(ranges, 1)
    return tuple(
        side(len(r.byte_start), d_mlp, spans.first[i], spans.last[i]) for i, r in enumerate(ranges)
    )


def side(n_tokens: int, d_mlp: int, first: np.ndarray, last: np.ndarray) -> Side:
    """Return one model in memory, with the tokens of its aligned spans."""
    segments = Segments(np.zeros(len(first), np.int32), np.arange(n_tokens), first, last)
    return Side([MemoryStore(n_tokens, d_mlp)], [segments], np.zeros(d_mlp), np.zeros(d_mlp, bool))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--d-mlp", type=int, default=4096)
    parser.add_argument("--bytes", type=int, default=250_000)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    a, b = sides(args.bytes, args.d_mlp)
    n_spans, n_tokens = a.n_positions, a.stores[0].n_positions
    print(
        f"{n_spans} spans, {n_tokens / n_spans:.2f} tokens each, {args.d_mlp} neurons a side, "
        "float16 to float32"
    )
    reading = Reading("mean", torch.float32, ROWS)
    x, y = torch.randn(ROWS, args.d_mlp), torch.randn(ROWS, args.d_mlp)
    for _ in range(args.repeat):
        streams = [
            prefetched(centred_blocks(Neurons(one, 0, args.d_mlp), reading, ColumnSums(args.d_mlp)))
            for one in (a, b)
        ]
        start = time.process_time()
        for _ in zip(*streams, strict=True):
            pass
        pooling = time.process_time() - start
        products = Products(args.d_mlp, args.d_mlp, "float32")
        start = time.process_time()
        for _ in range(0, n_spans, ROWS):
            products.add(x, y)
        product = time.process_time() - start
        print(
            f"pooling and centring {pooling:.2f} s, product {product:.2f} s: "
            f"{pooling / product:.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()

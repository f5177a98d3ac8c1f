"""Synthetic stores for benchmarks: two models with planted common neurons over a shared
background.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreDescription, StoreTokens
from rosetta.models.neurons import NeuronShape

BACKGROUND = (
    64  # dense latents that all neurons of both models mix, so that no correlation is exactly zero
)
ACTIVE = 0.05  # share of positions at which a planted feature fires
ROWS = 4096


def planted_stores(
    folder: Path,
    n_positions: int,
    shape: NeuronShape,
    *,
    n_shared: int,
    n_shards: int = 2,
    dtype: str = "float16",
) -> tuple[Path, Path]:
    """Write the shard stores of two models whose neurons 0 … n_shared−1, shuffled, share sparse
    features.

    A planted pair's two neurons are the same feature plus background and noise of their own; the
    share of the feature is drawn so that correlations spread from about 0.2 to 0.9. Every position
    is one byte of its own document.
    """
    sides = []
    for side in "ab":
        sides.append(folder / side)
        generator = torch.Generator().manual_seed(ord(side))
        load = torch.rand(shape.n_neurons, generator=torch.Generator().manual_seed(7)) * 2 + 0.5
        load[n_shared:] = 0
        order = torch.randperm(shape.n_neurons, generator=generator)
        mixing = (
            torch.randn((BACKGROUND, shape.n_neurons), generator=generator) * 0.25 / BACKGROUND**0.5
        )
        for shard in range(n_shards):
            low, high = n_positions * shard // n_shards, n_positions * (shard + 1) // n_shards
            count = high - low
            start = np.arange(count, dtype=np.int32)
            document = (
                np.zeros(count, np.int32),
                np.array([shard], np.uint64),
                np.array([count], np.int64),
            )
            tokens = StoreTokens(start, start, start + 1, *document)
            write_store(
                sides[-1] / f"{shard}.json",
                _batches(low, high, shape, load, order, mixing, ord(side)),
                tokens,
                StoreDescription(
                    shape=shape,
                    dtype=dtype,
                    shard=shard,
                    n_shards=n_shards,
                    made_by={
                        "model": f"planted-{side}",
                        "n_positions": n_positions,
                        "n_shared": n_shared,
                    },
                    place=f"planted-{side}",
                ),
            )
    return sides[0], sides[1]


def _batches(
    low: int,
    high: int,
    shape: NeuronShape,
    load: torch.Tensor,
    order: torch.Tensor,
    mixing: torch.Tensor,
    seed: int,
) -> Iterator[torch.Tensor]:
    for start in range(low, high, ROWS):
        n = min(ROWS, high - start)
        shared = torch.Generator().manual_seed(start)  # the same latents for both models
        features = torch.empty((n, shape.n_neurons)).exponential_(generator=shared)
        features.mul_(torch.rand((n, shape.n_neurons), generator=shared) < ACTIVE).mul_(
            (2 * ACTIVE) ** -0.5
        )
        latents = torch.randn((n, BACKGROUND), generator=shared)
        own = torch.Generator().manual_seed(start * 131 + seed)
        values = torch.randn((n, shape.n_neurons), generator=own).addmm_(latents, mixing)
        values = values.add_(features.mul_(load))[:, order]
        yield values.view(n, shape.n_layers, shape.d_mlp).transpose(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--positions", type=int, default=65_536)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--d-mlp", type=int, default=2048)
    parser.add_argument("--shared", type=int, default=2000)
    args = parser.parse_args()
    planted_stores(
        args.folder, args.positions, NeuronShape(args.layers, args.d_mlp), n_shared=args.shared
    )


if __name__ == "__main__":
    main()

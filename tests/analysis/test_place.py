"""What place alone makes of a correlation, against exchanging images in all ways."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import save_image_stores

from rosetta.analysis.place import place_correlations

N, UNITS = 10, 5


def planted(rng, grid):
    """Return (1, N, cells, UNITS): unit 0 tells the row, unit 1 the image, the others both."""
    rows = np.repeat(np.linspace(-1, 1, grid[0]), grid[1])
    of_image = rng.normal(size=(N, 1, UNITS))
    noise = rng.normal(size=(N, len(rows), UNITS))
    strength = np.array([3.0, 0.0, 1.0, 1.0, 1.0])
    of_image *= np.array([0.0, 3.0, 1.0, 1.0, 1.0])
    return (rows[:, None] * strength + of_image + noise)[None].astype(np.float32)


def on_grid(values, grid, target):
    """Return (N, cells of target, UNITS) in float64, by torch's own interpolation."""
    planes = torch.from_numpy(values[0].astype(np.float64)).reshape(N, *grid, UNITS)
    moved = torch.nn.functional.interpolate(
        planes.permute(0, 3, 1, 2), target, mode="bilinear", align_corners=False
    )
    return moved.permute(0, 2, 3, 1).reshape(N, -1, UNITS).numpy()


@pytest.mark.parametrize(
    ("grids", "choice", "target"),
    [
        (((4, 4), (4, 4)), "larger", (4, 4)),
        (((4, 6), (3, 2)), "larger", (4, 6)),
        (((4, 6), (3, 2)), "smaller", (3, 2)),
        (((3, 2), (4, 6)), "anchor", (3, 2)),
        # No cell of 3 × 3 lies between two others, and yet most of the 81 are left out.
        (((9, 9), (3, 3)), "smaller", (3, 3)),
    ],
)
def test_it_is_the_mean_over_all_exchanges_of_images(tmp_path, grids, choice, target):
    rng = np.random.default_rng(1)
    values = [planted(rng, grid) for grid in grids]
    stores = tuple(
        save_image_stores(tmp_path / name, one, grid, n_shards=2)
        for name, one, grid in zip("ab", values, grids, strict=True)
    )
    units = np.arange(UNITS)
    matches = pd.DataFrame(
        {"layer_a": 0, "unit_a": units, "layer_b": 0, "unit_b": units[::-1], "r": 0.5}
    )
    table, grid = place_correlations(matches, stores, choice)
    assert grid == target
    a, b = (on_grid(one, old, target) for one, old in zip(values, grids, strict=True))
    for row in table.itertuples():
        first, second = a[..., row.unit_a], b[..., row.unit_b]
        exchanged = [
            np.corrcoef(first.ravel(), np.roll(second, by, axis=0).ravel())[0, 1] for by in range(N)
        ]
        assert row.r_place == pytest.approx(np.mean(exchanged), abs=1e-6)
        assert np.mean(row.place_map) == pytest.approx(row.r_place, abs=1e-6)


def test_a_corner_is_found_and_a_dead_neuron_has_none(tmp_path):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(1, 40, 9, 2)).astype(np.float32) * 0.1
    values[0, :, 8, 0] += 5
    values[..., 1] = 2.0
    stores = tuple(save_image_stores(tmp_path / name, values, (3, 3)) for name in "ab")
    matches = pd.DataFrame(
        {"layer_a": 0, "unit_a": [0, 1], "layer_b": 0, "unit_b": [0, 1], "r": 1.0}
    )
    table, _ = place_correlations(matches, stores, "larger")
    where = table["place_map"][0]
    assert where.argmax() == 8
    assert where[8] > 6 * np.delete(where, 8).max()
    assert table["r_place"].tolist() == pytest.approx([1.0, 0.0], abs=0.02)


def test_no_match_has_no_row(tmp_path):
    stores = tuple(
        save_image_stores(tmp_path / name, np.ones((1, 3, 4, 2), np.float32), (2, 2))
        for name in "ab"
    )
    empty = pd.DataFrame(columns=["layer_a", "unit_a", "layer_b", "unit_b", "r"], dtype=float)
    table, grid = place_correlations(empty, stores, "larger")
    assert (len(table), grid) == (0, (2, 2))

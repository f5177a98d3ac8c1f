"""Heat maps against a bilinear interpolation that is written out, and against the colour table."""

import matplotlib
import numpy as np
import pytest

from rosetta.drawing.heat_maps import ValueRange, enlarged, heat_maps, overlays


def bilinear(grid, side):
    """Interpolate between the centres of cells; beyond the outermost, the nearest counts."""
    height, width = grid.shape
    out = np.empty((side, side))
    for i in range(side):
        for j in range(side):
            y = min(max((i + 0.5) * height / side - 0.5, 0), height - 1)
            x = min(max((j + 0.5) * width / side - 0.5, 0), width - 1)
            top, left = min(int(y), height - 2), min(int(x), width - 2)
            dy, dx = y - top, x - left
            upper = (1 - dx) * grid[top, left] + dx * grid[top, left + 1]
            lower = (1 - dx) * grid[top + 1, left] + dx * grid[top + 1, left + 1]
            out[i, j] = (1 - dy) * upper + dy * lower
    return out


@pytest.mark.parametrize(("shape", "side"), [((2, 2), 8), ((4, 4), 10), ((3, 5), 17), ((7, 7), 7)])
def test_maps_are_enlarged_bilinearly(shape, side):
    grid = np.random.default_rng(0).normal(size=shape)
    np.testing.assert_allclose(enlarged(grid, side), bilinear(grid, side), atol=1e-5)


def test_colors_go_from_the_lowest_to_the_highest_value_of_all_maps():
    maps = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
    drawn = heat_maps(maps, 12)
    shares = np.stack([bilinear(one.astype(float), 12) for one in maps]) - maps.min()
    shares = np.clip(shares / (maps.max() - maps.min()), 0, 1)
    table = np.array(matplotlib.colormaps["viridis"].colors) * 255
    expected = table[np.minimum((shares * 256).astype(int), 255)]
    # A share at the edge of two of the 256 colours may fall to either.
    assert np.abs(drawn - expected).max() <= 4
    assert drawn.dtype == np.uint8
    assert drawn.shape == (3, 12, 12, 3)


def test_a_given_range_is_kept_and_equal_values_have_the_lowest_color():
    maps = np.array([[[0.0, 4.0], [2.0, -9.0]]])
    drawn = heat_maps(maps, 2, ValueRange(0.0, 2.0))
    low, high = (np.array(matplotlib.colormaps["viridis"](x, bytes=True)[:3]) for x in (0.0, 1.0))
    np.testing.assert_array_equal(drawn[0], [[low, high], [high, low]])
    np.testing.assert_array_equal(heat_maps(np.full((1, 2, 2), 7.0), 2)[0, 0, 0], low)


def test_an_overlay_has_45_percent_of_the_map():
    image, heat = np.full((1, 2, 2, 3), 200, np.uint8), np.full((1, 2, 2, 3), 100, np.uint8)
    np.testing.assert_array_equal(overlays(image, heat), np.full((1, 2, 2, 3), 155, np.uint8))

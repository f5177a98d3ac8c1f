"""Maps of factors on the cells of a grid, against counting pixels one value at a time."""

from itertools import combinations

import numpy as np
import pytest
from image_sources import build, images_of

from rosetta.inputs.images.drawing import factor_maps
from rosetta.inputs.images.factors import FACTORS, VALUES, FactorMaps, scenes_of
from rosetta.inputs.images.scenes import draw_scenes

SCENES = draw_scenes(3, range(120), 0.4)


def shown_by_pixels(scenes, side, factor, value):
    """Which pixels show a value, from the maps of pixels."""
    maps, index = factor_maps(scenes, side), FACTORS[factor].index(value)
    if factor == "region":
        return (maps["object"] > 0) == bool(index)
    if factor == "object":
        return maps["object"] == index + 1
    if factor == "on":
        return (maps["object"] > 0) & (scenes.background == index)[:, None, None]
    if factor == "n_objects":
        two = np.array([of.any() for of in maps["object"] == 2])
        return np.broadcast_to((two == bool(index))[:, None, None], maps["object"].shape)
    return maps[factor] == index


def by_counting(scenes, side, grid, name):
    """The share of each cell that shows a value, or two."""
    shown = shown_by_pixels(scenes, side, *name[:2])
    if name[2]:
        shown = shown & shown_by_pixels(scenes, side, *name[2:])
    step = side // grid[0], side // grid[1]
    cells = [
        shown[:, i * step[0] : (i + 1) * step[0], j * step[1] : (j + 1) * step[1]].mean((1, 2))
        for i in range(grid[0])
        for j in range(grid[1])
    ]
    return np.stack(cells, axis=1)


@pytest.mark.parametrize(
    ("size", "grid", "side"), [(16, (4, 4), 16), (16, (7, 7), 21), (12, (2, 3), 12)]
)
def test_maps_are_the_shares_of_pixels(size, grid, side):
    maps = FactorMaps.of(SCENES, size, grid, min_images=10)
    found = np.einsum("ncr,nrf->fnc", maps.shares, maps.in_regions())
    assert len(found) == len(maps.names) > 100
    chosen = np.random.default_rng(0).choice(len(found), 60, replace=False)
    singles = [number for number, name in enumerate(maps.names) if not name[2]]
    for number in {*chosen.tolist(), *singles}:
        expected = by_counting(SCENES, side, grid, maps.names[number])
        np.testing.assert_allclose(found[number], expected, atol=1e-12)
    mean, variance = maps.moments
    np.testing.assert_allclose(mean, found.mean(axis=(1, 2)))
    np.testing.assert_allclose(variance, found.var(axis=(1, 2)), atol=1e-12)
    some = maps.of_images(np.array([5, 2])).in_regions(np.array([3, 1]))
    np.testing.assert_array_equal(some, maps.in_regions()[[5, 2]][:, :, [3, 1]])


def test_values_that_few_images_show_and_pairs_that_say_nothing_new_have_no_map():
    least = 12
    maps = FactorMaps.of(SCENES, 16, (4, 4), least)
    named = set(maps.names)
    pixels = {name: shown_by_pixels(SCENES, 16, *name) for name in VALUES}
    for name, shown in pixels.items():
        assert ((*name, "", "") in named) == (shown.any(axis=(1, 2)).sum() >= least)
    for one, other in combinations(VALUES, 2):
        together = pixels[one] & pixels[other]
        enough = together.any(axis=(1, 2)).sum() >= least
        implied = any((together == pixels[name]).all() for name in (one, other))
        wanted = one[0] != other[0] and enough and not implied
        assert ((*one, *other) in named) == wanted, (one, other)
    n_singles = sum(not name[2] for name in maps.names)
    assert all(not name[2] for name in maps.names[:n_singles])


def test_what_covers_all_cells_alike_has_no_map():
    alone = FactorMaps.of(draw_scenes(3, range(30), 0.0), 16, (4, 4), 5)
    assert not any(name[0] == "n_objects" for name in alone.names)
    one = FactorMaps.of(draw_scenes(3, range(1), 0.0), 16, (4, 4), 5)
    assert ("region", "object", "", "") in one.names, "of fewer images, all must show a value"


def test_scenes_are_those_of_the_images_of_a_set(tmp_path):
    drawn = build(tmp_path / "p", images_of({"kind": "procedural", "n_images": 48}, seed=5))[
        "match"
    ]
    scenes = scenes_of(drawn, 20)
    assert len(scenes.label) == 20
    assert scenes.label.tolist() == drawn.table["label"].tolist()[:20]
    again = draw_scenes(5, drawn.table["index"].to_numpy()[:20], 0.3)
    np.testing.assert_array_equal(scenes.first.x, again.first.x)
    digits = build(tmp_path / "d", images_of({"kind": "digits"}, max_images=30))["match"]
    assert scenes_of(digits, 20) is None

"""Procedural images: what is drawn is what the scene says, and what the factor maps say."""

import math

import numpy as np
import pytest

from rosetta.inputs.images.drawing import DARKEST, draw, factor_maps
from rosetta.inputs.images.scenes import (
    BACKGROUNDS,
    CLASSES,
    COLOURS,
    COLUMNS,
    N_CLASSES,
    ROWS,
    SHAPES,
    SIZES,
    TEXTURES,
    VOCABULARY,
    captions,
    draw_scenes,
)

STAR = [
    (r * math.sin(math.pi * i / 5), -r * math.cos(math.pi * i / 5))
    for i, r in enumerate([1.0, 0.45] * 5)
]
POLYGONS = {
    "square": [(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)],
    "triangle": [(0, -1), (0.96, 0.6), (-0.96, 0.6)],
    "diamond": [(0, -1), (1, 0), (0, 1), (-1, 0)],
    "cross": [
        *((-0.33, -1), (0.33, -1), (0.33, -0.33), (1, -0.33), (1, 0.33), (0.33, 0.33)),
        *((0.33, 1), (-0.33, 1), (-0.33, 0.33), (-1, 0.33), (-1, -0.33), (-0.33, -0.33)),
    ],
    "star": STAR,
}
ROUND = {
    "disc": lambda x, y: math.hypot(x, y) < 1,
    "ring": lambda x, y: 0.5 < math.hypot(x, y) < 1,
    "crescent": lambda x, y: math.hypot(x, y) < 1 and math.hypot(x - 0.5, y) > 0.75,
}


def inside(shape, x, y):
    """Tell whether a point is in a shape of radius 1: by distance, or by crossings of a ray with
    the sides of a polygon.
    """
    if shape in ROUND:
        return ROUND[shape](x, y)
    corners = POLYGONS[shape]
    crossings = 0
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y0 > y) != (y1 > y):
            crossings += x < x0 + (y - y0) * (x1 - x0) / (y1 - y0)
    return crossings % 2 == 1


def shade(texture, x, y, radius):
    """Return the brightness of a texture at a distance from the object's centre."""

    def wave(v):
        return math.sin(2 * math.pi * 7 * v)

    bright = {
        "plain": 1.0,
        "banded": 0.5 + 2 * wave(y),
        "striped": 0.5 + 2 * wave(x),
        "checkered": 0.5 + 4 * wave(x / 2) * wave(y / 2),
        "dotted": 0.5 + 2 * (math.cos(14 * math.pi * x) + math.cos(14 * math.pi * y) - 0.6),
        "shaded": 0.5 + 0.5 * x / radius,
    }[texture]
    return DARKEST + (1 - DARKEST) * min(1.0, max(0.0, bright))


def objects_of(scenes, i):
    """Return the objects of a scene as plain values, the one in front first."""
    objects = [("first", scenes.first)] + [("second", scenes.second)] * bool(scenes.has_second[i])
    return [
        {
            "number": 1 if name == "first" else 2,
            **{
                key: getattr(of, key)[i].item()
                for key in ("shape", "texture", "colour", "x", "y", "radius", "size")
            },
        }
        for name, of in reversed(objects)
    ]


def owner(objects, x, y):
    """Return the object at a point of the image, or None."""
    for one in objects:
        r = one["radius"]
        if inside(SHAPES[one["shape"]], (x - one["x"]) / r, (y - one["y"]) / r):
            return one
    return None


def third(value):
    return min(2, int(3 * value))


@pytest.mark.parametrize("size", [32, 47])
def test_factor_maps_tell_what_is_where(size):
    n = 2 * N_CLASSES
    scenes = draw_scenes(5, range(n), 0.5)
    maps = factor_maps(scenes, size)
    assert all(m.dtype == np.int8 and m.shape == (n, size, size) for m in maps.values())
    assert 0.2 < scenes.has_second.mean() < 0.8
    for i in range(n):
        objects = objects_of(scenes, i)
        for row in range(size):
            for column in range(size):
                one = owner(objects, (column + 0.5) / size, (row + 0.5) / size)
                found = {name: int(m[i, row, column]) for name, m in maps.items()}
                if one is None:
                    expected = dict.fromkeys(maps, -1) | {
                        "object": 0,
                        "background": scenes.background[i],
                    }
                else:
                    expected = {
                        "object": one["number"],
                        "shape": one["shape"],
                        "texture": one["texture"],
                        "colour": one["colour"],
                        "size": min(2, max(0, math.floor((one["radius"] - 0.17) / 0.05))),
                        "row": third(one["y"]),
                        "column": third(one["x"]),
                        "background": -1,
                    }
                assert found == expected, (i, row, column)


def test_pixels_have_the_colour_and_texture_that_the_scene_says():
    size, n = 28, N_CLASSES
    scenes = draw_scenes(8, range(n), 0.4)
    images = draw(scenes, size)
    grey = {"dark": lambda row: 30, "light": lambda row: 225, "sloped": lambda r: 40 + 170 * r}
    n_compared = 0
    for i in range(n):
        objects = objects_of(scenes, i)
        for row in range(size):
            for column in range(size):
                x, y = (column + 0.5) / size, (row + 0.5) / size
                one, background = owner(objects, x, y), BACKGROUNDS[scenes.background[i]]
                # Two pixels, which the soft edge of a point of a star reaches.
                around = [
                    (a / size, b / size) for a in (-2, -1, 0, 1, 2) for b in (-2, -1, 0, 1, 2)
                ]
                if any(owner(objects, x + dx, y + dy) is not one for dx, dy in around):
                    continue
                if one is not None:
                    bright = shade(
                        TEXTURES[one["texture"]], x - one["x"], y - one["y"], one["radius"]
                    )
                    colour = list(COLOURS.values())[one["colour"]]
                    expected = [bright * part for part in colour]
                elif background == "grainy":
                    grain = scenes.grains[i, int(8 * y), int(8 * x)]
                    expected = [70 + 110 * grain] * 3
                else:
                    expected = [grey[background](y)] * 3
                got = images[i, row, column].astype(float)
                assert np.abs(got - expected).max() <= 0.5 + 1e-6, (i, row, column)
                n_compared += 1
    assert n_compared > 0.65 * n * size**2


def test_edges_cover_about_the_share_of_a_pixel_that_the_shape_does():
    size, fine = 32, 8
    scenes = draw_scenes(1, range(N_CLASSES), 0.0)
    large = factor_maps(scenes, size * fine)["object"] > 0
    share = large.reshape(-1, size, fine, size, fine).mean(axis=(2, 4))
    plain = [i for i in range(N_CLASSES) if scenes.first.texture[i] == 0]
    images = draw(scenes, size).astype(float)
    for i in plain:
        if scenes.background[i] == 0:  # dark, 30
            colour = np.array(list(COLOURS.values()))[scenes.first.colour[i]]
            brightest = int(colour.argmax())
            covered = (images[i, :, :, brightest] - 30) / (colour[brightest] - 30)
            assert np.abs(covered - share[i]).mean() < 0.01
            assert np.abs(covered - share[i]).max() < 0.45
            break
    else:
        pytest.fail("no plain object on a dark background among these")


def test_an_image_depends_on_its_seed_and_index_alone():
    together = draw(draw_scenes(3, range(50), 0.3), 32)
    for i in (0, 17, 49):
        alone = draw(draw_scenes(3, [i], 0.3), 32)
        np.testing.assert_array_equal(alone[0], together[i])
    shuffled = draw(draw_scenes(3, [49, 17, 0], 0.3), 32)
    np.testing.assert_array_equal(shuffled, together[[49, 17, 0]])
    others = draw(draw_scenes(4, range(50), 0.3), 32)
    assert (others != together).any(axis=(1, 2, 3)).all()


def test_classes_take_turns_and_have_every_shape_and_texture_equally_often():
    scenes = draw_scenes(0, range(5 * N_CLASSES), 0.3)
    assert scenes.label.tolist() == list(range(N_CLASSES)) * 5
    named = [
        f"{TEXTURES[texture]} {SHAPES[shape]}"
        for texture, shape in zip(scenes.first.texture, scenes.first.shape, strict=True)
    ]
    assert named == list(CLASSES) * 5
    assert len(set(CLASSES)) == N_CLASSES == 24
    assert set(np.bincount(scenes.first.shape)) == {5 * 3}
    assert set(np.bincount(scenes.first.texture)) == {5 * 4}


def test_factors_are_independent_of_the_class_and_of_each_other():
    scenes = draw_scenes(11, range(200 * N_CLASSES), 0.3)
    first, second = scenes.first, scenes.second
    values = np.stack(
        [
            scenes.label,
            first.colour,
            (first.x - first.radius) / (1 - 2 * first.radius),
            first.radius,
            scenes.background,
            scenes.has_second,
            second.shape,
            second.texture,
            second.colour,
            second.radius,
            scenes.grains[:, 3, 4],
        ]
    )
    r = np.corrcoef(values)

    assert np.abs(r - np.eye(len(r))).max() < 4.5 / math.sqrt(values.shape[1])
    for drawn, n in ((first.colour, 6), (scenes.background, 4), (second.shape, 8)):
        counts = np.bincount(drawn, minlength=n)
        assert np.abs(counts - counts.mean()).max() < 4.5 * math.sqrt(counts.mean())
    assert abs(scenes.has_second.mean() - 0.3) < 0.03


def test_objects_lie_whole_inside_of_the_image():
    scenes = draw_scenes(2, range(1000), 1.0)
    for of in (scenes.first, scenes.second):
        assert (of.x >= of.radius).all()
        assert (of.x <= 1 - of.radius).all()
        assert (of.y >= of.radius).all()
        assert (of.y <= 1 - of.radius).all()
    assert (scenes.first.radius > scenes.second.radius).all()


def test_captions_say_what_is_there_in_at_most_eight_words_of_the_vocabulary():
    scenes = draw_scenes(6, range(300), 0.5)
    assert len(VOCABULARY) == len(set(VOCABULARY)) <= 40
    colours = list(COLOURS)
    for i, caption in enumerate(captions(scenes)):
        words = caption.split()
        assert len(words) <= 8
        assert set(words) <= set(VOCABULARY)
        first, second = scenes.first, scenes.second
        told = [colours[first.colour[i]], TEXTURES[first.texture[i]], SHAPES[first.shape[i]]]
        if scenes.has_second[i]:
            told += ["and", colours[second.colour[i]], SHAPES[second.shape[i]]]
        else:
            size = SIZES[min(2, int((first.radius[i] - 0.17) / 0.05))]
            told = [size, *told, ROWS[third(first.y[i])], COLUMNS[third(first.x[i])]]
        assert words == [*told, "on", BACKGROUNDS[scenes.background[i]]]


def test_no_object_or_every_image_with_two():
    assert not draw_scenes(0, range(100), 0.0).has_second.any()
    assert draw_scenes(0, range(100), 1.0).has_second.all()

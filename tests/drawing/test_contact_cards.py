"""Contact cards: what stands where, in both file formats, byte by byte the same."""

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from rosetta.drawing.contact_cards import (
    CardLayout,
    NeuronOnImages,
    contact_card,
    encoded,
    lettered_grid,
)
from rosetta.drawing.heat_maps import heat_maps, overlays
from rosetta.errors import ConfigError

SIDE, GAP, MARGIN, LINE = 16, 2, 10, 20
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (5, SIDE, SIDE, 3)).astype(np.uint8)
MAPS = RNG.normal(size=(5, 4, 4)).astype(np.float32)
SHOWN = NeuronOnImages(IMAGES, MAPS)
LAYOUT = CardLayout(side=SIDE, across=2)


@pytest.fixture
def written(monkeypatch):
    """What is written on a picture, with its place."""
    texts, plain = [], ImageDraw.ImageDraw.text

    def text(self, at, said, *rest):
        texts.append((at, said))
        return plain(self, at, said, *rest)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


@pytest.mark.parametrize("form", ["png", "webp"])
def test_image_map_and_overlay_stand_side_by_side(form):
    data = encoded(contact_card(SHOWN, layout=LAYOUT), form)
    card = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    heat = heat_maps(MAPS, SIDE)
    for number in range(5):
        x = MARGIN + number % 2 * (3 * (SIDE + GAP) - GAP + MARGIN)
        y = MARGIN // 2 + number // 2 * (LINE + SIDE + MARGIN // 2) + LINE
        for place, expected in enumerate((IMAGES, heat, overlays(IMAGES, heat))):
            left = x + place * (SIDE + GAP)
            np.testing.assert_array_equal(
                card[y : y + SIDE, left : left + SIDE], expected[number], str((number, place))
            )


def test_the_card_says_how_it_is_drawn(written):
    contact_card(SHOWN, "vit L1/U2", LAYOUT)
    said = " ".join(text for _, text in written)
    assert said.startswith("vit L1/U2 1 2 3 4 5 per image: image, map of the neuron, overlay")
    assert "overlay (45% map)" in said
    assert "4 × 4 cells, enlarged bilinearly" in said
    assert f"viridis, dark to bright from {MAPS.min():.4g} to {MAPS.max():.4g}" in said


def test_text_fits_into_the_card(written):
    """Also the strip of a card of one image, which is wider than its pictures."""
    card = contact_card(NeuronOnImages(IMAGES[:1], MAPS[:1]), layout=LAYOUT)
    edge = np.concatenate([np.asarray(card)[:, -1], np.asarray(card)[-1]])
    assert (edge == 255).all()
    assert max(y for (_, y), _ in written) + LINE <= card.height


@pytest.mark.parametrize("form", ["png", "webp"])
def test_equal_cards_are_equal_files(form):
    assert encoded(contact_card(SHOWN), form) == encoded(contact_card(SHOWN), form)


def test_images_are_brought_to_the_size_of_the_card():
    one = np.full((1, 4, 4, 3), (10, 200, 30), np.uint8)
    card = np.asarray(contact_card(NeuronOnImages(one, MAPS[:1]), layout=LAYOUT))
    inside = card[5 + LINE : 5 + LINE + SIDE, MARGIN : MARGIN + SIDE]
    assert (inside == (10, 200, 30)).all()


@pytest.mark.parametrize(("images", "maps"), [(IMAGES[:0], MAPS[:0]), (IMAGES[:2], MAPS[:3])])
def test_a_card_without_images_or_maps_is_rejected(images, maps):
    with pytest.raises(ConfigError, match=r"contact card: \d images and \d maps"):
        contact_card(NeuronOnImages(images, maps))


def test_letters_stand_above_the_images_of_a_grid(written):
    grid = np.asarray(lettered_grid(IMAGES, LAYOUT))
    assert [said for _, said in written] == ["", *"ABCDE"]
    for number, ((x, y), _) in enumerate(written[1:]):
        below = grid[y + LINE : y + LINE + SIDE, x : x + SIDE]
        np.testing.assert_array_equal(below, IMAGES[number])

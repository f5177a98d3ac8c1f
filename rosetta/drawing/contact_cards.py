"""Contact cards: one picture of what a neuron does on the images on which it is most active.

Each image stands beside its heat map and the overlay of both. A strip below says how they are
drawn. `lettered_grid` shows images alone, which a judge is asked about.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import numpy as np

from rosetta.drawing.heat_maps import COLORS, OVERLAY, ValueRange, heat_maps, overlays
from rosetta.errors import ConfigError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFont import FreeTypeFont

Form = Literal["png", "webp"]
FORMS: Mapping[str, Form] = MappingProxyType({".png": "png", ".webp": "webp"})  # by a file's ending
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_GAP = 2  # pixels between the pictures of one image
_MARGIN = 10  # pixels around a picture's group
_TEXT = 15  # height of letters in pixels
_LINE = 20
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class NeuronOnImages:
    """A neuron on the images on which it is most active.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, size, size, 3)
        The most active first.
    maps : ndarray, shape (n, height, width)
        Its activations over the cells of its model's grid.
    """

    images: np.ndarray
    maps: np.ndarray


@dataclass(frozen=True)
class CardLayout:
    """How a card is laid out.

    Attributes
    ----------
    side : int
        Pixels of a picture.
    across : int
        Images in a row, each with its map and overlay.
    """

    side: int = 128
    across: int = 4


def contact_card(
    shown: NeuronOnImages, title: str = "", layout: CardLayout = CardLayout()
) -> Image.Image:
    """Draw the card of a neuron: per image, the image, its heat map and the overlay.

    Colours go from the lowest to the highest value of all maps of the card. What the colours mean,
    and how maps are scaled and enlarged, stands in the strip at the bottom.

    Parameters
    ----------
    shown : NeuronOnImages
        At least one image.
    title : str
        A line above; none if empty. A judge's card has none, so that nothing but the pictures
        speaks for the neuron.
    layout : CardLayout
        Size and number of pictures in a row.

    Raises
    ------
    ConfigError
        If there is no image, or there are more or fewer maps than images.
    """
    if not len(shown.images) or len(shown.images) != len(shown.maps):
        raise ConfigError(
            f"contact card: {len(shown.images)} images and {len(shown.maps)} maps; give as many "
            "maps as images, and one of each at least."
        )
    values = ValueRange.of(shown.maps)
    images = resized(shown.images, layout.side)
    heat = heat_maps(shown.maps, layout.side, values)
    groups = list(zip(images, heat, overlays(images, heat), strict=True))
    labels = [str(rank) for rank in range(1, len(groups) + 1)]
    return _sheet(_Sheet(groups, labels, title, _caption(shown, values)), layout)


def lettered_grid(images: np.ndarray, layout: CardLayout = CardLayout(across=5)) -> Image.Image:
    """Draw images alone, each below its letter, from A on, row by row.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, size, size, 3)
        At most 26.
    layout : CardLayout
        Size and number of images in a row.
    """
    groups = [(one,) for one in resized(images, layout.side)]
    return _sheet(_Sheet(groups, list(LETTERS[: len(groups)]), "", ""), layout)


def encoded(picture: Image.Image, form: Form = "png") -> bytes:
    """Return a picture as a file, without loss. Equal pictures give equal bytes."""
    stream = io.BytesIO()
    if form == "png":
        picture.save(stream, "PNG", compress_level=6)
    else:
        picture.save(stream, "WEBP", lossless=True, method=4)
    return stream.getvalue()


def resized(images: np.ndarray, side: int) -> np.ndarray:
    """Return images of another size, bilinearly, antialiased where they get smaller.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, size, size, 3)
    side : int
        Pixels of the result; of the images' own size they stay as they are.
    """
    from PIL import Image

    shape = (side, side)
    bilinear = Image.Resampling.BILINEAR
    return np.stack([np.asarray(Image.fromarray(one).resize(shape, bilinear)) for one in images])


@dataclass(frozen=True)
class _Sheet:
    """Groups of pictures, a label above each, a line above all of them and lines below."""

    groups: Sequence[tuple[np.ndarray, ...]]
    labels: list[str]
    title: str
    caption: str


def _caption(shown: NeuronOnImages, values: ValueRange) -> str:
    height, width = shown.maps.shape[1:]
    return (
        f"per image: image, map of the neuron, overlay ({OVERLAY:.0%} map). "
        f"Map: {height} × {width} cells, enlarged bilinearly.\n"
        f"Colours: {COLORS}, dark to bright from {values.low:.4g} to {values.high:.4g}, the lowest "
        "and the highest value on this card."
    )


def _sheet(sheet: _Sheet, layout: CardLayout) -> Image.Image:
    from PIL import Image, ImageDraw

    font = _font()
    n_across = min(layout.across, len(sheet.groups))
    n_rows = -(-len(sheet.groups) // n_across)
    n_pictures = len(sheet.groups[0])
    step_x = n_pictures * (layout.side + _GAP) - _GAP + _MARGIN
    step_y = _LINE + layout.side + _MARGIN // 2
    top = _MARGIN // 2 + (_LINE if sheet.title else 0)
    lines = sheet.caption.splitlines()
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    widest = max(probe.textlength(line, font=font) for line in [sheet.title, *lines])
    width = max(_MARGIN + n_across * step_x, 2 * _MARGIN + int(np.ceil(widest)))
    height = top + n_rows * step_y + _LINE * len(lines) + _MARGIN // 2
    picture = Image.new("RGB", (width, height), _WHITE)
    draw = ImageDraw.Draw(picture)
    draw.text((_MARGIN, _MARGIN // 2), sheet.title, _BLACK, font)
    for number, (label, group) in enumerate(zip(sheet.labels, sheet.groups, strict=True)):
        x = _MARGIN + number % n_across * step_x
        y = top + number // n_across * step_y
        draw.text((x, y), label, _BLACK, font)
        for place, one in enumerate(group):
            at = (x + place * (layout.side + _GAP), y + _LINE)
            picture.paste(Image.fromarray(one), at)
    for number, line in enumerate(lines):
        draw.text((_MARGIN, top + n_rows * step_y + number * _LINE), line, _BLACK, font)
    return picture


def _font() -> FreeTypeFont:
    """Return the typeface of the figures, which matplotlib brings."""
    import matplotlib
    from PIL import ImageFont

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), _TEXT)

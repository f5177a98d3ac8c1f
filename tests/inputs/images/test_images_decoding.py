"""Files of every kind are converted by a rule or rejected by one: the table of docs/images.md."""

import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from image_sources import encoded
from PIL import Image

from rosetta.inputs.images import decoding
from rosetta.inputs.images.decoding import (
    CONVERSIONS,
    REASONS,
    RejectedImage,
    decode,
    to_square,
)

SIDE = 8
RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
GREY = COLOUR[..., 0]
WIDE = RNG.integers(0, 2**16, (SIDE, SIDE), dtype=np.uint16)
ALPHA = RNG.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
NOISE = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)


def png_of(width: int, height: int, depth: int, colour: int, rows: bytes, *chunks: bytes) -> bytes:
    """Return a PNG written by hand, for what Pillow does not write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    parts = [chunk(part[:4], part[4:]) for part in chunks]
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(parts) + body


def grey3(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=-1)


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None].astype(float) / 255
    return colour * share + 255 * (1 - share)


def wide_colour() -> bytes:
    values = RNG.integers(0, 2**16, (SIDE, SIDE, 3), dtype=np.uint16)
    values[..., :] = (COLOUR.astype(np.uint16) << 8) + 255
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png_of(SIDE, SIDE, 16, 2, rows)


def palette_image() -> Image.Image:
    image = Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE))
    image = image.convert("P")
    image.putpalette(COLOUR.reshape(-1).tolist())
    return image


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(COLOUR, exif=exif)


def frames(form: str, **options) -> bytes:
    first, second = Image.fromarray(COLOUR), Image.fromarray(255 - COLOUR)
    return encoded(first, form, save_all=True, append_images=[second], **options)


def cmyk() -> tuple[bytes, np.ndarray]:
    inks = RNG.integers(0, 256, (SIDE, SIDE, 4), dtype=np.uint8)
    share = inks.astype(float) / 255
    rgb = 255 * (1 - share[..., :3]) * (1 - share[..., 3:])
    return encoded(Image.fromarray(inks, "CMYK"), "TIFF"), rgb


CMYK, FROM_CMYK = cmyk()
KEYED = np.where(WIDE[0, 0] == WIDE, 0, 255).astype(np.uint8)
# Content of a file; which rules are applied; the pixels, and how far they may be off.
CONVERTED = {
    "rgb": (encoded(COLOUR), (), COLOUR, 0),
    "bmp": (encoded(COLOUR, "BMP"), (), COLOUR, 0),
    "webp": (encoded(COLOUR, "WEBP", lossless=True), (), COLOUR, 0),
    "ppm": (encoded(COLOUR, "PPM"), (), COLOUR, 0),
    "jpeg": (encoded(COLOUR, "JPEG", quality=100, subsampling=0), (), COLOUR, 4),
    "grey": (encoded(GREY), ("grey",), grey3(GREY), 0),
    "black and white": (
        encoded(Image.fromarray(GREY > 127)),
        ("grey",),
        grey3(np.where(GREY > 127, 255, 0)),
        0,
    ),
    "palette": (encoded(palette_image()), ("palette",), COLOUR, 0),
    "palette with a transparent colour": (
        encoded(palette_image(), transparency=0),
        ("palette", "alpha"),
        on_white(COLOUR, np.where(np.arange(64).reshape(8, 8) == 0, 0, 255)),
        0,
    ),
    "alpha": (encoded(np.dstack([COLOUR, ALPHA])), ("alpha",), on_white(COLOUR, ALPHA), 1),
    "grey with alpha": (
        encoded(Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(ALPHA)))),
        ("grey", "alpha"),
        on_white(grey3(GREY), ALPHA),
        1,
    ),
    "transparent colour": (
        encoded(COLOUR, transparency=tuple(COLOUR[2, 3].tolist())),
        ("alpha",),
        on_white(COLOUR, np.where((COLOUR[2, 3] == COLOUR).all(axis=-1), 0, 255)),
        0,
    ),
    "16 bit grey": (encoded(WIDE), ("sixteen_bit", "grey"), grey3(WIDE // 256), 0),
    "16 bit grey tiff": (encoded(WIDE, "TIFF"), ("sixteen_bit", "grey"), grey3(WIDE // 256), 0),
    "16 bit grey, other bytes": (
        encoded(WIDE.astype(">u2"), "TIFF"),
        ("sixteen_bit", "grey"),
        grey3(WIDE // 256),
        0,
    ),
    "16 bit grey with a transparent value": (
        encoded(WIDE, transparency=int(WIDE[0, 0])),
        ("sixteen_bit", "grey", "alpha"),
        on_white(grey3(WIDE // 256), KEYED),
        0,
    ),
    "16 bit colour": (wide_colour(), ("sixteen_bit",), COLOUR, 0),
    "cmyk": (CMYK, ("cmyk",), FROM_CMYK, 1.5),
    "upside down": (turned(3), ("rotated",), COLOUR[::-1, ::-1], 0),
    "on its side": (turned(6), ("rotated",), np.rot90(COLOUR, -1), 0),
    "mirrored": (turned(2), ("rotated",), COLOUR[:, ::-1], 0),
    "upright": (turned(1), (), COLOUR, 0),
    "no orientation at all": (turned(77), (), COLOUR, 0),
    "gif": (encoded(palette_image(), "GIF"), ("palette",), COLOUR, 0),
    "animated webp": (frames("WEBP", lossless=True), ("frames",), COLOUR, 0),
    "animated png": (frames("PNG"), ("frames",), COLOUR, 0),
    "tiff of two pages": (frames("TIFF"), ("frames",), COLOUR, 0),
}


@pytest.mark.parametrize(("data", "rules", "pixels", "off"), CONVERTED.values(), ids=CONVERTED)
def test_a_file_is_converted_by_the_rules(data, rules, pixels, off):
    decoded = decode(data, SIDE, 10**6)
    assert decoded.conversions == rules
    assert decoded.pixels.dtype == np.uint8
    assert decoded.pixels.shape == (SIDE, SIDE, 3)
    assert np.abs(decoded.pixels - np.asarray(pixels, float)).max() <= off


def test_the_first_frame_of_an_animated_gif_is_taken():
    second = palette_image().transpose(Image.Transpose.ROTATE_90)
    data = encoded(palette_image(), "GIF", save_all=True, append_images=[second])
    decoded = decode(data, SIDE, 10**6)
    assert decoded.conversions == ("frames", "palette")
    np.testing.assert_array_equal(decoded.pixels, COLOUR)


def test_damaged_exif_counts_as_none():
    decoded = decode(encoded(COLOUR, exif=b"Exif\0\0nothing of the kind"), SIDE, 10**6)
    assert decoded.conversions == ()
    np.testing.assert_array_equal(decoded.pixels, COLOUR)


BOMB = png_of(60_000, 60_000, 1, 0, b"\0" * 1000)
TEXT_BOMB = png_of(
    SIDE,
    SIDE,
    8,
    0,
    b"\0" * (SIDE * (SIDE + 1)),
    b"zTXtbomb\0\0" + zlib.compress(b"0" * 10**8),
)
REJECTED = {
    "empty": (b"", "empty"),
    "text": (b"once upon a time", "unidentified"),
    "html": (b"<html><body>404</body></html>", "unidentified"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unidentified"),
    "postscript, which would start a program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n",
        "unidentified",
    ),
    "only a signature": (b"\x89PNG\r\n\x1a\n", "unidentified"),
    "cut off png": (encoded(NOISE)[:3000], "damaged"),
    "cut off jpeg": (encoded(NOISE, "JPEG")[:1500], "damaged"),
    "cut off gif": (encoded(NOISE, "GIF")[:1500], "damaged"),
    "cut off webp": (encoded(NOISE, "WEBP", lossless=True)[:1500], "damaged"),
    "cut off tiff": (encoded(NOISE, "TIFF")[:1500], "damaged"),
    "cut off bmp": (encoded(NOISE, "BMP")[:1500], "damaged"),
    "a flipped byte": (
        (lambda data: data[:2000] + bytes([data[2000] ^ 255]) + data[2001:])(encoded(NOISE)),
        "damaged",
    ),
    "a bomb": (BOMB, "too_many_pixels"),
    "a bomb of text": (TEXT_BOMB, "damaged"),
    "a few pixels too many": (encoded(np.zeros((1001, 1000, 3), np.uint8)), "too_many_pixels"),
    "32 bits": (encoded(WIDE.astype(np.int32), "TIFF"), "other_mode"),
    "floats": (encoded(WIDE.astype(np.float32), "TIFF"), "other_mode"),
    "lab": (encoded(Image.new("LAB", (SIDE, SIDE)), "TIFF"), "other_mode"),
}


@pytest.mark.parametrize(("data", "reason"), REJECTED.values(), ids=REJECTED)
def test_a_file_is_rejected_by_a_rule(data, reason):
    with pytest.raises(RejectedImage, match=f"^{reason}$"):
        decode(data, SIDE, 10**6)


def test_a_bomb_is_rejected_before_it_is_decoded(monkeypatch):
    def fail(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(decoding, "_to_rgb", fail)
    with pytest.raises(RejectedImage, match="too_many_pixels"):
        decode(encoded(np.zeros((1000, 1001, 3), np.uint8)), SIDE, 10**6)


def test_a_file_of_too_many_bytes_is_rejected(monkeypatch):
    monkeypatch.setattr(decoding, "MAX_FILE_BYTES", 100)
    with pytest.raises(RejectedImage, match="too_large"):
        decode(encoded(NOISE), SIDE, 10**6)


def outcome(data: bytes) -> tuple[int, ...] | str:
    """Return the shape of a decoded image, or why it was rejected."""
    try:
        return decode(data, SIDE, 10**6).pixels.shape
    except RejectedImage as rejected:
        return str(rejected)


def test_every_cut_of_a_file_is_an_image_or_rejected():
    for form in decoding.FORMATS:
        data = encoded(NOISE[:16, :16], form)
        for length in range(0, len(data), max(1, len(data) // 40)):
            assert outcome(data[:length]) in {(SIDE, SIDE, 3), *REASONS}


def test_one_pixel_fills_the_square():
    data = encoded(np.array([[[9, 200, 77]]], np.uint8))
    decoded = decode(data, SIDE, 10**6)
    assert decoded.conversions == ()
    assert (decoded.pixels == [9, 200, 77]).all()


def test_a_very_long_image_is_squeezed_whole():
    """Its left half is black and its right half white: a crop would be of one colour."""
    line = np.zeros((1, 20_000, 3), np.uint8)
    line[:, 10_000:] = 255
    decoded = decode(encoded(line), SIDE, 10**6)
    assert decoded.conversions == ("far_from_square",)
    assert (decoded.pixels[:, :3] < 10).all()
    assert (decoded.pixels[:, -3:] > 245).all()


def bicubic_weights(n: int, size: int) -> np.ndarray:
    """Return the weights of pixels in resized ones: Keys's kernel (a = -1/2), as wide as a resized
    pixel where that is larger.
    """
    scale = n / size
    width = max(1.0, scale)
    weights = np.zeros((size, n))
    for i in range(size):
        for j in range(n):
            x = abs((j + 0.5) - (i + 0.5) * scale) / width
            if x < 1:
                weights[i, j] = 1.5 * x**3 - 2.5 * x**2 + 1
            elif x < 2:
                weights[i, j] = -0.5 * (x**3 - 5 * x**2 + 8 * x - 4)
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("height", "width", "size"), [(64, 48, 20), (11, 17, 32), (40, 9, 16)])
def test_images_are_resized_whole_bicubic_with_antialias(height, width, size):
    smooth = 100 + 80 * np.sin(np.arange(height)[:, None] / 7) * np.cos(np.arange(width) / 5)
    values = grey3(np.rint(smooth).astype(np.uint8))
    expected = np.einsum(
        "ih,hwc,jw->ijc", bicubic_weights(height, size), values, bicubic_weights(width, size)
    )
    assert np.abs(to_square(Image.fromarray(values), size) - expected).max() < 2.0


def test_every_rule_is_tested_and_documented():
    page = (Path(__file__).parents[3] / "docs" / "images.md").read_text()
    rows = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert set(REASONS) | set(CONVERSIONS) <= rows
    tested = {rule for _, rules, _, _ in CONVERTED.values() for rule in rules}
    assert tested | {"far_from_square"} == set(CONVERSIONS)
    assert {reason for _, reason in REJECTED.values()} | {"too_large"} == set(REASONS)

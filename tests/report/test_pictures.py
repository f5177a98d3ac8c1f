"""Pictures inside the report: figures keep every pixel, photographs take little room."""

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from rosetta.errors import StoreError
from rosetta.report.pictures import embedded
from rosetta.storage.digests import digested


def opened(address):
    kind, content = address.split(",")
    assert kind == "data:image/webp;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(content))))


def save(path, pixels):
    with digested(path) as temporary:
        Image.fromarray(pixels).save(temporary, "png")
    return path


def test_a_figure_keeps_every_pixel_and_a_photograph_is_smaller(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    path = save(tmp_path / "p.png", pixels)
    np.testing.assert_array_equal(opened(embedded(path)), pixels)
    assert opened(embedded(path, photograph=True)).shape == pixels.shape
    assert len(embedded(path, photograph=True)) < len(embedded(path)) / 2


def test_a_damaged_picture_is_told(tmp_path):
    path = save(tmp_path / "p.png", np.zeros((4, 4, 3), np.uint8))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(StoreError, match=r"p\.png"):
        embedded(path)

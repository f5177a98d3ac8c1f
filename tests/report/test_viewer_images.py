"""The viewer's neurons on images: pictures, maps of all models, and the ways to show them."""

import base64

import numpy as np
import pytest
from viewer_browser import click
from viewer_pages import KnownModel, group, write_viewer

from rosetta.inputs.images.thumbnails import thumbnail
from rosetta.report.viewer import viewer_data

RED, BLUE = (np.full((4, 4, 3), colour, np.uint8) for colour in ([255, 0, 0], [0, 0, 255]))
DARK, LIGHT = [68, 1, 84, 255], [253, 231, 37, 255]  # the ends of viridis
CLASSES = [f"class {i}" for i in range(13)]


class Classified(KnownModel):
    """A model that sees images of thirteen classes."""

    domains = CLASSES

    def describe(self, layer, unit):
        told = super().describe(layer, unit)
        return {**told, "firing": [0.5] * 13, "promoted": [], "suppressed": []}

    def main_domains(self, neurons):
        return [12 for _ in neurons]


def encoded(values):
    return base64.b64encode(np.array(values, np.uint8).tobytes()).decode()


def image_group():
    """Two neurons on two images; the second image was not compared with the partner."""
    excerpts = [
        {
            "document": f"{i:016x}",
            "domain": CLASSES[i],
            "byte_start": 0,
            "text": text,
            "tokens": [[], []],
            "picture": thumbnail(pixels),
        }
        for i, (text, pixels) in enumerate([("red <disc>", RED), ("blue ring", BLUE)])
    ]
    contexts = [
        {
            "excerpt": 0,
            "ranks": [1, 1],
            "scores": [2.5, 0.5],
            "maps": [encoded([0, 255]), encoded([255, 0, 0, 0])],
        },
        {"excerpt": 1, "ranks": [2, 0], "scores": [1.5, None], "maps": [encoded([0, 0]), None]},
    ]
    neurons = [
        {
            "r": 0.9 - i / 10,
            "margin": 0.1,
            "above": [True, True],
            "partners": [{"layer": 0, "unit": i, "r": 0.9, "histogram": []} for _ in range(2)],
            "contexts": contexts,
        }
        for i in range(2)
    ]
    return {
        "models": ["v", "w"],
        "grids": [[1, 2], [2, 2]],
        "excerpts": excerpts,
        "neurons": neurons,
        "modality": "images",
        "n_rosetta": 2,
        "chance": [[]],
    }


def mixed(n=10):
    groups = {"v--w": image_group(), "a--b": group(["a", "b"], n, 0)}
    models = {**{name: Classified() for name in "vw"}, **{name: KnownModel() for name in "ab"}}
    return viewer_data(groups, models, ["above exchanged samples", "above untrained"])


@pytest.fixture(scope="module", params=[20_000_000, 10], ids=["inside", "beside"])
def page(request, tmp_path_factory):
    return write_viewer(tmp_path_factory.mktemp("images"), mixed(), request.param)


@pytest.fixture
def opened(browser, page):
    browser.console()
    browser.open(f"{page.as_uri()}#v--w/L0/U0")
    browser.wait("return document.querySelectorAll('.images figure').length === 2")
    yield browser
    assert browser.console() == []


def pixels(browser):
    """The first pixel of every map, and the size of its grid."""
    return browser.run(
        "return [...document.querySelectorAll('canvas')].map((map) => [map.height, map.width, "
        "...map.getContext('2d').getImageData(0, 0, 1, 1).data])"
    )


def test_images_stand_beside_the_maps_of_all_models(opened):
    assert pixels(opened) == [[1, 2, *DARK], [2, 2, *LIGHT], [1, 2, *DARK]]
    shown = opened.run(
        "return [...document.querySelectorAll('figure img')].map((one) => [one.alt, "
        "one.complete && one.naturalWidth])"
    )
    assert shown == [[f"image {0:016x}: red <disc>", 4], [f"image {1:016x}: blue ring", 4]]
    told = opened.run("return document.querySelector('main').innerText")
    assert "not compared on this image" in told
    assert "v mean 2.5" in told


def test_maps_are_shown_over_images_alone_or_not_at_all(opened):
    def kinds():
        return opened.run(
            "return ['figure img', 'canvas', 'canvas.over'].map((one) => "
            "document.querySelectorAll(one).length)"
        )

    assert kinds() == [2, 3, 0]
    click(opened, "#view-over")
    assert kinds() == [3, 3, 3]
    opened.press("m")
    assert kinds() == [2, 0, 0]
    opened.press("m")
    assert kinds() == [0, 3, 0]
    opened.press("m")
    assert kinds() == [2, 3, 0]
    pressed = "return document.querySelector('[id^=view-][aria-pressed=true]').id"
    assert opened.run(pressed) == "view-both"


def test_the_partner_s_top_images_are_its_own(opened):
    click(opened, "#of-1")
    assert opened.run("return document.querySelectorAll('.images figure').length") == 1


def test_captions_are_searched_and_classes_filtered(opened):
    opened.fill("#q", "RED <disc>")
    opened.wait("return document.getElementById('count').textContent.startsWith('2 of 12')")
    assert opened.run("return document.querySelectorAll('figure.found').length") == 1
    opened.press("Escape")
    classes = opened.run("return [...document.querySelectorAll('#domain option')].length")
    assert classes == 1 + len(CLASSES) + 3, "and the domains of the texts"


def test_the_classes_of_images_stand_apart_from_the_domains_of_texts(opened):
    shown = "return [...document.querySelectorAll('.chart')].map((c) => c.children.length / 3)"
    assert opened.run(shown) == [13, 13]
    assert opened.run("return document.querySelectorAll('details .chart').length") == 2
    opened.open(f"{opened.run('return location.href').partition('#')[0]}#a--b/L0/U0")
    opened.wait("return document.querySelectorAll('.chart').length === 2")
    assert opened.run(shown) == [3, 3]

"""`rosetta contact-card`: one neuron of a run on its top images, as one file."""

import io

import numpy as np
import pytest
from commands import assert_rejected, run_here
from judges import LINE, colors, pictures_on
from PIL import Image
from planted_neurons import COLORS, plant, scores

N_TOP = 20


@pytest.mark.parametrize("name", ["card.png", "cards/card.WEBP"])
def test_a_card_shows_the_top_images_and_their_maps(tmp_path, name):
    file = plant(tmp_path)
    place = ["--stores", "w-s", "--layer", 1, "--unit", 3]
    done = run_here("contact-card", "--config", file, *place, "--out", name, folder=tmp_path)
    assert done.code == 0, done.err
    card = Image.open(io.BytesIO((tmp_path / name).read_bytes()))
    assert card.format == ("PNG" if name == "card.png" else "WEBP")
    whole = np.asarray(card.convert("RGB"))
    shown = pictures_on(whole, across=4, n_pictures=3, top=LINE)[:N_TOP]
    best = np.argsort(-scores(3), kind="stable")[:N_TOP]
    np.testing.assert_array_equal(colors(shown), COLORS[best % 6])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--stores", "x"], r"--stores: 'x' are no stores of images; there are v-s, w-s\."),
        (["--unit", 30], r"top_images/w-s\.parquet: has nothing of layer 1, unit 30 of w-s"),
        (["--layer", -1], r"has nothing of layer -1, unit 3 of w-s"),
        (["--out", "card.jpg"], r"--out: card\.jpg is neither a \.png nor a \.webp file"),
    ],
)
def test_what_is_not_there_is_told(tmp_path, arguments, message):
    file = plant(tmp_path)
    given = {"--stores": "w-s", "--layer": 1, "--unit": 3, "--out": "card.png"}
    given |= {arguments[0]: arguments[1]}
    options = [word for option in given.items() for word in option]
    done = run_here("contact-card", "--config", file, *options, folder=tmp_path)
    assert_rejected(done, message)
    assert not list(tmp_path.glob("card*"))

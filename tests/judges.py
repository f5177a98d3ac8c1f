"""Judges of known accuracy for the local server, and what they see of what they are sent."""

import hashlib
import io
import json
from base64 import b64decode

import numpy as np
from chat_server import completion
from PIL import Image

from rosetta.config import Judge
from rosetta.judging.endpoint import Endpoint
from rosetta.judging.questions import Verdict
from rosetta.judging.replies import Inquiry

SIDE, GAP, MARGIN, LINE = 128, 2, 10, 20  # pixels of cards and grids, as they are drawn
LETTERS = "ABCDEFGHIJ"


def judge_settings(url, **changes):
    values = {
        "base_url": url,
        "model": "m",
        "api_key_variable": "TEST_KEY",
        "requests_per_minute": 1e6,
        "n_trials": 5,
        "n_per_trial": 20,
        "top_k": 5,
    }
    return Judge(**{**values, **changes})


TRIALS = {"n_trials": 2, "n_per_trial": 6, "top_k": 5, "requests_per_minute": 1e6}


def judge_section(server, **changes):
    """Return the section of a configuration: a few trials of six and six."""
    where = {"base_url": server.url, "model": "m", "api_key_variable": "TEST_KEY"}
    return {**where, **TRIALS, **changes}


def inquiry_of(settings, folder, form=Verdict):
    return Inquiry(Endpoint(settings).ask, settings, folder, form, enforced=True, verb="judged")


def says(is_monosemantic):
    answer = {"is_monosemantic": is_monosemantic, "description": "what I see"}
    return completion(json.dumps(answer))


def predicts(letters):
    answer = {"neuron_description": "it", "predicted_activating": letters, "reasoning": "so"}
    return completion(json.dumps(answer))


def is_second_turn(body):
    return body["messages"][-2]["role"] == "assistant"


def bits_of(body, n):
    """Return coins that depend on the messages alone, whatever the order of requests."""
    drawn = hashlib.blake2b(json.dumps(body["messages"]).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(drawn)).random(n) < 0.5


def always_yes(body):
    return predicts(list(LETTERS)) if is_second_turn(body) else says(True)


def coin(body):
    if is_second_turn(body):
        flips = zip(LETTERS, bits_of(body, 10), strict=True)
        return predicts([letter for letter, heads in flips if heads])
    return says(bool(bits_of(body, 1)[0]))


def exact(body):
    """Call a neuron monosemantic if all images on its card have one colour, and predict the images
    of the most frequent colour there.
    """
    card = colors(pictures(body["messages"][1], across=4, n_pictures=3))
    kinds, counts = np.unique(card, axis=0, return_counts=True)
    if not is_second_turn(body):
        return says(len(kinds) == 1)
    shown = colors(pictures(body["messages"][-1], across=5, n_pictures=1))
    same = (shown == kinds[counts.argmax()]).all(axis=1)
    return predicts([letter for letter, hit in zip(LETTERS, same, strict=True) if hit])


def image_of(message):
    """Return the picture of a message as an array, through its data URL."""
    (part,) = (one for one in message["content"] if one["type"] == "image_url")
    head, data = part["image_url"]["url"].split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(b64decode(data))))


def pictures(message, across, n_pictures):
    """Return the first picture of every group of a message's card or grid, as it was drawn."""
    return pictures_on(image_of(message), across, n_pictures)


def pictures_on(sheet, across, n_pictures, top=0):
    """Return the first picture of every group of a card or grid, below a title of some height."""
    step_x = n_pictures * (SIDE + GAP) - GAP + MARGIN
    step_y = LINE + SIDE + MARGIN // 2
    found = []
    for number in range(across * 20):
        x = MARGIN + number % across * step_x
        y = top + MARGIN // 2 + number // across * step_y + LINE
        one = sheet[y : y + SIDE, x : x + SIDE]
        if one.shape != (SIDE, SIDE, 3) or (one == 255).all(axis=2).any():
            break  # the white of the sheet: there is no further picture
        found.append(one)
    return np.stack(found)


def colors(some):
    """Return the colour in the middle of each picture."""
    return some[:, SIDE // 2, SIDE // 2].astype(int)

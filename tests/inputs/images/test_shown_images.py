"""The images that stores are of, whether of the split `match` or of a generator's shards."""

import numpy as np
import pandas as pd
import pytest

from rosetta.config import parse_config
from rosetta.inputs.images.image_sets import write_image_set
from rosetta.inputs.images.shown_images import ShownImages
from rosetta.run.paths import Paths

RNG = np.random.default_rng(0)
DRAWN, MADE = (RNG.integers(0, 256, (n, 8, 8, 3)).astype(np.uint8) for n in (9, 11))
FAMILY = {"image": {"image_size": 16, "patch_size": 4}}
CONFIG = {
    "zoo": {
        "families": {
            "p": {"architecture": "pmf", "seed": 0, **FAMILY},
            "v": {"architecture": "vit", "seed": 1, **FAMILY},
        },
        "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}},
    },
    "models": {f"{name}-s": {"zoo": {"family": name, "size": "s"}} for name in "pv"},
    "ladders": {"pv": [["p-s", "v-s"]]},
    "activations": {"n_shards": 3},
}


def write(path, pixels):
    n = len(pixels)
    table = pd.DataFrame({"id": np.arange(n), "label": 0, "domain": "", "caption": ""}, range(n))
    table = table.assign(source="", index=range(n))
    write_image_set(path, table, [pixels], made_by={})


@pytest.fixture
def paths(tmp_path):
    paths = Paths(tmp_path)
    write(paths.image_set("match"), DRAWN)
    for shard, some in enumerate(np.split(MADE, [4, 5])):
        write(paths.generated("p-s", 3, shard), some)
    return paths


@pytest.mark.parametrize(
    ("store", "images"), [("v-s", DRAWN), ("p-s", MADE), ("v-s@p-s", MADE), ("v-s~2@p-s", MADE)]
)
def test_images_are_found_by_their_numbers(paths, store, images):
    content = {**CONFIG, "models": {**CONFIG["models"]}}
    content["zoo"] = {**CONFIG["zoo"], "sizes": {"s": {**CONFIG["zoo"]["sizes"]["s"]}}}
    content["zoo"]["sizes"]["s"]["replicates"] = 2
    shown = ShownImages.of(parse_config(content), paths, store)
    wanted = RNG.permutation(len(images))
    np.testing.assert_array_equal(shown.pixels(wanted), images[wanted])

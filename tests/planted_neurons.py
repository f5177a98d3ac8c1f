"""A run of two models that see images, whose neurons have features of one colour, or of two.

Image i is of colour i % 6. A monosemantic neuron fires on the ten images of one colour, any other
neuron on those of two, by turns. All values of one image's map are alike. Each neuron has a scale
of its own, so that no two cards are equal.
"""

import numpy as np
import pandas as pd
import torch
import yaml

from rosetta.activations.captured import write_captured
from rosetta.activations.folders import open_stores
from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreCells, StoreDescription
from rosetta.analysis.columns import FACTOR_COLUMNS
from rosetta.analysis.image_profiles import ProfileSettings, profile_on_images
from rosetta.config import dump_config, parse_config
from rosetta.inputs.images.image_sets import write_image_set
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet

COLORS = np.array(
    [(200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0), (0, 200, 200), (90, 90, 90)], np.uint8
)
N_IMAGES, SHAPE, SIZE = 60, NeuronShape(2, 30), 16
GRIDS = {"v-s": (2, 2), "w-s": (4, 4)}
PAIR = "v-s--w-s"
N_ROSETTA = 15  # the first units of each layer
DEAD = 29  # the last unit of each layer


def is_monosemantic(unit):
    """Two of three Rosetta Neurons, and one of three others."""
    return (unit % 3 != 0) == (unit < N_ROSETTA)


def scores(unit):
    """Return a neuron's mean activation on every image."""
    image = np.arange(N_IMAGES)
    color, round_ = image % 6, image // 6
    first = np.where(color == unit % 6, 40.0 - 2 * round_, 0.0)
    if is_monosemantic(unit):
        return first
    return first + np.where(color == (unit + 1) % 6, 39.0 - 2 * round_, 0.0)


def config_of(results, **changes):
    family = {"architecture": "vit", "image": {"image_size": 16, "patch_size": 4}}
    content = {
        "results": str(results),
        "images": {"source": {"kind": "procedural", "n_images": 600}, "size": SIZE},
        "zoo": {
            "families": {"v": {**family, "seed": 1}, "w": {**family, "seed": 2}},
            "sizes": {"s": {"n_layers": 2, "d_model": 16, "d_mlp": 30, "n_heads": 2}},
        },
        "models": {name: {"zoo": {"family": name[0], "size": "s"}} for name in GRIDS},
        "ladders": {"vw": [list(GRIDS)]},
        "activations": {"n_shards": 2},
    }
    return parse_config({**content, **changes})


def plant(folder, **changes):
    """Write the images, stores, profiles and Rosetta Neurons of the run; return the configuration's
    file. The exact judge explains monosemantic neurons.
    """
    config = config_of("results", **changes)
    paths = Paths(folder / "results")
    image = np.arange(N_IMAGES)
    ids = image.astype(np.uint64)
    table = pd.DataFrame({"id": ids, "label": image % 6, "domain": "d", "caption": ""})
    table = table.assign(source="planted", index=image)
    pixels = np.broadcast_to(COLORS[image % 6][:, None, None], (N_IMAGES, SIZE, SIZE, 3))
    write_image_set(paths.image_set("match"), table, [pixels.copy()], made_by={})
    per_unit = np.stack([scores(unit) for unit in range(SHAPE.d_mlp)], axis=1)
    per_unit *= 1 + np.arange(SHAPE.d_mlp) / 64
    per_unit[:, DEAD] = 0.0
    for name, grid in GRIDS.items():
        rows = np.repeat(per_unit, grid[0] * grid[1], axis=0).astype(np.float32)
        for shard, some in enumerate((slice(0, 24), slice(24, N_IMAGES))):
            of_shard = slice(some.start * grid[0] * grid[1], some.stop * grid[0] * grid[1])
            write_store(
                paths.store_manifest(name, 2, shard),
                [torch.from_numpy(np.stack([rows[of_shard], 2 * rows[of_shard]]))],
                StoreCells(image_ids=ids[some], grid=grid, image_size=SIZE),
                StoreDescription(SHAPE, "float32", shard, 2, {"model": name}, name),
            )
        write_captured({name: paths.stores(name, 2)}, paths.captured(name))
        _write_profiles(config, paths, name, table)
    matched = [(layer, unit) for layer in range(2) for unit in range(N_ROSETTA)]
    rows = [("v-s", *neuron, "w-s", *neuron, 0.9) for neuron in matched]
    write_parquet(paths.rosetta(PAIR), pd.DataFrame(rows, columns=ROSETTA_COLUMNS))
    file = folder / "run.yaml"
    file.write_text(dump_config(config))
    assert yaml.safe_load(file.read_text())["results"] == "results"
    return file


def _write_profiles(config, paths, name, images):
    settings = ProfileSettings(config.specialization.n_contexts)
    found = profile_on_images(open_stores(paths.stores(name, 2)), images, settings)
    places = found.neurons[["layer", "unit"]]
    factors = places.assign(is_explained=places["unit"].map(is_monosemantic))
    tables = {
        paths.neurons(name): found.neurons,
        paths.top_images(name): found.top_images,
        paths.factors(name): factors.reindex(columns=FACTOR_COLUMNS),
    }
    for path, table in tables.items():
        write_parquet(path, table.assign(stores=name))

"""The neurons of models that see images, with everything measured, on each rung of the ladders.

What is measured depends on the images that a model is shown, so a model that is on several rungs
has a population on each.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.image_tables import read_image_table
from rosetta.analysis.populations import (
    IMAGE_MEASURES,
    AboveNulls,
    Population,
    Rung,
    clusters_of,
    shape_of,
)
from rosetta.analysis.specialization import normalized_fire
from rosetta.config import Config, group_name
from rosetta.config.image_stores import encoder_for, stores_of_group
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet_metadata


def load_image_rungs(config: Config, paths: Paths) -> list[Rung]:
    """Return every rung of every ladder of models that see images, with its populations.

    Their `neurons` have the columns layer, unit and `IMAGE_MEASURES`, and their categories are the
    classes of the images. Monosemanticity is told by the encoder of the group.
    """
    groups = config.groups("images")
    if not groups:
        return []
    above = AboveNulls.of(config, paths, "images")
    members = {
        group: [_load(config, paths, group, model, above) for model in group] for group in groups
    }
    return [
        Rung(ladder, number, group_name(tuple(rung)), members[tuple(rung)])
        for ladder, rungs in config.ladders.items()
        for number, rung in enumerate(rungs)
        if tuple(rung) in members
    ]


def _load(
    config: Config, paths: Paths, group: tuple[str, ...], model: str, above: AboveNulls
) -> Population:
    store = stores_of_group(config, group)[group.index(model)]
    neurons = _measured(config, paths, group, store)
    shape = shape_of(neurons)
    facts = read_parquet_metadata(paths.neurons(model))["stores"][store]
    fire = normalized_fire(
        read_image_table(paths, "top_images", store),
        neurons["activation_mean"].to_numpy(),
        shape.d_mlp,
        {name: number for number, name in enumerate(facts["domains"])},
        np.array(facts["domain_images"]),
        value="score",
    )
    masks = above.masks(model, shape, [group])
    return Population(
        model,
        shape,
        neurons[["layer", "unit", *IMAGE_MEASURES]],
        (neurons["activation_variance"] == 0).to_numpy(),
        fire,
        facts["domains"],
        clusters_of(paths, [group], model, shape),
        *masks,
    )


def _measured(config: Config, paths: Paths, group: tuple[str, ...], store: str) -> pd.DataFrame:
    """Return all numbers of the neurons of stores, in the order of (layer, unit)."""
    neurons = read_image_table(paths, "neurons", store)
    scores = read_image_table(paths, "monosemanticity", store)
    scores = scores[scores["encoder"] == encoder_for(config, group)]
    found = {
        "monosemanticity": scores,
        **dict.fromkeys(
            ("explained_variance", "iou", "is_explained"), read_image_table(paths, "factors", store)
        ),
    }
    key = ["layer", "unit"]
    for measure, table in found.items():
        one = table[[*key, measure]].astype({"layer": int, "unit": int, measure: float})
        neurons = neurons.merge(one, on=key, how="left", validate="one_to_one")
    return neurons

"""How good generated images are, by the classifiers of the same run."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from rosetta.analysis.columns import GENERATED_COLUMNS
from rosetta.config import Config
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.models.zoo.images.labelled_images import LabelledImages
from rosetta.models.zoo.images.model_files import load_trained_model
from rosetta.models.zoo.images.quality import generated_quality
from rosetta.run.paths import Paths


def generated_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return how a classifier judges the images of every generator (`GENERATED_COLUMNS`).

    `n_different` counts images of which no earlier one has the same pixels; the others are those
    of `rosetta.models.zoo.images.quality.generated_quality`.
    """
    return pd.DataFrame(_rows(config, paths), columns=GENERATED_COLUMNS)


def _rows(config: Config, paths: Paths) -> Iterator[dict[str, float | str | int]]:
    real = LabelledImages.of(ImageSet(paths.image_set("heldout")))
    n_shards = config.activations.n_shards
    for generator, classifier in config.judged_generators():
        shards = [
            LabelledImages.of(ImageSet(paths.generated(generator, n_shards, shard)))
            for shard in range(n_shards)
        ]
        made = LabelledImages(
            np.concatenate([one.pixels for one in shards]),
            np.concatenate([one.labels for one in shards]),
            [caption for one in shards for caption in one.captions],
            real.n_classes,
        )
        flat = made.pixels.reshape(len(made.pixels), -1)
        yield {
            "generator": generator,
            "classifier": classifier,
            "n_images": len(flat),
            "n_different": len(np.unique(flat, axis=0)),
            **generated_quality(load_trained_model(paths.model(classifier)), made, real),
        }

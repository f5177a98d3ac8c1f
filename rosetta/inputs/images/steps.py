"""The step that builds the image sets."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.errors import ConfigError
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import read_manifest


def images_step(config: Config, paths: Paths) -> None:
    """Build the image sets of all splits.

    Raises
    ------
    RosettaError
        If their source cannot be read, or there are fewer than shards.
    """
    from rosetta.inputs.images.build import build_images  # brings Zarr

    build_images(config.images, paths, made_by(config, "images"))
    n_images = read_manifest(paths.image_set("match"), "images")["holds"]["n_images"]
    if n_images < config.activations.n_shards:
        raise ConfigError(
            f"activations.n_shards: {config.activations.n_shards} is above the {n_images} images "
            "of the split `match`. Lower it, or give more images (images.splits.match)."
        )

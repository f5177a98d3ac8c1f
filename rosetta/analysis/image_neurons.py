"""All that is found of a model's neurons on images, in one table of each kind for all its stores.

A model has stores of the run's own images, of what each generator of its rungs made, or of both: a
classifier beside two generators has two. Rows of tables are told apart by the name of the stores.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rosetta.activations.folders import open_stores
from rosetta.analysis.columns import FACTOR_COLUMNS
from rosetta.analysis.factor_explanations import MIN_IMAGES, explain_by_factors
from rosetta.analysis.image_profiles import ProfileSettings, profile_on_images
from rosetta.analysis.neuron_maps import grid_of
from rosetta.config import Config
from rosetta.config.image_stores import encoders_of, has_factors
from rosetta.inputs.images.factors import FactorMaps, scenes_of
from rosetta.inputs.images.shown_images import ShownImages
from rosetta.models.devices import best_device
from rosetta.models.image_embeddings import embed_images
from rosetta.models.image_models import load_image_model
from rosetta.models.model_manifest import checked_manifest
from rosetta.models.sources import model_source
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64

Tables = dict[str, pd.DataFrame]


def image_neuron_tables(config: Config, paths: Paths, model: str) -> tuple[Tables, dict[str, Any]]:
    """Return what all neurons of a model do on the images of all of its stores.

    Returns
    -------
    tables : dict of str to DataFrame
        `neurons`, `top_images`, `monosemanticity` and `factors`: the columns of
        `rosetta.analysis.columns`, after `stores`. The last is empty if no images were drawn.
    facts : dict of str to dict
        By the name of the stores: classes (`domains`), images of each and the purity by chance.
    """
    found, facts = [], {}
    for store in config.stores_of_model(model):
        tables, facts[store] = _of_store(config, paths, store)
        found.append({name: _named(table, store) for name, table in tables.items()})
    return {name: _joined([one[name] for one in found]) for name in found[0]}, facts


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return tables one after the other; those without rows do not decide what columns hold."""
    return pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)


def _named(table: pd.DataFrame, store: str) -> pd.DataFrame:
    table.insert(0, "stores", store)
    return table.astype({name: str for name in ("domain",) if name in table})


def _of_store(config: Config, paths: Paths, store: str) -> tuple[Tables, dict[str, Any]]:
    stores = open_stores(paths.stores(store, config.activations.n_shards))
    shown, n_images = ShownImages.of(config, paths, store), sum(one.n_samples for one in stores)
    encoders = encoders_of(config, store)
    vectors = {name: _embeddings(config, paths, name, shown, n_images) for name in encoders}
    settings = ProfileSettings(
        config.specialization.n_contexts,
        config.selectivity.image_score,
        config.selectivity.firing_std,
    )
    found = profile_on_images(stores, shown.table, settings, vectors, store)
    dead = int((found.neurons["activation_variance"] == 0).sum())
    say(f"{store}: {dead} of {len(found.neurons)} neurons are dead")
    say(f"{store}: encoders {', '.join(encoders) or 'none: no further model of that size'}")
    factors = pd.DataFrame(columns=FACTOR_COLUMNS)
    if has_factors(config, store):
        scenes = scenes_of(shown.sets[0], n_images)
        maps = FactorMaps.of(scenes, config.images.size, grid_of(stores), MIN_IMAGES)
        seed = hash64("explained by chance", config.images.seed, store)
        factors = explain_by_factors(stores, maps, seed, store)
        say(f"{store}: {factors['is_explained'].mean():.0%} of the neurons are explained")
    facts = {
        "domains": found.classes,
        "domain_images": found.class_images,
        "chance_purity": found.chance_purity,
    }
    tables = {
        "neurons": found.neurons,
        "top_images": found.top_images,
        "monosemanticity": found.monosemanticity,
        "factors": factors,
    }
    return tables, facts


def _embeddings(
    config: Config, paths: Paths, encoder: str, shown: ShownImages, n_images: int
) -> np.ndarray:
    """Return what a model of the run makes of the first images."""
    source = model_source(config, paths, encoder)
    checked_manifest(source, paths.model_manifest(encoder))
    model = load_image_model(source, where=best_device())
    return embed_images(model, shown.batches(n_images, int(config.activations.batch_size)))

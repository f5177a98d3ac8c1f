"""What a run knows of a model whose neurons are ablated: which, their statistics, and samples."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.columns import NEURON_COLUMNS, VOCABULARY_COLUMNS
from rosetta.analysis.image_tables import read_image_table
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.populations import cluster_numbers, rosetta_above
from rosetta.analysis.replicates import known_thresholds
from rosetta.config import Config, group_name
from rosetta.errors import CorpusError, ImageSourceError
from rosetta.inputs.images.image_sets import ImageSet
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import cluster_of
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet


def statistic_of(config: Config) -> str:
    """Return the name of the statistic that says which Rosetta Neurons are ablated."""
    assert config.ablation is not None, "there are targets only with an ablation"
    return f"above_{config.ablation.above}" if config.ablation.above else PLAIN


def rosetta_of(config: Config, paths: Paths, group: tuple[str, ...]) -> pd.DataFrame:
    """Return a group's Rosetta Neurons that are ablated: `ROSETTA_COLUMNS`."""
    statistic = statistic_of(config)
    if statistic == PLAIN:
        return read_parquet(paths.rosetta(group_name(group)), ROSETTA_COLUMNS)
    assert config.ablation is not None, "as above"
    limits = known_thresholds(config, paths)[config.ablation.ladder]
    # Without enough null matches there is no threshold, and no neuron is known to be above one.
    limit = limits.get(statistic, float("nan"))
    return rosetta_above(paths, group, {statistic: limit})[statistic]


def targets_of(rosetta: pd.DataFrame, model: str, shape: NeuronShape) -> np.ndarray:
    """Return which neurons of a model are among Rosetta Neurons, bool (n_layers, d_mlp)."""
    mask: np.ndarray = cluster_numbers(rosetta, model, shape) >= 0
    return mask.reshape(shape.n_layers, shape.d_mlp)


def statistics_of(paths: Paths, store: str, text: bool) -> dict[str, np.ndarray]:
    """Return what a run has measured of a model's neurons, by the name of stores.

    A language model has one name of stores, its own. One that sees images has a name per source of
    images, such as `vit-s@pmf-s`: those on which its rung is matched count.

    Returns
    -------
    dict of str to ndarray of float64, shape (n_neurons,)
        `mean`, `variance` and `kurtosis` of `rosetta.ablation.populations.NeuronFacts`.
    """
    if text:
        neurons = read_parquet(paths.neurons(store), NEURON_COLUMNS)
        kurtosis = read_parquet(paths.vocabulary(store), VOCABULARY_COLUMNS)["excess_kurtosis"]
    else:
        neurons = read_image_table(paths, "neurons", store)
        kurtosis = neurons["activation_kurtosis"]
    columns = (neurons["activation_mean"], neurons["activation_variance"], kurtosis)
    mean, variance, found = (column.to_numpy(np.float64) for column in columns)
    return {"mean": mean, "variance": variance, "kurtosis": found}


def heldout_documents(paths: Paths, limit: int | None) -> pd.DataFrame:
    """Return the first held-out documents: id, text, domain, source, cluster.

    Raises
    ------
    CorpusError
        If there is none.
    """
    documents = read_split(paths, "heldout", limit)
    if documents.empty:
        raise CorpusError(
            "ablation: the split heldout has no document to measure losses on. Raise "
            "corpus.splits.heldout, or give more text."
        )
    return documents.assign(cluster=documents["source"].map(cluster_of))


def heldout_images(paths: Paths, limit: int | None) -> tuple[pd.DataFrame, np.ndarray, int]:
    """Return the first held-out images: their table, pixels, and the number of classes.

    Raises
    ------
    ImageSourceError
        If there is none.
    """
    images = ImageSet(paths.image_set("heldout"))
    n = min(images.n_images, limit or images.n_images)
    if not n:
        raise ImageSourceError(
            "ablation: the split heldout has no image to measure losses on. Raise "
            "images.splits.heldout, or give more images."
        )
    n_classes = len(images.manifest["facts"]["classes"])
    return images.table.iloc[:n].reset_index(drop=True), images.pixels(0, n), n_classes

"""What is shown of the drawn neurons of a run, read from its tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rosetta.analysis.columns import CONTEXT_COLUMNS
from rosetta.analysis.image_tables import read_top_maps
from rosetta.config import Config
from rosetta.inputs.text.build import read_split
from rosetta.judging.exhibits import ImageExhibit, TextExhibit
from rosetta.judging.trials import StoreTrials
from rosetta.models.neurons import Neuron
from rosetta.run.paths import Paths
from rosetta.storage.digests import hash64
from rosetta.storage.tables import read_parquet


def image_exhibits(
    config: Config, paths: Paths, drawn: Sequence[StoreTrials]
) -> dict[str, ImageExhibit]:
    """Return what is shown of neurons on images, by the name of their stores.

    Activations are read for the validation alone, which asks about images of low scores too.
    """
    names = [one.candidates.store for one in drawn]
    return {
        store: _on_images(config, paths, one)
        for store, one in zip(names, drawn, strict=True)
        if config.modality_of(store) == "images"
    }


def _on_images(config: Config, paths: Paths, drawn: StoreTrials) -> ImageExhibit:
    # These bring zarr and torch, which judging texts does without.
    from rosetta.activations.folders import open_stores
    from rosetta.inputs.images.shown_images import ShownImages
    from rosetta.judging.lettered_images import letter_images

    assert config.judge is not None
    store = drawn.candidates.store
    tested = _neurons(drawn.validated.trials)
    tops = read_top_maps(paths, store, {*_neurons(drawn.judged.trials), *tested})
    lettered = {}
    if tested:
        stores = open_stores(paths.stores(store, config.activations.n_shards))
        cards = {neuron: tops[neuron].head(config.judge.top_k).images for neuron in tested}
        seed = hash64("letters", config.judge.seed, store)
        lettered = letter_images(stores, cards, seed, config.selectivity.image_score)
    return ImageExhibit(ShownImages.of(config, paths, store), tops, lettered)


def _neurons(trials: pd.DataFrame) -> list[Neuron]:
    places = (trials[name].tolist() for name in ("layer", "unit"))
    return [Neuron(*place) for place in zip(*places, strict=True)]


def text_exhibits(
    config: Config, paths: Paths, drawn: Sequence[StoreTrials]
) -> dict[str, TextExhibit]:
    """Return what is shown of neurons of language models, by model."""
    assert config.judge is not None
    of_text = [one for one in drawn if config.modality_of(one.candidates.store) == "text"]
    texts = read_texts(config, paths) if of_text else {}
    found = {}
    for one in of_text:
        model = one.candidates.store
        contexts = contexts_of(paths, model, one.judged.trials)
        found[model] = TextExhibit(contexts, texts, config.judge.context_bytes)
    return found


def contexts_of(paths: Paths, model: str, neurons: pd.DataFrame) -> dict[Neuron, pd.DataFrame]:
    """Return the top contexts of some neurons of a language model, in the order of rank.

    Parameters
    ----------
    paths : Paths
        The run.
    model : str
        Name of the model.
    neurons : DataFrame
        `layer` and `unit`, among others.
    """
    contexts = read_parquet(paths.contexts(model), CONTEXT_COLUMNS).sort_values("rank")
    wanted = neurons[["layer", "unit"]].merge(contexts, on=["layer", "unit"])
    parts = [part for _, part in wanted.groupby(["layer", "unit"], sort=False)]
    return {Neuron(int(part["layer"].iloc[0]), int(part["unit"].iloc[0])): part for part in parts}


def read_texts(config: Config, paths: Paths) -> dict[int, str]:
    """Return the texts of the match split that models read, by document id."""
    documents = read_split(paths, "match", config.activations.max_documents)
    return dict(zip(documents["id"].tolist(), documents["text"].tolist(), strict=True))

"""What a finished run knows of its matched neurons, one model after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.analysis.columns import (
    CONTEXT_COLUMNS,
    NEURON_COLUMNS,
    VOCABULARY_COLUMNS,
    WRITTEN_COLUMNS,
)
from rosetta.analysis.counts import model_shape
from rosetta.analysis.image_tables import read_image_table
from rosetta.atlas.run_tables import printed
from rosetta.config import Config
from rosetta.config.image_stores import encoders_of, stores_of_group
from rosetta.config.names import model_of_store
from rosetta.inputs.text.documents import CONTEXT_BYTES, around, document_name
from rosetta.judging.annotate import ANNOTATION_COLUMNS
from rosetta.judging.verdicts import VERDICT_COLUMNS
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, read_parquet_metadata

KEY = ["layer", "unit"]
_OF_MODEL = ["model", *KEY]


@dataclass(frozen=True)
class Matched:
    """The matched neurons of all models, and what their matches say of each.

    Attributes
    ----------
    neurons : DataFrame
        `model`, `layer`, `unit`, `n_partners`, `mean_r`, `max_r`, `min_r` and `groups`, one row per
        neuron, in this order.
    """

    neurons: pd.DataFrame

    @classmethod
    def of(cls, matches: pd.DataFrame) -> Matched:
        """Return those of a table `matches`: both sides of every match, each match once."""
        anchors = [f"{name}_anchor" for name in _OF_MODEL]
        sides = [
            matches[[*own, *other, "r", "group"]].set_axis(
                [*_OF_MODEL, "partner", "partner_layer", "partner_unit", "r", "group"], axis=1
            )
            for own, other in ((anchors, _OF_MODEL), (_OF_MODEL, anchors))
        ]
        both = pd.concat(sides, ignore_index=True)
        groups = both.groupby(_OF_MODEL)["group"].agg(lambda names: list(dict.fromkeys(names)))
        once = both.drop_duplicates([*_OF_MODEL, "partner", "partner_layer", "partner_unit"])
        found = once.groupby(_OF_MODEL)["r"].agg(
            n_partners="size", mean_r="mean", max_r="max", min_r="min"
        )
        return cls(found.assign(groups=groups).reset_index())

    def of_model(self, model: str) -> pd.DataFrame:
        """Return those of one model."""
        return self.neurons[self.neurons["model"] == model].reset_index(drop=True)


def neuron_rows(config: Config, paths: Paths, matched: Matched) -> pd.DataFrame:
    """Return the table `neurons` of a run.

    Raises
    ------
    StoreError
        If a result is missing or damaged.
    """
    parts = [
        _text_neurons(paths, model, matched.of_model(model)) for model in config.used_models("text")
    ]
    parts += [
        _image_neurons(config, paths, store, wanted) for store, wanted in _shown(config, matched)
    ]
    rows = _named(paths, pd.concat(parts, ignore_index=True))
    layers = {model: model_shape(paths, model).n_layers for model in rows["model"].unique()}
    deepest = (rows["model"].map(layers) - 1).clip(lower=1)
    rows = rows.assign(depth=rows["layer"] / deepest)
    if not config.annotation:
        return rows
    asked = read_parquet(paths.annotations, ANNOTATION_COLUMNS).rename(
        columns={
            "name": "annotation",
            "status": "annotation_status",
            "is_monosemantic": "annotation_monosemantic",
        }
    )
    return rows.merge(asked.drop(columns="examples"), on=_OF_MODEL, how="left")


def _text_neurons(paths: Paths, model: str, wanted: pd.DataFrame) -> pd.DataFrame:
    neurons = read_parquet(paths.neurons(model), NEURON_COLUMNS)
    tokens = read_parquet(paths.vocabulary(model), [*VOCABULARY_COLUMNS, *WRITTEN_COLUMNS])
    found = wanted.merge(neurons, on=KEY, validate="one_to_one")
    found = found.merge(tokens, on=KEY, validate="one_to_one")
    domains = read_parquet_metadata(paths.neurons(model))["domains"]
    return found.assign(domains=[domains] * len(found))


def _shown(config: Config, matched: Matched) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the stores of images of all groups, each with its model's neurons matched in them."""
    groups: dict[str, list[str]] = {}
    for models in config.groups("images"):
        for store in stores_of_group(config, models):
            groups.setdefault(store, []).append("--".join(models))
    for store, names in groups.items():
        wanted = matched.of_model(model_of_store(store))
        mine = wanted["groups"].map(lambda own, names=names: bool({*own} & {*names}))
        yield store, wanted[mine.astype(bool)].reset_index(drop=True)


def _image_neurons(config: Config, paths: Paths, store: str, wanted: pd.DataFrame) -> pd.DataFrame:
    """Return what was measured on the images of some stores; monosemanticity is by their first
    encoder.
    """
    scores = read_image_table(paths, "monosemanticity", store)
    scores = scores[scores["encoder"].isin(encoders_of(config, store)[:1])]
    found = wanted.merge(read_image_table(paths, "neurons", store), on=KEY, validate="one_to_one")
    for table, measure in (
        (scores, "monosemanticity"),
        (read_image_table(paths, "factors", store), "explained_variance"),
    ):
        one = table[[*KEY, measure]].astype({"layer": int, "unit": int})
        found = found.merge(one, on=KEY, how="left", validate="one_to_one")
    facts = read_parquet_metadata(paths.neurons(model_of_store(store)))["stores"][store]
    return found.assign(stores=store, domains=[facts["domains"]] * len(found))


def _named(paths: Paths, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows of neurons with their printed names, without what no table of an atlas has."""
    shapes: dict[str, NeuronShape] = {
        model: model_shape(paths, model) for model in rows["model"].unique()
    }
    return rows.assign(neuron=printed(rows, _OF_MODEL, shapes))


def context_rows(
    config: Config, paths: Paths, matched: Matched, documents: pd.DataFrame | None
) -> pd.DataFrame:
    """Return the table `contexts` of a run.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    matched : Matched
        The neurons whose contexts are told.
    documents : DataFrame or None
        The match split (id, text), if the texts around contexts are to be told, too.
    """
    parts = [
        matched.of_model(model)[_OF_MODEL].merge(
            read_parquet(paths.contexts(model), CONTEXT_COLUMNS), on=KEY
        )
        for model in config.used_models("text")
    ]
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if rows.empty:
        return rows
    if documents is not None:
        rows = rows.assign(**_texts_of(rows, documents))
    ids = [document_name(int(one)) for one in rows["document"]]
    return _named(paths, rows).assign(document=ids)


def _texts_of(rows: pd.DataFrame, documents: pd.DataFrame) -> dict[str, list[str]]:
    """Return the texts before, at and after contexts."""
    texts = dict(zip(documents["id"], documents["text"], strict=True))
    places = zip(rows["document"], rows["byte_start"], rows["byte_end"], strict=True)
    told = [around(texts[one], start, end, CONTEXT_BYTES) for one, start, end in places]
    return {name: [one[i] for one in told] for i, name in enumerate(("before", "token", "after"))}


def verdict_rows(config: Config, paths: Paths, matched: Matched) -> pd.DataFrame:
    """Return the table `verdicts` of a run: of its matched neurons that a judge was asked about."""
    if not config.judge:
        return pd.DataFrame()
    asked = read_parquet(paths.verdicts, VERDICT_COLUMNS)
    models = asked["store"].map(model_of_store)
    # The stores of a language model have its name.
    asked = asked.assign(
        model=models, stores=asked["store"].where(models.isin(config.used_models("images")))
    )
    found = matched.neurons[_OF_MODEL].merge(asked, on=_OF_MODEL)
    return _named(paths, found.drop(columns=["store", "trial", "is_rosetta", "question"]))


def image_rows(config: Config, paths: Paths, matched: Matched, pictures: bool) -> pd.DataFrame:
    """Return the table `images` of a run; `pictures` says whether the images themselves are told,
    too.
    """
    parts = [
        _top_images(config, paths, store, wanted, pictures)
        for store, wanted in _shown(config, matched)
    ]
    return _named(paths, pd.concat(parts, ignore_index=True)) if parts else pd.DataFrame()


def _top_images(
    config: Config, paths: Paths, store: str, wanted: pd.DataFrame, pictures: bool
) -> pd.DataFrame:
    from rosetta.activations.captured import read_held
    from rosetta.storage.digests import name64

    found = wanted[_OF_MODEL].merge(read_image_table(paths, "top_images", store), on=KEY)
    grid = read_held(paths.captured(model_of_store(store)), store).grid
    peaks = np.array([int(np.argmax(one)) for one in found["map"]], np.int64)
    told = found.assign(
        stores=store,
        image=[name64(int(one)) for one in found["image_id"]],
        peak_row=peaks // grid[1],
        peak_column=peaks % grid[1],
        n_rows=grid[0],
        n_columns=grid[1],
    )
    if pictures:
        told["picture"] = _pictures(config, paths, store, found["image"].to_numpy(np.int64))
    return told.drop(columns=["image_id", "map"])


def _pictures(config: Config, paths: Paths, store: str, numbers: np.ndarray) -> list[bytes]:
    """Return images by their numbers in the order of the stores, as small WebP files."""
    from rosetta.inputs.images.shown_images import ShownImages
    from rosetta.inputs.images.thumbnails import thumbnail_file

    shown = ShownImages.of(config, paths, store)
    once = np.unique(numbers)
    files = dict(zip(once.tolist(), map(thumbnail_file, shown.pixels(once)), strict=True))
    return [files[number] for number in numbers.tolist()]

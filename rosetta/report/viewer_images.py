"""What the viewer tells of neurons of models that see images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.counts import model_shape
from rosetta.analysis.image_tables import read_image_table
from rosetta.analysis.short_numbers import short_number
from rosetta.config import Config
from rosetta.config.image_stores import encoders_of
from rosetta.config.names import model_of_store
from rosetta.models.neurons import NeuronShape
from rosetta.report.viewer_numbers import NUMBERS
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet_metadata

_KEY = ["layer", "unit"]


@dataclass(frozen=True)
class ImageModel:
    """What is known of a model's neurons that are shown, on the images of its stores.

    Attributes
    ----------
    domains : list of str
        Classes of the images.
    shape : NeuronShape
    neurons : DataFrame
        By layer and unit, all that was measured.
    classes : DataFrame
        layer, unit and `domain`: the class of each top image.
    """

    domains: list[str]
    shape: NeuronShape
    neurons: pd.DataFrame
    classes: pd.DataFrame
    neuronpedia: str | None = None

    @classmethod
    def of(cls, config: Config, paths: Paths, store: str, shown: pd.DataFrame) -> ImageModel:
        """Read what was found of the neurons that are shown; monosemanticity is by the first
        encoder of the stores.
        """
        model, encoders = model_of_store(store), encoders_of(config, store)
        tables = {
            name: read_image_table(paths, name, store)
            for name in ("neurons", "factors", "monosemanticity", "top_images")
        }
        scores = tables["monosemanticity"]
        scores = scores[scores["encoder"].isin(encoders[:1])][[*_KEY, "monosemanticity"]]
        factors = tables["factors"][[*_KEY, "explained_variance"]]
        neurons = shown.merge(tables["neurons"], on=_KEY)
        for table in (scores, factors):
            one = table.astype({"layer": int, "unit": int})
            neurons = neurons.merge(one, on=_KEY, how="left", validate="one_to_one")
        return cls(
            read_parquet_metadata(paths.neurons(model))["stores"][store]["domains"],
            model_shape(paths, model),
            neurons.set_index(_KEY),
            shown.merge(tables["top_images"][[*_KEY, "domain"]], on=_KEY),
        )

    @property
    def n_layers(self) -> int:
        """Its layers."""
        return self.shape.n_layers

    def describe(self, layer: int, unit: int) -> dict[str, Any]:
        """Return a neuron's name and numbers (None where it has none), and the share of each
        class's cells it fires at.
        """
        row = self.neurons.loc[layer, unit]
        return {
            "name": self.shape.name(layer, unit),
            "numbers": [short_number(float(row.get(name, np.nan))) for name in NUMBERS],
            "firing": [short_number(share) for share in row["domain_firing"]],
        }

    def main_domains(self, neurons: list[tuple[int, int]]) -> list[int]:
        """Return the class of most of each neuron's top images; the first on ties."""
        number = self.classes["domain"].map({name: i for i, name in enumerate(self.domains)})
        counts = pd.crosstab([self.classes["layer"], self.classes["unit"]], number)
        main = counts.idxmax(axis=1).to_dict()
        return [int(main[neuron]) for neuron in neurons]

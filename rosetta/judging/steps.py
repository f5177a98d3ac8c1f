"""The step that asks a language model what neurons respond to."""

from __future__ import annotations

import json

import pandas as pd

from rosetta.analysis.columns import CONTEXT_COLUMNS
from rosetta.config import Config, group_name
from rosetta.errors import ConfigError
from rosetta.inputs.text.build import read_split
from rosetta.judging.annotate import annotate_neurons
from rosetta.judging.endpoint import Endpoint
from rosetta.judging.prompt import annotation_messages
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.digests import read_bytes
from rosetta.storage.tables import read_parquet, write_parquet


def annotate_step(config: Config, paths: Paths) -> None:
    """Annotate the best Rosetta Neurons of every group, and their partners."""
    settings = config.annotation
    if settings is None:
        raise ConfigError("annotation: is not configured. Give base_url and model.")
    endpoint = Endpoint(settings)
    documents = read_split(paths, "match", config.activations.max_documents)
    texts = dict(zip(documents["id"].tolist(), documents["text"].tolist(), strict=True))
    questions = {}
    for model, neurons in _neurons(config, paths).groupby("model", sort=False):
        contexts = read_parquet(paths.contexts(model), CONTEXT_COLUMNS)
        wanted = neurons.merge(
            contexts[contexts["rank"] <= settings.n_contexts], on=["layer", "unit"]
        )
        for (layer, unit), part in wanted.groupby(["layer", "unit"], sort=False):
            messages = annotation_messages(part.sort_values("rank"), texts, settings.context_bytes)
            questions[model, int(layer), int(unit)] = messages
    found = annotate_neurons(questions, endpoint.ask, paths.answers, settings)
    say(f"annotations: {found['status'].value_counts().to_dict()}")
    write_parquet(paths.annotations, found, {"model": settings.model})


def _neurons(config: Config, paths: Paths) -> pd.DataFrame:
    """Return the neurons to annotate: those of the Rosetta Neurons that the viewer shows first,
    each once.
    """
    assert config.annotation is not None
    rows = []
    for group in config.groups("text"):
        shown = json.loads(read_bytes(paths.excerpts(group_name(group))))
        for neuron in shown["neurons"][: config.annotation.n_neurons]:
            rows += [
                (model, p["layer"], p["unit"])
                for model, p in zip(group, neuron["partners"], strict=True)
            ]
    return pd.DataFrame(rows, columns=["model", "layer", "unit"]).drop_duplicates()

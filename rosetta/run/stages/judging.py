"""The stages that ask a model for names of neurons, and whether they are monosemantic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rosetta.config import ChatEndpoint, Config
from rosetta.config.image_stores import has_factors
from rosetta.config.judge import judged_stores
from rosetta.config.names import model_of_store
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.images import images_of
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, once

# How an endpoint is reached, and what it may cost, changes no answer.
_HOW = {"api_key_variable", "requests_per_minute", "n_parallel", "timeout", "max_retries"}
_COSTS = {"price_per_call", "max_cost"}


def _asked(config: Config) -> list[Wildcards]:
    return once(config) if config.annotation else []


def _annotate(config: Config, _name: str) -> Slice:
    return {"annotation": _question(config.annotation) if config.annotation else None}


def _question(endpoint: ChatEndpoint) -> dict[str, Any]:
    """Return the settings of a section that answers depend on."""
    return endpoint.model_dump(mode="json", exclude=_HOW | _COSTS)


def _judged(config: Config) -> list[Wildcards]:
    return once(config) if config.judge else []


def _judge(config: Config, _name: str) -> Slice:
    if config.judge is None:
        return {"judge": None}
    first, second = config.judge, config.judge.second
    asked = {name: value for name, value in _question(first).items() if name != "models"}
    asked["second"] = _question(second) if second else None
    return {"judge": {**asked, "stores": judged_stores(config)}}  # which follow from the models


def _shown(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return what is shown of judged neurons: texts, or images and what neurons do on these."""
    stores = judged_stores(config) if config.judge else []
    found = [path for store in stores for path in _shown_of(config, paths, store)]
    return list(dict.fromkeys(found))


def _shown_of(config: Config, paths: Paths, store: str) -> list[Path]:
    model = model_of_store(store)
    if config.modality_of(store) == "text":
        return [paths.corpus_manifest, paths.neurons(model), paths.contexts(model)]
    tables = [paths.neurons(model), paths.top_images(model)]
    tables += [paths.factors(model)] if has_factors(config, store) else []
    tested = config.judge is not None and config.judge.n_validated
    activations = files.stores(config, paths, {"model": store}) if tested else []
    return [*tables, paths.captured(model), *images_of(config, paths, store), *activations]


STAGES = (
    Stage(
        name="annotate",
        version=1,
        phase="results",
        reads=("corpus", "neurons", "contexts"),
        jobs=_asked,
        config_slice=_annotate,
        inputs=files.both(
            files.corpus, files.of_groups("excerpts", "text"), files.of_models("contexts", "text")
        ),
        makes=files.one("annotations"),
    ),
    Stage(
        name="judge",
        version=1,
        phase="results",
        reads=(
            "corpus",
            "images",
            "generate",
            "captured",
            "activations",
            "anchors",
            "neurons",
            "image_neurons",
        ),
        jobs=_judged,
        config_slice=_judge,
        resources=Sized(by="stage"),
        tables={
            "judge": "share of neurons that a judge finds monosemantic, Rosetta Neurons, others, "
            "and the difference, with intervals over trials",
            "judge_trials": "how many neurons there were, and how many were judged",
            "judge_validation": "how right the judge is, with intervals, beside chance",
            "judge_agreement": "how far the judge agrees with a second one, and on drawn images "
            "with the exact one",
        },
        inputs=files.both(files.of_groups("rosetta"), _shown),
        makes=files.both(files.one("verdicts"), files.one("predictions")),
    ),
)

"""The stages of what neurons do to a model's output: attribution, and ablation."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config, group_name
from rosetta.config.ablation import ablated_rungs
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards


def _pairs(config: Config) -> list[Wildcards]:
    asked = config.pairs("text") if config.attribution else []
    return [{"pair": group_name(pair)} for pair in asked]


def _with_pairs(config: Config) -> list[Wildcards]:
    return [{}] if _pairs(config) else []


def _rungs(config: Config) -> list[Wildcards]:
    # A ladder may name a rung twice.
    names = dict.fromkeys(group_name(group) for _, group in ablated_rungs(config))
    return [{"group": name} for name in names]


def _with_rungs(config: Config) -> list[Wildcards]:
    return [{}] if config.ablation else []


def _attribution(config: Config, _pair: str) -> Slice:
    settings = config.attribution.model_dump(mode="json") if config.attribution else None
    return {"attribution": settings, "fold_final_norm": config.selectivity.fold_final_norm}


def _attribution_tables(config: Config, _name: str) -> Slice:
    return {"ladders": config.text_ladders}


def _ablate(config: Config, _group: str) -> Slice:
    if config.ablation is None:
        return {"ablation": None}
    asked = config.ablation.model_dump(mode="json", exclude={"ladder", "rungs"})
    of_null = {"ladders": config.ladders, "null_quantile": config.controls.null_quantile}
    return {
        "ablation": asked,
        "sequence_length": config.activations.sequence_length,
        "batch_size": config.activations.batch_size,
        **(of_null | {"ladder": config.ablation.ladder} if config.ablation.above else {}),
    }


def _tables(config: Config, _name: str) -> Slice:
    if config.ablation is None:
        return {"ablation": None}
    return {
        "ladder": config.ablation.ladder,
        "rungs": [list(group) for _, group in ablated_rungs(config)],
        "ladders": config.ladders,
        "bootstrap": config.bootstrap.model_dump(mode="json"),
    }


def _heldout(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    text = config.modality_of(files.models(job)[0]) == "text"
    return [paths.corpus_manifest if text else paths.image_set("heldout")]


def _of_models(_config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return what is known of all models of a pair or a rung, and of their neurons."""
    places = (paths.model_manifest, paths.neurons)
    return [place(name) for place in places for name in files.models(job)]


def _vocabularies(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    names = files.models(job)
    return [paths.vocabulary(name) for name in names if config.modality_of(name) == "text"]


def _losses(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [paths.ablation(job["group"]) for job in _rungs(config)]


STAGES = (
    Stage(
        name="attribution",
        version=2,
        phase="neurons",
        reads=("train", "model", "match", "neurons"),
        job="{pair}",
        jobs=_pairs,
        config_slice=_attribution,
        resources=Sized(by="pair"),
        inputs=files.both(files.one("matches", "pair"), _of_models),
        makes=files.one("attribution", "pair"),
    ),
    Stage(
        name="ablate",
        version=2,
        phase="ablation",
        reads=(
            "corpus",
            "images",
            "train",
            "model",
            "nulls",
            "match",
            "anchors",
            "vocabulary",
            "neurons",
            "image_neurons",
        ),
        job="{group}",
        jobs=_rungs,
        config_slice=_ablate,
        resources=Sized(by="group", gpu="always"),
        inputs=files.both(
            _heldout,
            files.one("rosetta", "group"),
            _of_models,
            _vocabularies,
            # Which matches are above a null model, if that is asked for.
            files.group_matches,
            files.all_nulls,
        ),
        makes=files.one("ablation", "group"),
    ),
    Stage(
        name="attribution_tables",
        version=1,
        phase="results",
        reads=("train", "model", "attribution"),
        jobs=_with_pairs,
        config_slice=_attribution_tables,
        local=True,
        tables={
            "attribution": "per pair of language models and range of r: the share of matches whose "
            "partners promote the same strings, beside that of random pairs of the same layers"
        },
        inputs=files.both(
            files.of_pairs("attribution", "text"), files.of_models("model_manifest", "text")
        ),
    ),
    Stage(
        name="attribution_figures",
        version=1,
        phase="results",
        reads=("attribution_tables",),
        jobs=_with_pairs,
        local=True,
        figures={
            "attribution": "share of matches whose partners promote the same strings, by r and by "
            "model size"
        },
        inputs=files.tables("attribution"),
    ),
    Stage(
        name="ablation_tables",
        version=2,
        phase="results",
        reads=("ablate",),
        jobs=_with_rungs,
        config_slice=_tables,
        local=True,
        tables={
            "ablation": "per model and treatment: loss on held-out samples, the difference from "
            "the intact model and from Rosetta Neurons, with intervals; whole and by domain",
            "ablation_scaling": "how what ablations cost changes with size, with intervals",
        },
        inputs=_losses,
    ),
    Stage(
        name="ablation_figures",
        version=2,
        phase="results",
        reads=("ablation_tables",),
        jobs=_with_rungs,
        local=True,
        figures={
            "ablation": "what ablating Rosetta Neurons costs, and what keeping only them, beside "
            "as many others",
        },
        inputs=files.tables("ablation"),
    ),
)

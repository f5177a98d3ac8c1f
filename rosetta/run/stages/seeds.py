"""The stages that compare trainings of one recipe with one another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rosetta.config import Config, group_name, group_pairs
from rosetta.config.across_seeds import other_families
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.correlation import seen
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, once


def _compared(config: Config) -> list[Wildcards]:
    return [{"model": model} for model in config.across_seeds.models]


def _once(config: Config) -> Sequence[Wildcards]:
    return once(config) if config.across_seeds.models else []


def _matched(config: Config, model: str) -> Slice:
    told = {"trainings": config.replicates(model), "k": config.matching.k}
    return {**seen(config), **told, "document_seeds": config.controls.document_seeds}


def _tables(config: Config, _name: str) -> Slice:
    models = config.across_seeds.models
    families = {model: other_families(config, model) for model in models}
    ladders = {ladder for others in families.values() for ladder in others.values()}
    named = {*models, *(other for others in families.values() for other in others)}
    return {
        "families": families,
        "trainings": {name: config.replicates(name) for name in sorted(named)},
        "ladders": {name: config.ladders[name] for name in sorted(ladders)},
        "null_quantile": config.controls.null_quantile,
    }


def _stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the stores of all trainings of a model."""
    found: list[Path] = []
    for name in config.replicates(job["model"]):
        found += files.stores(config, paths, {"model": name})
        found += files.captured(config, paths, {"group": name})
    return list(dict.fromkeys(found))


def _looked_at(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return the matches of trainings with one another and with those of other families."""
    found: list[Path] = []
    for model in config.across_seeds.models:
        found += [paths.seed_matches(model), paths.model_manifest(model)]
        for other, ladder in other_families(config, model).items():
            first = (model, other) in config.pairs()
            pair = (model, other) if first else (other, model)
            found += [paths.matches(group_name(one)) for one in config.replicate_pairs(pair)]
            rungs = map(tuple, config.ladders[ladder])
            pairs = (group_name(one) for rung in rungs for one in group_pairs(rung))
            found += [
                paths.null_matches(control, one)
                for one in pairs
                for control in config.controls_of(one)
            ]
    return list(dict.fromkeys(found))


STAGES = (
    Stage(
        name="seed_matches",
        version=1,
        phase="emergence",
        reads=("corpus", "images", "activations", "captured"),
        job="{model}",
        jobs=_compared,
        config_slice=_matched,
        slice_by="model",
        resources=Sized(by="model", gpu="live"),
        inputs=files.both(files.samples, _stores),
        makes=files.one("seed_matches", "model"),
    ),
    Stage(
        name="across_seeds",
        version=1,
        phase="results",
        reads=("train", "model", "nulls", "match", "seed_matches"),
        jobs=_once,
        config_slice=_tables,
        local=True,
        tables={
            "across_seeds": "per model: how much its trainings share, beside matches that fall on "
            "neurons at random, with 95% intervals over trainings",
            "across_seeds_units": "per model: neurons that have a partner in so many of the other "
            "trainings, and how many would by chance",
            "across_seeds_families": "per model and another family's: whether neurons that more "
            "trainings share are shared by that family",
            "across_seeds_neurons": "per neuron of every training: in how many of the others it "
            "has a partner, with an interval of the share",
        },
        inputs=_looked_at,
    ),
    Stage(
        name="across_seeds_figures",
        version=1,
        phase="results",
        reads=("across_seeds",),
        jobs=_once,
        local=True,
        figures={
            "across_seeds": "in how many trainings neurons have partners, beside chance, and "
            "whether another family shares them"
        },
        inputs=files.tables("across_seeds", "across_seeds_units", "across_seeds_families"),
    ),
)

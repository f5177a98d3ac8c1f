"""The stages that tell when Rosetta Neurons emerge: of steps of a training, and over all of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rosetta.config import PAIR_SEPARATOR, Config, group_name, group_pairs
from rosetta.config.controls import CALIBRATING
from rosetta.config.names import first_training
from rosetta.config.training_ladders import step_models, step_pairs, training_rungs
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.correlation import seen
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, once


def final_pair(pair: str) -> str:
    """Return the name of a pair at the end of its training, by its name at a step."""
    return PAIR_SEPARATOR.join(map(first_training, pair.split(PAIR_SEPARATOR)))


def _steps_of_pairs(config: Config) -> list[Wildcards]:
    return [{"pair": pair} for pair in step_pairs(config)]


def _once(config: Config) -> Sequence[Wildcards]:
    return once(config) if config.training_ladders else []


def _past(config: Config, _pair: str) -> Slice:
    return {**seen(config), "intervals": config.intervals.model_dump(mode="json")}


def _emergence(config: Config, _name: str) -> Slice:
    rungs = {name: training_rungs(config, name) for name in config.training_ladders}
    counted = {name: config.ladders_of(found[-1].pair)[0] for name, found in rungs.items()}
    told: dict[str, Any] = {
        "training_ladders": {name: list(map(list, found)) for name, found in rungs.items()},
        "ladders": {name: config.ladders[ladder] for name, ladder in counted.items()},
        "nulls": {name: config.controls.seeds(name) for name in CALIBRATING},
        "null_quantile": config.controls.null_quantile,
        "bootstrap": config.bootstrap.model_dump(mode="json"),
    }
    if config.correlation.floor_of_nulls:
        told["floor"] = {"ladders": config.ladders, "n_blocks": config.intervals.n_blocks}
    return told


def _stores(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    """Return the stores of a pair at a step, and at the end of its training."""
    pairs = job["pair"], final_pair(job["pair"])
    found = [files.stores_of_models(config, paths, {"pair": pair}) for pair in pairs]
    return list(dict.fromkeys(path for part in found for path in part))


def _all_pairs(config: Config) -> list[str]:
    """Return the pairs of all training ladders, at their steps and at their ends."""
    ends = [group_name(tuple(ladder.models)) for ladder in config.training_ladders.values()]
    return list(dict.fromkeys([*step_pairs(config), *ends]))


def _nulls_of_ladder(config: Config, paths: Paths, end: str) -> list[Path]:
    """Return the null models' matches of the first ladder that counts the end of a training; of
    all ladders, where these tell what was screened for.
    """
    first = config.ladders_of(end)[:1]  # none counts a pair at a step
    ladders = list(config.ladders) if config.correlation.floor_of_nulls else first
    rungs = [tuple(rung) for ladder in ladders for rung in config.ladders[ladder]]
    pairs = dict.fromkeys(group_name(pair) for rung in rungs for pair in group_pairs(rung))
    named = [name for name in CALIBRATING if config.controls.seeds(name)]
    return [paths.null_matches(name, pair) for pair in pairs for name in named]


def _looked_at(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    """Return all that is told of the pairs of training ladders at their steps."""
    found: list[Path] = []
    for pair in _all_pairs(config):
        found += [paths.matches(pair), paths.replicates(pair)]
        found += [paths.null_matches(name, pair) for name in config.controls_of(pair)]
        found += _nulls_of_ladder(config, paths, pair)
    for pair in step_pairs(config):
        found += [paths.own_past(pair), paths.final_pairs(pair)]
    for model in [*step_models(config), *map(first_training, step_models(config))]:
        written = config.modality_of(model) == "text"
        found += [paths.model_manifest(model), *([paths.vocabulary(model)] if written else [])]
    return list(dict.fromkeys(found))


STAGES = (
    Stage(
        name="past",
        version=1,
        phase="emergence",
        reads=("corpus", "images", "activations", "captured", "match"),
        job="{pair}",
        jobs=_steps_of_pairs,
        config_slice=_past,
        resources=Sized(by="pair", gpu="live"),
        inputs=files.both(
            files.samples, _stores, lambda _, paths, job: [paths.matches(final_pair(job["pair"]))]
        ),
        makes=lambda _, paths, job: [paths.own_past(job["pair"]), paths.final_pairs(job["pair"])],
    ),
    Stage(
        name="emergence",
        version=2,
        phase="results",
        reads=("train", "model", "vocabulary", "nulls", "intervals", "match", "past"),
        jobs=_once,
        config_slice=_emergence,
        resources=Sized(by="stage"),
        tables={
            "emergence": "per training ladder and step: matches, those above each null model and "
            "above all of them, beside those of exchanged samples, mean r, those gained, kept and "
            "lost since the step before, and the share of the final ones whose pair is above "
            "already; with 95% intervals",
            "survival": "per step at which matches are new: how many there still are at each later "
            "step, with 95% intervals",
            "survival_curve": "how many matches that are new after the first step last how long "
            "(Kaplan–Meier), with their half-life",
            "emergence_neurons": "per Rosetta Neuron of the end of a training: from which step on "
            "its pair's r is above the null models, and both are nearest to each other",
            "emergence_groups": "per step: means of neurons whose matches will last and will not, "
            "and r with their own final selves of Rosetta Neurons and of the others",
        },
        inputs=_looked_at,
    ),
    Stage(
        name="emergence_figures",
        version=2,
        phase="results",
        reads=("emergence",),
        jobs=_once,
        local=True,
        figures={
            "emergence": "matches over the training above chance, how long they last, when the "
            "final ones are there, and r of neurons with their own final selves",
        },
        inputs=files.tables(
            "emergence",
            "survival",
            "survival_curve",
            "emergence_neurons",
            "emergence_groups",
        ),
    ),
)

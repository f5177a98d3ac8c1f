"""The stages of the analytical model: simulation, β without matches, prediction, comparison."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rosetta.config import Config
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, once_of_text


def _betas(config: Config) -> list[Wildcards]:
    return [{"beta": beta} for beta in config.theory.simulation.betas if once_of_text(config)]


def _points(config: Config) -> list[Wildcards]:
    points = config.theory.sweep.points() if once_of_text(config) else []
    return [{"parameter": parameter, "value": value} for parameter, value in points]


def _with_sweep(config: Config) -> list[Wildcards]:
    return once_of_text(config) if config.theory.sweep.points() else []


def _with_sizes(config: Config) -> list[Wildcards]:
    return once_of_text(config) if config.theory.predict_sizes else []


def _simulated(config: Config, *keys: str) -> Slice:
    # Lists of decays and swept values say which jobs there are, not what one of them makes.
    included = {"kappa", "gamma", "tau", "simulation", *keys}
    theory = config.theory.model_dump(mode="json", include=included)
    del theory["simulation"]["betas"]
    return {"theory": theory}


def _simulate(config: Config, _beta: str) -> Slice:
    return {**_simulated(config, "whole"), "null_quantile": config.controls.null_quantile}


def _sweep(config: Config, _name: str) -> Slice:
    return _simulated(config)


def _section(config: Config, *keys: str) -> Slice:
    return {"theory": config.theory.model_dump(mode="json", include=set(keys))}


def _part(*keys: str) -> Callable[[Config, str], Slice]:
    return lambda config, _name: _section(config, *keys)


def _ladders(config: Config, _name: str) -> Slice:
    return {"ladders": config.ladders}


def _compare(config: Config, _name: str) -> Slice:
    return {"ladders": config.ladders, **_section(config, "kappa", "gamma", "tau")}


def _figures(config: Config, _name: str) -> Slice:
    return {"ladders": config.ladders, **_section(config, "tau", "decay")}


def _simulations(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [paths.theory_simulation(beta) for beta in config.theory.simulation.betas]


def _swept(config: Config, paths: Paths, _job: Wildcards) -> list[Path]:
    return [paths.theory_sweep(*point) for point in config.theory.sweep.points()]


EXPONENT_TABLES = {
    "theory_simulation": "matches and isolations of synthetic models with planted features",
    "theory_exponents": "their exponents in the number of neurons",
    "theory_finite_size": "fitted exponents beside the exact solution's at the same sizes",
}
COMPARISON_TABLES = {
    "theory_vs_measured": "exponents of counts and selectivity: predicted, and measured",
    "theory_leave_one_out": "each rung's count, predicted from the other rungs",
    "theory_matched_r": "the distribution of r, predicted and measured, per rung",
    "theory_identifiability": "what the counts can tell of the model's parameters",
}

STAGES = (
    Stage(
        name="theory_simulate",
        version=2,
        phase="theory",
        job="beta-{beta}",
        jobs=_betas,
        config_slice=_simulate,
        resources=Sized(by="stage"),
        makes=files.one("theory_simulation", "beta"),
    ),
    Stage(
        name="theory_exponents",
        version=3,
        phase="theory",
        jobs=once_of_text,
        reads=("theory_simulate",),
        config_slice=_part("kappa", "gamma", "tau"),
        local=True,
        tables=EXPONENT_TABLES,
        inputs=_simulations,
    ),
    Stage(
        name="theory_sweep",
        version=2,
        phase="theory",
        job="{parameter}-{value}",
        jobs=_points,
        config_slice=_sweep,
        resources=Sized(by="stage"),
        makes=files.one("theory_sweep", "parameter", "value"),
    ),
    Stage(
        name="theory_sweep_table",
        version=3,
        phase="theory",
        reads=("theory_sweep",),
        jobs=_with_sweep,
        tables={
            "theory_sweep": "simulations with other parameters of the model",
            "theory_sweep_exponents": "their exponents",
        },
        inputs=_swept,
    ),
    Stage(
        name="theory_frontiers",
        version=1,
        phase="theory",
        jobs=once_of_text,
        config_slice=_part("kappa", "gamma", "tau", "simulation"),
        local=True,
        tables={
            "theory_frontiers": "the last detectable feature, by size: exact and in the continuum",
            "theory_sensitivity": "the predicted count as one parameter of the model is scaled",
        },
    ),
    Stage(
        name="theory_ngrams",
        version=2,
        phase="theory",
        jobs=once_of_text,
        reads=("corpus",),
        config_slice=_part("decay"),
        resources=Sized(by="stage"),
        tables={"theory_ngrams": "β for every longest n-gram of the corpus"},
        inputs=files.corpus,
        makes=files.one("ngrams"),
    ),
    Stage(
        name="theory_beta",
        version=3,
        phase="theory",
        jobs=once_of_text,
        reads=("train", "model", "theory_ngrams"),
        config_slice=_ladders,
        local=True,
        tables={"theory_beta": "β of every ladder, by routes that see no match"},
        inputs=files.both(files.tables("theory_ngrams"), files.of_models("model_manifest", "text")),
    ),
    Stage(
        name="theory_compare",
        version=4,
        phase="theory",
        jobs=once_of_text,
        reads=("anchors", "counts", "fit", "describe", "theory_beta"),
        config_slice=_compare,
        local=True,
        tables=COMPARISON_TABLES,
        inputs=files.both(
            files.tables("theory_beta", "counts", "scaling", "polarization"),
            files.of_groups("rosetta", "text"),
        ),
    ),
    Stage(
        name="theory_predict",
        version=4,
        phase="theory",
        reads=("counts", "describe", "theory_beta"),
        jobs=_with_sizes,
        config_slice=_part("predict_sizes"),
        local=True,
        tables={"theory_predictions": "counts and selectivity of sizes beyond the ladders"},
        inputs=files.tables("theory_beta", "counts", "polarization"),
    ),
    Stage(
        name="theory_figures",
        version=4,
        phase="theory",
        jobs=once_of_text,
        reads=(
            "train",
            "model",
            "anchors",
            "theory_exponents",
            "theory_frontiers",
            "theory_ngrams",
            "theory_beta",
            "theory_compare",
        ),
        config_slice=_figures,
        local=True,
        figures={
            "theory_frontiers": "the last detectable feature, by size",
            "theory_exponents": "simulated and predicted exponents",
            "theory_beta": "the curves that β is read off",
            "theory_prediction": "prediction against measurement",
            "theory_identifiability": "profiles of the model's parameters",
        },
        inputs=files.both(
            files.tables("theory_frontiers", "theory_beta", *EXPONENT_TABLES, *COMPARISON_TABLES),
            files.of_groups("rosetta", "text"),
            files.of_models("model_manifest", "text"),
            files.one("ngrams"),
        ),
    ),
)

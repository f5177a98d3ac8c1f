"""The stages that compare ways to match: of every pair, and of all rungs."""

from __future__ import annotations

from collections.abc import Sequence

from rosetta.config import Config
from rosetta.run.stages import files
from rosetta.run.stages.analysis import laddered
from rosetta.run.stages.correlation import ON_PAIRS, seen
from rosetta.run.stages.record import Slice, Stage, Wildcards, once, per_pair_of_trainings


def _per_pair(config: Config) -> list[Wildcards]:
    return per_pair_of_trainings(config) if config.matching.instruments else []


def _once(config: Config) -> Sequence[Wildcards]:
    return once(config) if config.matching.instruments else []


def _instruments(config: Config, _pair: str) -> Slice:
    return {
        **seen(config),
        "precision": config.correlation.precision,
        "matching": config.matching.model_dump(mode="json"),
        "instruments": config.instruments.model_dump(mode="json", exclude={"null_quantile"}),
        "memory_gb": config.correlation.memory_gb,  # pairs that do not fit are left out
    }


def _instrument_tables(config: Config, name: str) -> Slice:
    quantile, names = config.instruments.null_quantile, config.matching.instruments
    return {**laddered(config, name), "null_quantile": quantile, "instruments": names}


STAGES = (
    Stage(
        name="instruments",
        version=2,
        phase="instruments",
        reads=("corpus", "images", "activations", "generate", "captured"),
        job="{pair}",
        jobs=_per_pair,
        config_slice=_instruments,
        resources=ON_PAIRS,
        inputs=files.both(files.samples, files.stores_of_models),
        makes=files.one("instruments", "pair"),
    ),
    Stage(
        name="instrument_tables",
        version=2,
        phase="results",
        reads=("train", "model", "instruments"),
        jobs=_once,
        config_slice=_instrument_tables,
        local=True,
        tables={
            "instruments": "per rung and instrument: matches above its null, with intervals over "
            "samples and over trainings, and what they share with mutual nearest neighbours",
            "instrument_scaling": "per ladder and instrument: exponent α with both intervals, and "
            "how far it is from that of mutual nearest neighbours",
            "similarity": "per rung: one similarity of the models, calibrated by permutation",
        },
        inputs=files.both(
            files.of_pairs_of_trainings("instruments"), files.of_trainings("model_manifest")
        ),
    ),
    Stage(
        name="instrument_figures",
        version=2,
        phase="results",
        reads=("instrument_tables",),
        jobs=_once,
        local=True,
        figures={
            "instruments": "exponents and counts under all instruments, and the calibrated "
            "similarity of the models, against model size",
        },
        inputs=files.tables("instruments", "instrument_scaling", "similarity"),
    ),
)

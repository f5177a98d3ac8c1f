"""The stages that make tables and figures: of counts and laws, of controls, of single neurons."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import Config
from rosetta.config.training_ladders import step_models
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.record import (
    Sized,
    Slice,
    Stage,
    Wildcards,
    per_group_of_text,
    per_language_model,
)


def control_figures(config: Config) -> list[str]:
    """Return the names of the figures of controls and sweeps that a configuration asks for."""
    wanted = {
        "nulls": bool(config.controls.names),
        "k_sweep": True,
        "threshold_sweep": bool(config.sweeps.thresholds),
        "budget": config.sweeps.budgets,
    }
    return [name for name, drawn in wanted.items() if drawn]


def laddered(config: Config, _name: str) -> Slice:
    """Return what stages that compare rungs above null models depend on."""
    trainings = {model: config.replicates(model) for model in config.used_models()}
    several = {model: names for model, names in trainings.items() if len(names) > 1}
    replicated = {"trainings": several} if several else {}
    return {
        "ladders": config.ladders,
        **replicated,
        "null_quantile": config.controls.null_quantile,
    }


def _control_tables(config: Config, _name: str) -> Slice:
    return {
        "ladders": config.ladders,
        "k": config.swept_k(),
        "thresholds": config.sweeps.thresholds,
        "null_quantile": config.controls.null_quantile,
    }


def _vocabulary(config: Config, _model: str) -> Slice:
    return {"fold_final_norm": config.selectivity.fold_final_norm}


def _neurons(config: Config, _model: str) -> Slice:
    return {
        "firing_std": config.selectivity.firing_std,
        "n_contexts": config.specialization.n_contexts,
    }


def _contexts(config: Config, _group: str) -> Slice:
    viewer = config.viewer.model_dump(mode="json")
    return {"pooling": config.alignment.pooling, "viewer": viewer}


def _describe(config: Config, name: str) -> Slice:
    return {
        **laddered(config, name),
        "specialization": config.specialization.model_dump(mode="json"),
        "bootstrap": config.bootstrap.model_dump(mode="json"),
    }


CONTROL_TABLES = {
    "controls": "matches and mean r under the null models, per rung and seed",
    "null_summary": "their means over seeds, with intervals and thresholds of r",
    "k_sweep": "counts and exponents for every k",
    "threshold_sweep": "counts and exponents above every floor of r",
    "stability": "counts and agreement on fewer tokens or images, on half of them, with other "
    "poolings, grids and sources of images",
    "exclusions": "what each set of exclusions leaves out, and the count without it",
}


def _written(config: Config) -> list[Wildcards]:
    """Return the language models of ladders, also at the steps of their training."""
    steps: list[Wildcards] = [{"model": name} for name in step_models(config, "text")]
    return [*per_language_model(config), *steps]


def _swept(config: Config, paths: Paths, job: Wildcards) -> list[Path]:
    return files.of_pairs("sweeps")(config, paths, job) if config.sweeps_recorrelate else []


STAGES = (
    Stage(
        name="counts",
        version=6,
        phase="results",
        reads=("train", "model", "nulls", "intervals", "match"),
        config_slice=laddered,
        local=True,
        tables={
            "counts": "per rung of every ladder: neurons per model, aligned positions, matches, "
            "matches above each null model and mean r, with 95% intervals; what was excluded",
            "replicates": "the same counts on half-samples of the documents",
            "trainings": "the counts of every group of trainings: one row per way to take one "
            "training of each of a rung's models; what the laws are fitted to",
        },
        inputs=files.both(
            files.of_pairs("replicates"),
            files.all_nulls,
            files.of_pairs_of_trainings("matches"),
            files.of_trainings("model_manifest"),
        ),
    ),
    Stage(
        name="fit",
        version=7,
        phase="results",
        reads=("counts", "control_tables"),
        local=True,
        tables={
            "scaling": "per ladder and statistic: exponent α with its 95% interval, prefactor c, "
            "rungs with few matches",
            "rungs": "per rung and statistic: the mean count over its trainings, with intervals "
            "over trainings and over documents",
            "scaling_pooled": "one exponent for all pairs, and without each family of models",
            "null_scaling": "the exponents of the null models' own matches",
            "floor_scaling": "the exponents of matches above floors of r, whatever chance makes",
        },
        inputs=files.tables("trainings", "replicates", "controls"),
    ),
    Stage(
        name="figures",
        version=5,
        phase="results",
        reads=("counts", "fit", "control_tables"),
        local=True,
        figures={
            "scaling": "number and share of Rosetta Neurons against model size, beside chance, "
            "with the fitted laws; exponents, also against the floor of r",
            "scaling_column": "the same in one column of a journal: the first ladder's counts, "
            "and shares and exponents of all ladders",
        },
        inputs=files.tables(
            "trainings",
            "rungs",
            "scaling",
            "scaling_pooled",
            "null_summary",
            "null_scaling",
            "floor_scaling",
        ),
    ),
    Stage(
        name="control_tables",
        version=4,
        phase="results",
        reads=("train", "model", "correlate", "nulls", "sweeps", "match"),
        config_slice=_control_tables,
        tables=CONTROL_TABLES,
        inputs=files.both(
            files.all_nulls,
            _swept,
            files.all_neighbors,
            files.of_pairs("matches"),
            files.of_models("model_manifest"),
        ),
    ),
    Stage(
        name="control_figures",
        version=5,
        phase="results",
        reads=("nulls", "match", "counts", "control_tables"),
        config_slice=lambda config, _name: {"figures": control_figures(config)},
        local=True,
        figures={
            "nulls": "correlations of the matches, and of those of the null models",
            "k_sweep": "counts against k",
            "threshold_sweep": "counts and exponents against the floor of r",
            "budget": "counts and agreement against the number of tokens",
        },
        drawn=control_figures,
        inputs=files.both(
            files.all_nulls,
            files.of_pairs("matches"),
            files.tables("counts", *CONTROL_TABLES),
        ),
    ),
    Stage(
        name="vocabulary",
        version=3,
        phase="neurons",
        reads=("train", "model"),
        job="{model}",
        jobs=_written,
        config_slice=_vocabulary,
        resources=Sized(by="model"),
        inputs=files.model,
        makes=files.one("vocabulary", "model"),
    ),
    Stage(
        name="neurons",
        version=1,
        phase="neurons",
        reads=("corpus", "activations"),
        job="{model}",
        jobs=per_language_model,
        config_slice=_neurons,
        resources=Sized(by="model", gpu="live"),
        inputs=files.both(files.corpus, files.stores),
        makes=lambda _, paths, job: [paths.neurons(job["model"]), paths.contexts(job["model"])],
    ),
    Stage(
        name="contexts",
        version=3,
        phase="neurons",
        reads=("corpus", "activations", "match", "anchors", "neurons"),
        job="{group}",
        jobs=per_group_of_text,
        config_slice=_contexts,
        resources=Sized(by="group", gpu="live"),
        inputs=files.both(
            files.corpus, files.one("rosetta", "group"), files.group_matches, files.group_contexts
        ),
        makes=lambda _, paths, job: [
            paths.shared_contexts(job["group"]),
            paths.excerpts(job["group"]),
        ],
    ),
    Stage(
        name="describe",
        version=8,
        phase="results",
        reads=("nulls", "match", "anchors", "vocabulary", "neurons", "image_neurons"),
        config_slice=_describe,
        tables={
            "selectivity": "per neuron of a language model: vocabulary kurtosis and activation "
            "statistics",
            "polarization": "per rung: means of Rosetta Neurons, of the other neurons, and the "
            "difference, with intervals",
            "polarization_by_model": "the same per model",
            "specialization": "per model: the domains that neurons read highest on",
            "specialization_by_rung": "the same per rung",
            "depth": "per model of a rung: how deep its Rosetta Neurons lie",
            "layer_pairs": "matches between each two layers of a pair of models",
            "depth_agreement": "whether matches lie equally deep in both models",
        },
        inputs=files.both(
            files.profiles,
            files.image_profiles,
            files.of_groups("rosetta"),
            files.of_pairs("matches"),
            files.all_nulls,
            files.of_models("model_manifest"),
        ),
    ),
    Stage(
        name="findings",
        version=1,
        phase="results",
        reads=(
            "nulls",
            "match",
            "anchors",
            "counts",
            "fit",
            "vocabulary",
            "neurons",
            "image_neurons",
        ),
        config_slice=_describe,
        tables={"findings": "whether this run supports each finding of the study"},
        inputs=files.both(
            files.profiles,
            files.image_profiles,
            files.of_groups("rosetta"),
            files.of_pairs("matches"),
            files.all_nulls,
            files.of_models("model_manifest"),
            files.tables("counts", "replicates", "scaling"),
        ),
    ),
    Stage(
        name="neuron_figures",
        version=7,
        phase="results",
        reads=("describe",),
        local=True,
        figures={
            "polarization": "selectivity of Rosetta Neurons and of the others, by size: vocabulary "
            "kurtosis, or monosemanticity on images",
            "statistics": "activation statistics of Rosetta Neurons and of the others, by size",
            "specialization": "domains or classes that Rosetta Neurons and the others read "
            "highest on",
            "depth": "how deep Rosetta Neurons lie",
            "layer_pairs": "matches between each two layers",
        },
        inputs=files.tables(
            "polarization",
            "polarization_by_model",
            "specialization_by_rung",
            "depth",
            "layer_pairs",
        ),
    ),
)

"""The stages that make tables and figures: of counts and laws, of controls, of single neurons."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.run.stages.record import Sized, Slice, Stage, per_group, per_model


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


STAGES = (
    Stage(
        name="counts",
        version=5,
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
    ),
    Stage(
        name="fit",
        version=5,
        phase="results",
        reads=("counts", "control_tables"),
        local=True,
        tables={
            "scaling": "per ladder and statistic: exponent α with its 95% interval, prefactor c, "
            "rungs with few matches",
            "scaling_pooled": "one exponent for all pairs, and without each family of models",
            "null_scaling": "the exponents of the null models' own matches",
        },
    ),
    Stage(
        name="figures",
        version=4,
        phase="results",
        reads=("counts", "fit", "control_tables"),
        job="scaling",
        local=True,
        figures={
            "scaling": "number of Rosetta Neurons against model size, beside chance, with the "
            "fitted laws",
        },
    ),
    Stage(
        name="control_tables",
        version=4,
        phase="results",
        reads=("train", "model", "correlate", "nulls", "sweeps", "match"),
        config_slice=_control_tables,
        tables={
            "controls": "matches and mean r under the null models, per rung and seed",
            "null_summary": "their means over seeds, with intervals and thresholds of r",
            "k_sweep": "counts and exponents for every k",
            "threshold_sweep": "counts and exponents above every floor of r",
            "stability": "counts and agreement on fewer tokens, on half the documents, with "
            "other poolings",
            "exclusions": "what each set of exclusions leaves out, and the count without it",
        },
    ),
    Stage(
        name="control_figures",
        version=4,
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
    ),
    Stage(
        name="vocabulary",
        version=2,
        phase="neurons",
        reads=("train", "model"),
        job="{model}",
        jobs=per_model,
        config_slice=_vocabulary,
        resources=Sized(by="model"),
    ),
    Stage(
        name="neurons",
        version=1,
        phase="neurons",
        reads=("corpus", "activations"),
        job="{model}",
        jobs=per_model,
        config_slice=_neurons,
        resources=Sized(by="model", gpu="live"),
    ),
    Stage(
        name="contexts",
        version=2,
        phase="neurons",
        reads=("corpus", "activations", "match", "anchors", "neurons"),
        job="{group}",
        jobs=per_group,
        config_slice=_contexts,
        resources=Sized(by="group", gpu="live"),
    ),
    Stage(
        name="describe",
        version=7,
        phase="results",
        reads=("nulls", "match", "anchors", "counts", "fit", "vocabulary", "neurons"),
        config_slice=_describe,
        tables={
            "selectivity": "per neuron: vocabulary kurtosis and activation statistics",
            "polarization": "per rung: means of Rosetta Neurons, of the other neurons, and the "
            "difference, with intervals",
            "polarization_by_model": "the same per model",
            "specialization": "per model: the domains that neurons read highest on",
            "specialization_by_rung": "the same per rung",
            "depth": "per model of a rung: how deep its Rosetta Neurons lie",
            "layer_pairs": "matches between each two layers of a pair of models",
            "depth_agreement": "whether matches lie equally deep in both models",
            "findings": "whether this run supports each finding of the study",
        },
    ),
    Stage(
        name="neuron_figures",
        version=5,
        phase="results",
        reads=("describe",),
        local=True,
        figures={
            "polarization": "vocabulary kurtosis of Rosetta Neurons and of the others, by size",
            "statistics": "activation statistics of Rosetta Neurons and of the others, by size",
            "specialization": "domains that Rosetta Neurons and the others read highest on",
            "depth": "how deep Rosetta Neurons lie",
            "layer_pairs": "matches between each two layers",
        },
    ),
)

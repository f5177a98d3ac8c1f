"""What each stage's results depend on: its slice of the configuration and the version of its code.

A digest of these is a rule's parameter, so editing the configuration reruns what depends on the edit and nothing else;
it also stands beside every result (`rosetta.run.provenance`), and manifests tell the whole. Raise a stage's version
when a change of code changes its results: Snakemake does not see edits inside the package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rosetta.config import Config, twin_name
from rosetta.run.jobs import control_figures

VERSIONS = {
    "corpus": 2,
    "tokenizer": 3,
    "train": 3,
    "model": 3,
    "activations": 5,
    "twins": 3,
    "correlate": 4,
    "nulls": 2,
    "intervals": 3,
    "sweeps": 2,
    "match": 4,
    "anchors": 1,
    "counts": 4,
    "fit": 5,
    "control_tables": 4,
    "control_figures": 4,
    "vocabulary": 2,
    "neurons": 1,
    "contexts": 2,
    "describe": 7,
    "neuron_figures": 5,
    "annotate": 1,
    "viewer": 3,
    "filter_choose": 2,
    "filter_pool": 3,
    "filter_score": 4,
    "filter_select": 2,
    "filter_pretrain": 4,
    "filter_tables": 2,
    "filter_figure": 2,
    "theory_simulate": 2,
    "theory_sweep": 2,
    "theory_sweep_table": 3,
    "theory_exponents": 3,
    "theory_frontiers": 1,
    "theory_ngrams": 2,
    "theory_beta": 3,
    "theory_compare": 4,
    "theory_predict": 4,
    "theory_figures": 4,
    "figures": 4,
    "report": 10,
}


def made_by(config: Config, stage: str, name: str = "") -> dict[str, Any]:
    """Return the version and configuration slice of a stage for one model, family or pair.

    Upstream results are not repeated here: a rule has them as inputs.
    """
    make_slice = _SLICES.get(stage, lambda _config, _name: {})
    return {"stage": stage, "version": VERSIONS[stage], **make_slice(config, name)}


def _corpus(config: Config, _name: str) -> dict[str, Any]:
    sampling = config.corpus.sampling
    kept = config.corpus.model_dump(mode="json", exclude=None if sampling else {"sampling"})
    if sampling is None or sampling.tokenizer is None:
        return {"corpus": kept}
    entry = config.models[sampling.tokenizer].model_dump(include={"path", "hub", "revision"})
    return {"corpus": kept, "tokenizer": entry, "sequence_length": config.activations.sequence_length}


def _tokenizer(config: Config, family: str) -> dict[str, Any]:
    return {
        "family": config.zoo.families[family].model_dump(mode="json"),
        "tokenizer_bytes": config.zoo.training.tokenizer_bytes,
    }


def _train(config: Config, model: str) -> dict[str, Any]:
    recipe = config.models[model].zoo
    if recipe is None:
        return {}
    return {
        "model": model,
        "family": config.zoo.families[recipe.family].model_dump(mode="json"),
        "size": config.zoo.sizes[recipe.size].model_dump(mode="json", exclude_none=True),
        "training": config.zoo.training.model_dump(mode="json", exclude={"tokenizer_bytes", "checkpoint_every"}),
    }


def _model(config: Config, model: str) -> dict[str, Any]:
    entry = config.entry(model)
    base = {"base": config.models[entry.untrained.of].model_dump(mode="json")} if entry.untrained else {}
    return {"model": model, "entry": entry.model_dump(mode="json"), **base}


def _activations(config: Config, model: str) -> dict[str, Any]:
    return {
        "model": model,
        "model_dtype": config.entry(model).dtype,
        "activations": config.activations.model_dump(mode="json", exclude={"keep", "max_left_out"}),
        "live": config.store_mode == "live",
    }


def _correlate(config: Config, _pair: str) -> dict[str, Any]:
    # The memory budget changes how the work is cut, not its result; nor does where it runs.
    kept = config.correlation.model_dump(mode="json", exclude={"memory_gb"})
    return {**_seen(config), "correlation": kept}


def _seen(config: Config) -> dict[str, Any]:
    """Return how tokens become positions, and which take part."""
    return {
        "alignment": config.alignment.model_dump(mode="json"),
        "exclusions": config.exclusions.model_dump(mode="json"),
    }


def _anew(config: Config) -> dict[str, Any]:
    """Return what stages that correlate and match again depend on."""
    return {**_seen(config), "precision": config.correlation.precision, "matching": config.matching.model_dump()}


def _intervals(config: Config, _pair: str) -> dict[str, Any]:
    # Whether all neurons fit the memory that a task has decides among which of them half-samples are matched.
    memory_gb = config.correlation.memory_gb / config.dask.n_processes
    return {**_anew(config), "intervals": config.intervals.model_dump(mode="json"), "memory_gb": memory_gb}


def _twins(config: Config, model: str) -> dict[str, Any]:
    twins = [twin_name(model, seed) for seed in config.controls.untrained_seeds]
    return {"twins": [{**_model(config, twin), **_activations(config, twin)} for twin in twins]}


def _neurons(config: Config, _model: str) -> dict[str, Any]:
    return {
        "firing_std": config.selectivity.firing_std,
        "n_contexts": config.specialization.n_contexts,
    }


def _describe(config: Config, _name: str) -> dict[str, Any]:
    return {
        "ladders": config.ladders,
        "null_quantile": config.controls.null_quantile,
        "specialization": config.specialization.model_dump(mode="json"),
        "bootstrap": config.bootstrap.model_dump(mode="json"),
    }


def _annotate(config: Config, _name: str) -> dict[str, Any]:
    # How the endpoint is reached changes how fast answers come, not what is asked.
    how = {"api_key_variable", "requests_per_minute", "n_parallel", "timeout", "max_retries"}
    kept = config.annotation.model_dump(mode="json", exclude=how) if config.annotation else None
    return {"annotation": kept}


def _filter(config: Config, *keys: str) -> dict[str, Any]:
    """Return parts of the section `filtering`, which a run may not have."""
    if config.filtering is None:
        return {}
    return config.filtering.model_dump(mode="json", include={"name", *keys})


def _filter_choose(config: Config, _name: str) -> dict[str, Any]:
    place = {"model": config.filter_model(), "group": config.filter_group()} if config.filtering else {}
    return {**place, **_filter(config, "target", "n_contexts")}


def _filter_pool(config: Config, _name: str) -> dict[str, Any]:
    seed = {"seed": config.corpus.seed} if config.filtering else {}
    return {**seed, **_filter(config, "target", "pool")}


def _filter_score(config: Config, _name: str) -> dict[str, Any]:
    if config.filtering is None:
        return {}
    trained = config.filtering.pretraining
    # A document's size is told in the tokens of the model that is trained on it.
    models = {"model": config.filter_model(), "counter": trained.model if trained else None}
    return {**models, **_filter(config, "scoring")}


def _filter_pretrain(config: Config, _name: str) -> dict[str, Any]:
    # Which filters there are decides how many steps each takes: as many as the smallest selection has.
    kept = _filter(config, "target", "seeds", "pretraining")
    return {**kept, "pretraining": {**(kept.get("pretraining") or {}), "checkpoint_every": None}} if kept else {}


def _simulated(*keys: str) -> Callable[[Config, str], dict[str, Any]]:
    def make_slice(config: Config, _name: str) -> dict[str, Any]:
        # The lists of decays and swept values say which jobs there are, not what one of them makes.
        theory = config.theory.model_dump(mode="json", include={"kappa", "gamma", "tau", "simulation", *keys})
        del theory["simulation"]["betas"]
        return {"theory": theory}

    return make_slice


def _theory(*keys: str) -> Callable[[Config, str], dict[str, Any]]:
    return lambda config, _: {"theory": config.theory.model_dump(mode="json", include=set(keys))}


_SLICES = {
    "corpus": _corpus,
    "tokenizer": _tokenizer,
    "train": _train,
    "model": _model,
    "activations": _activations,
    "twins": _twins,
    "correlate": _correlate,
    "nulls": lambda config, control: {**_anew(config), "seeds": config.controls.seeds(control)},
    "intervals": _intervals,
    "sweeps": lambda config, _: {**_anew(config), "sweeps": config.sweeps.model_dump(exclude={"k", "thresholds"})},
    "match": lambda config, _: {"matching": config.matching.model_dump(mode="json")},
    "counts": lambda config, _: {"ladders": config.ladders, "null_quantile": config.controls.null_quantile},
    "control_tables": lambda config, _: {
        "ladders": config.ladders,
        "k": config.swept_k(),
        "thresholds": config.sweeps.thresholds,
        "null_quantile": config.controls.null_quantile,
    },
    "control_figures": lambda config, _: {"figures": control_figures(config)},
    "vocabulary": lambda config, _: {"fold_final_norm": config.selectivity.fold_final_norm},
    "neurons": _neurons,
    "contexts": lambda config, _: {
        "pooling": config.alignment.pooling,
        "viewer": config.viewer.model_dump(mode="json"),
    },
    "describe": _describe,
    "annotate": _annotate,
    "viewer": lambda config, _: {"ladders": config.ladders, "null_quantile": config.controls.null_quantile},
    "filter_choose": _filter_choose,
    "filter_pool": _filter_pool,
    "filter_score": _filter_score,
    "filter_select": lambda config, _: _filter(config, "target", "selection", "seeds"),
    "filter_pretrain": _filter_pretrain,
    "filter_tables": lambda config, _: _filter(config, "seeds"),
    "theory_simulate": lambda config, name: {
        **_simulated("whole")(config, name),
        "null_quantile": config.controls.null_quantile,
    },
    "theory_sweep": _simulated(),
    "theory_exponents": _theory("kappa", "gamma", "tau"),
    "theory_frontiers": _theory("kappa", "gamma", "tau", "simulation"),
    "theory_ngrams": _theory("decay"),
    "theory_beta": lambda config, _: {"ladders": config.ladders},
    "theory_compare": lambda config, name: {
        "ladders": config.ladders,
        **_theory("kappa", "gamma", "tau")(config, name),
    },
    "theory_predict": _theory("predict_sizes"),
    "theory_figures": lambda config, name: {"ladders": config.ladders, **_theory("tau", "decay")(config, name)},
    "report": lambda config, _: {"config": config.model_dump(mode="json")},  # it prints all of it
}

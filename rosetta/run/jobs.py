"""The jobs that a configuration asks for, by the names under which their logs and benchmarks are kept."""

from __future__ import annotations

from rosetta.config import Config, group_name


def part_name(whole: str, part: int | str, n_parts: int) -> str:
    """Return the name of one of the jobs that share the work on a model or a pair."""
    return f"{whole}.{part}-of-{n_parts}"


def training_name(name: str, seed: int) -> str:
    """Return the name of the job that trains on what a filter selected."""
    return f"{name}-{seed}"


def job_names(config: Config) -> dict[str, list[str]]:
    """Return the names of the jobs of every rule, rules in the order of the workflow."""
    models = config.needed_models()
    recipes = {model: recipe for model in models if (recipe := config.models[model].zoo)}
    pairs = [group_name(pair) for pair in config.pairs()]
    groups = [group_name(group) for group in config.groups()]
    n_shards, n_jobs = config.activations.n_shards, config.correlation.n_jobs
    return {
        "corpus": ["all"],
        "tokenizer": list(dict.fromkeys(recipe.family for recipe in recipes.values())),
        "train": list(recipes),
        "model": [model for model in models if model not in recipes],
        "activations": [part_name(model, i, n_shards) for model in config.used_models() for i in range(n_shards)],
        "twins": config.used_models() if config.controls.untrained_seeds else [],
        "correlate": [part_name(pair, i, n_jobs) for pair in pairs for i in range(n_jobs)],
        "nulls": [f"{control}.{pair}" for control in config.controls.names for pair in pairs],
        "intervals": pairs,
        "sweeps": pairs if config.swept_anew else [],
        "match": pairs,
        "anchors": groups,
        "counts": ["all"],
        "fit": ["all"],
        "figures": ["scaling"],
        "control_tables": ["all"],
        "control_figures": ["all"],
        "vocabulary": config.used_models(),
        "neurons": config.used_models(),
        "contexts": groups,
        "describe": ["all"],
        "neuron_figures": ["all"],
        "annotate": ["all"] if config.annotation else [],
        "viewer": ["all"],
        **_filter_jobs(config),
        "theory_simulate": [f"beta-{beta}" for beta in config.theory.simulation.betas],
        "theory_exponents": ["all"],
        "theory_sweep": [f"{parameter}-{value}" for parameter, value in config.theory.sweep.points()],
        "theory_sweep_table": ["all"] if config.theory.sweep.points() else [],
        "theory_frontiers": ["all"],
        "theory_ngrams": ["all"],
        "theory_beta": ["all"],
        "theory_compare": ["all"],
        "theory_predict": ["all"] if config.theory.predict_sizes else [],
        "theory_figures": ["all"],
        "report": ["all"],
    }


def _filter_jobs(config: Config) -> dict[str, list[str]]:
    filtering = config.filtering
    if filtering is None:
        return {name: [] for name in FILTER_RULES}
    n_shards = filtering.pool.n_shards
    return {
        "filter_choose": ["all"],
        "filter_pool": ["all"],
        "filter_score": [part_name("pool", shard, n_shards) for shard in range(n_shards)],
        "filter_select": ["all"],
        "filter_pretrain": [training_name(*job) for job in filtering.trainings()],
        "filter_tables": ["all"],
        "filter_figure": ["all"],
    }


FILTER_RULES = (
    "filter_choose",
    "filter_pool",
    "filter_score",
    "filter_select",
    "filter_pretrain",
    "filter_tables",
    "filter_figure",
)
FILTER_TABLES = ("filtering", "filtering_summary", "filtering_domains", "filtering_candidates")
SCALING_TABLES = ("scaling", "scaling_pooled", "null_scaling")
CONTROL_TABLES = ("controls", "null_summary", "k_sweep", "threshold_sweep", "stability", "exclusions")


def control_figures(config: Config) -> list[str]:
    """Return the names of the figures of controls and sweeps."""
    wanted = {
        "nulls": bool(config.controls.names),
        "k_sweep": True,
        "threshold_sweep": bool(config.sweeps.thresholds),
        "budget": config.sweeps.budgets,
    }
    return [name for name, drawn in wanted.items() if drawn]

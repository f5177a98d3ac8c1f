"""Columns of the tables of ablations, for readers that need no torch."""

from __future__ import annotations

# Of a group: one row per model, treatment and held-out sample.
LOSS_COLUMNS = [
    "model",
    "treatment",
    "population",
    "draw",
    "sample",
    "domain",
    "cluster",
    "size",
    "bits",
    "right",
]
# What is told of one model.
EFFECT_COLUMNS = [
    "treatment",
    "population",
    "measure",
    "domain",
    "n_samples",
    "n_draws",
    "value",
    "difference",
    "difference_ci_low",
    "difference_ci_high",
    "rosetta_excess",
    "rosetta_excess_ci_low",
    "rosetta_excess_ci_high",
    "draws_low",
    "draws_high",
    "p_draws",
]
COMPOSITION_COLUMNS = [
    "n_ablated",
    "overlap",
    "draws_overlap",
    "gap_activation",
    "gap_output_norm",
    "reason",
]
# Of neurons that a user names, of any model.
NAMED_COLUMNS = ["model", "n_neurons", "layers", "method", *EFFECT_COLUMNS, *COMPOSITION_COLUMNS]
ABLATION_COLUMNS = [
    "ladder",
    "rung",
    "group",
    "model",
    "n_neurons",
    "layers",
    "method",
    "statistic",
    *EFFECT_COLUMNS,
    *COMPOSITION_COLUMNS,
]
ABLATION_SCALING_COLUMNS = [
    "ladder",
    "treatment",
    "measure",
    "quantity",
    "slope",
    "slope_ci_low",
    "slope_ci_high",
    "n_models",
    "n_families",
    "reason",
]
WHOLE = ""  # in place of a domain: all samples. No domain is called so
BITS_PER_BYTE, LOSS, ACCURACY = "bits_per_byte", "loss", "accuracy"

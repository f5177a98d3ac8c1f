"""Columns of tables whose readers need no torch: of single neurons, and of generated images."""

from __future__ import annotations

VOCABULARY_COLUMNS = ["layer", "unit", "excess_kurtosis"]
NEURON_COLUMNS = [
    "layer",
    "unit",
    "activation_mean",
    "activation_variance",
    "activation_skewness",
    "activation_kurtosis",
    "fraction_active",
    "domain_information",
    "domain_firing",
]
CONTEXT_COLUMNS = ["layer", "unit", "rank", "document", "domain", "byte_start", "byte_end", "value"]
GENERATED_COLUMNS = [
    "generator",
    "classifier",
    "n_images",
    "n_different",
    "recognised",
    "recognised_of_real",
    "chance_recognised",
    "feature_distance",
    "chance_distance",
]

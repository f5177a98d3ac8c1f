"""Columns of the tables of single neurons; readers of the tables need no torch."""

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

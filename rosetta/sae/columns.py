"""Columns of the tables of autoencoders, apart from what computes them."""

from __future__ import annotations

from rosetta.analysis.groups import POLARIZATION_COLUMNS
from rosetta.analysis.scaling import SCALING_COLUMNS

SAE_MEASURES = ["unexplained", "participation", "interference"]
SAE_NEURON_COLUMNS = ["layer", "unit", *SAE_MEASURES]
SAE_SAMPLE_COLUMNS = ["cluster", "error", "total"]
SAE_COLUMNS = [
    "model",
    "per",
    "origin",
    "architecture",
    "n_neurons",
    "n_features",
    "n_live",
    "dead_share",
    "l0",
    "explained_variance",
    "explained_variance_ci_low",
    "explained_variance_ci_high",
    "train_explained_variance",
    "n_heldout",
    "n_positions",
    "n_trained_on",
]
SAE_POLARIZATION_COLUMNS = [*POLARIZATION_COLUMNS[:2], "n_neurons", *POLARIZATION_COLUMNS[2:]]
SAE_TREND_COLUMNS = [
    "ladder",
    "group",
    "statistic",
    "slope",
    "slope_ci_low",
    "slope_ci_high",
    "n_rungs",
]
_OF_FEATURES = [
    "matches",
    "matches_ci_low",
    "matches_ci_high",
    "above_documents",
    "above_documents_ci_low",
    "above_documents_ci_high",
    "mean_r",
    "mean_r_ci_low",
    "mean_r_ci_high",
]
SAE_FEATURE_COLUMNS = [
    "ladder",
    "rung",
    "models",
    "n_neurons",
    "n_features",
    "n_live",
    "n_positions",
    "r_threshold",
    *_OF_FEATURES,
    "interval",
    "modality",
]
SIZES = ("n_neurons", "n_live")  # what stands for the size of models in the laws of features
SAE_FEATURE_SCALING_COLUMNS = ["size", *SCALING_COLUMNS]

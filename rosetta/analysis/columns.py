"""Columns of tables whose readers need no torch: of single neurons, and of images."""

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
# Of a model that sees images; a domain is a class of images.
IMAGE_NEURON_COLUMNS = [*NEURON_COLUMNS, "domain_purity"]
TOP_IMAGE_COLUMNS = ["layer", "unit", "rank", "image", "image_id", "domain", "score", "map"]
PARTNER_IMAGE_COLUMNS = [
    "model",
    "layer",
    "unit",
    "rank",
    "image",
    "partner",
    "partner_layer",
    "partner_unit",
    "partner_score",
    "partner_map",
]
MONOSEMANTICITY_COLUMNS = ["layer", "unit", "encoder", "monosemanticity", "mean_similarity"]
FACTOR_COLUMNS = [
    "layer",
    "unit",
    "factor",
    "value",
    "factor_2",
    "value_2",
    "explained_variance",
    "iou",
    "explained_variance_chance",
    "iou_chance",
    "is_explained",
]
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

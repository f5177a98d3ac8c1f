"""Columns of tables whose readers need no torch: of single neurons, and of images."""

from __future__ import annotations

VOCABULARY_COLUMNS = ["layer", "unit", "excess_kurtosis"]
WRITTEN_COLUMNS = ["promoted", "promoted_cosine", "suppressed", "suppressed_cosine"]
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
# Of matches of models that see images, and of pairs of these.
PLACE_COLUMNS = ["layer_a", "unit_a", "layer_b", "unit_b", "r", "r_place", "place_map"]
PLACE_TABLE_COLUMNS = [
    "model_a",
    "model_b",
    "matches",
    "mean_r",
    "mean_r_place",
    "share_mostly_place",
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
# Of matches of language models, and of their pairs: what partners do to the vocabulary.
MATCH_NEURONS = ["layer_a", "unit_a", "layer_b", "unit_b", "r"]
ATTRIBUTION_COLUMNS = [
    *MATCH_NEURONS,
    "score",
    "threshold",
    "p",
    "q",
    "confirmed",
    "null_confirmed",
]
ATTRIBUTION_TABLE_COLUMNS = [
    "ladders",
    "model_a",
    "model_b",
    "n_neurons",
    "r_low",
    "r_high",
    "n_strings",
    "matches",
    "confirmed",
    "confirmed_ci_low",
    "confirmed_ci_high",
    "null_confirmed",
    "null_confirmed_ci_low",
    "null_confirmed_ci_high",
    "share_significant",
    "mean_score",
]

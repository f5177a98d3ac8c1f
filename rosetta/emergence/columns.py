"""Columns of the tables on training ladders, whose readers need no torch."""

from __future__ import annotations

from rosetta.matching.mutual import PAIR_KEYS

# The matches that exceed every null model whose threshold can be read.
ABOVE_ALL = "above_all"
# Those of exchanged samples that do.
CHANCE_ABOVE_ALL = "chance_above_all"
CHANGES = ("gained", "kept", "lost")
KEPT_NEURONS = "kept_neurons"
_WITH_INTERVALS = (
    "matches",
    "above_documents",
    "above_untrained",
    ABOVE_ALL,
    "mean_r",
    *CHANGES,
    KEPT_NEURONS,
    "emerged",
    "mean_depth",
)
EMERGENCE_COLUMNS = [
    "ladder",
    "step",
    "tokens",
    "models",
    "n_positions",
    *_WITH_INTERVALS,
    *(f"{name}_ci_{end}" for name in _WITH_INTERVALS for end in ("low", "high")),
    "by_chance",
    "by_chance_ci_low",
    "by_chance_ci_high",
    CHANCE_ABOVE_ALL,
    f"{CHANCE_ABOVE_ALL}_ci_low",
    f"{CHANCE_ABOVE_ALL}_ci_high",
    "r_documents",
    "r_untrained",
    "nulls",
    "reason",
    "train_loss_a",
    "train_loss_b",
    "bits_per_byte_a",
    "bits_per_byte_b",
]
SURVIVAL_COLUMNS = [
    "ladder",
    "born_step",
    "born_tokens",
    "step",
    "tokens",
    "n_born",
    "n_left",
    "share",
    "share_ci_low",
    "share_ci_high",
    "reason",
]
CURVE_COLUMNS = [
    "ladder",
    "doublings",
    "at_risk",
    "lost",
    "survival",
    "survival_ci_low",
    "survival_ci_high",
    "survival_greenwood_low",
    "survival_greenwood_high",
    "half_life",
    "half_life_ci_low",
    "half_life_ci_high",
    "reason",
]
EMERGENCE_NEURON_COLUMNS = [
    "ladder",
    "model_a",
    "model_b",
    *PAIR_KEYS,
    "r",
    "first_above_step",
    "first_above_tokens",
    "nearest_step",
    "nearest_tokens",
]
GROUP_COLUMNS = [
    "ladder",
    "step",
    "tokens",
    "model",
    "measure",
    "group",
    "n",
    "mean",
    "mean_ci_low",
    "mean_ci_high",
    "p",
]
OWN_R = "own_r"
OWN_PAST_COLUMNS = [
    "model",
    "layer",
    "unit",
    OWN_R,
    "activation_variance",
    "activation_skewness",
    "activation_kurtosis",
]
R_HALVES = "r_halves"
FINAL_PAIR_COLUMNS = [*PAIR_KEYS, "r", R_HALVES]
NOT_EXCHANGED = -1  # the seed of matches of samples as they are
SEED_MATCH_COLUMNS = ["training_a", "training_b", "seed", *PAIR_KEYS, "r"]
_SUMMARY = ("share", "in_all", "dispersion")
ACROSS_SEEDS_COLUMNS = [
    "model",
    "n_trainings",
    "n_neurons",
    "n_positions",
    "r_threshold",
    "matches",
    "matches_exchanged",
    "n_dead",
    *(f"{name}{end}" for name in _SUMMARY for end in ("", "_ci_low", "_ci_high")),
    "in_all_by_chance",
    "in_all_exchanged",
    "dispersion_exchanged",
    "reason",
]
SEED_UNIT_COLUMNS = [
    "model",
    "n_partners",
    "neurons",
    "neurons_ci_low",
    "neurons_ci_high",
    "by_chance",
]
SEED_FAMILY_COLUMNS = [
    "model",
    "other",
    "r_threshold",
    "n_partners",
    "n_neurons",
    "elsewhere",
    "elsewhere_ci_low",
    "elsewhere_ci_high",
    "rank_correlation",
    "rank_correlation_ci_low",
    "rank_correlation_ci_high",
]
SEED_NEURON_COLUMNS = [
    "model",
    "training",
    "layer",
    "unit",
    "n_others",
    "n_partners",
    "share",
    "share_ci_low",
    "share_ci_high",
]

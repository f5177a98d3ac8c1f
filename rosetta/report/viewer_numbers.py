"""What the viewer shows of every neuron: numbers, by the name of their column."""

from __future__ import annotations

NUMBERS = {
    "excess_kurtosis": "vocabulary kurtosis",
    "activation_mean": "activation mean",
    "activation_kurtosis": "activation kurtosis",
    "fraction_active": "fraction active",
    "domain_information": "bits about the domain",
    # Of models that see images, whose domains are classes.
    "domain_purity": "purity of the class",
    "monosemanticity": "monosemanticity",
    "explained_variance": "variance that a factor explains",
}

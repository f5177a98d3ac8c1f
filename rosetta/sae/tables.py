"""Tables of autoencoders: of models, neurons, rungs, and of features that match."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import Estimate, mean_estimate
from rosetta.analysis.counts import count_table
from rosetta.analysis.groups import polarization, polarization_tables
from rosetta.analysis.image_populations import load_image_rungs
from rosetta.analysis.populations import Population, Rung, load_populations, rungs_of
from rosetta.analysis.replicates import counted_thresholds, read_all_nulls, replicate_table
from rosetta.analysis.scaling import scaling_table
from rosetta.config import PAIR_SEPARATOR, Config
from rosetta.run.paths import Paths
from rosetta.sae.columns import (
    SAE_COLUMNS,
    SAE_FEATURE_COLUMNS,
    SAE_FEATURE_SCALING_COLUMNS,
    SAE_MEASURES,
    SAE_NEURON_COLUMNS,
    SAE_POLARIZATION_COLUMNS,
    SAE_SAMPLE_COLUMNS,
    SAE_TREND_COLUMNS,
    SIZES,
)
from rosetta.sae.features import feature_config
from rosetta.sae.models import KIND
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_parquet

_ABOVE = "above_documents"


def model_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return what is known of every model's autoencoders (`SAE_COLUMNS`).

    The interval of `explained_variance` is that of the ratio of its two sums, of clusters of
    held-out samples that are drawn again (`rosetta.analysis.bootstrap`).
    """
    rows = []
    for name in config.used_models():
        low, high = _explained_interval(config, paths, name)
        ends = {"explained_variance_ci_low": low, "explained_variance_ci_high": high}
        rows.append({"model": name, **_facts(paths, name), **ends})
    return pd.DataFrame(rows)[SAE_COLUMNS]


def _explained_interval(config: Config, paths: Paths, model: str) -> tuple[float, float]:
    samples = read_parquet(paths.autoencoder_samples(model), SAE_SAMPLE_COLUMNS)
    shares = (samples["error"] / samples["total"]).to_numpy()[:, None]
    weights, clusters = samples["total"].to_numpy(), pd.factorize(samples["cluster"])[0]
    left = mean_estimate(shares, config.bootstrap, "sae", model, weights=weights, clusters=clusters)
    low, high = left.interval()
    return float(1 - high[0]), float(1 - low[0])


def _facts(paths: Paths, model: str) -> dict[str, Any]:
    holds = dict(read_manifest(paths.autoencoder_manifest(model), KIND)["holds"])
    holds.pop("parts")
    return {name: np.nan if value is None else value for name, value in holds.items()}


def neuron_table(config: Config, paths: Paths) -> pd.DataFrame:
    """Return one row per neuron of every model: its name, and `SAE_NEURON_COLUMNS`."""
    parts = [_neurons(paths, name).assign(model=name) for name in config.used_models()]
    return pd.concat(parts, ignore_index=True)[["model", *SAE_NEURON_COLUMNS]]


def _neurons(paths: Paths, model: str) -> pd.DataFrame:
    return read_parquet(paths.autoencoder_neurons(model), SAE_NEURON_COLUMNS)


def measured_rungs(config: Config, paths: Paths) -> list[Rung]:
    """Return all rungs, their neurons with what autoencoders say in place of other measures."""
    rungs = [*rungs_of(config, load_populations(config, paths)), *load_image_rungs(config, paths)]
    neurons = {name: _neurons(paths, name) for name in config.used_models()}

    def measured(population: Population) -> Population:
        return replace(population, neurons=neurons[population.model])

    return [
        replace(rung, populations=[measured(one) for one in rung.populations]) for rung in rungs
    ]


def sae_polarization(
    rungs: list[Rung], config: Config
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return means of Rosetta Neurons and of the others per rung, per model, and their trends.

    Groups, intervals and columns are those of `rosetta.analysis.groups.polarization_tables`.
    """
    by_rung, by_model = polarization_tables(rungs, config)
    sizes = {(rung.ladder, rung.number): rung.n_neurons for rung in rungs}
    places = zip(by_rung["ladder"], by_rung["rung"], strict=True)
    by_rung = by_rung.assign(n_neurons=[sizes[place] for place in places])
    return by_rung[SAE_POLARIZATION_COLUMNS], by_model, trend_table(rungs, config)


def trend_table(rungs: list[Rung], config: Config) -> pd.DataFrame:
    """Return how means change with every doubling of size, per ladder (`SAE_TREND_COLUMNS`).

    The slope is that of least squares through the rungs' means against log₂ of their size, all
    rungs of one weight. Its interval is of the neurons, with the trainings of the run: each rung's
    neurons are drawn again by themselves (`rosetta.analysis.bootstrap`). A ladder of one size has
    none.
    """
    rows = []
    for ladder in dict.fromkeys(rung.ladder for rung in rungs):
        mine = [rung for rung in rungs if rung.ladder == ladder]
        log_sizes = np.log2([rung.n_neurons for rung in mine])
        around = log_sizes - log_sizes.mean()
        if not around.any():
            continue
        means = [polarization(rung.sample, config, rung.ladder, rung.number) for rung in mine]
        weights = around / (around**2).sum()
        for group in means[0]:
            slope = weighted([one[group] for one in means], weights)
            low, high = slope.interval()
            rows += [
                {
                    "ladder": ladder,
                    "group": group,
                    "statistic": measure,
                    "slope": slope.value[column],
                    "slope_ci_low": low[column],
                    "slope_ci_high": high[column],
                    "n_rungs": len(mine),
                }
                for column, measure in enumerate(SAE_MEASURES)
            ]
    return pd.DataFrame(rows, columns=SAE_TREND_COLUMNS)


def weighted(estimates: Iterable[Estimate], weights: np.ndarray) -> Estimate:
    """Return the sum of estimates from independent resamples, each times its weight."""
    first, *others = (one * float(w) for one, w in zip(estimates, weights, strict=True))
    total = first
    for other in others:
        total = total - other * -1.0
    return total


def feature_tables(config: Config, paths: Paths) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the features of every rung that match (`SAE_FEATURE_COLUMNS`), and their laws
    (`SAE_FEATURE_SCALING_COLUMNS`).

    They are counted as neurons are: all, and those above the null of exchanged samples, by one
    threshold per ladder, with intervals over half-samples. Laws are those of
    `rosetta.analysis.scaling`, against the neurons of the models, and against the features that are
    active at some position.
    """
    of, places = feature_config(config), paths.features
    nulls = read_all_nulls(of, places)
    limits = counted_thresholds(of, places, nulls)
    replicates = replicate_table(of, places, nulls)
    counts = count_table(of, places, limits, replicates)
    facts = {name: _facts(paths, name) for name in config.used_models()}
    thresholds = [limits[ladder][_ABOVE] for ladder in counts["ladder"]]
    counts = counts.assign(r_threshold=thresholds)
    for column in ("n_neurons", "n_features", "n_live"):
        counts[column] = [_mean(models, facts, column) for models in counts["models"]]
    laws = [scaling_table(_sized(counts, size), replicates).assign(size=size) for size in SIZES]
    table = pd.concat(laws, ignore_index=True)
    return counts[SAE_FEATURE_COLUMNS], table[SAE_FEATURE_SCALING_COLUMNS]


def _mean(models: str, facts: dict[str, dict[str, Any]], column: str) -> float:
    return float(np.mean([facts[name][column] for name in models.split(PAIR_SEPARATOR)]))


def _sized(counts: pd.DataFrame, size: str) -> pd.DataFrame:
    """Return the counts that laws are fitted to, with what stands for the size of models."""
    kept = counts[["ladder", "rung", "models", "families", "modality", "matches", _ABOVE]]
    return kept.assign(n_neurons=counts[size])

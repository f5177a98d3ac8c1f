"""Rosetta Neurons against the others: means of every statistic and domain, with intervals, per model and rung."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import Estimate, mean_estimate
from rosetta.analysis.populations import STATISTICS, Population, Rung
from rosetta.analysis.specialization import random_draws
from rosetta.config import Config

SELECTIVITY_COLUMNS = ["model", "layer", "unit", "is_rosetta", *STATISTICS, "dead", "groups"]
POLARIZATION_COLUMNS = ["ladder", "rung", "group", "statistic", "mean", "ci_low", "ci_high", "n"]
MODEL_POLARIZATION_COLUMNS = ["ladder", "rung", "model", "n_neurons", *POLARIZATION_COLUMNS[2:]]
SPECIALIZATION_COLUMNS = ["model", "group", "domain", "normalized_fire", "ci_low", "ci_high"]
RUNG_SPECIALIZATION_COLUMNS = ["ladder", "rung", "n_neurons", *SPECIALIZATION_COLUMNS[1:], "n"]

ROSETTA, OTHERS, DIFFERENCE = "rosetta", "non_rosetta", "difference"
Sample = list[tuple[Population, np.ndarray]]  # populations with the mask of their Rosetta Neurons


def selectivity_table(populations: Iterable[Population]) -> pd.DataFrame:
    """Return one row per neuron of every model.

    `is_rosetta` says whether the neuron is a Rosetta Neuron of at least one group; `groups` names those groups,
    joined by spaces.
    """
    parts = []
    for population in populations:
        names = np.full(population.shape.n_neurons, "", dtype=object)
        for group, mask in population.rosetta.items():
            names[mask] += f" {group}"
        added = {
            "model": population.model,
            "is_rosetta": population.any_rosetta,
            "dead": population.dead,
            "groups": [name.strip() for name in names],
        }
        parts.append(population.neurons.assign(**added))
    return pd.concat(parts, ignore_index=True)[SELECTIVITY_COLUMNS]


def rung_sample(rung: Rung) -> Sample:
    """Return the neurons of a rung's models, pooled."""
    return [(population, population.rosetta[rung.group]) for population in rung.populations]


def polarization(sample: Sample, config: Config, *name: str | int) -> dict[str, Estimate]:
    """Return the means of `STATISTICS` over Rosetta Neurons, over the others, and their difference."""
    values = {
        ROSETTA: [population.neurons.loc[mask, STATISTICS] for population, mask in sample],
        OTHERS: [population.neurons.loc[population.others(mask), STATISTICS] for population, mask in sample],
    }
    means = {
        group: mean_estimate(np.concatenate(tables), config.bootstrap, "polarization", group, *name)
        for group, tables in values.items()
    }
    return {**means, DIFFERENCE: means[ROSETTA] - means[OTHERS]}


def specialization(sample: Sample, config: Config, *name: str | int) -> dict[str, Estimate]:
    """Return mean NormalizedFire over Rosetta Neurons, and over random draws of the others (the baseline)."""
    draws = [
        random_draws(population.others(mask), config.specialization, population.model, *name)
        for population, mask in sample
    ]
    rosetta = np.concatenate([population.fire[mask] for population, mask in sample])
    others = np.concatenate([population.fire[times > 0] for (population, _), times in zip(sample, draws, strict=True)])
    weights = np.concatenate([times[times > 0] for times in draws])
    return {
        ROSETTA: mean_estimate(rosetta, config.bootstrap, "specialization", ROSETTA, *name),
        OTHERS: mean_estimate(others, config.bootstrap, "specialization", OTHERS, *name, weights=weights),
    }


def polarization_tables(rungs: list[Rung], config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the means per rung (its models' neurons pooled), and per model of a rung."""
    by_rung, by_model = [], []
    for rung in rungs:
        place = {"ladder": rung.ladder, "rung": rung.number}
        pooled = polarization(rung_sample(rung), config, rung.ladder, rung.number)
        by_rung += [{**place, **row} for row in _rows(pooled, "statistic", STATISTICS, "mean")]
        for population, mask in rung_sample(rung):
            own = polarization([(population, mask)], config, rung.ladder, rung.number, population.model)
            named = {**place, "model": population.model, "n_neurons": population.shape.n_neurons}
            by_model += [{**named, **row} for row in _rows(own, "statistic", STATISTICS, "mean")]
    return pd.DataFrame(by_rung, columns=POLARIZATION_COLUMNS), pd.DataFrame(
        by_model, columns=MODEL_POLARIZATION_COLUMNS
    )


def specialization_tables(
    populations: Iterable[Population], rungs: list[Rung], config: Config
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return NormalizedFire per model (Rosetta Neurons of any group), and per rung (its models' neurons pooled)."""
    by_model, by_rung = [], []
    for population in populations:
        means = specialization([(population, population.any_rosetta)], config, population.model)
        rows = _rows(means, "domain", population.categories, "normalized_fire")
        by_model += [{"model": population.model, **row} for row in rows]
    for rung in rungs:
        means = specialization(rung_sample(rung), config, rung.ladder, rung.number)
        place = {"ladder": rung.ladder, "rung": rung.number, "n_neurons": rung.n_neurons}
        rows = _rows(means, "domain", rung.populations[0].categories, "normalized_fire")
        by_rung += [{**place, **row} for row in rows]
    return pd.DataFrame(by_model, columns=SPECIALIZATION_COLUMNS), pd.DataFrame(
        by_rung, columns=RUNG_SPECIALIZATION_COLUMNS
    )


def _rows(means: dict[str, Estimate], key: str, names: list[str], value: str) -> list[dict]:
    rows = []
    for group, estimate in means.items():
        low, high = estimate.interval()
        for i, name in enumerate(names):
            numbers = {value: estimate.value[i], "ci_low": low[i], "ci_high": high[i], "n": int(estimate.n[i])}
            rows.append({"group": group, key: name, **numbers})
    return rows

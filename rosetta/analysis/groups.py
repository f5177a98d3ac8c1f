"""Rosetta Neurons against the others: means of every statistic and domain, with intervals, per model and rung."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import Estimate, mean_estimate
from rosetta.analysis.nulls import PLAIN
from rosetta.analysis.populations import STATISTICS, Population, Rung, Selection
from rosetta.analysis.specialization import random_draws
from rosetta.config import Config

SELECTIVITY_COLUMNS = ["model", "layer", "unit", "is_rosetta", *STATISTICS, "dead", "groups"]
POLARIZATION_COLUMNS = ["ladder", "rung", "group", "statistic", "mean", "ci_low", "ci_high", "n"]
MODEL_POLARIZATION_COLUMNS = ["ladder", "rung", "model", "n_neurons", *POLARIZATION_COLUMNS[2:]]
SPECIALIZATION_COLUMNS = ["model", "group", "domain", "normalized_fire", "ci_low", "ci_high"]
RUNG_SPECIALIZATION_COLUMNS = ["ladder", "rung", "n_neurons", *SPECIALIZATION_COLUMNS[1:], "n"]

ROSETTA, OTHERS, DIFFERENCE = "rosetta", "non_rosetta", "difference"


def rosetta_group(statistic: str) -> str:
    """Return the name of the group of Rosetta Neurons that a statistic counts: `rosetta`, `rosetta_above_…`."""
    return ROSETTA if statistic == PLAIN else f"{ROSETTA}_{statistic}"


def difference_group(statistic: str) -> str:
    """Return the name of their difference from the others: `difference`, `difference_above_…`."""
    return DIFFERENCE if statistic == PLAIN else f"{DIFFERENCE}_{statistic}"


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
            "is_rosetta": population.of_any_group().rosetta,
            "dead": population.dead,
            "groups": [name.strip() for name in names],
        }
        parts.append(population.neurons.assign(**added))
    return pd.concat(parts, ignore_index=True)[SELECTIVITY_COLUMNS]


def polarization(sample: list[Selection], config: Config, *name: str | int) -> dict[str, Estimate]:
    """Return the means of `STATISTICS` over Rosetta Neurons, over the others, and their difference.

    Rosetta Neurons are all matched ones, and by null model those whose matches are above it. The others are the
    same for all: neurons without any match.
    """
    values = {
        rosetta_group(statistic): [
            one.population.neurons.loc[one.by_statistic()[statistic], STATISTICS] for one in sample
        ]
        for statistic in sample[0].by_statistic()
    }
    values[OTHERS] = [one.population.neurons.loc[one.others, STATISTICS] for one in sample]
    means = {
        # Rosetta Neurons of all statistics are resampled alike, so that equal selections have equal intervals.
        group: mean_estimate(
            np.concatenate(tables), config.bootstrap, "polarization", OTHERS if group == OTHERS else ROSETTA, *name
        )
        for group, tables in values.items()
    }
    differences = {
        difference_group(statistic): means[rosetta_group(statistic)] - means[OTHERS]
        for statistic in sample[0].by_statistic()
    }
    return {**means, **differences}


def specialization(sample: list[Selection], config: Config, *name: str | int) -> dict[str, Estimate]:
    """Return mean NormalizedFire over Rosetta Neurons (see `polarization`), and over random draws of the others."""
    means = {}
    for statistic in sample[0].by_statistic():
        fire = np.concatenate([one.population.fire[one.by_statistic()[statistic]] for one in sample])
        means[rosetta_group(statistic)] = mean_estimate(fire, config.bootstrap, "specialization", ROSETTA, *name)
    draws = [random_draws(one.others, config.specialization, one.population.model, *name) for one in sample]
    fire = np.concatenate([one.population.fire[times > 0] for one, times in zip(sample, draws, strict=True)])
    weights = np.concatenate([times[times > 0] for times in draws])
    means[OTHERS] = mean_estimate(fire, config.bootstrap, "specialization", OTHERS, *name, weights=weights)
    return means


def polarization_tables(rungs: list[Rung], config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the means per rung (its models' neurons pooled), and per model of a rung."""
    by_rung, by_model = [], []
    for rung in rungs:
        place = {"ladder": rung.ladder, "rung": rung.number}
        pooled = polarization(rung.sample, config, rung.ladder, rung.number)
        by_rung += [{**place, **row} for row in _rows(pooled, "statistic", STATISTICS, "mean")]
        for one in rung.sample:
            model = one.population.model
            own = polarization([one], config, rung.ladder, rung.number, model)
            named = {**place, "model": model, "n_neurons": one.population.shape.n_neurons}
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
        means = specialization([population.of_any_group()], config, population.model)
        rows = _rows(means, "domain", population.categories, "normalized_fire")
        by_model += [{"model": population.model, **row} for row in rows]
    for rung in rungs:
        means = specialization(rung.sample, config, rung.ladder, rung.number)
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

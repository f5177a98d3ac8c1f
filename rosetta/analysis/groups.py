"""Rosetta Neurons against the others: means with intervals, per model and rung."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import Estimate, mean_estimate
from rosetta.analysis.null_thresholds import PLAIN, STATISTICS
from rosetta.analysis.populations import IMAGE_MEASURES, MEASURES, Population, Rung, Selection
from rosetta.analysis.specialization import expected_shift, random_draws
from rosetta.config import Config

SELECTIVITY_COLUMNS = [
    "model",
    "layer",
    "unit",
    "is_rosetta",
    *MEASURES,
    "dead",
    "groups",
    *STATISTICS[1:],
]
POLARIZATION_COLUMNS = ["ladder", "rung", "group", "statistic", "mean", "ci_low", "ci_high", "n"]
MODEL_POLARIZATION_COLUMNS = ["ladder", "rung", "model", "n_neurons", *POLARIZATION_COLUMNS[2:]]
SPECIALIZATION_COLUMNS = ["model", "group", "domain", "normalized_fire", "ci_low", "ci_high"]
RUNG_SPECIALIZATION_COLUMNS = ["ladder", "rung", "n_neurons", *SPECIALIZATION_COLUMNS[1:], "n"]

# What means of language models are taken of. Activation kurtosis enters by its logarithm: a neuron
# that all but never fires has a kurtosis near the number of tokens, and a few of these would be all
# that a mean, and no interval of it, could tell of.
LOG_KURTOSIS = "log_activation_kurtosis"


def compared(measures: Iterable[str]) -> list[str]:
    """Return the names of what means are taken of, from those of the measures."""
    return [LOG_KURTOSIS if name == "activation_kurtosis" else name for name in measures]


COMPARED, COMPARED_ON_IMAGES = compared(MEASURES), compared(IMAGE_MEASURES)

ROSETTA, OTHERS, DIFFERENCE = "rosetta", "non_rosetta", "difference"


def rosetta_group(statistic: str) -> str:
    """Return the name of a statistic's group: `rosetta` or `rosetta_above_…`."""
    return ROSETTA if statistic == PLAIN else f"{ROSETTA}_{statistic}"


def difference_group(statistic: str) -> str:
    """Return the name of their difference from the others: `difference`, `difference_above_…`."""
    return DIFFERENCE if statistic == PLAIN else f"{DIFFERENCE}_{statistic}"


def selectivity_table(populations: Iterable[Population]) -> pd.DataFrame:
    """Return one row per neuron of every model.

    `is_rosetta` says whether the neuron is a Rosetta Neuron of at least one group; `groups` names
    those groups, joined by spaces. `above_documents` and `above_untrained` say whether a match that
    makes it one is above that null (empty without the null), by the highest threshold of the
    ladders that the group is in.
    """
    parts = []
    for population in populations:
        names = np.full(population.shape.n_neurons, "", dtype=object)
        for group, mask in population.rosetta.items():
            names[mask] += f" {group}"
        found = population.of_any_group()
        added = {
            "model": population.model,
            "is_rosetta": found.rosetta,
            **{statistic: found.above.get(statistic, np.nan) for statistic in STATISTICS[1:]},
            "dead": population.dead,
            "groups": [name.strip() for name in names],
        }
        parts.append(population.neurons.assign(**added))
    if not parts:
        return pd.DataFrame(columns=SELECTIVITY_COLUMNS)
    return pd.concat(parts, ignore_index=True)[SELECTIVITY_COLUMNS]


def polarization(sample: list[Selection], config: Config, *name: str | int) -> dict[str, Estimate]:
    """Return means over Rosetta Neurons, over the others, and their difference.

    Means are of what is `compared` of the measures of the populations.

    Rosetta Neurons are all matched ones, and by null model those whose matches are above it. The
    others are the same for all: neurons without any match.
    """
    values = [_compared(one.population) for one in sample]
    means = _rosetta_means(sample, values, config, "polarization", *name)
    others = np.concatenate([part[one.others] for one, part in zip(sample, values, strict=True)])
    means[OTHERS] = mean_estimate(others, config.bootstrap, "polarization", OTHERS, *name)
    differences = {
        difference_group(statistic): means[rosetta_group(statistic)] - means[OTHERS]
        for statistic in sample[0].by_statistic()
    }
    return {**means, **differences}


def _measures(population: Population) -> list[str]:
    return [name for name in population.neurons if name not in ("layer", "unit")]


def with_log_kurtosis(neurons: pd.DataFrame) -> pd.DataFrame:
    """Return neurons with the logarithm of their kurtosis, not of the excess (`LOG_KURTOSIS`)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logarithm = np.log(neurons["activation_kurtosis"] + 3)
    return neurons.assign(**{LOG_KURTOSIS: logarithm})


def _compared(population: Population) -> np.ndarray:
    """Return what is compared of neurons, (n_neurons, n_measures)."""
    neurons, measures = population.neurons, _measures(population)
    if "activation_kurtosis" in measures:
        neurons = with_log_kurtosis(neurons)
    return neurons[compared(measures)].to_numpy()


def _rosetta_means(
    sample: list[Selection], values: list[np.ndarray], config: Config, *name: str | int
) -> dict[str, Estimate]:
    """Return the means of `values`, one array per model, over the Rosetta Neurons that each
    statistic counts.

    All statistics are resampled alike, so that equal selections have equal intervals.
    """
    means = {}
    for statistic in sample[0].by_statistic():
        masks = [one.by_statistic()[statistic] for one in sample]
        rows = np.concatenate([part[mask] for part, mask in zip(values, masks, strict=True)])
        clusters = np.concatenate(
            [one.clusters[mask] for one, mask in zip(sample, masks, strict=True)]
        )
        estimate = mean_estimate(rows, config.bootstrap, *name, ROSETTA, clusters=clusters)
        means[rosetta_group(statistic)] = estimate
    return means


def specialization(
    sample: list[Selection], config: Config, *name: str | int
) -> dict[str, Estimate]:
    """Return mean NormalizedFire of Rosetta Neurons, and of random draws of the others.

    After the categories there is one number more: the `expected_shift`.
    """
    directions = config.specialization.directions
    fires = [
        np.column_stack([own.fire, expected_shift(own.fire, own.categories, directions)])
        for own in (one.population for one in sample)
    ]
    means = _rosetta_means(sample, fires, config, "specialization", *name)
    draws = [
        random_draws(one.others, config.specialization, one.population.model, *name)
        for one in sample
    ]
    fire = np.concatenate([fire[times > 0] for fire, times in zip(fires, draws, strict=True)])
    weights = np.concatenate([times[times > 0] for times in draws])
    means[OTHERS] = mean_estimate(
        fire, config.bootstrap, "specialization", OTHERS, *name, weights=weights
    )
    return means


def polarization_tables(rungs: list[Rung], config: Config) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the means per rung (its models' neurons pooled), and per model of a rung."""
    by_rung, by_model = [], []
    for rung in rungs:
        place = {"ladder": rung.ladder, "rung": rung.number}
        names = compared(_measures(rung.populations[0]))
        pooled = polarization(rung.sample, config, rung.ladder, rung.number)
        by_rung += [{**place, **row} for row in _rows(pooled, "statistic", names, "mean")]
        for one in rung.sample:
            model = one.population.model
            own = polarization([one], config, rung.ladder, rung.number, model)
            named = {**place, "model": model, "n_neurons": one.population.shape.n_neurons}
            by_model += [{**named, **row} for row in _rows(own, "statistic", names, "mean")]
    return pd.DataFrame(by_rung, columns=POLARIZATION_COLUMNS), pd.DataFrame(
        by_model, columns=MODEL_POLARIZATION_COLUMNS
    )


def specialization_tables(
    populations: Iterable[Population], rungs: list[Rung], config: Config
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return NormalizedFire per model (all groups), and per rung (its models pooled).

    Above a null are, of a model, the neurons that `selectivity_table` says, and of a rung those
    that it counts.
    """
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
            numbers = {
                value: estimate.value[i],
                "ci_low": low[i],
                "ci_high": high[i],
                "n": int(estimate.n[i]),
            }
            rows.append({"group": group, key: name, **numbers})
    return rows

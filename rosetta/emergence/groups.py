"""Groups of neurons at a step compared: those that last, those that are Rosetta at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import Estimate, mean_estimate
from rosetta.analysis.columns import VOCABULARY_COLUMNS
from rosetta.analysis.groups import LOG_KURTOSIS, with_log_kurtosis
from rosetta.config import PAIR_SEPARATOR, Bootstrap, Config
from rosetta.config.names import first_training
from rosetta.emergence.columns import GROUP_COLUMNS, OWN_PAST_COLUMNS, OWN_R
from rosetta.emergence.rungs import StepMatches
from rosetta.matching.mutual import PAIR_KEYS
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet

DIFFERENCE = "difference"
LASTING, PASSING = "lasting", "passing"
ROSETTA, OTHERS = "rosetta", "others"
# What is compared of matches that last and those that do not; the first is of the weights.
_SELECTIVITY = ("excess_kurtosis", LOG_KURTOSIS, "activation_skewness")


def group_table(
    config: Config, paths: Paths, ladder: str, steps: list[StepMatches]
) -> pd.DataFrame:
    """Return means of groups of neurons at every step but the last (`GROUP_COLUMNS`).

    Of the neurons of the matches above all null models: `lasting` are those of matches that are
    there at the end, too, `passing` the others; their `excess_kurtosis` is that of what they write
    to the vocabulary at this step, `log_activation_kurtosis` and `activation_skewness` are of their
    activations, as in `rosetta.analysis.groups`. Of all neurons: `own_r` is the r of a neuron with
    its own final self, of those that are Rosetta Neurons at the end (`rosetta`) and of the
    `others`. `difference` is that of the first and the second group. Intervals are of a studentised
    bootstrap over neurons, p is two-sided (`rosetta.analysis.bootstrap`). There are no groups if no
    null model can be read.
    """
    rows: list[dict[str, Any]] = []
    final = steps[-1].shared
    for step in steps[:-1] if not steps[-1].reason else []:
        place = {"ladder": ladder, "step": step.rung.step, "tokens": step.rung.tokens}
        own = read_parquet(paths.own_past(step.rung.pair), OWN_PAST_COLUMNS)
        for side, name in zip("ab", step.rung.pair.split(PAIR_SEPARATOR), strict=True):
            model = first_training(name)
            mine = with_log_kurtosis(own[own["model"] == name])
            units = _with_vocabulary(config, paths, name, mine)
            for measure, groups in _compared(units, step.shared, final, side):
                named = (ladder, step.rung.step, model, measure)
                compared = _estimates(units, measure, groups, config.bootstrap, named)
                rows += [{**place, "model": model, "measure": measure, **row} for row in compared]
    return pd.DataFrame(rows, columns=GROUP_COLUMNS)


def _with_vocabulary(config: Config, paths: Paths, name: str, units: pd.DataFrame) -> pd.DataFrame:
    """Return units with the vocabulary kurtosis of a language model's."""
    if config.modality_of(name) != "text":
        return units.reset_index(drop=True)
    vocabulary = read_parquet(paths.vocabulary(name), VOCABULARY_COLUMNS)
    return units.merge(vocabulary, on=["layer", "unit"], how="left", validate="one_to_one")


def _compared(
    units: pd.DataFrame, shared: pd.DataFrame, final: pd.DataFrame, side: str
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yield every measure with the two groups of a model's units that are compared by it."""
    kept = shared.merge(final[PAIR_KEYS], on=PAIR_KEYS)
    lasting, there = _members(units, kept, side), _members(units, shared, side)
    groups = {LASTING: lasting, PASSING: there & ~lasting}
    yield from ((measure, groups) for measure in _SELECTIVITY if measure in units)
    rosetta = _members(units, final, side)
    yield OWN_R, {ROSETTA: rosetta, OTHERS: ~rosetta}


def _members(units: pd.DataFrame, matches: pd.DataFrame, side: str) -> np.ndarray:
    """Return which units are in some matches, on their side."""
    named = pd.MultiIndex.from_frame(matches[[f"layer_{side}", f"unit_{side}"]])
    found: np.ndarray = pd.MultiIndex.from_frame(units[["layer", "unit"]]).isin(named)
    return found


def _estimates(
    units: pd.DataFrame,
    measure: str,
    groups: dict[str, np.ndarray],
    settings: Bootstrap,
    named: tuple[str | int, ...],
) -> Iterator[dict[str, Any]]:
    """Yield the mean of either group, and their difference."""
    values = units[measure].to_numpy(float)
    first, second = (
        mean_estimate(values[mask][:, None], settings, *named, group)
        for group, mask in groups.items()
    )
    for group, estimate in zip((*groups, DIFFERENCE), (first, second, first - second), strict=True):
        yield {"group": group, **_row(estimate, with_p=group == DIFFERENCE)}


def _row(estimate: Estimate, *, with_p: bool) -> dict[str, float]:
    low, high = estimate.interval()
    p = float(min(estimate.p_above()[0], estimate.p_below()[0])) if with_p else np.nan
    return {
        "n": int(estimate.n[0]),
        "mean": float(estimate.value[0]),
        "mean_ci_low": float(low[0]),
        "mean_ci_high": float(high[0]),
        "p": p,
    }

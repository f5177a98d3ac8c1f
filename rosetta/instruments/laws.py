"""The exponent under every instrument, and whether it is that of mutual nearest neighbours."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.scaling import NOTHING_LEFT_OUT, pooled_table, scaling_table
from rosetta.config.matching import MUTUAL_NEAREST
from rosetta.instruments.columns import INSTRUMENT_SCALING_COLUMNS

_RESAMPLED = ["alpha_resampled_low", "alpha_resampled_high"]
_ALPHA = ["alpha", "alpha_ci_low", "alpha_ci_high", *_RESAMPLED]
_TOLD = ["ladder", *_ALPHA, "n_rungs", "few_matches", "reason"]


def instrument_laws(points: pd.DataFrame, halves: pd.DataFrame) -> pd.DataFrame:
    """Return the law of every ladder, and of all pairs where several ladders are pooled, under
    every instrument (`INSTRUMENT_SCALING_COLUMNS`).

    The fits are those of `rosetta.analysis.scaling`, of `matches` − `by_chance`, and of 0 where
    that is not above 0. `alpha_ci_…` joins both of its intervals: `alpha_trainings_…`, of the fit
    with trainings as random effects, and `alpha_resampled_…`, over the halves of the samples, on
    which thresholds are drawn again, too. `difference` is α minus that of mutual nearest
    neighbours. Its interval takes both for independent, though they are of the same trainings and
    samples.

    Parameters
    ----------
    points : DataFrame
        One row per instrument and group of trainings: instrument, ladder, rung, models, families,
        modality, n_neurons, matches, by_chance.
    halves : DataFrame
        Counts of first trainings on the halves: instrument,
        `rosetta.analysis.replicates.REPLICATE_COLUMNS` and by_chance.
    """
    points, halves = map(_beyond_chance, (points, halves))
    parts = [
        _laws(part, halves[halves["instrument"] == name]).assign(instrument=name)
        for name, part in points.groupby("instrument", sort=False)
    ]
    laws = pd.concat(parts, ignore_index=True)
    order = {ladder: place for place, ladder in enumerate(dict.fromkeys(laws["ladder"]))}
    laws = laws.sort_values("ladder", key=lambda names: names.map(order), kind="stable")
    return _compared(laws).reindex(columns=INSTRUMENT_SCALING_COLUMNS)


def _beyond_chance(counts: pd.DataFrame) -> pd.DataFrame:
    return counts.assign(matches=(counts["matches"] - counts["by_chance"]).clip(lower=0))


def _laws(points: pd.DataFrame, halves: pd.DataFrame) -> pd.DataFrame:
    """Return the laws of one instrument."""
    if points["matches"].isna().all():
        reason = "no rung is counted"
        rows = [{"ladder": ladder, "reason": reason} for ladder in points["ladder"].unique()]
        return pd.DataFrame(rows, columns=_TOLD)
    joint, alone = (_both(points, resampled) for resampled in (halves, None))
    of_fit = (alone["alpha_ci_high"] - alone["alpha_ci_low"]) / 2
    of_both = (joint["alpha_ci_high"] - joint["alpha_ci_low"]) / 2
    # Of all pairs only the joint interval is told, whose half width is the root of both squares.
    of_samples = np.sqrt((of_both**2 - of_fit**2).clip(lower=0))
    ends = joint["alpha"] - of_samples, joint["alpha"] + of_samples
    return joint.assign(
        alpha_trainings_low=joint["alpha"] - of_fit,
        alpha_trainings_high=joint["alpha"] + of_fit,
        **{name: joint[name].fillna(end) for name, end in zip(_RESAMPLED, ends, strict=True)},
    )


def _both(points: pd.DataFrame, halves: pd.DataFrame | None) -> pd.DataFrame:
    """Return the laws of the ladders, and that of all pairs."""
    pooled = pooled_table(points, halves).rename(columns={"pairs": "ladder"})
    pooled = pooled[(pooled["left_out"] == NOTHING_LEFT_OUT) & (pooled["n_ladders"] > 1)]
    both = [scaling_table(points, halves), pooled]
    return pd.concat([table.reindex(columns=_TOLD) for table in both], ignore_index=True)


def _compared(laws: pd.DataFrame) -> pd.DataFrame:
    """Add the difference from mutual nearest neighbours, with its interval."""
    half = (laws["alpha_ci_high"] - laws["alpha_ci_low"]) / 2
    reference = laws.assign(half=half)[laws["instrument"] == MUTUAL_NEAREST].set_index("ladder")
    theirs = laws["ladder"].map(reference["alpha"]), laws["ladder"].map(reference["half"])
    own = laws["instrument"] == MUTUAL_NEAREST
    difference = (laws["alpha"] - theirs[0]).mask(own)
    wide = np.hypot(half, theirs[1])
    return laws.assign(
        difference=difference,
        difference_ci_low=difference - wide,
        difference_ci_high=difference + wide,
    )

"""The tables of how long matches last, and of when the final ones are there."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.analysis.intervals import half_sample_interval
from rosetta.config.training_ladders import TrainingRung
from rosetta.emergence.columns import CURVE_COLUMNS, EMERGENCE_NEURON_COLUMNS, SURVIVAL_COLUMNS
from rosetta.emergence.rungs import StepMatches, presence, presence_on_halves
from rosetta.emergence.survival import cohorts, half_life, kaplan_meier, lifetimes, survival_at
from rosetta.matching.mutual import PAIR_KEYS

_NONE_FOLLOWED = "no match is new after the first step and before the last but one"


def survival_table(ladder: str, steps: list[StepMatches]) -> pd.DataFrame:
    """Return how many of the matches that are new at a step are there at each later one.

    Matches are those above all null models (`StepMatches.shared`), as pairs of neurons. One that
    was lost and is there again counts as there. Intervals are from half-samples of the samples.
    If no null model can be read, counts are NaN and `reason` says why.
    """
    rungs, reason = [step.rung for step in steps], steps[0].reason
    present = presence([step.shared for step in steps])
    found = cohorts(present)
    on_halves = [cohorts(half).shares for half in presence_on_halves(steps)]
    halves = np.stack(on_halves, axis=-1) if on_halves else np.empty((*found.shares.shape, 0))
    low, high = half_sample_interval(found.shares, halves)
    rows = [
        {
            "ladder": ladder,
            "born_step": rungs[born].step,
            "born_tokens": rungs[born].tokens,
            "step": rungs[later].step,
            "tokens": rungs[later].tokens,
            "n_born": np.nan if reason else found.n_born[born],
            "n_left": np.nan if reason else found.n_left[born, later],
            "share": found.shares[born, later],
            "share_ci_low": np.clip(low[born, later], 0, 1),
            "share_ci_high": np.clip(high[born, later], 0, 1),
            "reason": reason,
        }
        for born in range(len(rungs))
        for later in range(born, len(rungs))
    ]
    return pd.DataFrame(rows, columns=SURVIVAL_COLUMNS)


def curve_table(ladder: str, steps: list[StepMatches]) -> pd.DataFrame:
    """Return Kaplan and Meier's estimate of how many matches last how long, and their half-life.

    Ages are doublings of the tokens that were read when a match was new. What is there at the first
    step is left out, and lost is what is never seen again at two steps at least
    (`rosetta.emergence.survival`). `survival_ci_low` and
    `_high` are from half-samples of the samples: what other samples would tell of these two
    trainings. Greenwood's, and the interval of the half-life, take matches as independent. If no
    match is followed there is one row without a number, and `reason` says why.
    """
    tokens = np.array([step.rung.tokens for step in steps])
    present = presence([step.shared for step in steps])
    curve = kaplan_meier(*lifetimes(present, tokens))
    reason = steps[0].reason or ("" if curve["at_risk"].iloc[0] else _NONE_FOLLOWED)
    if reason:
        return pd.DataFrame([{"ladder": ladder, "reason": reason}], columns=CURVE_COLUMNS)
    ages = curve["doublings"].to_numpy()
    halves = [
        survival_at(kaplan_meier(*lifetimes(half, tokens)), ages)
        for half in presence_on_halves(steps)
    ]
    on_halves = np.stack(halves, axis=-1) if halves else np.empty((len(ages), 0))
    low, high = half_sample_interval(curve["survival"].to_numpy(), on_halves)
    value, first, last = half_life(curve)
    return curve.assign(
        ladder=ladder,
        survival_ci_low=np.clip(low, 0, 1),
        survival_ci_high=np.clip(high, 0, 1),
        half_life=value,
        half_life_ci_low=first,
        half_life_ci_high=last,
        reason=reason,
    )[CURVE_COLUMNS]


def neuron_table(ladder: str, steps: list[StepMatches], pasts: list[pd.DataFrame]) -> pd.DataFrame:
    """Return when each of the final matches above all null models is there.

    `first_above_step` is the first step at which the pair's r exceeds all null models, be it a
    match or not; `nearest_step` the first from which on both are each other's nearest neighbours at
    every step, whatever `matching.k`; NaN if they are not so at the end.

    Parameters
    ----------
    ladder : str
        The training ladder.
    steps : list of StepMatches
        Its matches.
    pasts : list of DataFrame
        r, at every step but the last, of the pairs that match at the end (`FINAL_PAIR_COLUMNS`).
    """
    end = steps[-1]
    final = end.shared[["model_a", "model_b", *PAIR_KEYS, "r"]].reset_index(drop=True)
    keys = final[PAIR_KEYS]
    above = np.ones((len(final), len(steps)), bool)
    nearest = np.empty((len(final), len(steps)), bool)
    for number, (step, past) in enumerate(zip(steps, pasts, strict=False)):
        known = keys.merge(past, on=PAIR_KEYS, how="left", validate="one_to_one")
        above[:, number] = known["r"].to_numpy() > step.bar
    for number, step in enumerate(steps):
        first_ranks = (step.matches[["rank_a", "rank_b"]] == 1).all(axis=1)
        matched = pd.MultiIndex.from_frame(step.matches.loc[first_ranks, PAIR_KEYS])
        nearest[:, number] = pd.MultiIndex.from_frame(keys).isin(matched)
    first = above.argmax(axis=1)
    # The step after the last one at which it is no match.
    for_good = len(steps) - np.minimum.accumulate(nearest[:, ::-1], axis=1).sum(axis=1)
    rungs = [step.rung for step in steps]
    return final.assign(
        ladder=ladder,
        **_at("first_above", first, rungs),
        **_at("nearest", for_good, rungs),
    )[EMERGENCE_NEURON_COLUMNS]


def _at(name: str, numbers: np.ndarray, rungs: list[TrainingRung]) -> dict[str, np.ndarray]:
    """Return the columns of the step and the tokens of some rungs, by their numbers; NaN where the
    number is that after the last.
    """
    steps = np.array([*(rung.step for rung in rungs), np.nan])
    tokens = np.array([*(rung.tokens for rung in rungs), np.nan])
    return {f"{name}_step": steps[numbers], f"{name}_tokens": tokens[numbers]}

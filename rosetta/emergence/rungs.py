"""The matches of a training ladder at every step, and what they have to exceed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.analysis.null_thresholds import NULL_COLUMNS, ONE_DRAW, LadderNull
from rosetta.analysis.replicates import (
    drawn_limits,
    half_sample_count,
    ladder_thresholds,
    screened_floors,
)
from rosetta.config import PAIR_SEPARATOR, Config
from rosetta.config.controls import CALIBRATING
from rosetta.config.training_ladders import TrainingRung, training_rungs
from rosetta.matching.mutual import MATCH_COLUMNS, PAIR_KEYS
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet

_HALF_COLUMNS = [*PAIR_KEYS, "r", "half_sample"]


@dataclass(frozen=True)
class StepMatches:
    """A pair's matches at a step of its training.

    Attributes
    ----------
    rung : TrainingRung
        The step.
    matches : DataFrame
        All of them (`MATCH_COLUMNS`).
    halves : list of DataFrame
        Those on every half-sample (`PAIR_KEYS`, r); empty if there are none.
    limits : dict of str to float
        What r has to exceed by statistic: `plain`, where screening gave up, and `above_…`, a
        quantile of a null model's matched r, NaN where it has too few matches to tell.
    drawn : dict of str to ndarray, shape (n_half_samples,)
        The same, drawn again with every half-sample.
    """

    rung: TrainingRung
    matches: pd.DataFrame
    halves: list[pd.DataFrame]
    limits: dict[str, float]
    drawn: dict[str, np.ndarray]

    @property
    def read(self) -> list[str]:
        """The statistics whose limits can be read, `plain` first."""
        return [name for name, limit in self.limits.items() if not np.isnan(limit)]

    @property
    def bar(self) -> float:
        """What r has to exceed to be above all null models whose limit can be read."""
        return max(self.limits[name] for name in self.read)

    @property
    def bars(self) -> np.ndarray:
        """The same on every half-sample; NaN where the error of a limit is not known."""
        highest: np.ndarray = np.max([self.drawn[name] for name in self.read], axis=0)
        return highest

    @property
    def shared(self) -> pd.DataFrame:
        """The matches above all null models."""
        return self.matches[self.matches["r"] > self.bar]

    def shared_on_halves(self) -> Iterator[pd.DataFrame]:
        """Yield the matches above all null models on every half-sample."""
        for half, bar in zip(self.halves, self.bars, strict=True):
            yield half[half["r"] > bar]


def read_steps(config: Config, paths: Paths, ladder: str) -> list[StepMatches]:
    """Return the matches of a training ladder, its end last.

    Each step has exchanged samples of its own. All have the untrained twins of the end, because
    what is not trained has no step. Half-samples are used if all steps have as many: only then are
    they of the same samples.
    """
    rungs = training_rungs(config, ladder)
    end = rungs[-1].pair
    counted = {half_sample_count(paths, tuple(rung.pair.split(PAIR_SEPARATOR))) for rung in rungs}
    n_halves = counted.pop() if len(counted) == 1 else 0
    floors = screened_floors(config, paths)
    floor = max(floors[name] for name in config.ladders_of(end))
    found = []
    for rung in rungs:
        nulls = _nulls(config, paths, rung.pair, end)
        said = f"{ladder} at step {rung.step}"
        quantile = config.controls.null_quantile
        limits = ladder_thresholds({said: nulls}, quantile, {said: floor})[said]
        least = np.full(n_halves, floor)
        drawn = {name: drawn_limits(config, nulls, name, least) for name in limits}
        matches = read_parquet(paths.matches(rung.pair), MATCH_COLUMNS)
        found.append(StepMatches(rung, matches, _halves(paths, rung.pair, n_halves), limits, drawn))
    return found


def _nulls(config: Config, paths: Paths, pair: str, end: str) -> dict[str, LadderNull]:
    found = {}
    for name in CALIBRATING:
        if seeds := config.controls.seeds(name):
            table = read_null(paths, name, end if name == "untrained" else pair)
            found[f"above_{name}"] = LadderNull.of(
                [table[["seed", "r"]]], seeds, one_draw=name in ONE_DRAW
            )
    return found


def read_null(paths: Paths, control: str, pair: str) -> pd.DataFrame:
    """Return a pair's matches under a null model (`NULL_COLUMNS`)."""
    return read_parquet(paths.null_matches(control, pair), NULL_COLUMNS)


def _halves(paths: Paths, pair: str, n: int) -> list[pd.DataFrame]:
    table = read_parquet(paths.replicates(pair), _HALF_COLUMNS) if n else None
    return [table[table["half_sample"] == i] for i in range(n)] if table is not None else []


def presence(tables: list[pd.DataFrame]) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the pairs of neurons in some tables of matches, and in which of them each is.

    Returns
    -------
    pairs : DataFrame
        `PAIR_KEYS`, in their order, none twice.
    present : ndarray of bool, shape (n_pairs, n_tables)
    """
    every = pd.concat([table[PAIR_KEYS].assign(table=i) for i, table in enumerate(tables)])
    pair = every.groupby(PAIR_KEYS).ngroup().to_numpy()
    pairs = every[PAIR_KEYS].drop_duplicates().sort_values(PAIR_KEYS, ignore_index=True)
    present = np.zeros((len(pairs), len(tables)), bool)
    present[pair, every["table"].to_numpy(np.int64)] = True
    return pairs, present


def presence_on_halves(steps: list[StepMatches]) -> list[np.ndarray]:
    """Return which matches are above all null models at which step, on every half-sample.

    None if the steps have no half-samples, or the error of a limit is not known.
    """
    if any(np.isnan(step.bars).any() for step in steps):
        return []
    of_halves = zip(*(step.shared_on_halves() for step in steps), strict=True)
    return [presence(list(tables))[1] for tables in of_halves]

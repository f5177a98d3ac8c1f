"""The matches of a training ladder at every step, and what they have to exceed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.analysis.null_thresholds import (
    NULL_COLUMNS,
    ONE_DRAW,
    PLAIN,
    LadderNull,
    rung_nulls,
)
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
# Why nothing is told of matches above all null models.
_NO_NULL = "there are neither exchanged samples nor untrained twins to compare with"
_UNREAD = "no null model has enough matches, of those that were looked for, to read its quantile"


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
        """The null models whose limits can be read, as statistics (`above_…`)."""
        return [
            name for name, limit in self.limits.items() if name != PLAIN and not np.isnan(limit)
        ]

    @property
    def reason(self) -> str:
        """Why no match is told to be above all null models; empty if some null can be read."""
        if self.read:
            return ""
        return _UNREAD if len(self.limits) > 1 else _NO_NULL

    @property
    def bar(self) -> float:
        """What r has to exceed to be above all null models whose limit can be read; NaN if none."""
        return max(self.limits[name] for name in (PLAIN, *self.read)) if self.read else np.nan

    @property
    def bars(self) -> np.ndarray:
        """The same on every half-sample; NaN where the error of a limit is not known."""
        if not self.read:
            return np.full(len(self.halves), np.nan)
        highest: np.ndarray = np.max([self.drawn[name] for name in (PLAIN, *self.read)], axis=0)
        return highest

    @property
    def shared(self) -> pd.DataFrame:
        """The matches above all null models; none if no null can be read."""
        return self.matches[self.matches["r"] > self.bar]

    def shared_on_halves(self) -> Iterator[pd.DataFrame]:
        """Yield the matches above all null models on every half-sample."""
        for half, bar in zip(self.halves, self.bars, strict=True):
            yield half[half["r"] > bar]


def read_steps(config: Config, paths: Paths, ladder: str) -> list[StepMatches]:
    """Return the matches of a training ladder, its end last.

    One threshold per null model holds for all steps, so what is gained and lost is no matter of
    thresholds. It is that of a ladder (`LadderNull.threshold`) whose rungs are those of the first
    ladder that counts the end, and of exchanged samples all steps besides; what is not trained has
    no step. Half-samples are used if all steps have as many: only then are they of the same
    samples.
    """
    rungs = training_rungs(config, ladder)
    end = rungs[-1].pair
    counted = {half_sample_count(paths, tuple(rung.pair.split(PAIR_SEPARATOR))) for rung in rungs}
    n_halves = counted.pop() if len(counted) == 1 else 0
    floors = screened_floors(config, paths)
    floor = max(floors[name] for name in config.ladders_of(end))
    nulls = _nulls(config, paths, rungs)
    quantile = config.controls.null_quantile
    limits = ladder_thresholds({ladder: nulls}, quantile, {ladder: floor})[ladder]
    least = np.full(n_halves, floor)
    drawn = {name: drawn_limits(config, nulls, name, least) for name in limits}
    return [
        StepMatches(
            rung,
            read_parquet(paths.matches(rung.pair), MATCH_COLUMNS),
            _halves(paths, rung.pair, n_halves),
            limits,
            drawn,
        )
        for rung in rungs
    ]


def _nulls(config: Config, paths: Paths, rungs: list[TrainingRung]) -> dict[str, LadderNull]:
    """Return the null models of a training ladder, by statistic (`above_…`)."""
    found, ladder = {}, config.ladders_of(rungs[-1].pair)[0]
    for name in CALIBRATING:
        if seeds := config.controls.seeds(name):
            tables = rung_nulls(config, paths, ladder, name)
            for rung in rungs[:-1]:
                if name in config.controls_of(rung.pair):
                    tables.append(read_null(paths, name, rung.pair)[["seed", "r"]])
            found[f"above_{name}"] = LadderNull.of(tables, seeds, one_draw=name in ONE_DRAW)
    return found


def read_null(paths: Paths, control: str, pair: str) -> pd.DataFrame:
    """Return a pair's matches under a null model (`NULL_COLUMNS`)."""
    return read_parquet(paths.null_matches(control, pair), NULL_COLUMNS)


def _halves(paths: Paths, pair: str, n: int) -> list[pd.DataFrame]:
    table = read_parquet(paths.replicates(pair), _HALF_COLUMNS) if n else None
    return [table[table["half_sample"] == i] for i in range(n)] if table is not None else []


def presence(tables: Iterable[pd.DataFrame], keys: list[str] = PAIR_KEYS) -> np.ndarray:
    """Return which matches are in which of some tables, bool of shape (n_matches, n_tables).

    Parameters
    ----------
    tables : iterable of DataFrame
        Of matches.
    keys : list of str
        What makes a match the same in two tables: both neurons, or those of one side.
    """
    parts = list(tables)
    every = pd.concat([table[keys].assign(table=i) for i, table in enumerate(parts)])
    match = every.groupby(keys).ngroup().to_numpy()
    present = np.zeros((match.max(initial=-1) + 1, len(parts)), bool)
    present[match, every["table"].to_numpy(np.int64)] = True
    return present


def presence_on_halves(steps: list[StepMatches], keys: list[str] = PAIR_KEYS) -> list[np.ndarray]:
    """Return which matches are above all null models at which step, on every half-sample.

    None if the steps have no half-samples, or the error of a limit is not known. `keys` are those
    of `presence`.
    """
    if any(np.isnan(step.bars).any() for step in steps):
        return []
    of_halves = zip(*(step.shared_on_halves() for step in steps), strict=True)
    return [presence(tables, keys) for tables in of_halves]

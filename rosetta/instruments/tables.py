"""What every instrument finds of every rung, above its own null."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from rosetta.analysis.counts import model_shape
from rosetta.analysis.null_thresholds import PLAIN, LadderNull
from rosetta.analysis.replicates import REPLICATE_COLUMNS, clipped, intervals_of
from rosetta.analysis.rung_means import rung_table
from rosetta.config import PAIR_SEPARATOR, Config, group_name, group_pairs
from rosetta.config.ladders import families_of
from rosetta.config.matching import MUTUAL_NEAREST
from rosetta.instruments.columns import INSTRUMENT_COLUMNS, SIMILARITY_COLUMNS
from rosetta.instruments.counting import NOTHING, Found, anchors, counted, kept_share, overlap
from rosetta.instruments.sizes import NULL_HALVES, n_halves
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, read_parquet_metadata

_NO_THRESHOLD = "its null has too few matches to read a threshold"
# What is found on one side only, of which no pair of neurons is told.
_ONE_SIDED = ("procrustes",)
Place = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """What the instruments found of a pair of trainings.

    Attributes
    ----------
    found : dict of (str, bool, int) to Found
        Matches by instrument, null and half.
    facts : dict
        Metadata (`rosetta.instruments.steps.instruments_step`).
    """

    found: dict[tuple[str, bool, int], Found]
    facts: dict[str, Any]

    def matches(self, instrument: str, half: int, *, null: bool = False) -> Found:
        """Return what an instrument found on a half."""
        return self.found.get((instrument, null, half), NOTHING)


def read_measured(config: Config, paths: Paths) -> dict[tuple[str, str], Measured]:
    """Return what the instruments found of all pairs of trainings."""
    read = {}
    for a, b in config.all_pairs():
        path = paths.instruments(group_name((a, b)))
        parts = read_parquet(path).groupby(["instrument", "null", "half_sample"], sort=False)
        found = {
            (str(key[0]), bool(key[1]), int(str(key[2]))): Found.of(part) for key, part in parts
        }
        read[a, b] = Measured(found, read_parquet_metadata(path))
    return read


@dataclass(frozen=True)
class RungTables:
    """Counts of all rungs under all instruments.

    Attributes
    ----------
    rungs : DataFrame
        `INSTRUMENT_COLUMNS`.
    points : DataFrame
        What laws are fitted to: one row per instrument and group of trainings.
    halves : DataFrame
        Counts of first trainings on the halves: `instrument`, `REPLICATE_COLUMNS` and `by_chance`.
    """

    rungs: pd.DataFrame
    points: pd.DataFrame
    halves: pd.DataFrame


def rung_tables(
    config: Config, paths: Paths, measured: Mapping[tuple[str, str], Measured]
) -> RungTables:
    """Return the counts of all rungs under all instruments.

    A match counts if its r exceeds `instruments.null_quantile` of the scores that the instrument
    finds under the null model, one threshold per ladder and instrument (`LadderNull.threshold`).
    `count` is the mean over the halves on which the instrument is judged, with its interval over
    samples, and over the threshold, which is drawn again with every half (`LadderNull.redrawn`).
    `trainings_mean` is that of all groups of trainings, with its interval over these. Of a larger
    group, anchor neurons count that are matched in every comparison. `by_chance` is how many of
    them are expected to be chance's (`_Instrument.by_chance`).

    `jaccard` compares the neurons of A that are matched with those that mutual nearest neighbours
    match; `kept` is the share of these matches that the instrument has too, of instruments that
    name two neurons. Both are means over halves.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    measured : mapping
        What the instruments found, by pair of trainings (`read_measured`).
    """
    points, halves, rungs = [], [], []
    for ladder in config.ladders:
        for instrument in _instruments(config, measured, ladder):
            for number, rung in enumerate(map(tuple, config.ladders[ladder])):
                place = {"instrument": instrument.name, "ladder": ladder, "rung": number}
                points += [place | row for row in _points(paths, instrument, ladder, rung)]
                drawn = instrument.counts(rung, rung, instrument.limit.drawn)
                halves += [{**place, "statistic": PLAIN, **row} for row in drawn]
                rungs.append(place | _first(instrument, rung, drawn))
    of_points = pd.DataFrame(points)
    of_halves = pd.DataFrame(halves, columns=["instrument", *REPLICATE_COLUMNS, "by_chance"])
    table = _with_means(pd.DataFrame(rungs), of_points, of_halves)
    return RungTables(table, of_points, of_halves)


@dataclass(frozen=True)
class Limit:
    """What r has to exceed in a ladder under an instrument.

    Attributes
    ----------
    whole : float
        Read off the whole null; NaN where it has too few matches to tell.
    drawn : ndarray, shape (n_halves,)
        Read off a null that is drawn again, for every half of the samples; NaN where that cannot
        be read, and then there is no interval.
    """

    whole: float
    drawn: np.ndarray


def null_limit(
    config: Config, measured: Mapping[tuple[str, str], Measured], ladder: str, name: str
) -> Limit:
    """Return what r has to exceed in a ladder."""
    rungs, seeds = [], list(range(NULL_HALVES))
    for rung in config.ladders[ladder]:
        found = [
            pd.DataFrame({"r": measured[pair].matches(name, half, null=True).r, "seed": half})
            for pair in group_pairs(tuple(rung))
            for half in seeds
        ]
        rungs.append(pd.concat(found))
    # Halves of one draw have other samples each, as seeds have.
    null = LadderNull.of(rungs, seeds, one_draw=True)
    settings = config.instruments
    quantile, n_pairs = settings.null_quantile, n_halves(settings) // 2
    # All instruments and ladders read the same exchange, so their nulls are drawn alike.
    drawn = null.redrawn(quantile, n_pairs, settings.null)
    return Limit(null.threshold(quantile), drawn)


@dataclass(frozen=True)
class _Instrument:
    """An instrument in one ladder."""

    config: Config
    measured: Mapping[tuple[str, str], Measured]
    limits: Mapping[str, Limit]
    name: str

    @property
    def halves(self) -> range:
        return range(n_halves(self.config.instruments))

    @property
    def limit(self) -> Limit:
        return self.limits[self.name]

    def reason(self, group: tuple[str, ...]) -> str:
        """Return why a group is not counted; empty if it is."""
        told = [self.measured[pair].facts["reasons"].get(self.name) for pair in group_pairs(group)]
        left_out = "; ".join(dict.fromkeys(filter(None, told)))
        return left_out or (_NO_THRESHOLD if np.isnan(self.limit.whole) else "")

    def above(
        self, group: tuple[str, ...], half: int, limit: float, *, null: bool = False
    ) -> list[Found]:
        """Return the matches of a group's pairs that exceed a score."""
        pairs = group_pairs(group)
        found = [self.measured[pair].matches(self.name, half, null=null) for pair in pairs]
        return [part.above(limit) for part in found]

    def by_chance(self, below: int, rung: tuple[str, ...], limit: float) -> float:
        """Return how many matches above a score are expected to be chance's.

        Of the null's matches a share p exceeds it. Matches below it are chance's, which are a share
        1 − p of all of chance's: `below` · p / (1 − p) are above. With half of 100 matches true and
        p = 0.2, 60 of them exceed the score, and 40 · 0.2 / 0.8 = 10 by chance.
        """
        above, all_ = (
            sum(
                counted(self.above(rung, half, least, null=True)).matches
                for half in range(NULL_HALVES)
            )
            for least in (limit, -np.inf)
        )
        if above == all_:
            return np.nan if all_ else 0.0
        return below * above / (all_ - above)

    def counts(
        self, group: tuple[str, ...], rung: tuple[str, ...], limits: np.ndarray
    ) -> list[Place]:
        """Return counts and mean r on every half above its limit, with how many exceed that limit
        by chance; NaN where the group, or its rung's null, is not counted, or a limit unknown.

        Only first trainings have a null model, so that of the rung stands for all of its groups.
        """
        nothing = {"matches": np.nan, "mean_r": np.nan, "by_chance": np.nan}
        if self.reason(group) or self.reason(rung) or np.isnan(limits).any():
            return [{"half_sample": half, **nothing} for half in self.halves]
        rows = []
        for half, limit in zip(self.halves, limits, strict=True):
            found = counted(self.above(group, half, limit))
            below = counted(self.above(group, half, -np.inf)).matches - found.matches
            by_chance = self.by_chance(below, rung, limit)
            rows.append({"half_sample": half, **found._asdict(), "by_chance": by_chance})
        return rows

    def on_halves(self, group: tuple[str, ...], rung: tuple[str, ...]) -> pd.DataFrame:
        """Return the same above the threshold of the whole null."""
        limits = np.full(len(self.halves), self.limit.whole)
        return pd.DataFrame(self.counts(group, rung, limits))


def _instruments(
    config: Config, measured: Mapping[tuple[str, str], Measured], ladder: str
) -> list[_Instrument]:
    names = list(map(str, config.matching.instruments))
    limits = {name: null_limit(config, measured, ladder, name) for name in names}
    return [_Instrument(config, measured, limits, name) for name in names]


def _rung_facts(config: Config, ladder: str, rung: tuple[str, ...]) -> Place:
    families = families_of(config.ladders)
    named = group_name(tuple(families[model] for model in rung))
    return {"families": named, "modality": config.ladder_modality(ladder)}


def _points(
    paths: Paths, instrument: _Instrument, ladder: str, rung: tuple[str, ...]
) -> list[Place]:
    """Return the mean counts of a rung's groups of trainings over the halves."""
    rows, told = [], _rung_facts(instrument.config, ladder, rung)
    for group in instrument.config.replicate_groups(rung):
        sizes = [model_shape(paths, model).n_neurons for model in group]
        halves = instrument.on_halves(group, rung)
        means = {name: float(halves[name].mean()) for name in ("matches", "by_chance")}
        size = float(np.mean(sizes))
        rows.append({**told, "models": group_name(group), "n_neurons": size, **means})
    return rows


def _first(instrument: _Instrument, rung: tuple[str, ...], drawn: list[Place]) -> Place:
    """Return what is told of a rung's first trainings; `drawn` are their counts above thresholds
    that are drawn again.
    """
    pairs = group_pairs(rung)
    positions = [instrument.measured[pair].facts.get("n_positions") for pair in pairs]
    halves, replicates = instrument.on_halves(rung, rung), pd.DataFrame(drawn)
    row = {
        "models": group_name(rung),
        "n_positions": min((n for n in positions if n is not None), default=np.nan),
        "r_threshold": instrument.limit.whole,
        "by_chance": float(halves["by_chance"].mean()),
        "reason": instrument.reason(rung),
    }
    for column, most in (("matches", np.inf), ("mean_r", 1.0)):
        mean = float(halves[column].mean())
        ends = clipped(intervals_of(replicates, column, mean), 0.0 if most > 1 else -1.0, most)
        row |= {column: mean, f"{column}_ci_low": ends[0], f"{column}_ci_high": ends[1]}
    return row | _compared(instrument, rung)


def _compared(instrument: _Instrument, rung: tuple[str, ...]) -> Place:
    """Return how much of a rung's matches the instrument shares with mutual nearest neighbours;
    NaN where either is not counted.
    """
    other = replace(instrument, name=MUTUAL_NEAREST)
    if instrument.reason(rung) or other.reason(rung):
        return {"jaccard": np.nan, "kept": np.nan}
    neurons, kept = [], []
    for half in instrument.halves:
        mine, theirs = (one.above(rung, half, one.limit.whole) for one in (instrument, other))
        neurons.append(overlap(anchors(mine), anchors(theirs)))
        if len(mine) == 1 and instrument.name not in _ONE_SIDED:
            kept.append(kept_share(mine[0], theirs[0]))
    return {"jaccard": _mean(neurons), "kept": _mean(kept)}


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")


def _with_means(rungs: pd.DataFrame, points: pd.DataFrame, halves: pd.DataFrame) -> pd.DataFrame:
    """Add the means over trainings, with their intervals."""
    keys, parts = ["instrument", "ladder", "rung"], []
    renamed = {
        "mean": "trainings_mean",
        "mean_ci_low": "trainings_ci_low",
        "mean_ci_high": "trainings_ci_high",
    }
    for name, part in points.groupby("instrument", sort=False):
        found = rung_table(part, halves[halves["instrument"] == name])
        parts.append(found.rename(columns=renamed).assign(instrument=name))
    wanted = [*keys, *renamed.values(), "n_groups"]
    means = pd.concat(parts).reindex(columns=wanted)
    sizes = points.groupby(keys, sort=False)["n_neurons"].mean().reset_index()
    table = rungs.merge(sizes, on=keys, how="left").merge(means, on=keys, how="left")
    return table.reindex(columns=INSTRUMENT_COLUMNS)


def similarity_table(
    config: Config, paths: Paths, measured: Mapping[tuple[str, str], Measured]
) -> pd.DataFrame:
    """Return the calibrated similarity of every rung (`SIMILARITY_COLUMNS`).

    `score`, `by_chance`, `threshold`, `p`, `calibrated` and `n_clusters` are those of
    `rosetta.instruments.similarity`. A larger group is as alike as the least alike of its
    comparisons, which `pair` names, and has no similarity if one of them has none: `reason` says
    why. `svcca` and `pwcca` are means over halves, with what they are
    under the null model; they are empty where `cca` is not asked for.
    """
    rows = []
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(map(tuple, rungs)):
            sizes = [model_shape(paths, model).n_neurons for model in rung]
            told = [_similar(pair, measured[pair].facts) for pair in group_pairs(rung)]
            place = {"ladder": ladder, "rung": number, "models": group_name(rung)}
            place["n_neurons"] = float(np.mean(sizes))
            rows.append(place | min(told, key=lambda row: row.get("calibrated", -np.inf)))
    return pd.DataFrame(rows, columns=SIMILARITY_COLUMNS)


def _similar(pair: tuple[str, str], facts: Mapping[str, Any]) -> Place:
    row = {"pair": PAIR_SEPARATOR.join(pair), **facts.get("similarity", {})}
    row["reason"] = facts["reasons"].get("similarity", "")
    of_cca = [told for told in facts["halves"] if told["instrument"] == "cca"]
    for null, ending in ((False, ""), (True, "_by_chance")):
        mine = [told for told in of_cca if told["null"] == null]
        for name in ("svcca", "pwcca") if mine else ():
            row[f"{name}{ending}"] = _mean([told[name] for told in mine])
    return row

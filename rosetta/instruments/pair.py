"""The instruments on a pair of stores: what is read, whether it fits, and what is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from rosetta.activations.reader import StoreReader
from rosetta.config import Config
from rosetta.config.instruments import Instruments
from rosetta.config.matching import Instrument
from rosetta.correlation.aligned import AlignedPair, align_pair
from rosetta.correlation.plan import PairSize
from rosetta.correlation.products import resolve_precision
from rosetta.correlation.resample import MIN_CLUSTERS, half_samples, sample_blocks
from rosetta.correlation.view import View
from rosetta.instruments.measure import FOUND_COLUMNS, PairMeasures, found_table, measure_halves
from rosetta.instruments.principal import Components, ProjectedSums, components
from rosetta.instruments.ranks import rank_sums
from rosetta.instruments.similarity import Similarity, one_per_sample, similarity
from rosetta.instruments.sizes import NULL_HALVES, too_large, too_long
from rosetta.instruments.sums import BlockSums, ReadPair, read_sums
from rosetta.matching.views import null_view

Reasons = dict[str, str]
Bases = tuple[Components, Components]


@dataclass(frozen=True)
class AskedPair:
    """What is asked of a pair.

    Attributes
    ----------
    config : Config
        The run.
    stores : tuple of sequences of StoreReader
        Shard stores of A and of B.
    sample_table : Path or None
        What is known of the samples.
    calibrated : bool
        Whether the null model and the similarity are asked for, too: of first trainings.
    """

    config: Config
    stores: tuple[Sequence[StoreReader], Sequence[StoreReader]]
    sample_table: Path | None
    calibrated: bool

    @property
    def settings(self) -> Instruments:
        """How instruments are set."""
        return self.config.instruments

    @property
    def d_mlp(self) -> tuple[int, int]:
        """Neurons per layer of either model."""
        return self.stores[0][0].d_mlp, self.stores[1][0].d_mlp

    def seen(self, view: View) -> AlignedPair:
        """Return the pair under a view, of as many samples as are looked at."""
        first = replace(view, first=self.settings.max_samples, sample_table=self.sample_table)
        return align_pair(*self.stores, first)

    def read(self, pair: AlignedPair, block: np.ndarray) -> ReadPair:
        """Return a pair as it is read, by the blocks of its positions."""
        precision = resolve_precision(self.config.correlation.precision)
        pooling, n = self.config.alignment.pooling, self.settings.n_blocks
        return ReadPair(pair, pooling, precision, block, n)


@dataclass(frozen=True)
class MeasuredPair:
    """What the instruments find of a pair.

    Attributes
    ----------
    found : DataFrame
        `rosetta.instruments.measure.FOUND_COLUMNS`: matches on every half, also under the null.
    halves : list of dict
        What else instruments tell, by instrument, null and half.
    facts : dict
        Positions, components and their shares of the variance; `similarity`, where it is asked for.
    reasons : dict of str to str
        Why an instrument was left out, by its name.
    """

    found: pd.DataFrame
    halves: list[dict[str, Any]]
    facts: dict[str, Any]
    reasons: Reasons


def measure_pair(asked: AskedPair) -> MeasuredPair:
    """Apply all instruments that a configuration asks for to a pair.

    Pairs that are too large, or that share too few clusters of samples, are left out with a reason.
    """
    names, config = asked.config.matching.instruments, asked.config
    a, b = (stores[0].n_layers * stores[0].d_mlp for stores in asked.stores)
    reason = too_large(PairSize(a, b, 0), config)
    if reason:
        return _left_out(names, reason)
    pair = asked.seen(View.of(config))
    blocks = sample_blocks(pair, asked.settings.n_blocks)
    if blocks.n < asked.settings.n_blocks:
        few = f"fewer than {max(MIN_CLUSTERS, asked.settings.n_blocks)} independent samples"
        return _left_out(names, few)
    reasons = too_long(pair.size, config, names)
    kept = [name for name in names if name not in reasons]
    read = asked.read(pair, blocks.of_position)
    chosen = one_per_sample(pair.sample_positions, asked.settings.null_seed)
    sums, rows = read_sums(read, chosen if asked.calibrated else None)
    bases = _bases(sums, pair, asked.settings)
    facts = {
        "n_positions": pair.n_positions,
        "n_components": [of.n for of in bases],
        "variance_shares": [of.share for of in bases],
    }
    measures = _measures(sums, bases, read, kept)
    tables, halves = _judge(asked, measures, half_samples(blocks.n), kept, null=False)
    if asked.calibrated:
        facts["similarity"] = _calibrated(asked, rows).facts
        del sums, measures
        of_null = _null_measures(asked, bases, kept)
        further = _judge(asked, of_null, half_samples(blocks.n)[:NULL_HALVES], kept, null=True)
        tables, halves = tables + further[0], halves + further[1]
    return MeasuredPair(pd.concat(tables, ignore_index=True), halves, facts, reasons)


def _left_out(names: Sequence[Instrument], reason: str) -> MeasuredPair:
    return MeasuredPair(pd.DataFrame(columns=FOUND_COLUMNS), [], {}, dict.fromkeys(names, reason))


def _bases(sums: BlockSums, pair: AlignedPair, settings: Instruments) -> Bases:
    n, limits = pair.n_positions, (settings.variance, settings.max_components)
    assert sums.within_a is not None
    assert sums.within_b is not None
    of_a = components(sums.within_a, sums.columns_a, n, *limits)
    return of_a, components(sums.within_b, sums.columns_b, n, *limits)


def _measures(
    sums: BlockSums, bases: Bases, read: ReadPair, names: Sequence[Instrument]
) -> PairMeasures:
    ranks = rank_sums(read) if "spearman" in names else None
    return PairMeasures(sums, ProjectedSums(sums, *bases), ranks)


def _null_measures(asked: AskedPair, bases: Bases, names: Sequence[Instrument]) -> PairMeasures:
    """Return the sums under the null model. Its blocks are runs of positions: it leaves no sample
    of the second model at its place.
    """
    config, settings = asked.config, asked.settings
    view = null_view(config, asked.sample_table, settings.null, settings.null_seed)
    pair = asked.seen(view)
    block = np.arange(pair.n_positions) * settings.n_blocks // pair.n_positions
    read = asked.read(pair, block)
    sums, _ = read_sums(read)
    return _measures(sums, bases, read, names)


def _judge(
    asked: AskedPair,
    measures: PairMeasures,
    halves: np.ndarray,
    names: Sequence[Instrument],
    *,
    null: bool,
) -> tuple[list[pd.DataFrame], list[dict[str, Any]]]:
    tables, told = [], []
    k = asked.config.matching.k
    for half, name, found, facts in measure_halves(measures, halves, names, asked.settings, k):
        known = {"instrument": name, "null": null, "half": half}
        rotated = name == "procrustes"
        tables.append(found_table(found, asked.d_mlp, known, rotated=rotated))
        told.append({**known, **facts})
    return tables, told


def _calibrated(asked: AskedPair, rows: tuple[torch.Tensor, torch.Tensor]) -> Similarity:
    settings = asked.settings
    return similarity(rows, asked.d_mlp, settings.n_permutations, settings.null_seed)

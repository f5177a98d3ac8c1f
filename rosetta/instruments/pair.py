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
from rosetta.alignment.samples import deal
from rosetta.config import Config
from rosetta.config.instruments import Instruments
from rosetta.config.matching import Instrument
from rosetta.correlation.aligned import AlignedPair, align_pair
from rosetta.correlation.plan import PairSize
from rosetta.correlation.products import resolve_precision
from rosetta.correlation.resample import MIN_CLUSTERS, half_samples, sample_blocks
from rosetta.correlation.view import View
from rosetta.instruments.cca import too_many_components
from rosetta.instruments.measure import FOUND_COLUMNS, PairMeasures, found_table, measure_halves
from rosetta.instruments.principal import Components, ProjectedSums, components
from rosetta.instruments.ranks import rank_sums
from rosetta.instruments.similarity import Similarity, one_per_cluster, similarity
from rosetta.instruments.sizes import NULL_HALVES, too_large, too_long, too_many_grams
from rosetta.instruments.soft import not_converged
from rosetta.instruments.sums import BlockSums, ReadPair, read_sums
from rosetta.matching.views import null_view

Reasons = dict[str, str]
Bases = tuple[Components, Components]
Judged = tuple[list[pd.DataFrame], list[dict[str, Any]]]
SIMILARITY = "similarity"  # its name among those of the instruments, where reasons are told


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

    @property
    def n_layers(self) -> tuple[int, int]:
        """Layers of either model."""
        return self.stores[0][0].n_layers, self.stores[1][0].n_layers

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
        Why an instrument, or `similarity`, was left out, by its name.
    """

    found: pd.DataFrame
    halves: list[dict[str, Any]]
    facts: dict[str, Any]
    reasons: Reasons


def measure_pair(asked: AskedPair) -> MeasuredPair:
    """Apply all instruments that a configuration asks for to a pair.

    Pairs that are too large, or that share too few clusters of samples, are left out with a reason.
    """
    config, (n_layers_a, n_layers_b) = asked.config, asked.n_layers
    size = PairSize(n_layers_a * asked.d_mlp[0], n_layers_b * asked.d_mlp[1], 0)
    reason = too_large(size, config)
    if reason:
        return _left_out(asked, reason)
    pair = asked.seen(View.of(config))
    blocks = sample_blocks(pair, asked.settings.n_blocks)
    if blocks.n < asked.settings.n_blocks:
        few = f"fewer than {max(MIN_CLUSTERS, asked.settings.n_blocks)} independent samples"
        return _left_out(asked, few)
    return _measured(asked, pair, blocks.of_position)


def _left_out(asked: AskedPair, reason: str) -> MeasuredPair:
    names = [*asked.config.matching.instruments, *([SIMILARITY] if asked.calibrated else [])]
    return MeasuredPair(pd.DataFrame(columns=FOUND_COLUMNS), [], {}, dict.fromkeys(names, reason))


def _measured(asked: AskedPair, pair: AlignedPair, block: np.ndarray) -> MeasuredPair:
    """Return what the instruments find of a pair that fits, by the blocks of its positions."""
    names, settings = asked.config.matching.instruments, asked.settings
    chosen = one_per_cluster(pair.sample_positions, pair.clusters, settings.null_seed)
    reasons = too_long(pair.size, asked.config, names) | _without_grams(asked, pair, chosen)
    alike = asked.calibrated and SIMILARITY not in reasons
    read = asked.read(pair, block)
    sums, rows = read_sums(read, chosen if alike else None)
    bases = _bases(sums, pair, settings)
    halves = half_samples(settings.n_blocks)
    if "cca" in names:
        least = int((halves @ sums.lengths).min())
        reasons |= _told("cca", too_many_components(max(of.n for of in bases), least))
    kept = [name for name in names if name not in reasons]
    facts: dict[str, Any] = {
        "n_positions": pair.n_positions,
        "n_components": [of.n for of in bases],
        "variance_shares": [of.share for of in bases],
    }
    tables, told = _judge(asked, _measures(sums, bases, read, kept), halves, kept, null=False)
    del sums  # as much memory is needed under the null
    if alike:
        facts[SIMILARITY] = _calibrated(asked, rows).facts
    if asked.calibrated:
        of_null = _null_measures(asked, bases, kept)
        further = _judge(asked, of_null, halves[:NULL_HALVES], kept, null=True)
        tables, told = tables + further[0], told + further[1]
    worst = max((of_half.get("soft_error", 0.0) for of_half in told), default=0.0)
    reasons |= _told("soft", not_converged(worst))
    found = pd.concat(tables, ignore_index=True)
    return MeasuredPair(found[~found["instrument"].isin(reasons)], told, facts, reasons)


def _told(name: str, reason: str) -> Reasons:
    return {name: reason} if reason else {}


def _without_grams(asked: AskedPair, pair: AlignedPair, chosen: np.ndarray) -> Reasons:
    """Return why the similarity is left out, if it is asked for and does not fit."""
    n = int(chosen.sum())
    reason = too_many_grams(pair.size, asked.n_layers, n, asked.config) if asked.calibrated else ""
    return _told(SIMILARITY, reason)


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
    """Return the sums under the null model, by blocks of whole clusters of A's samples."""
    config, settings = asked.config, asked.settings
    view = null_view(config, asked.sample_table, settings.null, settings.null_seed)
    pair = asked.seen(view)
    read = asked.read(pair, blocks_of_first(pair, settings.n_blocks))
    sums, _ = read_sums(read)
    return _measures(sums, bases, read, names)


def blocks_of_first(pair: AlignedPair, n_blocks: int) -> np.ndarray:
    """Deal the samples of the first model into blocks, clusters whole, under any view.

    The second model's samples may be exchanged, or its positions permuted. So its clusters cannot
    be whole in the same blocks.

    Returns
    -------
    ndarray of int64, shape (n_positions,)
        Block of each position, in the order in which the pair is read.
    """
    side = pair.a
    start = np.cumsum([0, *(store.n_samples for store in side.stores)])[:-1]
    sample = np.concatenate([of.sample + n for of, n in zip(side.positions, start, strict=True)])
    block: np.ndarray = deal(pair.clusters, n_blocks)[sample]
    if side.reordering is None:
        return block
    samples = np.split(block, np.cumsum(side.reordering.lengths)[:-1])
    return np.concatenate([samples[i] for i in side.reordering.order])


def _judge(
    asked: AskedPair,
    measures: PairMeasures,
    halves: np.ndarray,
    names: Sequence[Instrument],
    *,
    null: bool,
) -> Judged:
    tables, told = [], []
    k = asked.config.matching.k
    for half, name, found, facts in measure_halves(measures, halves, names, asked.settings, k):
        known = {"instrument": name, "null": null, "half_sample": half}
        rotated = name == "procrustes"
        tables.append(found_table(found, asked.d_mlp, known, rotated=rotated))
        told.append({**known, **facts})
    return tables, told


def _calibrated(asked: AskedPair, rows: tuple[torch.Tensor, torch.Tensor]) -> Similarity:
    settings = asked.settings
    return similarity(rows, asked.d_mlp, settings.n_permutations, settings.null_seed)

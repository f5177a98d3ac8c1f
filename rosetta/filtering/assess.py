"""Every filter applied to one pool: what each selects, and how well it finds the target domain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from rosetta.config.filtering import FILTERS, Filtering, FilterSelection
from rosetta.errors import CorpusError
from rosetta.filtering.baselines import random_scores
from rosetta.filtering.precision_recall import (
    PERCENTILE_COLUMNS,
    SHARE_COLUMNS,
    domain_shares,
    percentile_sweep,
    recovery,
)
from rosetta.filtering.select import Amount, Scored, check_amount, membership, percentile_of, select
from rosetta.filtering.stored_scores import read_scores
from rosetta.run.paths import FilterPaths


@dataclass(frozen=True)
class Filter:
    """One way to order a pool's documents.

    Attributes
    ----------
    name : str
        One of `FILTERS`.
    target : str
        Domain that the oracle knows.
    seed : int or None
        Of a random order.
    """

    name: str
    target: str
    seed: int | None = None

    @property
    def file(self) -> str:
        """Name of the selection's file."""
        return self.name if self.seed is None else f"{self.name}-{self.seed}"

    def scores(self, table: pd.DataFrame) -> np.ndarray:
        """Return the filter's scores of documents (id, domain and `Scorer.score`'s columns)."""
        if self.name == "random":
            assert self.seed is not None
            return random_scores(table["id"].to_numpy(), self.seed)
        if self.name == "oracle":
            return (table["domain"] == self.target).to_numpy(np.float64)
        return table[self.name].to_numpy(np.float64)


def filters_of(target: str, seeds: list[int]) -> list[Filter]:
    """Return all filters, one random one per seed."""
    return [
        Filter(name, target, seed)
        for name in FILTERS
        for seed in (seeds if name == "random" else [None])
    ]


def check_target(domains: dict[str, int], filtering: Filtering) -> None:
    """Check, before scoring, that a pool has documents of the target if they are needed.

    Raises
    ------
    CorpusError
        If it has none, and the budget is the target's size or a model is to be trained on what the
        oracle selects.
    """
    if domains.get(filtering.target):
        return
    if filtering.selection == FilterSelection():
        raise _no_size(filtering.target)
    if filtering.pretraining and "oracle" in filtering.pretraining.filters:
        raise CorpusError(
            f"filtering.target: the pool has no document labelled {filtering.target!r}, so the "
            "oracle selects nothing "
            "to train on. Leave it out of filtering.pretraining.filters, or name another target."
        )


def _no_size(target: str) -> CorpusError:
    return CorpusError(
        f"filtering.target: the pool has no document labelled {target!r}, so its size cannot "
        "be the budget. "
        "Set filtering.selection.budget_tokens, or name another target."
    )


def amount_of(where: FilterPaths, settings: FilterSelection, target: str) -> Amount:
    """Return how much the neuron takes: as set, or else the target's tokens.

    Raises
    ------
    CorpusError
        If nothing is said and the pool has no document of the target domain.
    PlanError
        If more is asked for than the pool holds.
    """
    if settings.percentile is not None:
        return Amount(
            above=percentile_of(
                (t["rosetta"].to_numpy() for t in read_scores(where)), settings.percentile
            )
        )
    tokens = documents = target_tokens = 0
    for table in read_scores(where, ["domain", "tokens"]):
        tokens, documents = tokens + int(table["tokens"].sum()), documents + len(table)
        target_tokens += int(table.loc[table["domain"] == target, "tokens"].sum())
    amount = Amount(tokens=settings.budget_tokens, count=settings.count)
    keys = {"tokens": "filtering.selection.budget_tokens", "count": "filtering.selection.count"}
    check_amount(amount, tokens, documents, keys)
    if amount.tokens is None and amount.count is None:
        if not target_tokens:
            raise _no_size(target)
        amount = Amount(tokens=target_tokens)
    return amount


def apply(where: FilterPaths, chosen: Filter, amount: Amount) -> Scored:
    """Return what a filter selects; the oracle takes nothing but the target domain."""
    return select(_blocks(where, chosen), amount)


def _blocks(where: FilterPaths, chosen: Filter) -> Iterator[Scored]:
    for table in read_scores(where):
        if chosen.name == "oracle":
            table = table[table["domain"] == chosen.target]
        yield Scored(
            table["id"].to_numpy(np.uint64),
            chosen.scores(table),
            table["tokens"].to_numpy(np.int64),
        )


class Assessed(NamedTuple):
    """How well a filter finds the target: its row of `RECOVERY_COLUMNS`, and its rows of
    `SHARE_COLUMNS` and of `PERCENTILE_COLUMNS`.
    """

    recovery: dict
    shares: pd.DataFrame
    percentiles: pd.DataFrame


def assess(where: FilterPaths, chosen: Filter, selected: Scored) -> Assessed:
    """Return how well a filter finds the target domain.

    Only a label, a mark and a score are held per document.
    """
    ids = np.sort(selected.id)
    marks, labels, scores, parts = [], [], [], []
    for table in read_scores(where):
        marks.append(membership(table["id"].to_numpy(), ids))
        labels.append((table["domain"] == chosen.target).to_numpy())
        scores.append(chosen.scores(table))
        parts.append(domain_shares(table["domain"], table["tokens"].to_numpy(), marks[-1]))
    is_target, column = np.concatenate(labels), np.concatenate(scores)
    found = recovery(np.concatenate(marks), is_target, column)
    shares = pd.concat(parts).drop(columns="share").groupby("domain", as_index=False).sum()
    shares["share"] = shares["selected_tokens"] / max(1, shares["selected_tokens"].sum())
    place = {"filter": chosen.name, "seed": chosen.seed}
    sizes = {"selected_documents": len(ids), "selected_tokens": int(selected.tokens.sum())}
    percentiles = percentile_sweep(is_target, column).assign(**place)[PERCENTILE_COLUMNS]
    return Assessed({**place, **found, **sizes}, shares.assign(**place)[SHARE_COLUMNS], percentiles)

"""Neighbour lists as tables: what the correlation jobs write and the matching reads."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import asdict, astuple, dataclass, fields, replace
from functools import partial, reduce
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rosetta.correlation.neighbors import Neighbors, PairNeighbors
from rosetta.errors import StoreError
from rosetta.storage.damage import how_to_recompute
from rosetta.storage.tables import read_parquet, read_parquet_metadata, write_parquet


@dataclass(frozen=True)
class LeftOut:
    """Numbers of what a view's exclusions leave out.

    Attributes
    ----------
    n_special : int
        Rows of both models that belong to no position, in the samples looked at.
    n_first_position, n_high_norm : int
        Positions with the first content of a sample, and others with a row of high norm.
    n_quiet_a, n_quiet_b : int
        Neurons below the variance floor that are not dead.
    """

    n_special: int = 0
    n_first_position: int = 0
    n_high_norm: int = 0
    n_quiet_a: int = 0
    n_quiet_b: int = 0

    def add(self, other: LeftOut) -> LeftOut:
        """Return the numbers of both together."""
        return LeftOut(*map(operator.add, astuple(self), astuple(other)))


LEFT_OUT = [field.name for field in fields(LeftOut)]
NEIGHBOR_COLUMNS = ["side", "layer", "unit", "rank", "partner_layer", "partner_unit", "r"]
# Only in lists that were found together with those of permuted positions: whose row it is.
SEED = "permute_seed"


@dataclass(frozen=True)
class PairFacts:
    """What the neighbour lists of a pair are about.

    `n_uncertified` counts the neurons that the screened method's first candidates did not settle:
    they took further exact correlations. `failure_probability` bounds the chance that a match of
    the pair is not the exact method's. The `n_` after it are what the exclusions left out
    (`LeftOut`). `permute_seeds` are those of the permuted positions whose lists are in the same
    file. No match with r below `min_r` was looked for.
    """

    model_a: str
    model_b: str
    n_layers_a: int
    d_mlp_a: int
    n_layers_b: int
    d_mlp_b: int
    n_positions: int
    n_kept: int
    job: int
    n_jobs: int
    method: str = "exact"
    n_uncertified: int = 0
    failure_probability: float = 0.0
    n_special: int = 0
    n_first_position: int = 0
    n_high_norm: int = 0
    n_quiet_a: int = 0
    n_quiet_b: int = 0
    permute_seeds: tuple[int, ...] = ()
    min_r: float | None = None


class NeighborLists(NamedTuple):
    """The nearest neighbours of all neurons of two models, each among the other model's.

    `rosetta.match` makes matches of them, for any k up to `k`, at no cost.

    Attributes
    ----------
    neighbors : PairNeighbors
        Partner indices and correlations, as arrays.
    facts : PairFacts
        The models, their sizes, and what was left out.
    """

    neighbors: PairNeighbors
    facts: PairFacts

    def __repr__(self) -> str:
        return (
            f"NeighborLists: {self.facts.model_a} and {self.facts.model_b}, {self.k} neighbours "
            f"of each neuron on {self.n_positions:,} aligned positions"
        )

    @property
    def k(self) -> int:
        """Neighbours per neuron that matches may be made of; one more is kept for margins."""
        return self.facts.n_kept - 1

    @property
    def n_positions(self) -> int:
        """Aligned positions that the correlations are over."""
        return self.facts.n_positions

    def table(self) -> pd.DataFrame:
        """Return one row per neuron and neighbour (`NEIGHBOR_COLUMNS`).

        `side` (a or b: whose neuron), `layer`, `unit`, `rank` (from 1), `partner_layer`,
        `partner_unit`, `r`. A dead neuron has a single row of rank 0, without partner.
        """
        found, d_mlp_a, d_mlp_b = self.neighbors, self.facts.d_mlp_a, self.facts.d_mlp_b
        a = _table("a", found.a, found.dead_a, d_mlp_a, d_mlp_b)
        b = _table("b", found.b, found.dead_b, d_mlp_b, d_mlp_a)
        return pd.concat([a, b], ignore_index=True)


def write_lists(
    path: Path, lists: NeighborLists, permuted: Mapping[int, NeighborLists] | None = None
) -> None:
    """Write neighbour lists as Parquet (`NeighborLists.table`).

    With those of permuted positions, by their seed, the table has the column `permute_seed`, which
    is empty where positions are as they are.
    """
    facts = asdict(replace(lists.facts, permute_seeds=tuple(permuted or ())))
    table = lists.table()
    if permuted:
        parts = [table.assign(**{SEED: None})]
        parts += [one.table().assign(**{SEED: seed}) for seed, one in permuted.items()]
        table = pd.concat([part.astype({SEED: "Int64"}) for part in parts], ignore_index=True)
    write_parquet(path, table, facts)


def read_lists(paths: list[Path], permute_seed: int | None = None) -> NeighborLists:
    """Read and merge the partial neighbour lists that the jobs of one pair wrote.

    Parameters
    ----------
    paths : list of Path
        The files of all jobs.
    permute_seed : int, optional
        Read the lists of positions permuted with this seed, not those of positions as they are.

    Raises
    ------
    StoreError
        If a part is missing, the parts are of different computations, or hold no lists of the seed.
    """
    facts = [_facts(path) for path in paths]
    if sorted(fact.job for fact in facts) != list(range(facts[0].n_jobs)):
        raise StoreError(
            f"{paths[0]}: parts {[fact.job for fact in facts]} are given, and the pair was cut "
            f"into {facts[0].n_jobs}. "
            "Give each part once."
        )
    if len({(f.model_a, f.model_b, f.n_positions, f.n_kept, f.n_jobs) for f in facts}) > 1:
        raise StoreError(
            f"{paths[0].parent}: its parts are of different computations. "
            f"{how_to_recompute(*paths)}"
        )
    tables = map(partial(_rows, permute_seed=permute_seed), paths, facts)
    parts = [_parse(table, facts[0]) for table in tables]
    return NeighborLists(reduce(PairNeighbors.merge, parts), facts[0])


def _rows(path: Path, facts: PairFacts, permute_seed: int | None) -> pd.DataFrame:
    """Return the rows of one order of the positions."""
    if permute_seed is not None and permute_seed not in facts.permute_seeds:
        raise StoreError(
            f"{path}: holds no lists of positions permuted with the seed {permute_seed}. "
            f"{how_to_recompute(path)}"
        )
    if not facts.permute_seeds:
        return read_parquet(path, NEIGHBOR_COLUMNS)
    table = read_parquet(path, [*NEIGHBOR_COLUMNS, SEED])
    seed = table.pop(SEED)
    return table[seed.isna() if permute_seed is None else (seed == permute_seed).fillna(False)]


def _facts(path: Path) -> PairFacts:
    try:
        told = read_parquet_metadata(path)
        return PairFacts(**{**told, "permute_seeds": tuple(told.get("permute_seeds", ()))})
    except TypeError:
        raise StoreError(
            f"{path}: holds no neighbour lists. Give what `rosetta correlate` wrote."
        ) from None


def pair_counts(neighbors: PairNeighbors, facts: PairFacts) -> dict[str, int]:
    """Return the positions of a pair, its dead neurons and what the exclusions left out.

    Neurons below the variance floor read zero everywhere, as dead ones do, but are counted apart.
    """
    return {
        "n_positions": facts.n_positions,
        "n_dead_a": int(neighbors.dead_a.sum()) - facts.n_quiet_a,
        "n_dead_b": int(neighbors.dead_b.sum()) - facts.n_quiet_b,
        **{name: getattr(facts, name) for name in LEFT_OUT},
    }


def _table(
    side: str, neighbors: Neighbors, dead: np.ndarray, d_mlp: int, d_mlp_partner: int
) -> pd.DataFrame:
    rows, ranks = np.nonzero(neighbors.index >= 0)
    partner = neighbors.index[rows, ranks]
    lone = np.flatnonzero(dead)
    none = np.full(len(lone), -1)
    return pd.DataFrame(
        {
            "side": side,
            "layer": np.concatenate([rows // d_mlp, lone // d_mlp]).astype(np.int32),
            "unit": np.concatenate([rows % d_mlp, lone % d_mlp]).astype(np.int32),
            "rank": np.concatenate([ranks + 1, np.zeros(len(lone), int)]).astype(np.int16),
            "partner_layer": np.concatenate([partner // d_mlp_partner, none]).astype(np.int32),
            "partner_unit": np.concatenate([partner % d_mlp_partner, none]).astype(np.int32),
            "r": np.concatenate([neighbors.r[rows, ranks], np.full(len(lone), np.nan)]),
        }
    )


def _parse(table: pd.DataFrame, facts: PairFacts) -> PairNeighbors:
    result = PairNeighbors.empty(
        facts.n_layers_a * facts.d_mlp_a, facts.n_layers_b * facts.d_mlp_b, facts.n_kept
    )
    for side, neighbors, dead, d_mlp, d_mlp_partner in (
        ("a", result.a, result.dead_a, facts.d_mlp_a, facts.d_mlp_b),
        ("b", result.b, result.dead_b, facts.d_mlp_b, facts.d_mlp_a),
    ):
        part = table[table["side"] == side]
        own = (part["layer"].to_numpy(np.int64) * d_mlp + part["unit"]).to_numpy()
        partner = (
            part["partner_layer"].to_numpy(np.int64) * d_mlp_partner + part["partner_unit"]
        ).to_numpy()
        rank = part["rank"].to_numpy()
        listed = rank > 0
        dead[own[~listed]] = True
        neighbors.index[own[listed], rank[listed] - 1] = partner[listed]
        neighbors.r[own[listed], rank[listed] - 1] = part["r"].to_numpy()[listed]
    return result

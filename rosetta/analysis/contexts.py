"""Top contexts of matched neurons, with what their partners read on the same bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rosetta.activations.store import Store
from rosetta.analysis.points import values_on_bytes
from rosetta.analysis.token_positions import TokenPositions
from rosetta.inputs.text.documents import CONTEXT_BYTES, around

if TYPE_CHECKING:
    from rosetta.activations.live import LiveStore

SHARED_COLUMNS = [
    "layer_anchor",
    "unit_anchor",
    "model",
    "layer",
    "unit",
    "rank",
    "document",
    "domain",
    "byte_start",
    "byte_end",
    "value",
    "partner",
    "partner_layer",
    "partner_unit",
    "partner_value",
]


@dataclass(frozen=True)
class Reader:
    """A model whose activations are read: its stores, positions, and top contexts.

    Attributes
    ----------
    stores : list of Store
        Shard stores in order.
    positions : TokenPositions
        Their positions with bytes.
    contexts : DataFrame
        `columns.CONTEXT_COLUMNS` of all its neurons.
    """

    stores: list[Store | LiveStore]
    positions: TokenPositions
    contexts: pd.DataFrame


def members_of(rosetta: pd.DataFrame) -> pd.DataFrame:
    """Return the neurons that each Rosetta Neuron of a group consists of, the anchor's own first.

    Returns
    -------
    DataFrame
        model_anchor, layer_anchor, unit_anchor, model, layer, unit, r: with the anchor neuron, or 1
        for itself.
    """
    key = ["model_anchor", "layer_anchor", "unit_anchor"]
    anchors = rosetta.drop_duplicates(key)
    own = anchors.assign(
        model=anchors["model_anchor"],
        layer=anchors["layer_anchor"],
        unit=anchors["unit_anchor"],
        r=1.0,
    )
    members = pd.concat([own, rosetta], ignore_index=True)[[*key, "model", "layer", "unit", "r"]]
    return members.sort_values(key, kind="stable", ignore_index=True)


def with_margins(members: pd.DataFrame, matches: list[pd.DataFrame]) -> pd.DataFrame:
    """Return `members` with each match's smaller margin in `margin`; NaN for the anchor's neurons.

    Parameters
    ----------
    members : DataFrame
        Of `members_of`.
    matches : list of DataFrame
        Of `matching.mutual_matches`, the anchor with each other model of the group.
    """
    names = {
        "layer_a": "layer_anchor",
        "unit_a": "unit_anchor",
        "model_b": "model",
        "layer_b": "layer",
        "unit_b": "unit",
    }
    table = pd.concat(matches, ignore_index=True).rename(columns=names)
    table["margin"] = table[["margin_a", "margin_b"]].min(axis=1)
    return members.merge(
        table[[*names.values(), "margin"]],
        on=list(names.values()),
        how="left",
        validate="one_to_one",
    )


def shared_contexts(
    members: pd.DataFrame, readers: dict[str, Reader], pooling: str
) -> pd.DataFrame:
    """Return every matched neuron's top contexts with each partner's value on the same bytes.

    Parameters
    ----------
    members : DataFrame
        Of `members_of`.
    readers : dict of str to Reader
        The group's models.
    pooling : {'mean', 'max', 'median'}
        What becomes of a partner's tokens where several overlap the context's token.

    Returns
    -------
    DataFrame
        `SHARED_COLUMNS`, ordered by anchor neuron, model, neuron, rank and partner; `partner_value`
        is NaN where the partner's model did not read that far into the document.
    """
    key, place = ["layer_anchor", "unit_anchor"], ["model", "layer", "unit"]
    partners = members[[*key, *place]].set_axis(
        [*key, "partner", "partner_layer", "partner_unit"], axis=1
    )
    pairs = members[[*key, *place]].merge(partners, on=key)
    pairs = pairs[pairs["model"] != pairs["partner"]]
    rows = pd.concat(
        [
            pairs[pairs["model"] == model].merge(reader.contexts, on=["layer", "unit"])
            for model, reader in readers.items()
        ],
        ignore_index=True,
    )
    rows["partner_value"] = np.float32(np.nan)
    for model, reader in readers.items():
        mine = np.flatnonzero(rows["partner"] == model)
        part = rows.iloc[mine]
        document = reader.positions.index_of(part["document"].to_numpy(np.uint64))
        spans = document, part["byte_start"].to_numpy(np.int64), part["byte_end"].to_numpy(np.int64)
        neurons = part["partner_layer"].to_numpy(np.int64), part["partner_unit"].to_numpy(np.int64)
        values = values_on_bytes(reader.stores, reader.positions, spans, neurons, pooling)
        rows.iloc[mine, rows.columns.get_loc("partner_value")] = values
    order = [*key, "model", "layer", "unit", "rank", "partner", "partner_layer", "partner_unit"]
    return rows.sort_values(order, kind="stable", ignore_index=True)[SHARED_COLUMNS]


def best_matches(
    matches: pd.DataFrame,
    contexts: tuple[pd.DataFrame, pd.DataFrame],
    documents: pd.DataFrame,
    n_matches: int,
    n_contexts: int,
) -> list[dict]:
    """Return the matches of highest r, with their numbers and both neurons' top contexts as text.

    Parameters
    ----------
    matches : DataFrame
        Of `matching.mutual_matches`.
    contexts : (DataFrame, DataFrame)
        Top contexts of the neurons of model a and model b.
    documents : DataFrame
        The match split: id, text.
    n_matches, n_contexts : int
        How many to return, and how many contexts of each.
    """
    best = matches.sort_values("r", ascending=False, kind="stable").head(n_matches)
    texts = dict(zip(documents["id"].tolist(), documents["text"].tolist(), strict=True))
    shown = {}
    for side, table in zip("ab", contexts, strict=True):
        key = [f"layer_{side}", f"unit_{side}"]
        kept = table[table["rank"] <= n_contexts].rename(columns={"layer": key[0], "unit": key[1]})
        for neuron, rows in best[key].drop_duplicates().merge(kept, on=key).groupby(key):
            shown[side, *neuron] = [_context(texts, row) for row in rows.itertuples()]
    return [
        {
            **row,
            **{
                f"contexts_{side}": shown[side, row[f"layer_{side}"], row[f"unit_{side}"]]
                for side in "ab"
            },
        }
        for row in best.to_dict("records")
    ]


def _context(texts: dict[int, str], place: tuple) -> dict:
    before, token, after = around(
        texts[place.document], place.byte_start, place.byte_end, CONTEXT_BYTES
    )
    found = {"document": place.document, "domain": place.domain, "value": place.value}
    return {**found, "before": before, "token": token, "after": after}

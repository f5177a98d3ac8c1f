"""Matched neurons on each other's top contexts: values, excerpts and texts against brute force."""

import base64

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_stores

from rosetta.analysis import points
from rosetta.analysis.contexts import (
    Reader,
    best_matches,
    members_of,
    shared_contexts,
    with_margins,
)
from rosetta.analysis.excerpts import group_excerpts
from rosetta.analysis.histograms import standard_histograms
from rosetta.analysis.points import values_at
from rosetta.analysis.profiles import profile_neurons
from rosetta.analysis.token_positions import TokenPositions
from rosetta.config import Viewer
from rosetta.errors import StoreError

MODELS = ("a", "b", "c")
TEXTS = ["".join(np.random.default_rng(i).choice(list("ab é東𝄞\n"), size=40)) for i in range(6)]
DOCUMENTS = pd.DataFrame(
    {"id": np.arange(6, dtype=np.uint64), "text": TEXTS, "domain": list("xyxyxy")}
)
ROSETTA = pd.DataFrame(
    [
        ("a", 0, 1, "b", 1, 0, 0.9),
        ("a", 0, 1, "c", 0, 2, 0.4),
        ("a", 1, 2, "b", 0, 0, 0.5),
        ("a", 1, 2, "c", 1, 1, 0.6),
    ],
    columns=["model_anchor", "layer_anchor", "unit_anchor", "model", "layer", "unit", "r"],
)


class Case:
    """Three models of two layers and three units on the same documents, tokenized at random."""

    def __init__(self, folder):
        rng = np.random.default_rng(0)
        lengths = [len(text.encode()) for text in TEXTS]
        self.ranges, self.values, self.readers = {}, {}, {}
        for number, model in enumerate(MODELS):
            ranges = random_ranges(
                rng, lengths, special=True, truncate=number == 2
            )  # c does not read to the ends
            values = rng.integers(-8, 9, size=(2, len(ranges[0]), 3)).astype(np.float32)
            stores = save_stores(folder / model, values, ranges, 6, n_shards=2, dtype="float16")
            contexts = profile_neurons(stores, DOCUMENTS, 4).contexts
            self.ranges[model], self.values[model] = ranges, values
            self.readers[model] = Reader(stores, TokenPositions.of(stores), contexts)

    def on_bytes(self, model, layer, unit, document, start, end):
        """The mean over tokens that overlap a byte range, by definition."""
        _, low, high, owner = self.ranges[model]
        rows = (owner == document) & (low < high) & (high > start) & (low < end)
        return self.values[model][layer, rows, unit].mean() if rows.any() else np.nan


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("stores"))


def test_points_are_read_wherever_they_lie(case, monkeypatch):
    monkeypatch.setattr(points, "CHUNK_POSITIONS", 16)
    monkeypatch.setattr(points, "CHUNK_UNITS", 2)
    reader, (_, start, end, _) = case.readers["a"], case.ranges["a"]
    rng = np.random.default_rng(1)
    position, layer, unit = (
        rng.integers(len(reader.positions), size=99),
        rng.integers(2, size=99),
        rng.integers(3, size=99),
    )
    found = values_at(reader.stores, reader.positions, position, layer, unit)
    np.testing.assert_array_equal(
        found, case.values["a"][layer, np.flatnonzero(end > start)[position], unit]
    )
    assert len(values_at(reader.stores, reader.positions, *[np.empty(0, np.int64)] * 3)) == 0


def test_partners_are_read_on_the_same_bytes(case):
    members = members_of(ROSETTA)
    table = shared_contexts(members, case.readers, "mean")
    n_contexts = sum(
        len(case.readers[row.model].contexts.query("layer == @row.layer and unit == @row.unit"))
        for row in members.itertuples()
    )
    assert len(table) == 2 * n_contexts  # each context with both partners
    for row in table.itertuples():
        place = row.document, row.byte_start, row.byte_end
        assert row.value == case.on_bytes(row.model, row.layer, row.unit, *place)
        expected = case.on_bytes(row.partner, row.partner_layer, row.partner_unit, *place)
        assert row.partner_value == pytest.approx(expected, abs=1e-6, nan_ok=True)
    assert table["partner_value"].isna().any(), "c did not read everything"
    both = {("a", 0, 1), ("b", 1, 0), ("c", 0, 2)}
    of_first = table[(table["layer_anchor"] == 0) & (table["unit_anchor"] == 1)]
    assert set(of_first[["model", "layer", "unit"]].itertuples(index=False, name=None)) == both


def test_other_documents_are_rejected(case):
    with pytest.raises(StoreError, match="do not hold all documents"):
        case.readers["a"].positions.index_of(np.array([77], dtype=np.uint64))


def margins():
    table = ROSETTA.set_axis(
        ["model_a", "layer_a", "unit_a", "model_b", "layer_b", "unit_b", "r"], axis=1
    )
    table = table.assign(margin_a=[0.1, 0.2, 0.3, 0.4], margin_b=[0.3, 0.05, 0.3, 0.5])
    return [part for _, part in table.groupby("model_b")]


@pytest.mark.parametrize("context_bytes", [8, 100], ids=["windows", "whole documents"])
def test_excerpts_hold_every_tokens_value(case, context_bytes):
    settings = Viewer(n_neurons=5, n_contexts=3, context_bytes=context_bytes)
    members = with_margins(members_of(ROSETTA), margins())
    shown = group_excerpts(members, MODELS, case.readers, DOCUMENTS, settings)
    assert [(neuron["r"], neuron["margin"]) for neuron in shown["neurons"]] == [
        (0.5, 0.3),
        (0.4, 0.05),
    ]
    assert [
        [(p["layer"], p["unit"]) for p in neuron["partners"]] for neuron in shown["neurons"]
    ] == [
        [(1, 2), (0, 0), (1, 1)],
        [(0, 1), (1, 0), (0, 2)],
    ]
    for neuron in shown["neurons"]:
        for column, partner in enumerate(neuron["partners"]):
            _, start, end, _ = case.ranges[MODELS[column]]
            read = case.values[MODELS[column]][partner["layer"], start < end, partner["unit"]]
            (counts,) = standard_histograms(read[None])  # all positions: they are few
            assert partner["histogram"] == counts
            assert sorted(c["ranks"][column] for c in neuron["contexts"] if c["ranks"][column]) == [
                1,
                2,
                3,
            ]
            for context in neuron["contexts"]:
                excerpt = shown["excerpts"][context["excerpt"]]
                check_values(case, MODELS[column], partner, excerpt, context, column)


def check_values(case, model, partner, excerpt, context, column):
    """Decode the values of one model on one excerpt, and compare with its tokens there."""
    document = int(excerpt["document"], 16)
    data = excerpt["text"].encode()
    low = excerpt["byte_start"]
    assert TEXTS[document].encode()[low : low + len(data)] == data
    _, start, end, owner = case.ranges[model]
    rows = np.flatnonzero(
        (owner == document) & (start < end) & (end > low) & (start < low + len(data))
    )
    codes = np.frombuffer(base64.b64decode(context["values"][column]), dtype=np.uint8).astype(float)
    expected = case.values[model][partner["layer"], rows, partner["unit"]]
    np.testing.assert_allclose(
        (codes - 128) / 127 * partner["scale"], expected, atol=partner["scale"] / 200
    )
    lengths = excerpt["tokens"][column]
    assert len(lengths) == len(rows)
    # Every token ends where its bytes do, or at the end of the character that its bytes cut.
    units = excerpt["text"].encode("utf-16-le")
    for row, stop in zip(rows, np.cumsum(lengths), strict=True):
        prefix = units[: 2 * stop].decode("utf-16-le").encode()
        at = min(end[row] - low, len(data))
        assert len(prefix) >= at
        assert len(prefix) - at < 4
        assert prefix.decode() + data[len(prefix) :].decode() == excerpt["text"]


def test_a_group_without_rosetta_neurons_has_nothing_to_show(case):
    none = with_margins(members_of(ROSETTA[:0]), [table[:0] for table in margins()])
    assert group_excerpts(none, MODELS, case.readers, DOCUMENTS, Viewer())["neurons"] == []
    assert len(shared_contexts(none, case.readers, "mean")) == 0


def test_the_best_matches_come_with_their_texts(case):
    matches = margins()[0].iloc[::-1]
    contexts = case.readers["a"].contexts, case.readers["b"].contexts
    found = best_matches(matches, contexts, DOCUMENTS, 1, 2)
    assert [row["r"] for row in found] == [0.9]
    for side, table, neuron in (("a", contexts[0], [0, 1]), ("b", contexts[1], [1, 0])):
        rows = table[(table[["layer", "unit"]] == neuron).all(axis=1)][:2]
        assert [c["value"] for c in found[0][f"contexts_{side}"]] == rows["value"].tolist()
        for context, row in zip(found[0][f"contexts_{side}"], rows.itertuples(), strict=True):
            data = TEXTS[row.document].encode()
            assert context["token"] == data[row.byte_start : row.byte_end].decode(
                "utf-8", "replace"
            )
            assert context["before"] == data[: row.byte_start].decode("utf-8", "replace")
            assert context["after"] == data[row.byte_end :].decode("utf-8", "replace")

"""Filters applied to a pool: assessments, and the corpus that is written."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from datasets import load_dataset
from filter_pools import make_pool, make_scores

from rosetta.config.filtering import Filtering, FilterSelection
from rosetta.errors import CorpusError, PlanError, StoreError
from rosetta.filtering import corpus
from rosetta.filtering.assess import Filter, amount_of, apply, assess, check_target, filters_of
from rosetta.filtering.corpus_card import render_card
from rosetta.filtering.select import Amount
from rosetta.filtering.stored_scores import is_scored, read_scores, write_all_scores, write_scores
from rosetta.inputs.text.documents import document_name
from rosetta.run.paths import FilterPaths
from rosetta.storage.digests import hash64


@pytest.mark.parametrize(
    "settings", [{}, {"budget_tokens": 700}, {"count": 17}, {"percentile": 60.0}]
)
def test_selected_and_not_selected_make_the_pool(tmp_path, settings):
    where = FilterPaths(tmp_path)
    texts, _ = make_pool(where)
    make_scores(where)
    amount = amount_of(where, FilterSelection(**settings), "js")
    selected = apply(where, Filter("rosetta", "js"), amount)
    counts = corpus.count(where, selected)
    corpus.write_corpus(
        where, selected, counts, render_card('a: "t"', counts, [("Rule", ["a rule"])]), {}
    )
    write_all_scores(where, np.sort(selected.id))
    opened = load_dataset(
        str(where.corpus), split="train", cache_dir=str(tmp_path / "cache")
    ).to_pandas()
    assert opened.columns.tolist() == ["id", "text", "domain", "source", "score", "tokens"]
    scores = pd.read_parquet(where.scores)
    assert Counter(scores["id"]) == Counter(hash64(text.text) for text in texts), (
        "all of the pool, once"
    )
    chosen = set(scores.loc[scores["selected"], "id"])
    assert Counter(opened["id"]) == Counter(map(document_name, chosen))
    assert counts.selected + counts.not_selected == counts.pool == len(texts)
    assert (
        counts.selected_tokens
        == opened["tokens"].sum()
        == scores.loc[scores["selected"], "tokens"].sum()
    )
    by_text = {text.text: text for text in texts}
    for row in opened.itertuples():
        assert (row.domain, row.source) == by_text[row.text][1:]
    assert (opened["score"] == opened["text"].str.len() % 5).all()
    if settings.get("count"):
        assert len(opened) == 17
    elif settings.get("percentile"):
        threshold = np.quantile(scores["rosetta"], 0.6, method="inverted_cdf")
        assert (scores["selected"] == (scores["rosetta"] > threshold)).all()
    else:
        budget = (
            settings.get("budget_tokens") or scores.loc[scores["domain"] == "js", "tokens"].sum()
        )
        assert budget <= counts.selected_tokens < budget + scores["tokens"].max()
    card = (where.corpus / "README.md").read_text()
    assert f"{counts.selected:,} documents" in card
    assert "- a rule" in card
    assert "grants no rights" in card


def test_a_document_that_got_lost_is_noticed(tmp_path):
    where = FilterPaths(tmp_path)
    make_pool(where)
    make_scores(where)
    selected = apply(where, Filter("rosetta", "js"), Amount(count=10))
    counts = corpus.count(where, selected)
    selected.id[0] += 1  # of no document
    with pytest.raises(
        StoreError, match="9 of 199 documents would be written where 10 of 199 were selected"
    ):
        corpus.write_corpus(where, selected, counts, "", {})
    assert not where.corpus.exists()


def test_scores_of_another_pool_are_rejected(tmp_path):
    where = FilterPaths(tmp_path)
    make_pool(where)
    make_scores(where)
    assert is_scored(where, 0, {"v": 1})
    assert not is_scored(where, 0, {"v": 2})
    table = next(read_scores(where))
    write_scores(where, 0, table[:-1], {"v": 1})
    with pytest.raises(StoreError, match=r"0\.parquet: scores of another pool"):
        list(read_scores(where))
    where.shard_scores(1).unlink()
    assert not is_scored(where, 1, {"v": 1})


def test_filters_are_assessed_on_the_same_budget(tmp_path):
    where = FilterPaths(tmp_path)
    make_pool(where)
    make_scores(where)
    budget = amount_of(where, FilterSelection(), "js")
    rows = {}
    for chosen in filters_of("js", [0, 1]):
        selected = apply(where, chosen, budget)
        rows[chosen.file], shares, swept = assess(where, chosen, selected)
        assert shares["share"].sum() == pytest.approx(1)
        assert set(swept["filter"]) == {chosen.name}
        assert swept["selected_documents"].is_monotonic_decreasing
        assert shares["pool_documents"].sum() == 199
        assert (
            shares["selected_tokens"].sum()
            == selected.tokens.sum()
            == rows[chosen.file]["selected_tokens"]
        )
    assert list(rows) == [
        "random-0",
        "random-1",
        "non_rosetta",
        "non_rosetta_best",
        "classifier",
        "rosetta",
        "oracle",
    ]
    assert rows["oracle"]["f1"] == rows["oracle"]["average_precision"] == 1
    assert rows["oracle"]["selected_tokens"] == budget.tokens
    assert rows["random-0"]["selected_documents"] != rows["random-1"]["selected_documents"]


def test_what_the_pool_does_not_hold_is_rejected(tmp_path):
    where = FilterPaths(tmp_path)
    make_pool(where)
    make_scores(where)
    with pytest.raises(
        PlanError, match=r"filtering\.selection\.count: 200 is more than the pool's 199"
    ):
        amount_of(where, FilterSelection(count=200), "js")
    with pytest.raises(PlanError, match=r"budget_tokens: 1,000,000 is more than"):
        amount_of(where, FilterSelection(budget_tokens=10**6), "js")
    with pytest.raises(CorpusError, match="no document labelled 'rust'"):
        amount_of(where, FilterSelection(), "rust")


def test_a_pool_without_the_target_is_told_before_it_is_scored():
    filtering = {"name": "n", "target": "js", "ladder": "l"}
    trained = {"selection": {"count": 3}, "pretraining": {"model": "m"}}
    check_target({"js": 1, "py": 2}, Filtering(**filtering))
    check_target({"py": 2}, Filtering(**filtering, selection={"count": 3}))
    with pytest.raises(
        CorpusError, match="no document labelled 'js', so its size cannot be the budget"
    ):
        check_target({"py": 2}, Filtering(**filtering))
    with pytest.raises(CorpusError, match="the oracle selects nothing to train on"):
        check_target({"": 2}, Filtering(**filtering, **trained))

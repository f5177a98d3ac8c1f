"""Selecting, recovering and choosing against brute force; the pool and the corpus lose and double
nothing.
"""

import json
import resource
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rosetta.config import Corpus, FilesSource
from rosetta.config.filtering import Filtering, FilterSelection
from rosetta.errors import CorpusError, PlanError, StoreError
from rosetta.filtering import corpus, pool
from rosetta.filtering import select as selecting
from rosetta.filtering.assess import Filter, amount_of, apply, assess, check_target, filters_of
from rosetta.filtering.baselines import Classifier, random_scores
from rosetta.filtering.choose import best_candidates, candidates, choose, with_roles
from rosetta.filtering.corpus_card import render_card
from rosetta.filtering.precision_recall import recovery
from rosetta.filtering.results import results_table, summary_table
from rosetta.filtering.score_files import is_scored, read_scores, write_all_scores, write_scores
from rosetta.filtering.select import Amount, Scored, membership, percentile_of, select
from rosetta.inputs.text.build import build_corpus, read_split
from rosetta.inputs.text.documents import Text, document_name
from rosetta.inputs.text.records import file_texts
from rosetta.run.paths import FilterPaths, Paths
from rosetta.storage.digests import hash64

# Few distinct scores, so that ties are the rule.
POOLS = st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 20)), min_size=1, max_size=60)


def scored(pairs, rng):
    ids = rng.choice(np.arange(1, 10**6, dtype=np.uint64), size=len(pairs), replace=False)
    return Scored(
        ids, np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], np.int64)
    )


def brute_force(found, amount):
    taken, tokens = [], 0
    for row in sorted(range(len(found.id)), key=lambda i: (-found.score[i], found.id[i])):
        if amount.above is not None and not found.score[row] > amount.above:
            continue
        if (amount.count is not None and len(taken) >= amount.count) or (
            amount.tokens is not None and tokens >= amount.tokens
        ):
            break
        taken.append(int(found.id[row]))
        tokens += int(found.tokens[row])
    return taken


@given(
    POOLS,
    st.integers(0, 2**32),
    st.integers(1, 7),
    st.sampled_from(["tokens", "count", "above"]),
    st.integers(1, 90),
)
def test_a_selection_is_exact_whatever_the_blocks(pairs, seed, n_blocks, rule, limit):
    rng = np.random.default_rng(seed)
    found = scored(pairs, rng)
    amount = Amount(**{rule: limit if rule != "above" else limit % 5 - 2.0})
    order = rng.permutation(len(pairs))
    blocks = [found.take(rows) for rows in np.array_split(order, n_blocks)]
    original, selecting.BUFFERED = selecting.BUFFERED, int(rng.integers(1, 20))
    try:
        selected = select(blocks, amount)
    finally:
        selecting.BUFFERED = original
    assert selected.id.tolist() == brute_force(found, amount)
    at = {int(i): row for row, i in enumerate(found.id)}
    rows = [at[int(i)] for i in selected.id]
    assert selected.score.tolist() == found.score[rows].tolist()
    assert selected.tokens.tolist() == found.tokens[rows].tolist()


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=50), st.integers(0, 99))
def test_the_percentile_gate_keeps_what_exceeds_it(values, percentile):
    scores = np.array(values, float)
    threshold = percentile_of(np.array_split(scores, 3), percentile)
    at_most = [
        v for v in sorted(values) if sum(w <= v for w in values) >= percentile / 100 * len(values)
    ]
    assert threshold == at_most[0]
    assert (scores > threshold).mean() <= 1 - percentile / 100 + 1e-12


@pytest.mark.parametrize("percentile", [7, 14.0, 28, 29, 55, 57, 58, 99.0])
def test_the_gate_is_where_the_percentile_says(percentile):
    """Where the product with n is off by a rounding, one document more or less would pass."""
    assert percentile_of([np.arange(100.0)], percentile) == percentile - 1


def test_membership_of_nothing_is_false():
    assert not membership(np.arange(3, dtype=np.uint64), np.empty(0, np.uint64)).any()
    ids = np.array([7, 1, 9, 3], np.uint64)
    assert membership(ids, np.array([3, 9], np.uint64)).tolist() == [False, False, True, True]


def test_recovery_against_counting():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(400) < 0.3, np.round(rng.random(400), 1)
    selected = scores > 0.6
    found = recovery(selected, labels, scores)
    hits = sum(a and b for a, b in zip(selected, labels, strict=True))
    precision, recall = hits / selected.sum(), hits / labels.sum()
    assert found["precision"] == pytest.approx(precision)
    assert found["recall"] == pytest.approx(recall)
    assert found["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = scores >= threshold
        now = (taken & labels).sum() / labels.sum()
        area += (now - before) * (taken & labels).sum() / taken.sum()
        before = now
    assert found["average_precision"] == pytest.approx(area)


def test_recovery_of_nothing_is_not_a_number():
    found = recovery(np.zeros(3, bool), np.zeros(3, bool), np.arange(3.0))
    assert all(np.isnan(value) for value in found.values())


def test_random_scores_are_uniform_and_differ_by_seed_only():
    ids = np.arange(20_000, dtype=np.uint64)
    first, second = random_scores(ids, 0), random_scores(ids, 1)
    assert np.array_equal(random_scores(ids[5:9], 0), first[5:9])
    for values in (first, second):
        assert values.min() >= 0
        assert values.max() < 1
        assert np.histogram(values, 10, (0, 1))[0] == pytest.approx(2000, abs=200)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert len(set(first)) == len(ids)


def test_the_classifier_is_scikit_learns():
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3 == 0
    documents = [rng.integers(0, 30, size=rng.integers(1, 40)) + 10 * label for label in labels]
    fitted = Classifier.fit(documents, labels, 50)
    vectorizer = TfidfVectorizer(analyzer=list, vocabulary=range(50), lowercase=False)
    regression = LogisticRegression(class_weight="balanced", C=10.0, max_iter=1000)
    regression.fit(vectorizer.fit_transform(documents), labels)
    others = [rng.integers(0, 50, size=n) for n in (1, 7, 30)]
    expected = regression.decision_function(vectorizer.transform(others))
    again = Classifier.from_table(fitted.to_table())
    assert again.scores(others) == pytest.approx(expected, abs=1e-6)


def test_one_class_alone_is_refused():
    with pytest.raises(CorpusError, match=r"0 of the 2 documents of the split `match`"):
        Classifier.fit([np.array([1]), np.array([2])], np.zeros(2, bool), 3)


CONTEXTS = pd.DataFrame(
    [
        (layer, unit, rank, 1, domain, 0, 1, value)
        for (layer, unit), rows in {
            (0, 0): [("js", 9.0), ("js", 8.0), ("py", 7.0)],
            (0, 1): [("js", 6.0), ("js", 5.0), ("js", 0.5)],  # the third does not exceed its mean
            (1, 0): [("js", 3.0), ("js", 3.0), ("py", 3.0)],
            (1, 1): [("js", 5.0), ("js", 4.0), ("js", 3.0)],
            (1, 2): [("js", 9.0), ("js", 9.0), ("js", 9.0)],  # dead
        }.items()
        for rank, (domain, value) in enumerate(rows, start=1)
    ],
    columns=["layer", "unit", "rank", "document", "domain", "byte_start", "byte_end", "value"],
)
NEURONS = pd.DataFrame(
    {
        "layer": [0, 0, 1, 1, 1],
        "unit": [0, 1, 0, 1, 2],
        "activation_mean": 1.0,
        "activation_variance": [4.0, 4.0, 1.0, 4.0, 0.0],
    }
)


def test_the_neuron_is_chosen_by_purity_and_then_by_normalised_activation():
    table = candidates(NEURONS, CONTEXTS, np.array([True, True, True, False, True]), "js", 3)
    assert list(zip(table["layer"], table["unit"], strict=True)) == [(1, 1), (0, 0), (1, 0), (0, 1)]
    assert table["purity"].tolist() == pytest.approx([1, 2 / 3, 2 / 3, 2 / 3])
    assert table["mean_activation"].tolist() == pytest.approx([1.5, 3.5, 2.0, (2.5 + 2 - 0.25) / 3])
    chosen = choose(table.assign(is_rosetta=[False, True, True, False]))
    assert chosen == {"rosetta": (0, 0), "non_rosetta": (0, 1), "non_rosetta_best": (1, 1)}
    roles = with_roles(table, chosen)["role"].tolist()
    assert roles == ["non_rosetta_best", "rosetta", "", "non_rosetta"]
    assert len(best_candidates(with_roles(table, chosen), 1)) == 3


def test_fewer_contexts_make_another_purity():
    table = candidates(NEURONS, CONTEXTS, np.ones(5, bool), "js", 2)
    assert table["purity"].tolist() == [1.0] * 4


def test_no_context_or_no_candidate_is_told():
    with pytest.raises(
        StoreError, match=r"no neuron has a top context in 'rust'; there are js, py"
    ):
        candidates(NEURONS, CONTEXTS, np.ones(5, bool), "rust", 3)
    with pytest.raises(
        StoreError, match="no candidate for the best other neuron of the same layer"
    ):
        choose(candidates(NEURONS, CONTEXTS, np.ones(5, bool), "js", 3))
    with pytest.raises(StoreError, match="no candidate for the best Rosetta Neuron"):
        choose(candidates(NEURONS, CONTEXTS, np.zeros(5, bool), "js", 3))


def make_pool(where, n=200, n_shards=3):
    texts = [
        Text(f"document {i} " + "x" * (i % 17), ("js", "py", "")[i % 3], f"file-{i % 4}")
        for i in range(n)
    ]
    fresh = pool.Fresh(known={document_name(hash64(texts[5].text))})
    again = [*texts[:40], Text("  \n", "py", "f"), Text("bad \ud800", "py", "f"), *texts]
    pool.write_pool(fresh.documents(again), where, n_shards, {"v": 1}, fresh.counts)
    return [text for i, text in enumerate(texts) if i != 5], fresh.counts


def make_scores(where):
    for shard in range(pool.n_shards(where)):
        documents = pool.read_shard(where, shard)
        size = documents["text"].str.len().to_numpy()
        table = documents[["id", "domain"]].assign(tokens=size, rosetta=(size % 5).astype(float))
        others = {
            name: -table["rosetta"] for name in ("non_rosetta", "non_rosetta_best", "classifier")
        }
        write_scores(where, shard, table.assign(**others), {"v": 1})


@pytest.mark.parametrize("n_shards", [1, 3, 40])
def test_the_pool_holds_every_new_text_once(tmp_path, n_shards):
    where = FilterPaths(tmp_path)
    texts, counts = make_pool(where, n_shards=n_shards)
    assert counts == {"accepted": 199, "blank": 1, "unencodable": 1, "duplicate": 39, "known": 2}
    held = pd.concat([pool.read_shard(where, shard) for shard in range(n_shards)])
    assert Counter(held["text"]) == Counter(text.text for text in texts)
    assert (held["id"] == [hash64(text) for text in held["text"]]).all()
    assert dict(zip(held["text"], held["source"], strict=True)) == {
        text.text: text.source for text in texts
    }


def test_long_documents_are_not_held_back(tmp_path, monkeypatch):
    monkeypatch.setattr(pool, "BUFFERED_BYTES", 1)
    monkeypatch.setattr(pool, "SMALLEST_GROUP", 300)
    where = FilterPaths(tmp_path)
    texts = [Text(f"{i:0100d}", "", "") for i in range(10)]
    pool.write_pool(pool.Fresh().documents(texts), where, 1, {}, {})
    groups = pq.ParquetFile(where.pool_shard(0)).metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [3, 3, 3, 1]
    assert pool.read_shard(where, 0)["text"].tolist() == [text.text for text in texts]


def test_more_shards_than_open_files(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = len(list(Path("/proc/self/fd").iterdir())) + 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, hard))
    try:
        where = FilterPaths(tmp_path)
        make_pool(where, n_shards=low + 1)
        assert pool.n_shards(where) == low + 1
        with pytest.raises(PlanError, match="shards of a pool are more files than may be open"):
            pool.write_pool([], where, hard, {}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_texts_whose_pieces_are_held_out_stay_out_of_the_pool(tmp_path):
    texts = [
        "".join(f"line {i} of text {n} is {(n * 37 + i) ** 3}\n" for i in range(20))
        for n in range(60)
    ]
    file = tmp_path / "texts.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    splits = {"train": 0.4, "match": 0.2, "pool": 0.2, "heldout": 0.2}
    source = FilesSource(kind="files", path=str(file))
    paths = Paths(tmp_path / "results")
    build_corpus(Corpus(source=source, max_document_bytes=100, splits=splits), paths, {})
    pieces = [text for split in ("match", "heldout") for text in read_split(paths, split)["text"]]
    kept = list(pool.Fresh(pool.known_names(paths)).documents(file_texts(source)))
    assert 0 < len(kept) < len(texts)
    assert not any(piece in document.text for document in kept for piece in pieces)


def test_an_altered_shard_is_refused(tmp_path):
    where = FilterPaths(tmp_path)
    make_pool(where)
    where.pool_shard(1).write_bytes(where.pool_shard(0).read_bytes())
    with pytest.raises(StoreError, match=r"1\.parquet: not what was written here"):
        pool.read_shard(where, 1)


def test_an_empty_pool_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="holds no document with text"):
        pool.write_pool([], FilterPaths(tmp_path), 2, {}, {})
    assert not (tmp_path / "pool").exists()


def test_thinning_leaves_the_share_and_every_other_document():
    rng = np.random.default_rng(0)
    texts = ["é" * int(n) for n in rng.integers(5, 50, size=400)]
    ids = np.arange(400, dtype=np.uint64)
    documents = pd.DataFrame({"id": ids, "text": texts, "domain": np.where(ids % 2, "a", "b")})
    kept = pool.thinned(documents, "a", 0.1, seed=3)
    size = kept["text"].str.encode("utf-8").str.len()
    share = size[kept["domain"] == "a"].sum() / size.sum()
    assert 0.09 < share <= 0.1
    assert (kept["domain"] == "b").sum() == 200
    pd.testing.assert_frame_equal(
        pool.thinned(documents[::-1], "a", 0.1, 3).sort_values("id"), kept
    )
    assert len(pool.thinned(documents, "a", 0.9, 3)) == 400, "thinned, never filled up"


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


def test_scores_of_another_pool_are_refused(tmp_path):
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
        rows[chosen.file], shares = assess(where, chosen, selected)
        assert shares["share"].sum() == pytest.approx(1)
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


def test_what_the_pool_does_not_hold_is_refused(tmp_path):
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


def test_results_in_the_papers_form():
    found = [
        ("random", 0, 0.1, 50),
        ("random", 1, 0.3, 51),
        ("rosetta", None, 0.8, 52),
        ("oracle", None, 1.0, 53),
    ]
    recovered = pd.DataFrame(
        [
            {
                "filter": name,
                "seed": seed,
                "precision": f1,
                "recall": f1,
                "f1": f1,
                "average_precision": f1,
                "selected_documents": 3,
                "selected_tokens": tokens,
            }
            for name, seed, f1, tokens in found
        ]
    )
    trained = pd.DataFrame(
        [
            ("base", 0, 9.0),
            ("random", 0, 5.0),
            ("random", 1, 7.0),
            ("rosetta", 0, 4.0),
            ("rosetta", 1, 4.2),
        ],
        columns=["filter", "seed", "perplexity"],
    )
    table = results_table(recovered, trained)
    assert table.columns.tolist() == [
        "filter",
        "seed",
        "precision",
        "recall",
        "f1",
        "selected_tokens",
        "perplexity",
    ]
    assert table["filter"].tolist() == ["base", "random", "random", "rosetta", "rosetta", "oracle"]
    assert table["perplexity"].tolist()[:5] == [9.0, 5.0, 7.0, 4.0, 4.2]
    assert np.isnan(table["perplexity"].iloc[5])
    summary = summary_table(table, recovered, ["base", "random", "rosetta", "oracle"]).set_index(
        "filter"
    )
    assert summary.loc["random", "perplexity"] == 6.0
    # Two values 5 and 7: standard error 1, Student's t of one degree of freedom 12.706.
    assert summary.loc["random", "perplexity_ci_high"] == pytest.approx(6 + 12.7062, abs=1e-4)
    assert summary.loc["random", "f1"] == pytest.approx(0.2)
    assert np.isnan(summary.loc["oracle", "perplexity"])
    assert summary.loc["oracle", "n_trainings"] == 0


def test_perplexities_are_compared_at_the_same_seed():
    """Seeds shift both filters alike here, so that only the paired interval tells them apart."""
    shifts = {0: 0.0, 1: 5.0, 2: -3.0, 3: 11.0}
    gaps = {0: 0.43, 1: -0.04, 2: 0.88}
    trained = [
        ("base", 0, 200.0),
        *(("rosetta", seed, 116.0 + shift) for seed, shift in shifts.items()),
    ]
    trained += [("non_rosetta", seed, 116.0 + shifts[seed] + gap) for seed, gap in gaps.items()]
    trained += [("oracle", 3, 100.0)]
    names = ("base", "non_rosetta", "classifier", "rosetta", "oracle")
    found = dict.fromkeys(("precision", "recall", "f1", "average_precision"), 0.5)
    sizes = {"selected_documents": 3, "selected_tokens": 50}
    recovered = pd.DataFrame(
        [{"filter": name, "seed": None, **found, **sizes} for name in names[1:]]
    )
    table = results_table(
        recovered, pd.DataFrame(trained, columns=["filter", "seed", "perplexity"])
    )
    summary = summary_table(table, recovered, list(names)).set_index("filter")
    row = summary.loc["non_rosetta"]
    # By hand: mean 0.42333, standard deviation 0.46004, times 4.30265 (Student's t of 2 degrees)
    # over the root of 3.
    assert row["perplexity_difference"] == pytest.approx(0.42333, abs=1e-5)
    assert row["perplexity_difference_ci_high"] - row["perplexity_difference"] == pytest.approx(
        1.14281, abs=1e-4
    )
    assert row["perplexity_difference"] - row["perplexity_difference_ci_low"] == pytest.approx(
        1.14281, abs=1e-4
    )
    assert summary["n_pairs"].to_dict() == {
        "base": 0,
        "non_rosetta": 3,
        "classifier": 0,
        "rosetta": 0,
        "oracle": 1,
    }
    assert summary.loc["oracle", "perplexity_difference"] == -27.0
    assert np.isnan(summary.loc["oracle", "perplexity_difference_ci_low"]), (
        "one pair has no interval"
    )
    assert summary.loc[["base", "classifier", "rosetta"], "perplexity_difference"].isna().all()

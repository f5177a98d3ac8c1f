"""What the report shows: the best matches with their contexts, times, readable numbers."""

import html
import re

import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_stores
from PIL import Image

from rosetta.analysis.counts import COUNT_COLUMNS, TRAINING_COLUMNS
from rosetta.analysis.null_counts import CONTROL_COLUMNS, NULL_SUMMARY_COLUMNS
from rosetta.analysis.replicates import REPLICATE_COLUMNS
from rosetta.analysis.rung_means import rung_table
from rosetta.analysis.scaling import NULL_SCALING_COLUMNS, pooled_table, scaling_table
from rosetta.analysis.setting_laws import FLOOR_SCALING_COLUMNS
from rosetta.analysis.stability import (
    EXCLUSION_COLUMNS,
    K_COLUMNS,
    STABILITY_COLUMNS,
    THRESHOLD_COLUMNS,
)
from rosetta.analysis.steps import describe_step, findings_step, neurons_step
from rosetta.config import parse_config
from rosetta.judging.verdicts import FRACTION_COLUMNS
from rosetta.matching.mutual import MATCH_COLUMNS, rosetta_neurons
from rosetta.report.neuron_figures import FIGURES
from rosetta.report.page import THEORY_FIGURES, THEORY_TABLES, format_number
from rosetta.report.phases import phase_table
from rosetta.report.pictures import embedded
from rosetta.report.steps import control_figures_step, figures_step, report_step
from rosetta.run.paths import Paths
from rosetta.run.stages import RULES, job_names
from rosetta.storage.digests import digest_file
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import write_csv, write_parquet
from rosetta.theory.comparison import COMPARISON_COLUMNS, MATCHED_R_COLUMNS
from rosetta.theory.exponents import FINITE_SIZE_COLUMNS
from rosetta.theory.prediction import LEAVE_ONE_OUT_COLUMNS
from rosetta.theory.simulation import ALL_NEURONS

CONTROLS = {
    "controls": CONTROL_COLUMNS,
    "null_summary": NULL_SUMMARY_COLUMNS,
    "threshold_sweep": THRESHOLD_COLUMNS,
    "floor_scaling": FLOOR_SCALING_COLUMNS,
    "stability": STABILITY_COLUMNS,
    "exclusions": EXCLUSION_COLUMNS,
}
ZOO = {
    "families": {"f": {"architecture": "gpt2", "seed": 1}, "g": {"architecture": "opt", "seed": 2}},
    "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}},
}
CONFIG = {
    "zoo": ZOO,
    "models": {
        **{f"{family}-s": {"zoo": {"family": family, "size": "s"}} for family in "fg"},
        "twin": {"untrained": {"of": "g-s"}},
        "unused": {"hub": "somebody/unused", "revision": "main"},
    },
    "ladders": {"l": [["f-s", "twin"]]},
    "activations": {"n_shards": 2, "sequence_length": 64, "shards_per_job": "one"},
}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.000123456, "0.0001235"),
        (1.5e-7, "1.500e-07"),
        (-0.00071, "-0.0007100"),
        (0.5, "0.5000"),
        (99.996, "100.0"),
        (0.0, "0"),
        (12_345.67, "12,345.7"),
        (1_234_567, "1,234,567"),
        (np.float64(36.0), "36"),
        (np.nan, "–"),
    ],
)
def test_numbers_are_shown_with_significant_digits(value, shown):
    assert format_number(value) == shown


def save_benchmark(paths, rule, job, seconds):
    path = paths.benchmark(rule, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:01\t{100 * seconds}\t{10 * seconds}\n"
    )


def test_every_rule_has_its_jobs_and_no_model_that_nobody_needs():
    jobs = job_names(parse_config(CONFIG))
    assert set(jobs) == set(RULES)
    assert jobs["tokenizers"] == ["all"]
    assert jobs["train"] == ["f-s", "g-s"]
    assert jobs["model"] == ["twin"]
    assert jobs["activations"] == ["f-s.0-of-2", "f-s.1-of-2", "twin.0-of-2", "twin.1-of-2"]
    assert jobs["correlate"] == ["f-s--twin.0-of-1"]


def test_the_times_are_those_of_the_jobs_that_the_configuration_asks_for(tmp_path):
    paths = Paths(tmp_path)
    for rule, job, seconds in [
        ("corpus", "all", 5),
        ("train", "f-s", 2),
        ("train", "g-s", 3),
        ("report", "all", 1),
        ("activations", "f-s.0-of-2", 1),
        ("activations", "f-s.1-of-2", 1),
        ("activations", "twin.0-of-2", 1),
        ("activations", "twin.1-of-2", 4),
        # of other shard counts, ladders and versions of the workflow
        ("activations", "f-s.0-of-1", 100),
        ("train", "q-s", 100),
        ("match", "f-s--g-s", 100),
        ("retired", "all", 100),
    ]:
        save_benchmark(paths, rule, job, seconds)
    rows = {
        row.phase: tuple(row)[1:]
        for row in phase_table(parse_config(CONFIG), paths).itertuples(index=False)
    }
    assert rows == {
        "activations": (4, 7, 4, 70, 400),
        "corpus": (1, 5, 5, 50, 500),
        "train": (2, 5, 3, 50, 300),
    }
    more = parse_config({**CONFIG, "activations": {**CONFIG["activations"], "n_shards": 1}})
    assert phase_table(more, paths).set_index("phase")["seconds"].to_dict() == {
        "activations": 100,
        "corpus": 5,
        "train": 5,
    }


N_UNITS = 15


def draw(path, colour):
    """Write a picture of one colour, and return it as the page should hold it."""
    Image.new("RGB", (3, 2), colour).save(path)
    return embedded(path)


def save_theory(paths):
    """The theory's tables and figures, so far as the report looks into them."""
    compared = pd.DataFrame(
        [["l", "matches", "rosetta", "plain", "ngrams", *[0.5] * 8, False, False, 0.5]],
        columns=COMPARISON_COLUMNS,
    )
    matched_r = pd.DataFrame(
        [["l", 0, "b", "ngrams", *[0.5] * 12, 0.001]], columns=MATCHED_R_COLUMNS
    )
    left_out = pd.DataFrame(
        [["l", 0, 15, "plain", "ngrams", 15, 15, 9, 20, 0.0, True]], columns=LEAVE_ONE_OUT_COLUMNS
    )
    exact = [
        [2.0, ALL_NEURONS, quantity, 0.5, 0.5, fitted]
        for quantity, fitted in (("matches", 0.81), ("true_matches", 0.52))
    ]
    known = {
        "theory_vs_measured": compared,
        "theory_matched_r": matched_r,
        "theory_leave_one_out": left_out,
        "theory_finite_size": pd.DataFrame(exact, columns=FINITE_SIZE_COLUMNS),
    }
    for name in THEORY_TABLES.values():
        write_csv(
            paths.table(name),
            known.get(name, pd.DataFrame({"statistic": ["plain"], "value": [0.25]})),
        )
    for name in THEORY_FIGURES:
        figure = paths.figure(f"theory_{name}", "png")
        figure.parent.mkdir(exist_ok=True)
        draw(figure, "navy")


def save_judge(paths):
    """What a judge said, which was not tested."""
    rows = [("x", 5, "a <judge>", "rosetta", 0.625, 0.5, 0.75, 5, 100, 0, 0)]
    write_csv(paths.table("judge"), pd.DataFrame(rows, columns=FRACTION_COLUMNS))
    for name in ("judge_trials", "judge_validation", "judge_agreement"):
        write_csv(paths.table(name), pd.DataFrame(columns=["store"]))


@pytest.fixture
def reported(tmp_path):
    """The report of a pair with 15 matches and random activations: texts, activations with ranges,
    matches, page.
    """
    texts = [f"document <{i}> & what it says: {'word ' * (i % 9)}{i * i}" for i in range(40)]
    models = {"x": {"path": "x"}, "y": {"path": "y-chat"}}
    off = {
        "viewer": {"n_neurons": 8},
        "attribution": None,
        "controls": {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": []},
        "sweeps": {"thresholds": []},
    }
    config = parse_config(
        {
            "models": models,
            "ladders": {"l": [["x", "y"]]},
            "activations": {"n_shards": 2},
            "judge": {"base_url": "http://localhost:1/v1", "model": "a <judge>"},
            **off,
        }
    )
    paths = Paths(tmp_path)
    documents = pd.DataFrame(
        {"id": np.arange(40, dtype=np.uint64), "text": texts, "domain": "d<1>", "source": ""}
    )
    write_parquet(paths.split("match"), documents)
    split = {"documents": 40, "bytes": sum(map(len, texts)), "domains": {"d<1>": 40}}
    files = {"match": digest_file(paths.split("match"))}
    write_manifest(
        paths.corpus_manifest,
        {"kind": "corpus", "counts": {}, "splits": {"match": split}, "files": files},
    )
    rng = np.random.default_rng(0)
    stores = {}
    for name in "xy":
        ranges = random_ranges(rng, [len(text) for text in texts], truncate=False)
        values = rng.normal(size=(1, len(ranges[0]), N_UNITS)).astype(np.float32)
        save_stores(paths.stores(name, 2), values, ranges, len(texts), n_shards=2)
        stores[name] = (values[0], ranges)
        shape = {
            "n_layers": 1,
            "d_mlp": N_UNITS,
            "n_neurons": N_UNITS,
            "n_parameters": 99,
            "vocab_size": 300,
        }
        licence = {"licence": "a <licence>"} if name == "x" else {}
        content = {"kind": "model", "architecture": "opt", "training": None, **shape, **licence}
        write_manifest(paths.model_manifest(name), content)
    matches = pd.DataFrame(
        {
            "model_a": "x",
            "layer_a": 0,
            "unit_a": np.arange(N_UNITS),
            "model_b": "y",
            "layer_b": 0,
            "unit_b": rng.permutation(N_UNITS),
            "r": rng.permutation(N_UNITS) / 16 + 0.001,
            "rank_a": 1,
            "rank_b": 1,
            "margin_a": 0.25,
            "margin_b": 0.125,
        },
        columns=MATCH_COLUMNS,
    )
    write_parquet(paths.matches("x--y"), matches)
    write_parquet(paths.rosetta("x--y"), rosetta_neurons([matches]))
    for name in "xy":
        neurons_step(config, paths, name)
        kurtosis = pd.DataFrame(
            {"layer": 0, "unit": np.arange(N_UNITS), "excess_kurtosis": rng.normal(size=N_UNITS)}
        )
        write_parquet(paths.vocabulary(name), kurtosis)
    row = {
        "ladder": "l",
        "rung": 0,
        "models": "x--y",
        "n_neurons": 15,
        "n_positions": 900,
        "matches": 15,
        "mean_r": 0.4,
        "families": "x--y",
    }
    counts = pd.DataFrame([row], columns=COUNT_COLUMNS)
    write_csv(paths.table("counts"), counts)
    write_csv(paths.table("scaling"), scaling_table(counts))
    write_csv(paths.table("scaling_pooled"), pooled_table(counts))
    write_csv(paths.table("null_scaling"), pd.DataFrame(columns=NULL_SCALING_COLUMNS))
    write_csv(paths.table("replicates"), pd.DataFrame(columns=REPLICATE_COLUMNS))
    for name, columns in CONTROLS.items():
        write_csv(paths.table(name), pd.DataFrame(columns=columns))
    k_row = {"ladder": "l", "rung": 0, "k": 1, "matches": 15}
    write_csv(paths.table("k_sweep"), pd.DataFrame([k_row], columns=K_COLUMNS))
    control_figures_step(config, paths)
    save_theory(paths)
    save_judge(paths)
    trainings = counts.reindex(columns=TRAINING_COLUMNS)
    write_csv(paths.table("trainings"), trainings)
    write_csv(paths.table("rungs"), rung_table(trainings))
    write_csv(paths.table("floor_scaling"), pd.DataFrame(columns=FLOOR_SCALING_COLUMNS))
    figures_step(config, paths)
    describe_step(config, paths)
    findings_step(config, paths)
    for name in FIGURES:
        draw(paths.figure(name, "png"), "olive")
    for shard in range(2):
        save_benchmark(paths, "activations", f"x.{shard}-of-2", 1.25 + shard)
    save_benchmark(paths, "corpus", "all", 7.5)
    report_step(config, paths)
    return texts, stores, matches, paths.report.read_text("utf-8")


def top_tokens(texts, values, ranges, n):
    """By brute force: the highest position of every document, the n highest of these; as (text,
    value).
    """
    _, start, end, owner = ranges
    best = [
        max((row for row in range(len(values)) if owner[row] == i), key=lambda row: values[row])
        for i in range(40)
    ]
    best = sorted(best, key=lambda row: -values[row])[:n]
    return [(texts[owner[row]][start[row] : end[row]], f"{values[row]:#.4g}") for row in best]


def test_the_ten_best_matches_are_listed_in_order_with_their_top_contexts(reported):
    texts, stores, matches, page = reported
    best = matches.sort_values("r", ascending=False).head(10)
    shown = page.split('<div class="match">')[1:]
    assert len(shown) == 10
    assert '<a href="viewer.html#?group=x--y">All that the viewer shows of x--y</a>' in page
    for rank, (row, part) in enumerate(zip(best.itertuples(), shown, strict=True)):
        name = f"x L0/U{row.unit_a} ↔ y L0/U{row.unit_b}"
        link = f'<a href="viewer.html#x--y/L0/U{row.unit_a}">{name}</a>'
        assert f"<h4>{link if rank < 8 else name}</h4>" in part, "the viewer shows eight"
        assert f"r = {row.r:#.4g}, margins to the runner-up 0.2500 and 0.1250" in part
        contexts = re.findall(
            r"<mark>(.*?)</mark>.*?</div>\s*<div class=\"note\">(\S+) ·", part, re.DOTALL
        )
        expected = [
            context
            for name, unit in (("x", row.unit_a), ("y", row.unit_b))
            for context in top_tokens(texts, stores[name][0][:, unit], stores[name][1], 5)
        ]
        assert [(html.unescape(token), value) for token, value in contexts] == expected


def test_a_context_is_shown_with_the_text_around_it(reported):
    texts, *_, page = reported
    contexts = re.findall(r'<div class="context">(.*?)</div>', page)
    assert len(contexts) == 10 * 2 * 5
    for context in contexts:
        before, token, after = map(html.unescape, re.split("</?mark>", context))
        assert token
        assert before + token + after in texts


def test_the_report_says_where_theory_and_measurement_disagree(reported, tmp_path):
    *_, page = reported
    theory_picture = draw(tmp_path / "again.png", "navy")
    assert "plain, 95% interval: 0 of 1 (not l)" in page
    assert "l with b 0.5 (0.5 to 0.5; 0.50 where 0.50 is predicted)" in page
    assert "rejected at 5% in 1" in page
    assert "among them are 0.81 and 0.52 where 0.50 is predicted." in page
    assert "All neurons: the others too" in page
    assert page.count(theory_picture) == len(THEORY_FIGURES)


def test_the_time_of_every_phase_is_shown(reported):
    *_, page = reported
    table = page[page.index("<h3>Time</h3>") : page.index("<h3>Versions</h3>")]
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)]
    assert [row for row in rows if row] == [
        ["corpus", "1", "7.500", "7.500", "75", "750"],
        ["activations", "2", "3.500", "2.250", "35", "225"],
    ]


def test_the_findings_are_told_where_they_cannot_be_judged(reported):
    *_, page = reported
    section = page[page.index("<h3>What this run says") : page.index("<h3>Controls and")]
    assert section.count("<b>cannot be judged</b>") == 4
    assert section.count("The ladder has one rung") == 3


def test_licences_and_names_that_look_post_trained_are_shown(reported):
    *_, page = reported
    section = page[page.index("<h3>Models</h3>") : page.index("<h3>Corpus</h3>")]
    header = re.findall(r"<th>(.*?)</th>", section)
    rows = {
        row[0]: row
        for text in re.findall(r"<tr>(.*?)</tr>", section)
        if (row := re.findall(r"<td>(.*?)</td>", text))
    }
    assert {name: html.unescape(row[header.index("licence")]) for name, row in rows.items()} == {
        "x": "a <licence>",
        "y": "not stated",
    }
    assert "<li>Caution: models.y: y-chat looks post-trained by its name." in section


def test_parts_are_asked_for_by_question_and_the_contents_lead_to_each(reported):
    *_, page = reported
    titles = re.findall(r"<summary><h2>(.*?)</h2></summary><div id=\"(.*?)\">", page)
    contents = re.findall(r'<li><a href="#(.*?)">(.*?)</a></li>', page)
    assert [(title, id_) for id_, title in contents] == titles
    assert [title for title, _ in titles] == [
        "How many are there?",
        "Are they real?",
        "What are they like?",
        "Why are there so many?",
        "What was run?",  # it filters no corpus
    ]


def test_every_table_that_is_linked_is_one_of_the_run(reported, tmp_path):
    *_, page = reported
    linked = set(re.findall(r'href="(tables/.*?)"', page))
    assert {"tables/scaling_pooled.csv", "tables/findings.csv", "tables/depth.csv"} <= linked
    missing = {link for link in linked if not (tmp_path / link).exists()}
    assert missing <= {"tables/null_summary.csv"}


def test_the_summary_has_an_answer_to_each_question(reported):
    *_, page = reported
    summary = page[page.index('id="in-short"') : page.index("<nav")]
    answers = re.findall(r"<li><b>(.*?)</b> (.*?) <span", summary)
    assert [question for question, _ in answers] == [
        "How many are there?",
        "Are they real?",
        "What are they like?",
        "Why are there so many?",
    ]
    assert "predicts α = 0.50 (95% interval 0.50 to 0.50) for l" in answers[-1][1]


def test_a_judge_is_told_and_what_it_was_not_asked_is_left_out(reported):
    *_, page = reported
    section = page[page.index("<h3>What a judge says") : page.index("<h3>Best matches of")]
    assert "a &lt;judge&gt; was asked" in section
    assert "<td>0.6250</td><td>0.5000</td><td>0.7500</td>" in section
    assert "Is it right?" not in section
    assert "Cohen" not in section

"""The viewer of matches alone, such as imported ones."""

import numpy as np
import pandas as pd
import pytest
from commands import assert_rejected, run_here
from viewer_browser import click, count, names, title

from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.report import viewer_matches
from rosetta.report.viewer_matches import matches_page


def matches(model_a, model_b, rows):
    """A table of rows (layer_a, unit_a, layer_b, unit_b, r, smaller margin)."""
    columns = ["layer_a", "unit_a", "layer_b", "unit_b", "r", "margin_a"]
    table = pd.DataFrame(rows, columns=columns).assign(model_a=model_a, model_b=model_b)
    return table.assign(rank_a=1, rank_b=1, margin_b=table["margin_a"] + 0.1)[MATCH_COLUMNS]


@pytest.fixture
def files(tmp_path):
    first = [(0, 1, 2, 3, 0.5, 0.01), (0, 1, 4, 5, 0.7, 0.02), (3, 7, 2, 1, 0.6, np.nan)]
    matches("x", "y", first).to_parquet(tmp_path / "first.parquet")
    second = matches("x", "z", [(9, 9, 8, 8, 0.9, 0.3)])
    second.assign(r_ci_low=0.8, r_ci_high=0.95).to_parquet(tmp_path / "second.parquet")
    return [tmp_path / "first.parquet", tmp_path / "second.parquet"]


def test_matches_are_shown_without_a_run(browser, files, tmp_path):
    page, parts = matches_page(files)
    assert parts == []
    (tmp_path / "viewer.html").write_text(page, encoding="utf-8")
    browser.open(tmp_path / "viewer.html")
    assert names(browser) == ["L9/U9 ↔ L8/U8", "L0/U1 ↔ L4/U5", "L3/U7 ↔ L2/U1"]
    assert title(browser) == "x L9/U9 ↔ z L8/U8"
    cards = "return [...document.querySelectorAll('.model')].map((card) => card.innerText)"
    assert "r with the anchor\n0.9 (0.8 to 0.95)" in browser.run(cards)[1]
    assert "margin to the runner-up\n0.3" in browser.run(cards)[1]
    assert browser.run("return document.querySelectorAll('svg, .chart').length") == 0
    click(browser, "#row-1")
    assert "number 1 of 2 by lowest r" in browser.run("return document.body.innerText")
    assert "Only the matches are known" in browser.run("return document.body.innerText")
    browser.press("t", "c")
    said = browser.run("return document.getElementById('said').textContent")
    assert said == "there are no texts to copy"
    browser.fill("#q", "2.1")
    assert (count(browser), title(browser)) == (1, "x L3/U7 ↔ y L2/U1")
    assert browser.console() == []


def test_no_more_are_shown_than_a_browser_opens(files, monkeypatch):
    monkeypatch.setattr(viewer_matches, "MOST_NEURONS", 1)
    page, _ = matches_page(files[:1])
    assert '"n_rosetta":2' in page
    assert page.count('"partners"') == 1


def test_what_is_no_table_of_one_pair_is_rejected(files, tmp_path):
    def rejected(message, *names):
        assert_rejected(run_here("view", "--matches", *names, folder=tmp_path), message)

    both = pd.concat([pd.read_parquet(file) for file in files])
    both.to_parquet(tmp_path / "both.parquet")
    both[:0].to_parquet(tmp_path / "none.parquet")
    both.drop(columns="margin_b").to_parquet(tmp_path / "lacking.parquet")
    rejected("both.parquet: is of 2 pairs", "both.parquet")
    rejected("none.parquet: is of 0 pairs", "none.parquet")
    rejected(r"lacking.parquet: lacks the columns \['margin_b'\]", "lacking.parquet")
    rejected("first.parquet: another file is of x--y, too", "first.parquet", "first.parquet")
    rejected("missing.parquet: no such file", "missing.parquet")
    rejected("--matches: name at least one file")

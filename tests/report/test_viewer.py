"""The viewer: what it embeds, and what it does in a real browser."""

import base64
import json
import os
import re

import numpy as np
import pandas as pd
import pytest
import webdriver

from rosetta.analysis.populations import rosetta_above
from rosetta.matching.mutual import MATCH_COLUMNS, NOTE_COLUMNS
from rosetta.report.viewer import NUMBERS, embedded_json, note_matches, render_viewer, viewer_data
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet

EVIL = (
    "</script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'> "
    "&amp; ünïcode 𝄞 \u2028"
)
DOMAINS = ["code", "prose", ""]
N = 2000
VOCABULARY_KURTOSIS = list(NUMBERS).index("excess_kurtosis")


class KnownModel:
    """Stands for what a run knows of a model's neurons: numbers that follow from layer and unit."""

    domains = DOMAINS

    def describe(self, layer, unit):
        numbers = [None] * len(NUMBERS)
        numbers[VOCABULARY_KURTOSIS] = unit / 100
        return {"name": f"L{layer}/U{unit}", "numbers": numbers, "firing": [0.5, 0.25, 0.0]}

    def main_domains(self, neurons):
        return [unit % 2 for _, unit in neurons]


def text_of(i):
    return EVIL if i == 0 else f"text number {i} tells of the river {'ö' * (i % 3)}\n"


def encoded(values):
    return base64.b64encode(np.array(values, dtype=np.uint8).tobytes()).decode()


def group(models, n_neurons, first_layer):
    """Excerpts of two tokens a model (the last model has read only one), neurons L{first + i //
    100}/U{i}.
    """
    excerpts = [
        {
            "document": f"{i:016x}",
            "domain": DOMAINS[i % 3],
            "byte_start": 0,
            "text": text_of(i),
            "tokens": [[4, len(text_of(i).encode("utf-16-le")) // 2 - 4]] * (len(models) - 1)
            + [[4]],
        }
        for i in range(60)
    ]
    values = [encoded([128, 255])] * (len(models) - 1) + [encoded([1])]
    neurons = [
        {
            "r": 1 - i / n_neurons,
            "margin": 0.1 if i % 4 else None,
            "above": [True, i % 5 == 0],
            "partners": [
                {"layer": first_layer + i // 100 + side, "unit": i, "r": 0.5, "scale": 2.0}
                for side in range(len(models))
            ],
            "contexts": [
                {
                    "excerpt": (i + rank) % 60,
                    "ranks": [rank + 1] + [3 - rank] * (len(models) - 1),
                    "values": values,
                }
                for rank in range(3)
            ],
        }
        for i in range(n_neurons)
    ]
    return {"models": models, "excerpts": excerpts, "neurons": neurons}


@pytest.fixture(scope="module")
def data():
    groups = {"a--b": group(["a", "b"], N - 500, 0), "a--b--c": group(["a", "b", "c"], 500, 50)}
    groups["a--b"]["neurons"][0]["partners"][1]["match"] = {
        "r_ci_low": 0.45,
        "r_ci_high": 0.55,
        "p_permutation": 0.001,
        "p_untrained": None,
        "margin": 0.02,
    }
    made = viewer_data(
        groups,
        {name: KnownModel() for name in "abc"},
        ["above exchanged samples", "above untrained"],
    )
    about = {"name": "rivers <b>", "examples": ["the Oder"], "is_monosemantic": True}
    made["neurons"][3]["partners"][0]["about"] = about
    return made


def test_groups_share_their_excerpts(data):
    assert len(data["excerpts"]) == 60
    assert set(data["excerpts"][0]["tokens"]) == {"0", "1", "2"}
    assert len(data["neurons"]) == N
    assert data["groups"] == [
        {"name": "a--b", "models": [0, 1]},
        {"name": "a--b--c", "models": [0, 1, 2]},
    ]
    last = data["neurons"][-1]
    assert data["excerpts"][last["contexts"][0]["excerpt"]]["text"] == text_of(499 % 60)
    assert (last["group"], last["domain"], last["partners"][2]["numbers"][VOCABULARY_KURTOSIS]) == (
        1,
        1,
        4.99,
    )


def test_the_page_holds_the_data_and_nothing_of_it_is_markup(data):
    page = render_viewer(data)
    assert re.findall(r"<script[^>]*>", page) == [
        '<script type="application/json" id="data">',
        "<script>",
    ]
    held = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert not set("<>&\u2028") & set(held)
    assert json.loads(held) == json.loads(json.dumps(data))
    assert not re.search(r"""(src|href)\s*=|url\(|@import""", page.replace(held, ""))


def test_numbers_that_json_lacks_are_rejected():
    with pytest.raises(ValueError, match="Out of range"):
        embedded_json({"r": float("nan")})


def test_partners_carry_what_is_known_of_their_match(tmp_path):
    """Of three models: anchor 0/1 is matched with both others, above the null by one match only."""
    paths = Paths(tmp_path)
    facts = {
        "margin_a": 0.3,
        "margin_b": 0.1,
        "rank_a": 1,
        "rank_b": 1,
        "r_ci_low": 0.4,
        "r_ci_high": 0.6,
    }
    for number, other in enumerate("bc"):
        row = {
            "model_a": "a",
            "layer_a": 0,
            "unit_a": 1,
            "model_b": other,
            "layer_b": 2,
            "unit_b": number,
        }
        row |= facts | {
            "r": 0.7 - 0.2 * number,
            "p_permutation": 0.01 * (number + 1),
            "p_documents": np.nan,
            "p_untrained": np.nan,
        }
        rows = [{**row, "unit_a": 7, "unit_b": 9}, row]
        write_parquet(
            paths.matches(f"a--{other}"), pd.DataFrame(rows)[[*MATCH_COLUMNS, *NOTE_COLUMNS]]
        )
    partners = [{"layer": 0, "unit": 1}, {"layer": 2, "unit": 0}, {"layer": 2, "unit": 1}]
    group = {"models": ["a", "b", "c"], "neurons": [{"partners": partners}]}
    limits = {"plain": -1.0, "above_x": 0.4, "above_y": 0.6}
    note_matches(group, paths, rosetta_above(paths, ("a", "b", "c"), limits))
    assert group["neurons"][0]["above"] == [True, False]
    known = {
        "r_ci_low": 0.4,
        "r_ci_high": 0.6,
        "p_documents": None,
        "p_untrained": None,
        "margin": 0.1,
    }
    assert partners[1]["match"] == {**known, "p_permutation": 0.01}
    assert partners[2]["match"] == {**known, "p_permutation": 0.02}


# ---- in a browser
# ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    if os.environ.get("CI"):
        pytest.skip(
            "browser tests do not run in CI; run pytest tests/report/test_viewer.py on your machine"
        )
    if webdriver.missing():
        pytest.skip(
            f"{webdriver.missing()} is not installed (Debian packages chromium and chromium-driver)"
        )
    with webdriver.Browser() as started:
        yield started


@pytest.fixture
def opened(browser, data, tmp_path_factory):
    page = tmp_path_factory.getbasetemp() / "viewer.html"
    if not page.exists():
        page.write_text(render_viewer(data), encoding="utf-8")
    browser.console()
    browser.open(page)
    yield browser
    assert browser.console() == []


def count(browser):
    return int(browser.run("return document.getElementById('count').textContent").split()[0])


def title(browser):
    return browser.run("return document.querySelector('h1')?.textContent")


def names(browser):
    return browser.run(
        "return [...document.querySelectorAll('.row div:first-child')].map((row) => "
        "row.textContent)"
    )


def test_it_opens_with_all_neurons_but_few_rows(opened):
    assert count(opened) == N
    assert title(opened) == "a L0/U0 ↔ b L1/U0"
    assert opened.run("return document.querySelectorAll('.row').length") < 60
    assert opened.run("return performance.getEntriesByType('resource').length") == 0


def test_text_of_the_corpus_is_never_executed(opened):
    texts = opened.run(
        "return [...document.querySelectorAll('.text')].map((text) => text.textContent)"
    )
    assert texts[:2] == [EVIL, EVIL]
    assert opened.run("return window.pwned") is None
    assert opened.run("return document.querySelectorAll('main img, main script').length") == 0


@pytest.mark.parametrize("query", ["L3/U307", "3.307", "L3.N307", "l3/u307 "])
def test_a_search_finds_a_neuron(opened, query):
    opened.fill("#search", query)
    assert title(opened) == "a L3/U307 ↔ b L4/U307"
    assert count(opened) == 1


def test_a_partner_is_found_too(opened):
    opened.fill("#search", "4.307")
    assert title(opened) == "a L3/U307 ↔ b L4/U307"


def test_words_are_found_in_contexts_and_annotations(opened):
    opened.fill("#search", "Number 17 TELLS")
    expected = sum(
        17 in {(i + rank) % 60 for rank in range(3)} for n in (N - 500, 500) for i in range(n)
    )
    assert count(opened) == expected
    shown = opened.run(
        "return [...document.querySelectorAll('.context')].map((c) => [c.className, c.innerText])"
    )
    assert {("number 17 tells" in text, name) for name, text in shown} == {
        (True, "context found"),
        (False, "context"),
    }
    buttons = opened.run(
        "return [...document.querySelectorAll('.toolbar button')].map((b) => b.textContent)"
    )
    assert buttons == ["a · 1 found", "b · 1 found"]
    opened.fill("#search", "rivers <b>")
    assert names(opened) == ["L0/U3 ↔ L1/U3 · rivers <b>"]
    assert "“the Oder”" in opened.run("return document.querySelector('.about').textContent")
    opened.fill("#search", "nowhere to be found")
    assert count(opened) == 0
    assert "No Rosetta Neuron fits" in opened.run(
        "return document.querySelector('main').textContent"
    )


def set_filter(browser, name, value):
    browser.run(
        "const field = document.getElementById(arguments[0]); field.value = arguments[1];"
        "field.dispatchEvent(new Event('input', {bubbles: true}))",
        name,
        value,
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("group", "1", 500),
        ("domain", "1", N // 2),
        ("layer", "2", 100),
        ("r", "0.5", 750 + 250 + 2),
        ("margin", "0.05", N * 3 // 4),
        ("kurtosis", "10", 500),
        ("above", "0", N),
        ("above", "1", N // 5),
    ],
)
def test_a_filter_narrows_the_list(opened, name, value, expected):
    set_filter(opened, name, value)
    assert count(opened) == expected


def test_a_match_is_shown_with_what_chance_makes(opened):
    rows = opened.run(
        "return [...document.querySelectorAll('.row .small')].map((row) => row.textContent)"
    )
    assert ["not above untrained" in row for row in rows[:4]] == [False, False, True, True]
    cards = opened.run(
        "return [...document.querySelectorAll('.model')].map((card) => card.innerText)"
    )
    assert re.search(r"r with the anchor\s+itself", cards[0])
    assert re.search(r"r with the anchor\s+0\.5 \(0\.45 to 0\.55\)", cards[1])
    assert re.search(r"margin to the runner-up\s+0\.02\s+p, permuted positions\s+0\.001", cards[1])
    assert re.search(r"margin to the runner-up\s+–\s+p, permuted positions\s+–", cards[0]), (
        "charts are level"
    )
    assert "untrained twins" not in cards[0] + cards[1], "there is no such null"
    facts = opened.run("return document.querySelector('h1 + .note').textContent")
    assert facts == "a--b · lowest r 1 · margin – · above exchanged samples · above untrained"


def test_filters_go_together_and_are_cleared(opened):
    opened.fill("#r", "0.5")
    set_filter(opened, "group", "1")
    set_filter(opened, "order", "layer")
    assert count(opened) == 251
    assert title(opened) == "a L50/U0 ↔ b L51/U0 ↔ c L52/U0"
    opened.press("Escape")
    assert count(opened) == N


def test_the_keyboard_moves_through_the_list(opened):
    opened.press("j", "j", "ArrowDown", "k")
    assert title(opened) == "a L0/U1 ↔ b L1/U1"  # third, after the first of either group
    opened.press("End")
    last = title(opened)
    assert last == "a L14/U1499 ↔ b L15/U1499"
    assert opened.run(
        "return document.querySelector('[aria-selected=true]').textContent.includes('U1499')"
    )
    opened.press("ArrowDown")
    assert title(opened) == last
    opened.press("Home", "/", "7", ".", "7", "0", "0", "Enter", "j")
    assert opened.run("return document.getElementById('search').value") == "7.700"
    assert title(opened) == "a L7/U700 ↔ b L8/U700"


def test_every_model_is_shaded_on_the_same_text(opened):
    set_filter(opened, "group", "1")
    first = "return [...document.querySelector('.context').querySelectorAll('.text')]"
    assert opened.run(f"{first}.map((text) => text.textContent)") == [text_of(0)] * 3
    colors = opened.run(
        f"{first}.map((text) => [...text.children].map((token) => token.style.background))"
    )
    assert colors[0] == ["rgba(60, 120, 255, 0)", "rgb(255, 140, 0)"]
    assert colors[2][0] == "rgb(60, 120, 255)", "the third model reads -1"
    titles = opened.run(f"{first}.map((text) => [...text.children].map((token) => token.title))")
    assert titles[0] == ["0.0", "2.0"]
    assert "not read by this model" in titles[2][1]


def test_the_top_contexts_of_each_model_can_be_shown(opened):
    notes = (
        "return [...document.querySelectorAll('.context > .note')].map((note) => note.textContent)"
    )
    ours = opened.run(notes)
    assert [note.split(",")[0] for note in ours] == ["#1 of a", "#2 of a", "#3 of a"]
    opened.press("t")
    assert opened.run(notes) == ours[::-1]
    assert "no domain" in ours[2]

"""The viewer in a real browser: search, filters, addresses, texts, export."""

import json
import re
import time

import numpy as np
import pandas as pd
import pytest
from viewer_browser import address, click, count, names, set_filter, texts_shown, title
from viewer_pages import EVIL, N, planted, text_of, write_viewer


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
    opened.fill("#q", query)
    assert title(opened) == "a L3/U307 ↔ b L4/U307"
    assert count(opened) == 1


def test_a_partner_is_found_too(opened):
    opened.fill("#q", "4.307")
    assert title(opened) == "a L3/U307 ↔ b L4/U307"


def test_words_are_found_in_contexts_and_annotations(opened):
    opened.fill("#q", "Number 17 TELLS")
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
        "return [...document.querySelectorAll('.toolbar [aria-pressed]')].map((b) => b.textContent)"
    )
    assert buttons == ["a · 1 found", "b · 1 found"]
    opened.fill("#q", "rivers <b>")
    assert names(opened) == ['L0/U3 ↔ L1/U3 · rivers <b>, "wide"']
    assert "“the Oder”" in opened.run("return document.querySelector('.about').textContent")
    opened.fill("#q", "nowhere to be found")
    assert count(opened) == 0
    assert "No Rosetta Neuron fits" in opened.run(
        "return document.querySelector('main').textContent"
    )


def test_tokens_that_a_neuron_writes_are_shown_and_found(opened):
    tokens = opened.run(
        "return [...document.querySelectorAll('.tokens')].map((line) => line.textContent)"
    )
    assert tokens[:2] == ["promotes  barge <i>⏎ ", "suppresses dry "]
    shown = "return document.querySelector('.tokens code').title"
    assert opened.run(shown) == "cosine 0.31"
    opened.fill("#q", "BARGE")
    assert count(opened) == N
    opened.fill("#q", "barges")
    assert count(opened) == 0


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("group", "1", 500),
        ("domain", "1", N // 2),
        ("layer", "2", 100),
        ("min_r", "0.5", 750 + 250 + 2),
        ("min_margin", "0.05", N * 3 // 4),
        ("min_kurtosis", "10", 500),
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
    assert "p, untrained twins" not in cards[0] + cards[1], "there is no such number"
    facts = opened.run("return document.querySelector('.head + .note').textContent")
    assert facts == (
        "a--b · number 1 of 1507 by lowest r · lowest r 1 · margin – · above exchanged samples · "
        "above untrained"
    )


def test_chance_and_depth_are_drawn(opened):
    labels = opened.run(
        "return [...document.querySelectorAll('dl svg, .chance svg')]"
        ".map((one) => one.getAttribute('aria-label'))"
    )
    assert labels == [
        "layer 0 of 0 to 59",
        "layer 1 of 0 to 59",
        "r 0.5 (0.45 to 0.55) beside 3 matches of exchanged samples, threshold 0.4",
        "r 0.5 (0.45 to 0.55) beside 3 matches of untrained twins",
    ]
    left = (
        "const left = (name) => document.querySelector('.chance ' + name).getBoundingClientRect()."
        "left; const box = document.querySelector('.chance svg').getBoundingClientRect();"
        "return ['.r', '.threshold', '.interval', '.null'].map((name) => "
        "(left(name) - box.left) / box.width)"
    )
    # The axis runs from 0 to 1; the lowest null match, 0.1, lies in the bin from 0.08.
    assert opened.run(left) == pytest.approx([0.5, 0.4, 0.45, 0.08], abs=0.01)


def test_the_distribution_of_values_is_drawn_with_the_partners_over_it(opened):
    labels = (
        "return [...document.querySelectorAll('.histogram svg')]"
        ".map((one) => one.getAttribute('aria-label'))"
    )
    said = (
        "activations on 1,000 tokens, in standard deviations from the mean, on a logarithmic scale"
    )
    assert opened.run(labels) == [
        f"{said}; the outline is b L1/U0",
        f"{said}; the outline is a L0/U0",
    ]
    bars = (
        "const box = document.querySelector('.histogram svg').getBoundingClientRect();"
        "return [...document.querySelectorAll('.histogram .own')].slice(0, 48).map((bar) => "
        "bar.getBoundingClientRect().height / box.height)"
    )
    heights = np.log1p([700, 300]) / np.log1p(700)
    assert opened.run(bars) == pytest.approx([*heights, *[0] * 46], abs=0.02)
    outline = (
        "const box = document.querySelector('.histogram svg').getBoundingClientRect();"
        "const line = document.querySelector('.histogram .outline').getBoundingClientRect();"
        "return [line.right - box.right, line.top - box.top]"
    )
    assert opened.run(outline) == pytest.approx([0, 0], abs=1.5)
    click(opened, "#row-1")  # of three models, the last one's neuron never changes
    assert len(opened.run(labels)) == 2


def test_neurons_that_neuronpedia_shows_link_there(opened):
    opened.fill("#q", "3.307")
    links = "return [...document.querySelectorAll('main a')].map((link) => link.href)"
    assert opened.run(links) == ["https://www.neuronpedia.org/gpt2-small/4/307"]


def test_filters_go_together_and_are_cleared(opened):
    opened.fill("#min_r", "0.5")
    set_filter(opened, "group", "1")
    set_filter(opened, "sort", "layer and unit")
    assert count(opened) == 251
    assert title(opened) == "a L50/U0 ↔ b L51/U0 ↔ c L52/U0"
    opened.press("Escape")
    assert count(opened) == N


def test_every_model_is_shaded_on_the_same_text(opened):
    set_filter(opened, "group", "1")
    first = "return [...document.querySelector('.context').querySelectorAll('.text')]"
    assert opened.run(f"{first}.map((text) => text.textContent)") == [text_of(0)] * 3
    shades = opened.run(
        f"{first}.map((text) => [...text.children].map((token) => "
        "[token.className, token.style.getPropertyValue('--share')]))"
    )
    assert shades[0] == [["below", "0"], ["above top", "1"]]
    assert shades[2][0] == ["below", "1"], "the third model reads -1"
    titles = opened.run(f"{first}.map((text) => [...text.children].map((token) => token.title))")
    assert titles[0] == ["0.0", "2.0"]
    assert "not read by this model" in titles[2][1]
    click(opened, ".context .text .above")
    said = opened.run("return document.getElementById('said').textContent")
    assert said == f"{text_of(0)[4:].strip()}: 2.0"


def test_the_top_contexts_of_each_model_can_be_shown(opened):
    notes = (
        "return [...document.querySelectorAll('.context > .note')].map((note) => note.textContent)"
    )
    ours = opened.run(notes)
    assert [note.split(",")[0] for note in ours] == ["#1 of a", "#2 of a", "#3 of a"]
    opened.press("t")
    assert opened.run(notes) == ours[::-1]
    assert "no domain" in ours[2]


def test_every_view_has_an_address_and_the_back_button_goes_through_them(opened):
    assert address(opened) == "#a--b/L0/U0"
    click(opened, "#row-2")
    set_filter(opened, "domain", "1")
    set_filter(opened, "min_r", "0.5")
    opened.wait("return location.hash.includes('min_r')")
    click(opened, "#row-1")
    assert address(opened) == "#a--b/L0/U3?domain=prose&min_r=0.5"
    opened.back()
    assert title(opened) == "a L0/U1 ↔ b L1/U1"
    assert address(opened) == "#a--b/L0/U1?domain=prose&min_r=0.5"
    opened.back()
    assert count(opened) == N
    assert opened.run("return document.getElementById('min_r').value") == ""
    assert address(opened) == "#a--b/L0/U1"
    opened.back()
    assert title(opened) == "a L0/U0 ↔ b L1/U0"


def test_letters_typed_are_one_step_of_the_history(opened):
    before = opened.run("return history.length")
    opened.press("/", *"river")
    opened.wait("return location.hash.includes('q=river')")
    assert opened.run("return history.length") == before + 1


@pytest.mark.parametrize(
    ("hash_", "expected", "n"),
    [
        ("#a--b/L3/U307", "a L3/U307 ↔ b L4/U307", N),
        (
            "#a--b--c/L50/U3?group=a--b--c&of=c&starred=&sort=layer+and+unit",
            "a L50/U3 ↔ b L51/U3 ↔ c L52/U3",
            500,
        ),
        ("#a--b/L0/U7?min_r=2", "a L0/U7 ↔ b L1/U7", N),
        ("#a--b/L0/U2?q=%F0%9D%84%9E", "a L0/U0 ↔ b L1/U0", N),
        ("#?group=a--b--c", "a L50/U0 ↔ b L51/U0 ↔ c L52/U0", 500),
        ("#?above=above+untrained&max_r=0.5", "a L7/U750 ↔ b L8/U750", 200),
        ("#%E0%A4%A/L0?domain=unknown", None, N),
    ],
)
def test_a_deep_link_opens_its_view(opened, page, hash_, expected, n):
    opened.open(page.as_uri() + hash_)
    opened.reload()
    if "q=" in hash_:  # L0/U2 is not among those that the search finds, so it is shown without
        expected = "a L0/U2 ↔ b L1/U2"
    assert (title(opened), count(opened)) == (expected, n)


def test_a_link_to_a_neuron_that_is_not_shown_says_so(opened, page):
    opened.open(page.as_uri() + "#a--b/L99/U1")
    said = opened.run("return document.querySelector('main').textContent")
    assert said.startswith("a--b/L99/U1 is not among the 2000 neurons that this viewer shows")
    assert address(opened) == "#a--b/L99/U1"
    opened.press("j")
    assert title(opened) == "a L50/U0 ↔ b L51/U0 ↔ c L52/U0"


def test_stars_stay_when_the_page_is_loaded_again(opened):
    opened.press("j", "s")
    assert opened.run("return document.getElementById('star').textContent") == "★"
    assert [name for name in names(opened) if "★" in name] == ["★ L50/U0 ↔ L51/U0 ↔ L52/U0"]
    opened.reload()
    opened.run("document.getElementById('starred').click()")
    assert names(opened) == ["★ L50/U0 ↔ L51/U0 ↔ L52/U0"]
    click(opened, "#star")
    assert count(opened) == 0


def test_a_browser_that_keeps_nothing_is_no_obstacle(opened):
    blocked = (
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('blocked') }});"
    )
    made = opened.command("Page.addScriptToEvaluateOnNewDocument", source=blocked)
    opened.reload()
    opened.press("s", "d")
    said = opened.run("return document.getElementById('said').textContent")
    assert "until this page is closed" in said
    assert opened.run("return document.getElementById('star').textContent") == "★"
    opened.command("Page.removeScriptToEvaluateOnNewDocument", **made)


def saved(browser, folder, name):
    browser.command("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.press("e" if name.endswith("csv") else "E")
    deadline = time.monotonic() + 20
    while not (folder / name).exists() or not (folder / name).stat().st_size:
        assert time.monotonic() < deadline, "nothing was saved"
        time.sleep(0.02)
    return folder / name


def test_the_filtered_neurons_are_exported(opened, tmp_path):
    set_filter(opened, "above", "all")
    set_filter(opened, "group", "1")
    opened.press("Enter")
    table = pd.read_csv(saved(opened, tmp_path, "rosetta_neurons.csv"), keep_default_na=False)
    records = json.loads(saved(opened, tmp_path, "rosetta_neurons.json").read_text())
    assert len(table) == len(records) == 2 * 100  # two partners of every fifth of 500 neurons
    assert list(table) == list(records[0])
    first = table.iloc[1]
    assert (first["group"], first["name_anchor"], first["model"], first["name"]) == (
        "a--b--c",
        "L50/U0",
        "c",
        "L52/U0",
    )
    assert table["unit_anchor"].tolist() == [5 * (i // 2) for i in range(200)]
    assert [row["unit_anchor"] for row in records] == table["unit_anchor"].tolist()
    assert records[0]["r"] == 0.5
    assert records[0]["above untrained"] is True
    assert (table["domain"] == ["code", "code", "prose", "prose"] * 50).all()


def test_fields_of_the_export_with_commas_and_quotes_stay_one(opened, tmp_path):
    opened.fill("#q", "rivers <b>")
    opened.press("Enter")
    table = pd.read_csv(saved(opened, tmp_path, "rosetta_neurons.csv"))
    assert table["annotation"].tolist() == ['rivers <b>, "wide"']


def test_contexts_are_copied_as_text(opened):
    opened.command(
        "Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"]
    )
    opened.press("j", "j", "t", "c")
    opened.wait("return document.getElementById('said').textContent === 'contexts copied'")
    copied = opened.run("return navigator.clipboard.readText()")
    assert copied.startswith("a L0/U1 ↔ b L1/U1\ntop contexts of b\n\n#1 · ")
    assert [line.strip() for line in copied.splitlines() if line.startswith("text number")] == [
        text_of(number).strip() for number in (3, 2, 1)
    ]


def test_texts_beside_the_page_are_read_when_they_are_shown(browser, tmp_path):
    page = write_viewer(tmp_path, planted(), inside_bytes=0)
    read = (
        "return [...document.querySelectorAll('head script')].map((one) => one.getAttribute('src'))"
    )
    browser.open(page)
    browser.wait("return document.querySelectorAll('.context').length === 3")
    # Neurons of one part, of 250, and of the first part of the group of three after 1,500.
    assert browser.run(read) == ["viewer/0.js"]
    click(browser, "#row-1")
    browser.wait("return document.querySelectorAll('.context').length === 3")
    assert browser.run(read) == ["viewer/0.js", "viewer/6.js"]
    assert browser.run("return document.querySelectorAll('main img, main script').length") == 0
    browser.fill("#q", "number 17 tells")
    browser.wait("return !document.getElementById('count').textContent.includes('reading')")
    assert count(browser) == sum(
        17 in {(i + rank) % 60 for rank in range(3)} for n in (N - 500, 500) for i in range(n)
    )
    assert len(browser.run(read)) == 8
    assert browser.run("return window.pwned") is None
    assert browser.console() == []


def test_texts_that_are_not_beside_the_page_are_missed(browser, tmp_path):
    page = write_viewer(tmp_path, planted(), inside_bytes=0)
    (tmp_path / "viewer" / "0.js").unlink()
    browser.open(page)
    browser.wait(
        "return document.querySelector('main').innerText.includes('Keep the two together')"
    )
    assert texts_shown(browser) == 0
    browser.fill("#q", "barge")
    browser.wait("return document.getElementById('count').textContent.includes('cannot be read')")
    assert count(browser) == N, "it is found by what the page knows"
    browser.console()


def test_many_neurons_open_and_scroll_at_once(browser, tmp_path):
    """Time of the page's own thread, whatever else this machine does."""
    page = write_viewer(tmp_path, planted(20_000), inside_bytes=0)
    assert len(list((tmp_path / "viewer").iterdir())) == 80
    browser.command("Performance.enable", timeDomain="threadTicks")

    def spent():
        metrics = browser.command("Performance.getMetrics")["metrics"]
        return next(one["value"] for one in metrics if one["name"] == "TaskDuration")

    browser.open("about:blank")  # a page of another process, which begins at 0
    browser.open(page)
    assert count(browser) == 20_000
    opened = spent()
    assert 0.05 < opened < 2
    frames = (
        "return new Promise((done) => { let n = 0; const next = () => { list.scrollTop += 400; "
        "n += 1; n < 60 ? requestAnimationFrame(next) : done(n); }; next(); });"
    )
    assert browser.run(f"const list = document.getElementById('list'); {frames}") == 60
    assert 0 < (spent() - opened) / 60 < 1 / 60
    assert browser.run("return document.querySelectorAll('.row').length") < 60

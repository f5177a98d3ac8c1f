"""The site of an atlas: hostile texts stay texts, addresses last, the search works from a disk."""

import json
import re
from html.parser import HTMLParser

import jinja2
import pandas as pd
import pytest
from commands import run_here
from planted_atlas import atlas_of, model
from viewer_browser import browser_or_skip, click, set_filter
from viewer_pages import EVIL

from rosetta.atlas.folder import write_atlas
from rosetta.atlas.site import page_of

N = 450


def planted(n=N):
    """n matches of a with b, highest r first; hostile texts wherever a text can be."""
    matches = [("a", i // 100, i, "b", i // 100, i, round(0.9 - i / 1000, 4)) for i in range(n)]
    models = [model("a", "1", "hub", "o/a", EVIL, n_neurons=500), model("b", EVIL)]
    contexts = [
        {"model": "a", "layer": 0, "unit": i, "neuron": f"L0/U{i}", "rank": 1, "document": "0" * 16}
        | {"domain": EVIL, "byte_start": 3, "byte_end": 5, "value": 1.5, "before": f"river {i} "}
        | {"token": EVIL, "after": "\u202e end"}
        for i in range(2)
    ]
    judged = {"model": "a", "layer": 0, "unit": 1, "neuron": "L0/U1", "judge": EVIL}
    atlas = atlas_of(
        matches,
        models,
        contexts=pd.DataFrame(contexts),
        verdicts=pd.DataFrame([{**judged, "description": EVIL, "is_monosemantic": True}]),
    )
    return spoilt(atlas)


def spoilt(atlas):
    """The atlas with hostile names, tokens and domains of its first neuron."""
    neurons = atlas.frame("neurons")
    for name in ("promoted", "domains"):
        neurons[name] = [[EVIL] if i == 0 else None for i in range(len(neurons))]
        other = {"promoted": "promoted_cosine", "domains": "domain_firing"}[name]
        neurons[other] = [[0.5] if i == 0 else None for i in range(len(neurons))]
    neurons["annotation"] = [EVIL if i == 0 else None for i in range(len(neurons))]
    from rosetta.atlas.columns import typed

    return type(atlas)({**atlas.tables, "neurons": typed("neurons", neurons)}, atlas.facts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("site") / "atlas"
    write_atlas(planted(), out, 2 * N)
    return out


class Tags(HTMLParser):
    """The elements of a page, and the texts in them."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts, self.links = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.links += [value for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data):
        self.texts.append(data)


def parsed(path):
    found = Tags()
    found.feed(path.read_text(encoding="utf-8"))
    return found


def test_hostile_texts_stay_texts(folder):
    page = parsed(folder / page_of("a", "L0/U0"))
    text = "".join(page.texts)
    assert text.count("window.pwned = 1") >= 5, "domain, token, promoted, annotation, context"
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "river 0" in text
    judged = parsed(folder / page_of("a", "L0/U1"))
    assert "Judged by </script><script>window.pwned" in "".join(judged.texts)
    for path in folder.rglob("*.html"):
        found = parsed(path)
        assert found.tags.count("script") == (path.name == "index.html")
        assert not [link for link in found.links if re.match(r"\w+:|//", link)], "nothing outside"


def test_every_link_leads_to_a_page(folder):
    for path in folder.rglob("*.html"):
        for link in parsed(path).links:
            assert (path.parent / link).is_file(), (path, link)


def test_what_the_search_reads_is_data_only(folder):
    text = (folder / "search.js").read_text(encoding="utf-8")
    held = re.fullmatch(r"rosettaAtlas\((.*)\);\n", text)[1]
    assert not set("<>&\u2028\u2029") & set(held)
    found = json.loads(held)
    assert len(found["neurons"]) == 2 * N
    assert found["neurons"][0][:5] == [0, 0, 0, "L0/U0", 0.9]
    assert EVIL in found["neurons"][0][6]


def test_no_template_trusts_anything_but_its_own_parts():
    """As of the report's templates (test_security)."""
    from importlib import resources

    templates = resources.files("rosetta.atlas") / "templates"
    trusted = []
    for path in templates.iterdir():
        text = path.read_text("utf-8")
        if path.name.endswith(".jinja"):
            trusted += re.findall(r"\{\{[^}]*\|\s*safe", text)
            assert "autoescape" not in text
        elif path.name.endswith(".js"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function",
                text,
            )
    assert sorted(trusted) == ["{{ script|safe", "{{ style|safe"]
    from rosetta.atlas.site import Site

    environment = Site({}, [], 0)._environment
    assert environment.autoescape is True
    assert environment.undefined is jinja2.StrictUndefined


def test_an_address_follows_from_the_neuron_alone(tmp_path, folder):
    """Whatever else the atlas has, and in which order."""
    assert page_of("m.1", "L3/E17/U42") == "neurons/m.1/L3-E17-U42.html"
    write_atlas(planted(7), tmp_path / "small", 10)
    mine = {
        path.relative_to(tmp_path / "small") for path in (tmp_path / "small").glob("neurons/*/*")
    }
    assert len(mine) == 10
    assert mine < {path.relative_to(folder) for path in folder.glob("neurons/*/*")}
    assert (folder / "neurons" / "a" / "L3-U312.html").is_file()


def test_the_best_neurons_have_a_page_where_not_all_have(tmp_path):
    write_atlas(planted(9), tmp_path / "atlas", 4)
    pages = sorted(path.name for path in (tmp_path / "atlas").glob("neurons/*/*.html"))
    assert pages == ["L0-U0.html", "L0-U0.html", "L0-U1.html", "L0-U1.html"]
    assert "4 of 18 neurons have a page" in (tmp_path / "atlas" / "README.md").read_text()
    write_atlas(planted(9), tmp_path / "none", 0)
    assert not list((tmp_path / "none").glob("neurons/*/*.html"))
    for name in ("atlas", "none"):
        for path in (tmp_path / name).rglob("*.html"):
            for link in parsed(path).links:
                assert (path.parent / link).is_file(), "no link to a page that is not there"


@pytest.fixture(scope="module")
def browser():
    with browser_or_skip() as started:
        yield started


def rows(browser):
    return browser.run(
        "return [...document.querySelectorAll('#found tbody tr')].map((r) => r.innerText)"
    )


def said(browser):
    return browser.run("return document.getElementById('count').textContent")


def test_the_search_works_from_a_disk(browser, folder):
    browser.console()
    browser.open(folder / "index.html")
    browser.wait("return document.getElementById('count').textContent.includes('of 900')")
    assert len(rows(browser)) == 200
    click(browser, "#more")
    assert len(rows(browser)) == 400
    for query, expected in (
        ("L3/U312", 2),
        ("3.312", 2),
        ("L3-U312", 2),
        ("river 1", 1),
        ("window.pwned", 2),
        ("no such thing", 0),
        ("", 900),
    ):
        set_filter(browser, "q", query)
        assert said(browser) == f"{expected} of 900 neurons", query
    set_filter(browser, "model", "1")
    set_filter(browser, "layer", "4")
    set_filter(browser, "min_r", "0.46")
    assert said(browser) == "41 of 900 neurons"
    address = browser.run("return location.hash")
    assert address == "#model=1&layer=4&min_r=0.46"
    browser.reload()
    browser.wait("return document.getElementById('count').textContent.startsWith('41 of')")
    click(browser, "#found tbody a")
    browser.wait("return document.title === 'L4/U400 of b'")
    assert browser.run("return window.pwned === undefined")
    assert browser.console() == []


def test_a_page_of_hostile_texts_is_quiet(browser, folder):
    browser.console()
    browser.open(folder / page_of("a", "L0/U0"))
    assert browser.run("return window.pwned === undefined")
    assert browser.run("return document.querySelectorAll('script, img').length") == 0
    shown = browser.run("return document.querySelector('mark').textContent")
    assert shown == EVIL
    wide = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    for width in (1400, 400):
        browser.resize(width, 800)
        assert browser.run(wide), f"nothing sticks out at {width}"
    assert browser.console() == []


def test_the_site_is_served_by_the_standard_library_too(browser, folder):
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    handler.func.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.open(f"http://127.0.0.1:{server.server_port}/")
        browser.wait("return document.getElementById('count').textContent.includes('of 900')")
        server.shutdown()


def test_the_command_needs_no_run_for_an_imported_site(tmp_path):
    """A model's file of another project with a hostile label has no page of that name."""
    (tmp_path / "b.json").write_text("[]")
    done = run_here(
        "atlas",
        "import",
        "b.json",
        "--model",
        "a",
        "--model",
        "../b",
        "--out",
        "o",
        folder=tmp_path,
    )
    assert done.code == 2
    assert not (tmp_path / "o").exists()

"""The documentation as a site: it builds strictly, needs no server, and its links hold in the
repository too.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import rosetta

ROOT = Path(__file__).parents[2]
PAGES = {"index.md", "stores.md", "benchmarks.md", "scaling.png", "tour.md"}


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location(
        "site_pages", ROOT / "workflow" / "scripts" / "site_pages.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_every_page_is_there(site):
    for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.ipynb")]:
        assert (site / path.stem / "index.html").exists(), path
    assert "make run" in (site / "index.html").read_text("utf-8")


def test_pages_load_nothing_from_elsewhere(site):
    loaded = re.compile(
        r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"' "
        r">]+)|<link\b[^>]*\bhref=[\"']?([^\"' >]+)"
    )
    found = [
        a or b for page in site.rglob("*.html") for a, b in loaded.findall(page.read_text("utf-8"))
    ]
    assert len(found) > 50
    assert [address for address in found if re.match(r"(https?:)?//", address)] == []


@pytest.mark.parametrize(
    ("source", "link", "shown"),
    [
        ("README.md", "[stores](docs/stores.md#files)", "[stores](stores.md#files)"),
        ("README.md", "![figure](docs/scaling.png)", "![figure](scaling.png)"),
        ("README.md", "[tour](docs/tour.ipynb)", "[tour](tour.md)"),
        ("docs/stores.md", "[home](../README.md)", "[home](index.md)"),
        (
            "docs/stores.md",
            "[times](../benchmarks/README.md#memory)",
            "[times](benchmarks.md#memory)",
        ),
        ("benchmarks/README.md", "[stores](../docs/stores.md)", "[stores](stores.md)"),
        ("README.md", "[the default](config.yaml)", "the default"),
        ("README.md", "[gone](docs/gone.md)", "[gone](docs/gone.md)"),
        ("docs/stores.md", "[here](#files) [there](https://example.org/a.md)", None),
        ("README.md", "```\n[stores](docs/stores.md)\n```", None),
    ],
)
def test_links_of_the_repository_are_links_of_the_site(pages, source, link, shown):
    assert pages.site_links(f"{link}\n", source, PAGES) == f"{shown or link}\n"


def test_a_notebook_is_a_page_with_what_it_printed(pages, tmp_path):
    cell = nbformat.v4.new_code_cell(
        "1 + 1",
        outputs=[
            nbformat.v4.new_output("stream", text="before\n"),
            nbformat.v4.new_output("execute_result", data={"text/plain": "2"}),
            nbformat.v4.new_output(
                "display_data", data={"image/png": "iVBORw0=\n", "text/plain": "<Figure>"}
            ),
        ],
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A tour"), cell])
    nbformat.write(notebook, tmp_path / "tour.ipynb")
    assert pages.notebook_as_markdown(tmp_path / "tour.ipynb") == (
        "# A tour\n\n```python\n1 + 1\n```\n\n```text\nbefore\n```\n\n```text\n2\n```\n\n"
        "![](data:image/png;base64,iVBORw0=)\n"
    )


NAMING_PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "benchmarks").glob("*.md"),
]
FILE = re.compile(r"`((?:rosetta|workflow|tests|docs|envs|benchmarks)/[^`\s{}…]*)`")


@pytest.mark.parametrize("page", NAMING_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_are_where_the_page_says(page):
    missing = [
        name for name in FILE.findall(page.read_text("utf-8")) if not [*ROOT.glob(name.rstrip("/"))]
    ]
    assert missing == []


def test_every_public_name_has_an_entry_in_the_reference(site):
    page = (site / "reference" / "index.html").read_text("utf-8")
    public = [name for name in rosetta.__all__ if not name.startswith("_")]
    assert [name for name in public if f'id="rosetta.{name}"' not in page] == []

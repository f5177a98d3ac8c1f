"""What Snakemake itself needs and makes: a folder for its cache, and its own report with the
captions of the rules.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from docutils.core import publish_parts
from viewer_browser import browser_or_skip
from workflow_runs import ROOT, run_snakemake

CAPTIONS = sorted((ROOT / "workflow" / "report").glob("*.rst"))
UNLOCK = ROOT / "workflow" / "scripts" / "unlock.py"


def unlock(folder: Path, **variables: str) -> subprocess.CompletedProcess:
    environment = {
        name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"
    } | variables
    command = [sys.executable, UNLOCK]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_home_that_cannot_be_written_is_told_with_the_variable_that_helps(tmp_path):
    (tmp_path / "file").touch()
    nowhere = str(tmp_path / "file" / "home")
    rejected = unlock(tmp_path, HOME=nowhere)
    assert rejected.returncode == 1
    assert re.fullmatch(
        r"rosetta: .*file/home/\.cache.* cannot be written.*XDG_CACHE_HOME.*\n", rejected.stderr
    )
    cache = tmp_path / "cache"
    assert unlock(tmp_path, HOME=nowhere, XDG_CACHE_HOME=str(cache)).returncode == 0
    assert cache.is_dir()


@pytest.mark.parametrize("caption", CAPTIONS, ids=lambda path: path.stem)
def test_captions_are_clean(caption):
    """As Snakemake makes HTML of them; a message of docutils is a red box there."""
    made = publish_parts(
        caption.read_text("utf-8"), writer="html", settings_overrides={"warning_stream": False}
    )
    assert not re.search("system-message|problematic", made["body"])


def test_snakemakes_report_of_a_finished_run_has_no_messages_in_it(finished, tmp_path):
    run_snakemake(finished, "--report", str(tmp_path / "report.html"))
    page = (tmp_path / "report.html").read_text("utf-8")
    captions = [json.loads(text) for text in re.findall(r'"caption": ("(?:[^"\\]|\\.)*")', page)]
    assert len(captions) >= len(CAPTIONS), "as many as there are results with one"
    assert sum("|R|" in text for text in captions) == 1
    assert not re.search("system-message|problematic", page)
    with browser_or_skip() as browser:
        browser.open(tmp_path / "report.html")
        browser.wait("return document.body.innerText.includes('Scaling')")
        headings = browser.run("return document.body.innerText")
        assert all(heading in headings for heading in ("Controls", "Neurons", "Theory"))


def test_the_report_opens_at_any_width_and_its_contents_unfold_its_parts(finished):
    page = finished / "results" / "report.html"
    assert page.stat().st_size < 5_000_000
    open_parts = (
        "return [...document.querySelectorAll('.question[open] h2')].map((h) => h.innerText)"
    )
    with browser_or_skip() as browser:
        browser.open(page)
        assert browser.run(open_parts) == ["How many are there?"]
        links = browser.run("return [...document.querySelectorAll('nav a')].length")
        for number in range(links):
            browser.run("document.querySelectorAll('nav a')[arguments[0]].click()", number)
            browser.wait(f"{open_parts.replace('return ', 'return (')}).length >= {number + 1}")
        assert len(browser.run(open_parts)) == links
        for width in (390, 768, 1280):
            browser.resize(width, 900)
            wide = "return document.documentElement.scrollWidth - window.innerWidth"
            assert browser.run(wide) <= 0, f"{width} pixels: the page is wider than the window"
        assert browser.run("return [...document.images].every((one) => one.naturalWidth > 0)")
        assert browser.console() == []

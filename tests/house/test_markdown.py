"""The documentation is written for readers: short lines, a short README, everyday words."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GENERATED = {"docs/configuration.md", "docs/results.md"}
PAGES = sorted(
    path
    for folder in (".", "docs", "benchmarks")
    for path in (ROOT / folder).glob("*.md")
    if str(path.relative_to(ROOT)) not in GENERATED
)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
NUMBERS = re.compile(r"<!-- numbers: .*?<!-- /numbers -->", re.DOTALL)
# Words of this project's old dialect, and what to write instead.
DIALECT = {
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again, or recomputed",
    r"takes? no part": "is excluded",
    r"(is|are) refused": "is rejected",
}


def written(path):
    """Return the lines of a page that people wrote, without tables."""
    text = NUMBERS.sub("", path.read_text("utf-8"))
    return [line for line in text.splitlines() if not line.lstrip().startswith("|")]


def test_there_are_pages():
    assert len(PAGES) >= 15


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_at_most_100_columns(path):
    long = [
        line
        for line in written(path)
        if len(line) > 100 and not re.search(r"https?://\S{40}", line)
    ]
    assert long == []


def test_the_readme_takes_ten_minutes():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_everyday_english(path):
    text = FENCED.sub("", "\n".join(written(path)))
    for word, better in DIALECT.items():
        found = re.search(rf"\b{word}\b", text, re.IGNORECASE)
        assert found is None, f"{found[0]}: write {better}"

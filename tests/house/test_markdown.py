"""Text is written for readers: short lines, a short README, everyday words, also in code."""

import re
import tokenize
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
SOURCES = sorted(
    path
    for folder in ("rosetta", "workflow", "benchmarks", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".smk", ".jinja", ".rst"} and path != Path(__file__)
)
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
NUMBERS = re.compile(r"<!-- numbers: .*?<!-- /numbers -->", re.DOTALL)
# Words of this project's old dialect, and what to write instead.
DIALECT = {
    r"mend(s|ed|ing)?": "fix",
    r"anew": "again, or recomputed",
    r"takes? no part": "is excluded",
    r"lest": "so that … not",
    r"whither": "where to",
    r"thereof": "its",
    r"hence": "so",
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


def test_dialect_is_found():
    assert dialect_of("a message with the mend") == "mend: write fix"
    assert dialect_of("amendments, renewed") is None


def dialect_of(text):
    """Return the first word of the dialect in a text, with what to write; None if there is none."""
    for word, better in DIALECT.items():
        if found := re.search(rf"\b{word}\b", text, re.IGNORECASE):
            return f"{found[0]}: write {better}"
    return None


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_are_everyday_english(path):
    assert dialect_of(FENCED.sub("", "\n".join(written(path)))) is None


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_words_in_code_are_everyday_english(path):
    """Names, comments, docstrings and messages."""
    if path.suffix != ".py":
        assert dialect_of(path.read_text("utf-8")) is None
        return
    with tokenize.open(path) as file:
        tokens = list(tokenize.generate_tokens(file.readline))
    for token in tokens:
        text = token.string.replace("_", " ") if token.type == tokenize.NAME else token.string
        assert dialect_of(" ".join(text.split())) is None, f"line {token.start[0]}"

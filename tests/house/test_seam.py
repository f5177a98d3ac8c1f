"""The seam at alignment: what lies below it speaks of positions, samples and units of any modality,
never of documents, tokens or text.
"""

import ast
import re
from collections.abc import Iterator

import pytest
from package_sources import PACKAGE, imports_of

OF_TEXT = {"document", "domain", "text", "token"}
# Modules of `analysis` that are of text themselves, and stand beside the seam.
BESIDE = {
    "contexts": "the text around a neuron's top tokens",
    "excerpts": "texts of the viewer",
    "factor_explanations": "factors that images are drawn from",
    "image_neurons": "reads images and what they were drawn from, for the modules of neurons",
    "generated_images": "what generators made, and the classes of images",
    "points": "values on byte ranges",
    "token_positions": "tokens of the stores of text, by document and byte range",
    "profiles": "firing by domain, and top tokens",
    "selectivity": "tokens of the vocabulary that a neuron writes to",
    "specialization": "domains of documents",
    "steps": "reads the corpus, for the modules above",
}
# Identifiers that are no words of text's.
OTHERS = {"write_text": "pathlib's and storage's: characters into a file"}
BELOW = sorted(
    path
    for part in ("correlation", "matching", "analysis", "instruments", "sae")
    for path in (PACKAGE / part).glob("*.py")
    if part != "analysis" or path.stem not in BESIDE
)


def identifiers(source: str) -> Iterator[str]:
    """Yield the names in a source: also of attributes, arguments and modules; no words of strings
    or comments.
    """
    for node in ast.walk(ast.parse(source)):
        for field in ("id", "attr", "arg", "name", "asname", "module"):
            if isinstance(name := getattr(node, field, None), str):
                yield name
        if isinstance(node, ast.Global | ast.Nonlocal):
            yield from node.names
        if isinstance(node, ast.MatchMapping) and node.rest:
            yield node.rest


def of_text(source: str) -> set[str]:
    """Return the names in a source that have a word of text's: `n_tokens`, `StoreTokens`."""
    found = set()
    for name in identifiers(source):
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
        if {word.lower().removesuffix("s") for word in words} & OF_TEXT and name not in OTHERS:
            found.add(name)
    return found


@pytest.mark.parametrize("path", BELOW, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_below_the_seam_nothing_is_of_text(path):
    assert not of_text(path.read_text()), f"{path}: speak of samples, positions and units"
    assert not [module for module, _ in imports_of(path) if module.startswith("rosetta.inputs")]


def test_words_of_text_are_found_in_every_kind_of_name():
    source = """
from rosetta.alignment.text import align as texts
import tokens.of
class StoreTokens: ...
def read(n_documents, *domains, **token_ids):
    documentIndex = view.documents(domain=1)
"""
    assert of_text(source) == {
        "rosetta.alignment.text",
        "texts",
        "tokens.of",
        "StoreTokens",
        "n_documents",
        "domains",
        "token_ids",
        "documentIndex",
        "documents",
        "domain",
    }


def test_strings_comments_and_longer_words_are_no_names_of_text():
    source = """
context = subdomain = tokenized = holds["n_documents"]  # documents, tokens
path.write_text("documents")
"""
    assert of_text(source) == set()


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_seam_is_of_text(name):
    """Or it lies below by now, and is to be taken off the list."""
    source = (PACKAGE / "analysis" / f"{name}.py").read_text()
    assert of_text(source) or "rosetta.inputs" in source or "byte_start" in source

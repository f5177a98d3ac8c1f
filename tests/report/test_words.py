"""What the report calls samples: documents in a run on text, images in a run on images."""

import re

import jinja2
import pytest

from rosetta.report.neuron_figures import FIGURES
from rosetta.report.neuron_section import caption
from rosetta.report.page import words_for

OF_TEXT = re.compile(r"\b(documents?|tokens?|contexts?|domains?|texts?)\b")
OF_IMAGES = re.compile(r"\b(images?|cells?|class(es)?)\b")


@pytest.mark.parametrize(
    ("modality", "others_words"), [("images", OF_TEXT), ("text", OF_IMAGES)], ids=["images", "text"]
)
def test_a_run_of_one_modality_is_told_in_its_own_words(modality, others_words):
    page = "\n".join([*(caption(name, [modality]) for name in FIGURES), controls([modality])])
    assert others_words.search(page) is None


def test_a_run_of_both_is_told_in_the_words_of_both():
    assert words_for(["text", "images"]) == {
        "sample": "document or image",
        "samples": "documents or images",
        "domain": "domain or class",
    }
    page = controls(["text", "images"])
    assert "Nested subsets of the documents or images in" in page
    assert "each document or image of the second model" in page


def controls(modalities):
    """Return the controls' part of the page, of figures without pictures."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rosetta.report"), undefined=jinja2.StrictUndefined
    )
    figures = dict.fromkeys(("nulls", "k_sweep", "threshold_sweep", "budget"), "")
    return environment.get_template("controls.html.jinja").render(
        controls={"figures": figures, "tables": {}, "seeds": {"untrained twins": 2}},
        data=lambda names: "",
        said=words_for(modalities),
    )

"""The viewer: what it embeds."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from small_configs import changed
from viewer_pages import VOCABULARY_KURTOSIS, N, planted, text_of

from rosetta.analysis.null_thresholds import NULL_COLUMNS
from rosetta.analysis.populations import rosetta_above
from rosetta.config import Config, ModelEntry
from rosetta.matching.mutual import MATCH_COLUMNS, NOTE_COLUMNS
from rosetta.report.viewer import note_matches, render_viewer
from rosetta.report.viewer_chance import pair_chance
from rosetta.report.viewer_links import group_that_shows, neuronpedia_name, viewer_link
from rosetta.report.viewer_parts import embedded_json, split_texts
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet


@pytest.fixture(scope="module")
def data():
    return planted()


def test_groups_share_their_excerpts(data):
    assert len(data["excerpts"]) == 60
    assert set(data["excerpts"][0]["tokens"]) == {"0", "1", "2"}
    assert len(data["neurons"]) == N
    shown = [(g["name"], g["models"], g["n_rosetta"], len(g["chance"])) for g in data["groups"]]
    assert shown == [("a--b", [0, 1], N - 493, 1), ("a--b--c", [0, 1, 2], 507, 2)]
    last = data["neurons"][-1]
    assert data["excerpts"][last["contexts"][0]["excerpt"]]["text"] == text_of(499 % 60)
    assert last["rank"] == 500
    assert (last["group"], last["domain"], last["partners"][2]["numbers"][VOCABULARY_KURTOSIS]) == (
        1,
        1,
        4.99,
    )


def test_the_page_holds_the_data_and_nothing_of_it_is_markup(data):
    inside, parts = split_texts(data)
    assert parts == []
    page = render_viewer(inside)
    assert re.findall(r"<script[^>]*>", page) == [
        '<script type="application/json" id="data">',
        "<script>",
    ]
    held = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1]
    assert not set("<>&\u2028") & set(held)
    assert json.loads(held) == json.loads(json.dumps({**data, "parts": None}))
    assert not re.search(r"""(src|href)\s*=|url\(|@import""", page.replace(held, ""))


def test_texts_that_are_too_large_for_the_page_lie_beside_it_whole(data):
    sizes = [len(part.encode()) for part in split_texts(data, 0)[1]]
    assert split_texts(data, sum(sizes))[1] == []
    page, parts = split_texts(data, sum(sizes) - 1)
    assert page["parts"] == {"folder": "viewer", "neurons": 250, "bytes": sum(sizes)}
    assert "strict-dynamic" in render_viewer(page)
    assert "tells of the river" not in render_viewer(page)
    excerpts, contexts = {}, []
    for number, part in enumerate(parts):
        assert not set("<>&\u2028") & set(part)
        found = json.loads(re.fullmatch(rf"rosettaPart\({number},(.*)\);\n", part, re.DOTALL)[1])
        excerpts |= dict(found["excerpts"])
        contexts += found["contexts"]
    assert contexts == [neuron["contexts"] for neuron in data["neurons"]]
    assert [excerpts[i] for i in range(60)] == data["excerpts"]
    assert [{**neuron, "contexts": None} for neuron in page["neurons"]] == [
        {**neuron, "contexts": None} for neuron in data["neurons"]
    ]


def test_numbers_that_json_lacks_are_rejected():
    with pytest.raises(ValueError, match="Out of range"):
        embedded_json({"r": float("nan")})


def test_links_name_the_group_that_shows_the_neuron():
    groups = [("a", "b", "c"), ("a", "b"), ("d", "c")]
    assert group_that_shows(("a", "b"), groups) == "a--b"
    assert group_that_shows(("a", "c"), groups) == "a--b--c"
    assert viewer_link("viewer.html", "a/ü?#--b", "L3/E1/U2") == (
        "viewer.html#a%2F%C3%BC%3F%23--b/L3/E1/U2"
    )
    assert viewer_link("viewer.html", "a&b--c") == "viewer.html#?group=a%26b--c"


def test_chance_is_counted_in_bins_of_r_per_null_model(tmp_path):
    paths = Paths(tmp_path)
    r = {"documents": [0.01, 0.03, 0.9], "untrained": [-1.0, 1.0]}
    for name, values in r.items():
        rows = {column: 0 for column in MATCH_COLUMNS}
        table = pd.DataFrame([{**rows, "seed": i, "r": value} for i, value in enumerate(values)])
        write_parquet(paths.null_matches(name, "a--b"), table[NULL_COLUMNS])
    seeds = {"permutation_seeds": [], "document_seeds": [1], "untrained_seeds": [1]}
    config = Config.model_validate(changed(controls=seeds))
    limits = {"plain": -np.inf, "above_documents": 0.51234567, "above_untrained": np.nan}
    exchanged, untrained = pair_chance(config, paths, ("a", "b"), limits)
    assert (exchanged["name"], exchanged["threshold"]) == ("exchanged samples", 0.5123)
    assert (untrained["name"], untrained["threshold"]) == ("untrained twins", None)
    # 50 bins of 0.04: 0.01 and 0.03 lie in the one that begins at 0, 0.9 in the one from 0.88.
    assert {i: n for i, n in enumerate(exchanged["counts"]) if n} == {25: 2, 47: 1}
    assert {i: n for i, n in enumerate(untrained["counts"]) if n} == {0: 1, 49: 1}


def test_neurons_of_the_models_that_neuronpedia_shows_are_known():
    assert neuronpedia_name(ModelEntry(hub="openai-community/gpt2", revision="e7da7f2")) == (
        "gpt2-small"
    )
    assert neuronpedia_name(ModelEntry(path="gpt2")) is None


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
    note_matches(group, paths, ("a", "b", "c"), rosetta_above(paths, ("a", "b", "c"), limits))
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

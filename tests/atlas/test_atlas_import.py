"""Other projects' files as atlases: the published code's folders, and universal-neurons' table."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import assert_rejected, run_here

from rosetta.atlas.columns import TABLES
from rosetta.atlas.folder import read_atlas
from rosetta.atlas.imported import NamedModel
from rosetta.errors import ConfigError

ANCHOR, OTHERS = "EleutherAI/pythia-160m", ["openai-community/gpt2", "facebook/opt-125m"]
# model 1's layer and neuron, model 2's, r, and both ranks.
PAIRS = {
    OTHERS[0]: [(3, 7, 0, 2, 0.75, 1, 1), (0, 5, 2, 9, 0.5, 1, 2), (0, 5, 1, 1, 0.25, 2, 1)],
    OTHERS[1]: [(3, 7, 1, 1, 0.65, 1, 1), (2, 2, 1, 4, 0.5, 1, 1)],
}
KEYS = [
    "model1_layer",
    "model1_neuron",
    "model2_layer",
    "model2_neuron",
    "correlation",
    "rank_in_model1",
    "rank_in_model2",
]
ANCHORS = [
    {
        "model1_layer": 3,
        "model1_neuron": 7,
        "avg_correlation": 0.7,
        "per_model": [
            {"model": OTHERS[0], "model2_layer": 0, "model2_neuron": 2, "correlation": 0.75},
            {"model": OTHERS[1], "model2_layer": 1, "model2_neuron": 1, "correlation": 0.65},
        ],
    }
]


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def buddies(rows):
    return [dict(zip(KEYS, row, strict=True)) for row in rows]


@pytest.fixture
def folder(tmp_path):
    """What the published code leaves of an anchor and two models."""
    out = tmp_path / "published"
    for name, rows in PAIRS.items():
        where = out / name.replace("/", "_") / "correlations"
        write(where / "best_buddies.json", buddies(rows))
        write(where / "best_buddies_stats.json", {"total_pairs": len(rows)})
    write(out / "rosetta" / "rosetta_anchors.json", ANCHORS)
    stats = {"anchor": ANCHOR, "models": OTHERS, "count": 1, "mean": 0.7}
    write(out / "rosetta" / "rosetta_avg_corr_stats.json", stats)
    return tmp_path


def imported(folder, *arguments):
    done = run_here("atlas", "import", *arguments, "--out", "atlas", folder=folder)
    assert done.code == 0, done.err
    return read_atlas(folder / "atlas")


def test_a_folder_of_the_published_code_has_the_same_tables(folder):
    atlas = imported(folder, "published")
    assert list(atlas.tables) == list(TABLES)
    groups = atlas.frame("groups").set_index("group")["matches"].to_dict()
    pair = "pythia-160m--gpt2"
    assert groups == {pair: 2, "pythia-160m--opt-125m": 2, "pythia-160m--gpt2--opt-125m": 1}
    matches = atlas.frame("matches")
    mine = matches[matches["group"] == pair]
    place = ["layer_anchor", "unit_anchor", "layer", "unit", "r", "rank_a", "rank_b"]
    assert sorted(map(tuple, mine[place].to_numpy().tolist())) == sorted(PAIRS[OTHERS[0]])
    of_all = matches[matches["group"] == "pythia-160m--gpt2--opt-125m"]
    assert of_all["r"].tolist() == [0.75, 0.65]
    assert of_all["neuron"].tolist() == ["L0/U2", "L1/U1"]
    assert matches["p_untrained"].isna().all()
    lowest = atlas.frame("rosetta").set_index("group").loc["pythia-160m--gpt2--opt-125m", "r"]
    assert lowest == 0.65
    models = atlas.frame("models")
    assert models["location"].tolist() == [ANCHOR, *OTHERS]
    assert set(models["source"]) == {"hub"}
    neurons = atlas.frame("neurons").set_index(["model", "layer", "unit"])
    assert neurons.at[("pythia-160m", 3, 7), "n_partners"] == 2
    assert neurons.at[("pythia-160m", 3, 7), "mean_r"] == pytest.approx(0.7)


def test_anchors_alone_and_names_of_ones_own(folder):
    """Of a folder with the anchors only, nobody knows the anchor's name but the user."""
    alone = folder / "alone" / "rosetta_anchors.json"
    write(alone, ANCHORS)
    done = run_here("atlas", "import", "alone", "--out", "atlas", folder=folder)
    assert_rejected(done, "--model: nothing beside .*rosetta_anchors.json names the anchor")
    named = ["--model", f"p={ANCHOR}@step143000", "--model", "g", "--model", "o"]
    atlas = imported(folder, "alone", *named)
    models = atlas.frame("models").set_index("model")
    assert models.loc["p", ["source", "location", "revision"]].tolist() == [
        "hub",
        ANCHOR,
        "step143000",
    ]
    assert models.at["g", "source"] == "unknown"
    assert atlas.frame("matches")["rank_a"].isna().all()
    assert atlas.frame("groups")["group"].tolist() == ["p--g--o"]


def test_one_file_and_ranks_up_to_k(folder):
    write(folder / "b.json", buddies(PAIRS[OTHERS[0]]))
    named = ["--model", "p", "--model", "g"]
    assert len(imported(folder, "b.json", *named).frame("matches")) == 3
    kept = imported(folder, "b.json", *named, "--k", 1).frame("matches")
    assert kept["unit_anchor"].tolist() == [7]


def universal(**changes):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"layer": [0, 0, 3], "neuron": [5, 9, 7]})
    for name, low, high in (("max", 0.8, 0.9), ("mean", 0.7, 0.8), ("min", 0.5, 0.6)):
        table[f"{name}_corr"] = rng.uniform(low, high, 3).round(4)
    for name, low in (("max", 0.3), ("min", 0.1), ("mean", 0.2)):
        table[f"{name}_baseline"] = rng.uniform(low, low + 0.1, 3).round(4)
    others = ["w_in_norm", "input_bias", "w_out_norm", "in_out_sim", "l2_penalty", "mean", "var"]
    others += ["skew", "kurt", "vocab_mean", "vocab_var", "vocab_skew"]
    table[others] = 0.5
    table["vocab_kurt"], table["sparsity"] = [3.25, 2.5, 9.0], 0.125
    table["excess_corr"] = table["mean_corr"] - table["mean_baseline"]
    return table.assign(**changes)


def test_the_table_of_universal_neurons(tmp_path):
    table = universal()
    table.to_csv(tmp_path / "universal.csv", index=False)
    atlas = imported(tmp_path, "universal.csv", "--model", f"pythia-160m={ANCHOR}")
    neurons = atlas.frame("neurons")
    assert neurons["neuron"].tolist() == ["L0/U5", "L0/U9", "L3/U7"]
    for ours, theirs in {
        "mean_r": "mean_corr",
        "max_r": "max_corr",
        "excess_r": "excess_corr",
    }.items():
        np.testing.assert_allclose(neurons[ours], table[theirs])
    assert neurons["excess_kurtosis"].tolist() == [0.25, -0.5, 6.0]
    assert neurons["activation_kurtosis"].isna().all(), "of other activations"
    assert not len(atlas.frame("matches"))


def test_three_projects_stand_side_by_side(folder):
    """31 of 34 neurons of the published matches, say, are among those of universal-neurons."""
    universal().to_csv(folder / "universal.csv", index=False)
    named = f"pythia={ANCHOR}"
    for source, out in (("published", "a"), ("universal.csv", "b")):
        model = ["--model", named] if source != "published" else []
        done = run_here("atlas", "import", source, *model, "--out", out, folder=folder)
        assert done.code == 0, done.err
    done = run_here("atlas", "diff", "a", "b", "--out", "d.csv", folder=folder)
    assert done.code == 0, done.err
    assert "pythia-160m (there pythia): the same id on the hub" in done.out
    assert "neurons: 2 in both, 1 only in A, 1 only in B" in done.out
    table = pd.read_csv(folder / "d.csv")
    both = table[table["where"] == "both"]
    assert both[["layer", "unit"]].to_numpy().tolist() == [[0, 5], [3, 7]]
    np.testing.assert_allclose(both["r_a"], [0.375, 0.7])
    np.testing.assert_allclose(both["r_b"], universal()["mean_corr"].to_numpy()[[0, 2]])


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("p", ("p", None, None)),
        ("o/p", ("p", "o/p", None)),
        ("o/p@main", ("p", "o/p", "main")),
        ("x=o/p@main", ("x", "o/p", "main")),
        ("x=gpt2", ("x", "gpt2", None)),
    ],
)
def test_how_models_are_written(text, model):
    assert NamedModel.parse(text) == model


@pytest.mark.parametrize("text", ["", "=p", "p=", "a b", "../p", "o/p/q", "x=o/p@", "x--y", "<p>"])
def test_how_they_are_not(text):
    with pytest.raises(ConfigError, match="--model"):
        NamedModel.parse(text)


def spoilt_anchor(**changes):
    return [{**ANCHORS[0], **changes}]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("rosetta/rosetta_anchors.json", {}, "not a list of anchors"),
        ("rosetta/rosetta_anchors.json", spoilt_anchor(extra=1), "not a list of anchors .*extra"),
        (
            "rosetta/rosetta_anchors.json",
            spoilt_anchor(avg_correlation=0.6),
            r"\[0\] has avg_correlation 0.6, and the mean of its correlations is 0.7",
        ),
        (
            "rosetta/rosetta_anchors.json",
            spoilt_anchor(per_model=ANCHORS[0]["per_model"][:1], avg_correlation=0.75),
            r"\[0\] is not of openai-community/gpt2, facebook/opt-125m",
        ),
        ("rosetta/rosetta_anchors.json", ANCHORS * 2, "count is 1, and rosetta_anchors.json has 2"),
        ("rosetta/rosetta_avg_corr_stats.json", [], "not a JSON object"),
        (
            "facebook_opt-125m/correlations/best_buddies_stats.json",
            {"total_pairs": 7},
            "total_pairs is 7, and best_buddies.json has 2",
        ),
    ],
)
def test_files_that_contradict_each_other_are_rejected(folder, file, content, message):
    write(folder / "published" / file, content)
    done = run_here("atlas", "import", "published", "--out", "atlas", folder=folder)
    assert_rejected(done, message)
    assert not (folder / "atlas").exists()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (universal(extra=1), r"has the columns \['extra'\]"),
        (universal().drop(columns="excess_corr"), r"lacks the columns \['excess_corr'\]"),
        (universal(layer=[0, 0.5, 3]), "row 2: layer or neuron is no whole number"),
        (universal(neuron=[5, -9, 7]), "neuron in row 2 is '-9', not a number"),
        (universal(max_corr=[0.9, 0.9, 1.9]), "row 3: max_corr, .* within −1 to 1"),
        (universal(sparsity=[0.1, "x", 0.1]), "row 2: .* are not all numbers"),
        (universal(excess_corr=0.0), "row 1: excess_corr is not mean_corr − mean_baseline"),
        (universal(layer=0, neuron=[5, 5, 7]), "row 2: the neuron is given a second time"),
        (universal().head(0), "holds no row"),
    ],
)
def test_other_tables_are_rejected(tmp_path, table, message):
    table.to_csv(tmp_path / "universal.csv", index=False)
    done = run_here(
        "atlas", "import", "universal.csv", "--model", "p", "--out", "atlas", folder=tmp_path
    )
    assert_rejected(done, message)
    assert not (tmp_path / "atlas").exists()

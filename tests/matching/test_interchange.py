"""Matches in the published code's form: read, written, intersected; whatever is not that form is
rejected.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import assert_rejected, run_here, tree
from hypothesis import given
from hypothesis import strategies as st
from neighbor_lists import facts_of, neighbors_of, random_matrix

from rosetta.config import dump_config, group_name, group_pairs, load_config
from rosetta.errors import StoreError
from rosetta.matching.interchange import buddies_json, read_buddies
from rosetta.matching.mutual import MATCH_COLUMNS, mutual_matches
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import read_parquet, read_parquet_metadata, write_parquet

PRESETS = Path(__file__).parents[2] / "workflow" / "presets"
KEYS = [
    "model1_layer",
    "model1_neuron",
    "model2_layer",
    "model2_neuron",
    "correlation",
    "rank_in_model1",
    "rank_in_model2",
]
# As docs/reproduction.md describes the form: highest correlation first.
PAIRS = [(3, 7, 0, 2, 0.75, 1, 1), (0, 5, 2, 9, 0.5, 1, 2), (0, 5, 1, 1, 0.25, 2, 1)]


def buddies(rows=PAIRS):
    return [dict(zip(KEYS, row, strict=True)) for row in rows]


def written(path, content):
    path.write_text(json.dumps(content, indent=2))
    return path


def ran(folder, command):
    return run_here(*command.split(), folder=folder)


def test_a_file_of_the_published_code_becomes_matches(tmp_path):
    written(tmp_path / "best_buddies.json", buddies())
    done = run_here(
        *[
            "import-buddies",
            "best_buddies.json",
            "--a",
            "pythia",
            "--b",
            "gpt2",
            "--out",
            "m.parquet",
        ],
        folder=tmp_path,
    )
    assert done.code == 0, done.err
    table = read_parquet(tmp_path / "m.parquet", MATCH_COLUMNS)
    columns = [
        "model_a",
        "layer_a",
        "unit_a",
        "model_b",
        "layer_b",
        "unit_b",
        "r",
        "rank_a",
        "rank_b",
    ]
    assert table[columns].to_numpy().tolist() == [
        ["pythia", 0, 5, "gpt2", 2, 9, 0.5, 1, 2],
        ["pythia", 0, 5, "gpt2", 1, 1, 0.25, 2, 1],
        ["pythia", 3, 7, "gpt2", 0, 2, 0.75, 1, 1],
    ]
    assert table[["margin_a", "margin_b"]].isna().all(axis=None)
    assert read_parquet_metadata(tmp_path / "m.parquet")["k"] == 2


def test_mutual_neighbours_of_a_smaller_k_are_those_of_small_ranks(tmp_path):
    written(tmp_path / "b.json", buddies())
    done = run_here(
        *["import-buddies", "b.json", "--a", "x", "--b", "y", "--out", "m.parquet", "--k", "1"],
        folder=tmp_path,
    )
    assert done.code == 0, done.err
    assert read_parquet(tmp_path / "m.parquet")["r"].tolist() == [0.75]


@given(
    seed=st.integers(0, 10**6), n_a=st.integers(1, 12), n_b=st.integers(1, 12), k=st.integers(1, 4)
)
def test_what_is_exported_is_imported_unchanged(tmp_path_factory, seed, n_a, n_b, k):
    lists = neighbors_of(random_matrix(seed, n_a, n_b), k + 1)
    matches = mutual_matches(lists, facts_of(n_a, n_b, k + 1), k)
    path = tmp_path_factory.mktemp("b") / "best_buddies.json"
    path.write_text(buddies_json(matches))
    correlations = [pair["correlation"] for pair in json.loads(path.read_text())]
    assert correlations == sorted(correlations, reverse=True)
    back = read_buddies(path, "a", "b")
    told = [name for name in MATCH_COLUMNS if not name.startswith("margin")]
    pd.testing.assert_frame_equal(
        back[told], matches[told], check_exact=True, check_dtype=len(matches) > 0
    )
    smaller = mutual_matches(lists, facts_of(n_a, n_b, k + 1), 1)
    pd.testing.assert_frame_equal(
        read_buddies(path, "a", "b", 1)[told], smaller[told], check_dtype=len(smaller) > 0
    )


def test_a_json_file_survives_the_round_trip_of_commands(tmp_path):
    written(tmp_path / "in.json", buddies())
    for command in (
        "import-buddies in.json --a x --b y --out m.parquet",
        "export m.parquet --out out.json",
    ):
        done = ran(tmp_path, command)
        assert done.code == 0, done.err
    assert json.loads((tmp_path / "out.json").read_text()) == buddies()


def test_anchors_intersect_imported_files_as_the_published_code_does(tmp_path):
    """The brute-force intersection of (model1_layer, model1_neuron)."""
    rng = np.random.default_rng(1)
    sides = {}
    for name in ("gpt2", "opt"):
        units, partners = rng.permutation(40)[:25], rng.permutation(40)[:25]
        rows = [
            (int(u) // 10, int(u) % 10, 0, int(v), 0.5, 1, 1)
            for u, v in zip(units, partners, strict=True)
        ]
        written(tmp_path / f"{name}.json", buddies(rows))
        sides[name] = {row[:2] for row in rows}
        command = f"import-buddies {name}.json --a pythia --b {name} --out {name}.parquet"
        assert ran(tmp_path, command).code == 0
    shared = sides["gpt2"] & sides["opt"]
    done = ran(tmp_path, "anchors gpt2.parquet opt.parquet --out r.parquet")
    assert f"{len(shared)} anchor neurons in every comparison" in done.err
    found = read_parquet(tmp_path / "r.parquet")
    assert set(zip(found["layer_anchor"], found["unit_anchor"], strict=True)) == shared
    assert len(found) == 2 * len(shared)


def without(key):
    return [{name: value for name, value in pair.items() if name != key} for pair in buddies()]


def changed(**values):
    return [*buddies()[:1], {**buddies()[1], **values}]


BAD = {
    "a dictionary of lists": ({"0": buddies()}, "not a list of best buddies .*must be a list"),
    "anchors, which have no ranks": (
        without("rank_in_model1"),
        r"\[0\]\.rank_in_model1: required key is missing",
    ),
    "vision": ([{"pmf_layer": 0, **pair} for pair in buddies()], r"\[0\]\.pmf_layer: unknown key"),
    "a fraction": (changed(model1_neuron=1.5), r"\[1\]\.model1_neuron: .*integer .*got 1\.5"),
    "a word": (changed(model2_layer="2"), r"\[1\]\.model2_layer: .*integer .*got '2'"),
    "below 0": (
        changed(model2_neuron=-1),
        r"\[1\]\.model2_neuron: .*greater than or equal to 0 \(got -1\)",
    ),
    "a rank from 0": (
        changed(rank_in_model2=0),
        r"\[1\]\.rank_in_model2: .*greater than or equal to 1",
    ),
    "no correlation": (changed(correlation=1.5), r"\[1\]\.correlation: .*less than or equal to 1"),
    "not a number": (changed(correlation=float("nan")), r"correlation: .*finite"),
    "a pair twice": ([*buddies(), buddies()[1]], r"\[3\] gives a pair a second time"),
    "a rank twice": (
        changed(model1_layer=3, model1_neuron=7),
        r"\[1\] gives a rank_in_model1 of a neuron a second",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_any_other_form_is_rejected_by_its_place(tmp_path, content, message):
    with pytest.raises(StoreError, match=message) as rejected:
        read_buddies(written(tmp_path / "x.json", content), "a", "b")
    assert str(rejected.value).startswith(f"{tmp_path / 'x.json'}: ")


def test_a_table_of_several_pairs_is_not_exported(tmp_path):
    written(tmp_path / "b.json", buddies())
    tables = [read_buddies(tmp_path / "b.json", "x", name) for name in ("y", "z")]
    write_parquet(tmp_path / "m.parquet", pd.concat(tables))
    assert_rejected(
        run_here("export", "m.parquet", "--out", "o.json", folder=tmp_path),
        "holds matches of 2 pairs",
    )


@pytest.mark.parametrize(
    "command",
    [
        "anchors m.parquet --out ../{here}/m.parquet",
        "export m.parquet --out m.parquet",
        "import-buddies b.json --a x --b y --out b.json",
    ],
)
def test_no_command_writes_over_what_it_reads(tmp_path, command):
    written(tmp_path / "b.json", buddies())
    assert ran(tmp_path, "import-buddies b.json --a x --b y --out m.parquet").code == 0
    before = tree(tmp_path)
    assert_rejected(
        ran(tmp_path, command.format(here=tmp_path.name)),
        "--out: .* is a file that this command reads",
    )
    assert tree(tmp_path) == before


def test_a_neuron_that_the_run_does_not_have_is_rejected(tmp_path):
    """PAIRS reach layer 3 and unit 7 of model 1, layer 2 and unit 9 of model 2."""
    config = load_config(PRESETS / "tiny.yaml").model_copy(update={"results": "results"})
    (tmp_path / "run.yaml").write_text(dump_config(config))
    written(tmp_path / "b.json", buddies())
    command = "import-buddies b.json --a pythia-s --b opt-s --out m.parquet --config run.yaml"
    for sizes, message in (
        (((4, 8), (3, 10)), None),
        (((3, 8), (3, 10)), "has unit 7 of layer 3, and pythia-s has 3 layers × 8 units"),
        (((4, 8), (3, 9)), "has unit 9 of layer 2, and opt-s has 3 layers × 9 units"),
    ):
        for model, (n_layers, d_mlp) in zip(("pythia-s", "opt-s"), sizes, strict=True):
            shape = NeuronShape(n_layers, d_mlp)
            content = {"kind": "model", **shape.facts, "n_neurons": shape.n_neurons}
            write_manifest(Paths(tmp_path / "results").model_manifest(model), content)
        done = ran(tmp_path, command)
        if message:
            assert_rejected(done, message)
        else:
            assert done.code == 0, done.err
    assert_rejected(
        ran(tmp_path, command.replace("opt-s", "nobody")),
        "--b: models: has no 'nobody'; it has .*opt-s",
    )


def test_no_match_is_a_list_of_none(tmp_path):
    written(tmp_path / "b.json", [])
    for command in (
        "import-buddies b.json --a x --b y --out m.parquet",
        "export m.parquet --out o.json",
    ):
        assert ran(tmp_path, command).code == 0
    assert json.loads((tmp_path / "o.json").read_text()) == []


def test_results_of_the_published_code_are_analysed_as_the_run_that_made_them(finished, tmp_path):
    """docs/reproduction.md, section 7: a run's own matches, exported and imported again, give its
    tables again.
    """
    shutil.copytree(finished / "results", tmp_path / "copy")
    config = load_config(finished / "results" / "run_config.yaml").model_copy(
        update={"results": "copy"}
    )
    (tmp_path / "copy.yaml").write_text(dump_config(config))
    paths, tables = (
        Paths(tmp_path / "copy"),
        ("selectivity", "polarization", "specialization", "depth", "findings"),
    )
    before = {table: paths.table(table).read_bytes() for table in tables}
    for pair in config.pairs():
        matches = paths.matches(group_name(pair)).relative_to(tmp_path)
        for command in (
            f"export {matches} --out b.json",
            f"import-buddies b.json --a {pair[0]} --b {pair[1]} --config copy.yaml --out {matches}",
        ):
            assert (done := ran(tmp_path, command)).code == 0, done.err
    for group in config.groups():
        files = [
            str(paths.matches(group_name(pair)).relative_to(tmp_path))
            for pair in group_pairs(group)
        ]
        command = (
            f"anchors {' '.join(files)} --out "
            f"{paths.rosetta(group_name(group)).relative_to(tmp_path)}"
        )
        assert (done := ran(tmp_path, command)).code == 0, done.err
    for table in tables:
        paths.table(table).unlink()
    for command in ("describe", "findings"):
        assert (done := ran(tmp_path, f"{command} --config copy.yaml")).code == 0, done.err
    assert {table: paths.table(table).read_bytes() for table in tables} == before
    for command in ("counts", "control-tables"):
        assert_rejected(
            ran(tmp_path, f"{command} --config copy.yaml"),
            r"is imported from b\.json, .*`rosetta fit`",
        )

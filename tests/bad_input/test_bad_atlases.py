"""Atlases of what is no run, no atlas and no table of another project: one message names it."""

import json
import shutil

import pytest
import yaml
from commands import assert_rejected, run_here, tree
from planted_atlas import atlas_of, model
from workflow_runs import TINY

from rosetta.atlas.folder import MANIFEST, write_atlas
from rosetta.atlas.universal import COLUMNS
from rosetta.config import dump_config, parse_config
from rosetta.storage.digests import write_text
from rosetta.storage.manifests import write_manifest

MATCHES = [("a", 0, 1, "b", 0, 2, 0.5)]
PAIR = {
    "model1_layer": 0,
    "model1_neuron": 1,
    "model2_layer": 0,
    "model2_neuron": 2,
    "correlation": 0.5,
    "rank_in_model1": 1,
    "rank_in_model2": 1,
}
ANCHOR = {"model1_layer": 0, "model1_neuron": 1, "avg_correlation": 0.5}
PARTNER = {"model2_layer": 0, "model2_neuron": 2, "correlation": 0.5}
# By folder, what the statistics beside anchors tell of other models.
STATS = {
    "count": 5,
    "word": "gpt2",
    "mixture": ["b", 5],
    "nothing": None,
    "up": [".."],
    "here": ["."],
    "empty": [""],
    "nul": ["b\0"],
    "back": ["..\\b"],
    "long": ["b" * 300],
}
UNITS = {"large": 3_000_000_000, "larger": "1e30", "largest": 10**30, "half": 0.5}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """An atlas, one of another version, a run that has only begun, and files of other kinds."""
    folder = tmp_path_factory.mktemp("atlases")
    write_atlas(atlas_of(MATCHES, [model("a", "1"), model("b", "2")]), folder / "atlas", 10)
    (folder / "newer").mkdir()
    write_manifest(folder / "newer" / MANIFEST, {"kind": "atlas", "version": 99, "files": {}})
    (folder / "kind").mkdir()
    write_manifest(folder / "kind" / MANIFEST, {"kind": "model"})
    (folder / "broken").mkdir()
    (folder / "broken" / MANIFEST).write_text('{"kind": ')
    begun = parse_config({**TINY, "results": "begun"})
    write_text(folder / "begun" / "run_config.yaml", dump_config(begun))
    (folder / "spoilt").mkdir()
    (folder / "spoilt" / "run_config.yaml").write_text(yaml.safe_dump({"ladders": 3}))
    (folder / "mine").mkdir()
    (folder / "mine" / "notes").write_text("mine")
    (folder / "file").write_text("hello")
    (folder / "folder").mkdir()
    (folder / "b.json").write_text(json.dumps([PAIR]))
    (folder / "dict.json").write_text("{}")
    (folder / "cut.json").write_text("[{")
    (folder / "more.json").write_text(json.dumps([{**PAIR, "pmf_layer": "x"}]))
    (folder / "other.csv").write_text("a,b\n1,2\n")
    (folder / "binary.csv").write_bytes(bytes(range(256)))
    (folder / "anchors").mkdir()
    (folder / "anchors" / "rosetta_anchors.json").write_text("[]")
    for name, models in STATS.items():
        (folder / name).mkdir()
        partners = [dict(PARTNER, model=one) for one in models] if name == "up" else []
        anchors = [{**ANCHOR, "per_model": partners}] if partners else []
        (folder / name / "rosetta_anchors.json").write_text(json.dumps(anchors))
        told = {"anchor": "a", "models": models}
        (folder / name / "rosetta_avg_corr_stats.json").write_text(json.dumps(told))
    for name, unit in UNITS.items():
        columns = {"layer": 0, "neuron": unit, **dict.fromkeys(COLUMNS[2:], 0)}
        content = [",".join(columns), ",".join(map(str, columns.values()))]
        (folder / f"{name}.csv").write_text("\n".join(content))
    return folder


@pytest.fixture
def folder(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "work")
    return tmp_path / "work"


BAD = [
    ("atlas nonsense", "No such command 'nonsense'"),
    ("atlas export atlas", "Missing option '--out'"),
    ("atlas export --out o --texts some", "'--texts': .*'some' is not one of"),
    ("atlas export --out o --max-pages -1", "'--max-pages': .*greater than"),
    ("atlas export --out o --pictures --texts none", "--pictures: needs --texts ids or all"),
    ("atlas export --out o", "results: no such folder. Name the results folder of a run"),
    ("atlas export --out o file", "file: is a file, not the results folder"),
    ("atlas export --out o folder", "folder: has no run_config.yaml, so it is not the results"),
    ("atlas export --out o spoilt", "not a valid configuration"),
    ("atlas export --out o begun", r"begun/\S+: no such file"),
    ("atlas export --out mine begun", "--out: mine is not empty, and not from this command"),
    ("atlas export --out file begun", "--out: file is a file or a link"),
    ("atlas export --out begun/atlas begun", "--out: begun/atlas and begun overlap"),
    ("atlas export --out . begun", r"--out: \. and begun overlap"),
    ("atlas diff atlas", "Missing argument 'B'"),
    ("atlas diff atlas none", r"none: has no atlas.json, so it is no atlas\. Give a folder"),
    ("atlas diff atlas folder", "folder: has no atlas.json"),
    ("atlas diff atlas file", "file: has no atlas.json"),
    ("atlas diff atlas newer", "newer: is an atlas of version 99, and .* reads version 1"),
    ("atlas diff atlas kind", "describes a 'model', not a 'atlas'"),
    ("atlas diff atlas broken", "broken/atlas.json: damaged manifest"),
    ("atlas diff begun atlas", r"begun/\S+: no such file"),
    ("atlas diff atlas atlas --same a", "--same: 'a' is not A=B"),
    (
        "atlas diff atlas atlas --same x=a",
        "--same: 'x' is no model of the first atlas; it has a, b",
    ),
    ("atlas diff atlas atlas --out file/d.csv", "--out: file/d.csv .*nothing can be written"),
    ("atlas diff atlas atlas --out folder", "--out: folder is a folder"),
    ("atlas import none --out o", "none: no such file or folder"),
    ("atlas import folder --out o", "folder: has neither best_buddies.json nor rosetta_anchors"),
    ("atlas import b.json --out o", "--model: b.json names no models; give it twice"),
    ("atlas import b.json --out o --model a --model a", "--model: a is the name of two models"),
    ("atlas import b.json --out o --model ../a --model b", r"--model: '\.\./a' is not an id"),
    ("atlas import b.json --out o --model a --model b --k 0", "'--k': .*greater than"),
    ("atlas import b.json --out mine --model a --model b", "--out: mine is not empty"),
    ("atlas import anchors --out o", "--model: nothing beside anchors/rosetta_anchors.json"),
    ("atlas import cut.json --out o --model a --model b", r"cut.json: not a list .*invalid JSON"),
    ("atlas import dict.json --out o --model a --model b", "dict.json: not a list of best buddies"),
    ("atlas import more.json --out o --model a --model b", "more.json: .*pmf_layer"),
    ("atlas import file --out o --model a --model b", "file: not a list of best buddies"),
    ("atlas import other.csv --out o", "--model: other.csv is of one model; give it once"),
    ("atlas import other.csv --out o --model a --k 1", "give it once, and no --k"),
    ("atlas import other.csv --out o --model a", r"other.csv: lacks the columns \['layer'"),
    ("atlas import binary.csv --out o --model a", "binary.csv: not a readable CSV table"),
    *(
        (f"atlas import {name}.csv --out o --model a", f"{name}.csv: row 1: layer or neuron is no")
        for name in UNITS
    ),
    *(
        (
            f"atlas import {name} --out o{named}",
            rf"{name}/rosetta_avg_corr_stats.json: models is {told}, not a list of names",
        )
        for name, told in (
            ("count", "5"),
            ("word", "'gpt2'"),
            ("mixture", r"\['b', 5\]"),
            ("nothing", "None"),
        )
        for named in ("", " --model x --model y")
    ),
    *(
        (
            f"atlas import {name} --out o --model x --model y",
            f"{name}/rosetta_anchors.json: .* is a model there, which names no folder",
        )
        for name in ("up", "here", "empty", "nul", "back", "long")
    ),
    ("atlas import up --out o", r"stats.json: '\.\.' is not|stats.json: '\.\.': "),
]


@pytest.mark.parametrize(("command", "message"), BAD, ids=[command for command, _ in BAD])
def test_a_bad_atlas_gets_one_message_and_changes_nothing(folder, command, message):
    before = tree(folder)
    assert_rejected(run_here(*command.split(), folder=folder), message)
    assert tree(folder) == before

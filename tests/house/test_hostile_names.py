"""Names, paths and links from outside: none leaves the results folder or reaches a shell."""

import os
import re
from dataclasses import fields
from pathlib import Path

import pytest
from commands import tree
from hypothesis import given
from hypothesis import strategies as st
from workflow_runs import ROOT, TINY, copy_project, run_snakemake

from rosetta.config import group_name, parse_config
from rosetta.config.base import MAX_JOINED, MAX_NAME
from rosetta.errors import ConfigError
from rosetta.inputs.text.records import source_files
from rosetta.run.paths import File, FilterPaths, Paths
from rosetta.run.stages import job_names
from rosetta.storage.atomic import replacing

HOSTILE = [
    "../x",
    "..",
    ".",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "~",
    "-rf",
    "--help",
    "a;b",
    "$(x)",
    "`x`",
    "a b",
    "a\nb",
    "a\0b",
    "",
    "a'b",
    'a"b',
    "a|b",
    "a&b",
    "a>b",
    "a*b",
    "{a}",
    "a--b",
    "x~untrained-0",
    "x" * 300,
    "\u2215etc",
    "a\u2044b",
    "a\uff0fb",
    "\uff0e\uff0e",
    "é",
    "a\u200bb",
    "\u202ea",
    "b.json",
    "b.replicates",
    ".hidden",
]
SECTIONS = {
    "models": lambda name: {
        "models": {**TINY["models"], name: {"zoo": {"family": "opt", "size": "s"}}}
    },
    "ladders": lambda name: {"ladders": {**TINY["ladders"], name: [["pythia-m", "opt-s"]]}},
    "zoo.families": lambda name: {
        "zoo": {**TINY["zoo"], "families": {**TINY["zoo"]["families"], name: FAMILY}}
    },
    "zoo.sizes": lambda name: {
        "zoo": {**TINY["zoo"], "sizes": {**TINY["zoo"]["sizes"], name: SIZE}}
    },
    "filtering.name": lambda name: {"filtering": {**TINY["filtering"], "name": name}},
}
FAMILY, SIZE = TINY["zoo"]["families"]["opt"], TINY["zoo"]["sizes"]["s"]


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("name", HOSTILE, ids=ascii)
def test_hostile_names_are_rejected_everywhere(section, name):
    with pytest.raises(ConfigError, match=rf"{re.escape(section)}.*names (are|have|do)"):
        parse_config({**TINY, **SECTIONS[section](name)})


def test_a_joined_name_fits_a_file_system():
    long = [f"{letter * MAX_NAME}" for letter in "abc"]
    config = {
        **TINY,
        "models": {
            **TINY["models"],
            **{
                name: {"zoo": {"family": "opt", "size": "s", "seed": seed}}
                for seed, name in enumerate(long, 100)
            },
        },
    }
    parse_config({**config, "ladders": {**TINY["ladders"], "x": [long[:2]]}})
    with pytest.raises(
        ConfigError, match=rf"ladders\.x\[0\]: .* {MAX_JOINED} is the limit, so shorten them"
    ):
        parse_config({**config, "ladders": {**TINY["ladders"], "x": [long]}})


NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,70}", fullmatch=True)


@given(a=NAMES, b=NAMES)
def test_what_is_accepted_stays_in_the_results(a, b):
    """No name that the configuration admits gives a path outside, or one that a file system cannot
    hold.
    """
    recipe = {"family": "opt", "size": "s"}
    trained = {name: {"zoo": {**recipe, "seed": seed}} for seed, name in enumerate((a, b), 100)}
    models = {**TINY["models"], **trained}
    content = {**TINY, "models": models, "ladders": {**TINY["ladders"], a: [[a, b]]}}
    content["filtering"] = {**TINY["filtering"], "name": b}
    try:
        config = parse_config(content)
    except ConfigError:
        return
    paths, pair = Paths(Path("/r")), group_name((a, b))
    filtered = paths.filtering(b)
    found = [paths.model(a), paths.model_manifest(a), paths.checkpoints(a), paths.stores(a, 1)]
    found += [
        paths.matches(pair),
        paths.replicates(pair),
        paths.neighbors_part(pair, 0, 10_000),
        paths.excerpts(pair),
    ]
    found += [
        getattr(filtered, name)
        for name in dir(FilterPaths)
        if isinstance(getattr(FilterPaths, name), File)
    ]
    found += [paths.log(rule, job) for rule, jobs in job_names(config).items() for job in jobs]
    for path in found:
        assert os.path.normpath(path) == str(path)
        assert path.is_relative_to("/r")
        assert all(len(part.encode()) + 14 <= 255 for part in path.parts), (
            "with what a temporary sibling adds"
        )
    assert all(
        re.fullmatch(r"[\w.+~-]+", job) and job[0] != "-"
        for jobs in job_names(config).values()
        for job in jobs
    )
    assert paths.model(a) != paths.model_manifest(b)
    assert [field.name for field in fields(Paths)] == ["root"]


PLAIN = re.compile(
    r"family|model|shard|pair|group|job|control|beta|parameter|value"  # wildcards, constrained
    r"|pooling|method|precision|max_k|n_jobs|threads|k|sizes"  # no text
    r"|options"  # of names that are checked, and numbers
)


def test_the_shell_gets_every_path_quoted():
    """The base rule runs what `command` makes of the lines of the rules; no other shell is
    there.
    """
    rules = {path.name: path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk")}
    shells = re.findall(r"shell:\n\s+(.*)\n", "".join(rules.values()))
    assert shells == ['"rosetta --made-by {params.stage:q} {params.command} 2> {log:q}"']
    commands = 0
    for name, text in rules.items():
        for block in re.findall(r"\*\*command\((.*?)\n    +message:", text, re.DOTALL):
            commands += 1
            for field in re.findall(r"\{([^}]+)\}", block):
                assert field.endswith(":q") or PLAIN.fullmatch(field), f"{name}: {{{field}}}"
    assert commands >= 30


def test_a_hostile_results_folder_is_only_a_name(tmp_path):
    """Through Snakemake and the shell: the job writes there, and nothing in the name runs."""
    folder = copy_project(tmp_path / "p")
    results = 'it\'s "a" $(touch ran1) `touch ran2`; touch ran3 & | > ran4 * é #'
    table = f"{results}/tables/theory_frontiers.csv"
    run_snakemake(folder, table, config={**TINY, "results": results})
    assert (folder / table).exists()
    assert (folder / results / "logs" / "simulations" / "all.log").exists()
    assert not list(folder.rglob("ran?"))


def test_links_lead_to_nothing_being_deleted_or_read_for_ever(tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    results = tmp_path / "results"
    results.mkdir()
    (results / ".store.0123abcd.tmp").symlink_to(precious)  # as if a killed writer had left it
    (results / "table.csv").symlink_to(precious / "file")
    for name in ("store", "table.csv"):
        with replacing(results / name) as temporary:
            temporary.write_text("new")
    assert (precious / "file").read_text() == "x"
    assert not (results / "table.csv").is_symlink()
    (results / "folder").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic link"), replacing(results / "folder") as temporary:
        temporary.mkdir()
    assert tree(precious) == {"file": b"x"}
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.jsonl").write_text('{"text": "a"}\n')
    (corpus / "again").symlink_to(corpus)
    (corpus / "zero.jsonl").symlink_to("/dev/zero")
    os.mkfifo(corpus / "pipe.jsonl")
    assert [path.name for path in source_files(str(corpus))] == ["a.jsonl"]

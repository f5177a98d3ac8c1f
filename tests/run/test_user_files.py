"""What was made of files that were replaced since is dated back until it is made again."""

import os
import time

import pytest
from workflow_runs import TINY

from rosetta.config import parse_config
from rosetta.run.paths import Paths
from rosetta.run.provenance import STALE
from rosetta.run.user_files import Reader, date_back_replaced, remember
from rosetta.storage.digests import write_text
from rosetta.storage.names import USER_FILES

CORPUS = Reader("corpus")


@pytest.fixture
def run(tmp_path):
    source = {"kind": "files", "path": str(tmp_path / "texts.jsonl"), "domain": "domain"}
    corpus = {**TINY["corpus"], "source": source}
    results = tmp_path / "results"
    config = parse_config({**TINY, "corpus": corpus, "results": str(results)})
    return config, Paths(results), {CORPUS: [tmp_path / "texts.jsonl"]}


def replace(files, text, written):
    for path in files[CORPUS]:
        path.write_text(text)
        os.utime(path, (written, written))


def make(paths):
    write_text(paths.corpus_manifest, "made")


def is_dated_back(run):
    config, paths, files = run
    made = paths.corpus_manifest.stat().st_mtime
    date_back_replaced(files, config, paths)
    found = paths.corpus_manifest.stat().st_mtime == STALE
    os.utime(paths.corpus_manifest, (made, made))  # as `date_back` takes it back
    return found


def test_an_older_file_in_place_of_another_is_noticed_until_the_result_is_made_again(run):
    _, paths, files = run
    replace(files, "first", 1e9)
    remember(files, paths)
    make(paths)
    assert not is_dated_back(run)
    replace(files, "other", 0.9e9)
    assert is_dated_back(run)
    remember(files, paths)  # a run begins, and is killed
    assert is_dated_back(run), "what was made before is of the first file"
    time.sleep(0.02)
    make(paths)
    assert not is_dated_back(run)


def test_results_of_before_the_first_record_count_as_made_of_the_files_there(run):
    _, paths, files = run
    replace(files, "first", 1e9)
    make(paths)
    assert not is_dated_back(run)
    remember(files, paths)
    assert not is_dated_back(run)
    replace(files, "longer than first", 1e9)
    assert is_dated_back(run), "of the same time, but not the same size"


def test_a_newer_file_is_noticed_without_a_record(run):
    _, paths, files = run
    replace(files, "first", 1e9)
    make(paths)
    assert not is_dated_back(run)
    replace(files, "first", paths.corpus_manifest.stat().st_mtime + 1)
    assert is_dated_back(run)


def test_a_damaged_record_is_told_and_written_again(run, capsys):
    _, paths, files = run
    replace(files, "first", 1e9)
    remember(files, paths)
    make(paths)
    (paths.root / USER_FILES).write_text("{")
    assert not is_dated_back(run)
    assert "user_files.json: damaged" in capsys.readouterr().err
    remember(files, paths)
    replace(files, "other", 0.9e9)
    assert is_dated_back(run)


def test_a_model_of_its_own_folder_is_dated_back_alone(tmp_path):
    folders = {name: tmp_path / name for name in ("a", "b")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "config.json").write_text("{}")
    config = parse_config(
        {
            **TINY,
            "models": {name: {"path": str(folder)} for name, folder in folders.items()},
            "ladders": {"l": [["a", "b"]]},
            "training_ladders": {},
            "ablation": None,
            "filtering": None,
            "sae": None,
            "results": str(tmp_path / "results"),
        }
    )
    paths = Paths(tmp_path / "results")
    files = {Reader("model", name): [folder / "config.json"] for name, folder in folders.items()}
    remember(files, paths)
    for name in folders:
        write_text(paths.model_manifest(name), "made")
    (folders["b"] / "config.json").write_text('{"another": 1}')
    date_back_replaced(files, config, paths)
    times = {name: paths.model_manifest(name).stat().st_mtime for name in folders}
    assert times["b"] == STALE < times["a"]

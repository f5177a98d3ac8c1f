"""Writers that are killed leave nothing that their retry does not remove."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from helpers import tiny_tokenizer

from rosetta.models.zoo.tokenizer_training import save_tokenizer
from rosetta.report.figures import save_figure
from rosetta.storage.atomic import replacing
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import write_csv, write_parquet

TABLE = pd.DataFrame({"x": [1]})
KILLED = """
import os, signal, sys
from pathlib import Path
from rosetta.storage.atomic import replacing

with replacing(Path(sys.argv[1])) as temporary:
    if sys.argv[2] == "folder":
        temporary.mkdir()
        temporary /= "half"
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITERS = {
    "table.csv": lambda path, _: write_csv(path, TABLE),
    "table.parquet": lambda path, _: write_parquet(path, TABLE),
    "manifest.json": lambda path, _: write_manifest(path, {"kind": "test"}),
    "figure.png": lambda path, _: save_figure(plt.figure(), path.with_suffix("")),
    "tokenizer": lambda path, texts: save_tokenizer(tiny_tokenizer(texts), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_retry_removes_what_a_killed_writer_left(tmp_path, texts, name):
    kind = "file" if "." in name else "folder"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", KILLED, tmp_path / name, kind], check=False)
        assert done.returncode == -signal.SIGKILL
    assert any(path.name.endswith(".tmp") for path in tmp_path.iterdir())
    assert not (tmp_path / name).exists()
    WRITERS[name](tmp_path / name, texts)
    assert {path.name for path in tmp_path.iterdir()} - {"figure.pdf", ".figure.pdf.digest"} - {
        f".{name}.digest"
    } == {name}


def test_what_others_are_writing_is_left_alone(tmp_path):
    """Names of models may begin with those of others."""
    others = [tmp_path / name for name in ("pythia.v2", "pythia.json", "pythia-s", "xpythia")]
    for other in others:
        with replacing(other) as temporary:
            temporary.write_text("whole")
            with replacing(tmp_path / "pythia") as mine:
                mine.write_text("whole")
    assert all(other.read_text() == "whole" for other in others)


@pytest.mark.parametrize("name", WRITERS)
def test_content_is_on_the_disk_before_it_has_its_name(tmp_path, texts, monkeypatch, name):
    """Or a power cut may leave an empty file where a whole one is expected."""
    synced, named, fsync, replace = set(), [], os.fsync, os.replace

    def sync(descriptor):
        synced.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def rename(source, destination):
        files = [path for path in Path(source).rglob("*") if path.is_file()] or [Path(source)]
        named.append({path.stat().st_ino for path in files} <= synced)
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", rename)
    WRITERS[name](tmp_path / name, texts)
    assert named
    assert all(named)


def write_and_fail(path):
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyError


def test_a_failed_writer_leaves_the_old_content(tmp_path):
    write_csv(tmp_path / "file", TABLE)
    for name in ("file", "new"):
        with pytest.raises(KeyError):
            write_and_fail(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"file", ".file.digest"}
    assert pd.read_csv(tmp_path / "file").equals(TABLE)

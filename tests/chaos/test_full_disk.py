"""A disk that is full: one message with the path and the bytes, nothing half written, and then the
same again.
"""

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from helpers import random_ranges, save_stores, tiny_tokenizer
from killed_run import make_project, make_run
from transformers import AutoModelForCausalLM
from workflow_runs import ROOT, TINY

import rosetta.storage.atomic
from rosetta.activations.steps import store_check_step
from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining
from rosetta.correlation.aligned import StoredPair, pair_identity
from rosetta.correlation.plan import Tile
from rosetta.correlation.tiles import TileTask, tile_on_disk
from rosetta.errors import DiskFullError
from rosetta.models.zoo.model_training import save_model, train_zoo_model
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.models.zoo.tokenizer_training import save_tokenizer
from rosetta.report.figures import save_figure
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import write_csv, write_parquet

SIZE = 32_000_000
FAMILY = ZooFamily(architecture="gpt_neox", vocab_size=300, seed=3)
ZOO = (
    ZooSize(n_layers=2, d_model=32, d_mlp=64, n_heads=2),
    ZooTraining(steps=2, batch_size=2, sequence_length=16, warmup_steps=1, checkpoint_every=1),
)
NOISE = np.random.default_rng(0).normal(size=20_000)


@pytest.fixture
def disk(tmp_path):
    """A file system of 32 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small file system is mounted by root only ({done.stderr.strip()})")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, left: int) -> Path:
    """Fill a disk with a file, so that so many bytes are left."""
    ballast, here = disk / "ballast", os.statvfs(disk)
    with open(ballast, "wb") as stream:
        os.posix_fallocate(stream.fileno(), 0, here.f_bavail * here.f_frsize - left)
    return ballast


def write_store_of_noise(path: Path, texts) -> None:
    ranges = random_ranges(np.random.default_rng(0), [500] * 4, truncate=False)
    save_stores(
        path.parent,
        NOISE[: 2 * 5].reshape(2, 1, 5).repeat(len(ranges[0]), 1),
        ranges,
        4,
        dtype="float32",
    )


def write_checkpoint(path: Path, texts) -> None:
    train_zoo_model(FAMILY, *ZOO, tiny_tokenizer(texts), texts, path.parent)


def write_model(path: Path, texts) -> None:
    model = AutoModelForCausalLM.from_config(zoo_model_config(FAMILY, *ZOO))
    tokenizer = path.parents[2] / "tokenizer"  # on another disk
    save_tokenizer(tiny_tokenizer(texts), tokenizer)
    save_model(model, tokenizer, path)


def write_tile(path: Path, texts) -> None:
    stores = path.parents[2] / "stores"
    if not stores.exists():
        for seed, name in enumerate("ab"):
            ranges = random_ranges(np.random.default_rng(seed), [50], truncate=False)
            values = (
                np.random.default_rng(seed).normal(size=(1, len(ranges[0]), 300)).astype(np.float32)
            )
            save_stores(stores / name, values, ranges, 1)
    a, b = stores / "a", stores / "b"
    identity = pair_identity(a, b)
    task = TileTask(StoredPair(str(a), str(b), identity), "mean", "float32", 3, str(path.parent))
    tile_on_disk(task, Tile(0, 300, 0, 300), (None,))


WRITERS = {
    "table.csv": lambda path, _: write_csv(path, pd.DataFrame({"x": NOISE})),
    "table.parquet": lambda path, _: write_parquet(path, pd.DataFrame({"x": NOISE})),
    "manifest.json": lambda path, _: write_manifest(
        path, {"kind": "test", "values": NOISE.tolist()}
    ),
    "figure.png": lambda path, _: save_figure(plt.figure(figsize=(9, 9)), path.with_suffix("")),
    "0.zarr": write_store_of_noise,
    "last.pt": write_checkpoint,
    "model": write_model,
    "tokenizer": lambda path, texts: save_tokenizer(tiny_tokenizer(texts), path),
    "0-300-0-300-None.npz": write_tile,
}


@pytest.mark.parametrize("foreseen", [True, False], ids=["seen beforehand", "met on the way"])
@pytest.mark.parametrize("name", WRITERS)
def test_every_writer_tells_path_and_bytes_and_then_goes_on(
    disk, texts, monkeypatch, name, foreseen
):
    if not foreseen:
        monkeypatch.setattr(
            rosetta.storage.atomic.shutil,
            "disk_usage",
            lambda _: namedtuple("Usage", "free")(10**9),
        )
    folder = disk / "results"
    folder.mkdir()
    ballast = fill(disk, left=4096)
    with pytest.raises(
        DiskFullError, match=rf"^{folder / name}: the disk is full: [\d,]+ bytes .*needed"
    ) as raised:
        WRITERS[name](folder / name, texts)
    assert "\n" not in str(raised.value)
    assert list(folder.iterdir()) == []
    ballast.unlink()
    WRITERS[name](folder / name, texts)
    assert (folder / name).exists()
    assert not list(folder.glob(".*.tmp"))


def test_a_run_on_a_full_disk_says_so_and_finishes_when_there_is_room(disk, finished):
    folder = make_project(disk / "p", {**TINY, "results": "results"})
    for part in ("results", ".snakemake"):
        shutil.copytree(
            finished / part,
            folder / part,
            ignore=shutil.ignore_patterns("neighbors", "*.zarr", "log"),
        )
    manifest = "results/activations/pythia-m/2-shards/0.json"
    expected = (finished / manifest).read_text()
    (folder / manifest).unlink()
    store = str(Path(manifest).with_suffix(".zarr"))
    for left, culprit in ((0, folder / ".snakemake"), (200_000, store)):
        ballast = fill(disk, left)
        failed = subprocess.run(
            make_run(manifest), cwd=folder, capture_output=True, text=True, check=False
        )
        said = failed.stdout + failed.stderr
        assert failed.returncode
        assert any(
            line.strip().startswith(f"rosetta: {culprit}: the disk is full: ")
            for line in said.splitlines()
        )
        assert "Traceback" not in said
        ballast.unlink()
    subprocess.run(make_run(manifest), cwd=folder, capture_output=True, check=True)
    assert (folder / manifest).read_text() == expected
    assert len(list(store_check_step(folder / manifest))) == 1


@pytest.mark.parametrize(
    "config", ["nowhere.yaml", str(ROOT / "workflow" / "presets" / "tiny.yaml")]
)
def test_a_full_disk_under_the_log_hides_no_message(tmp_path, config):
    """What cannot be told in the log is told where the log was asked for."""
    with open("/dev/full", "w") as log:
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                "from rosetta.cli import main; main()",
                "corpus",
                "--config",
                config,
            ],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    culprit = config if config == "nowhere.yaml" else "a log or temporary file: the disk is full"
    assert done.stdout.startswith(f"rosetta: {culprit}")
    assert done.stdout.count("\n") == 1

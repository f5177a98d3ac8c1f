"""Extras: the core of the package does its work alone, and a missing package is named with its
extra.
"""

import os
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import numpy as np
import pytest
from helpers import random_ranges, save_stores
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from rosetta import extras
from rosetta.config import load_config
from rosetta.errors import MissingExtraError
from rosetta.extras import naming_extras, require_extra
from rosetta.inputs.text.environment import HARVESTED_EXTRAS, installed_files
from rosetta.plan.checks import check_config

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {"scikit-learn": "sklearn", "pillow": "PIL"}
# Runs command lines, one per argument, as if the packages in HIDDEN were not installed.
RUNNER = """
import os, shlex, sys

HIDDEN = set(os.environ["HIDDEN"].split())

class Hider:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hider())
from rosetta.cli import main

for line in sys.argv[1:]:
    sys.argv = shlex.split(line)
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
"""


def packages(*names):
    """Return the packages that extras of pyproject.toml list, with those of the extras they
    include.
    """
    found = set()
    for requirement in map(
        Requirement, [line for name in names for line in PROJECT["optional-dependencies"][name]]
    ):
        included = requirement.name == PROJECT["name"]
        found |= packages(*requirement.extras) if included else {requirement.name}
    return found


def run_without(hidden, folder, *lines):
    names = {IMPORTED_AS.get(name, name.replace("-", "_")) for name in hidden}
    return subprocess.run(
        [sys.executable, "-c", RUNNER, *lines],
        cwd=folder,
        env={**os.environ, "HIDDEN": " ".join(names)},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Stores of three models, and a table of counts."""
    folder = tmp_path_factory.mktemp("core")
    rng = np.random.default_rng(0)
    ranges = random_ranges(rng, [40, 10, 25], max_token=3)
    for name in "abc":
        values = rng.normal(size=(2, len(ranges[0]), 5)).astype(np.float32)
        save_stores(folder / name, values, ranges, 3, n_shards=1)
    rows = [f"pair,{n},{round(n**0.6)}" for n in (256, 512, 1024)]
    (folder / "counts.csv").write_text("\n".join(["ladder,n_neurons,matches", *rows]) + "\n")
    return folder


def test_the_core_needs_no_extra(folder):
    done = run_without(
        packages("all"),
        folder,
        "rosetta match --a a --b b --out ab.parquet",
        "rosetta match --a a --b c --out ac.parquet",
        "rosetta anchors ab.parquet ac.parquet --out anchors.parquet",
        "rosetta export ab.parquet --out best_buddies.json",
        "rosetta store check a",
        "rosetta fit counts.csv",
        "rosetta verify .",
    )
    assert done.returncode == 0, done.stderr
    assert "pair" in done.stdout
    assert (folder / "anchors.parquet").exists()


@pytest.mark.parametrize(
    ("line", "package", "extra"),
    [
        ("rosetta train --config config.yaml --model pythia-s", "transformers", "models"),
        ("rosetta corpus --config config.yaml", "zstandard", "corpora"),
        ("rosetta report --config config.yaml", "jinja2", "plots"),
        ("rosetta pin --configfile config.yaml", "huggingface-hub", "models"),
    ],
)
def test_a_command_names_the_extra_that_it_needs(line, package, extra, tmp_path):
    done = run_without([package], tmp_path, line.replace("config.yaml", str(ROOT / "config.yaml")))
    assert done.returncode == 2, done.stderr
    command = " ".join(line.split()[:2])
    assert done.stderr.splitlines()[-1] == (
        f"rosetta: {command} needs {package}, which is not installed. "
        f"Install the extra: pip install 'rosetta-neurons[{extra}]'."
    )


def test_a_run_names_a_missing_package_before_its_first_job(monkeypatch):
    config = load_config(ROOT / "workflow" / "presets" / "tiny.yaml")
    check_config(config)

    def without_seaborn(name):
        if name == "seaborn":
            raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", without_seaborn)
    with pytest.raises(
        MissingExtraError, match=r"^report needs seaborn, which is not .*neurons\[plots\]'"
    ):
        check_config(config)
    check_config(config, need_sources=False)  # a plan draws nothing


def test_the_harvest_is_of_the_same_packages_whatever_tools_are_installed():
    """Extras were dependencies of the core once; the documented runs harvested them, and no
    others.
    """
    harvested = {file.package for file in installed_files()}
    named = packages(*HARVESTED_EXTRAS) | {
        Requirement(line).name for line in PROJECT["dependencies"]
    }
    assert {canonicalize_name(name) for name in named} <= harvested
    tools = {
        "pytest",
        "mypy",
        "ipykernel",
        "mkdocs-material",
        "mkdocstrings",
        "openai",
        "dask-jobqueue",
    }
    assert harvested.isdisjoint(tools | {PROJECT["name"]})


def test_a_harvest_needs_all_packages_that_it_reads(monkeypatch):
    config = load_config(ROOT / "workflow" / "presets" / "tiny.yaml")
    config = config.model_copy(update={"filtering": None})
    check_config(config)

    def without_peft(name):
        if name == "peft":
            raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", without_peft)
    with pytest.raises(MissingExtraError, match=r"^corpus\.source: kind environment needs peft"):
        check_config(config)


def test_an_extra_is_known_by_its_packages(monkeypatch):
    require_extra("slurm", "a test")

    def nothing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "distribution", nothing)
    with pytest.raises(
        MissingExtraError,
        match="a test needs dask-jobqueue, snakemake-executor-plugin-slurm, which",
    ):
        require_extra("slurm", "a test")


@pytest.mark.parametrize("name", ["nobody_knows_this", "sklearn.part_that_is_gone", None])
def test_other_import_errors_stay_as_they_are(name):
    with pytest.raises(ModuleNotFoundError, match="here"), naming_extras("a test"):
        raise ModuleNotFoundError("here", name=name)


def test_packages_have_one_extra_each():
    direct = [
        Requirement(line).name
        for name in (
            "models",
            "corpora",
            "images",
            "diffusion",
            "zoo",
            "filtering",
            "plots",
            "annotate",
            "slurm",
            "workflow",
        )
        for line in PROJECT["optional-dependencies"][name]
        if Requirement(line).name != PROJECT["name"]
    ]
    core = [Requirement(line).name for line in PROJECT["dependencies"]]
    assert len(direct + core) == len({*direct, *core})
    assert packages("all") == set(direct)


def test_the_lock_pins_every_package_that_the_project_names():
    lines = (ROOT / "envs" / "requirements.lock").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    named = packages("all", "test", "docs") | {
        Requirement(line).name for line in PROJECT["dependencies"]
    }
    assert {name.lower().replace("_", "-") for name in named} <= pinned
    conda = (ROOT / "envs" / "rosetta.yaml").read_text()
    assert all(f"      - {line}\n" in conda for line in lines if "==" in line)

"""Damage to every file of a finished run, one kind of damage at a time: `rosetta verify` names each
of them.

A manifest that is damaged says nothing of the files that it lists, so rules' outputs and the parts
that manifests list are damaged in turn. A rule's output that is missing is for Snakemake to see; a
missing part is found by `verify`.
"""

import random
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import pytest
from workflow_runs import run_snakemake

from rosetta.errors import StoreError
from rosetta.run.steps import verify_step
from rosetta.storage.names import digest_path

N_FLIPS = 10
# Not results: times and messages of jobs, and the digests, which have no digest of their own.
LEFT_OUT = ("logs/", "benchmarks/", "run_config.yaml")
NO_RESULTS = (".digest", ".snakemake_timestamp")


def files_of(results: Path) -> list[Path]:
    """Return the files of a run that another step reads or a person looks at."""
    found = [
        path
        for path in sorted(results.rglob("*"))
        if path.is_file() and not path.name.endswith(NO_RESULTS)
    ]
    return [path for path in found if not str(path.relative_to(results)).startswith(LEFT_OUT)]


def flipped(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return b"x"
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def in_turn(paths: set[Path]) -> list[set[Path]]:
    """Return sets with one file of each folder: of a model, the first damaged file is named."""
    folders = {
        folder: sorted(path for path in paths if path.parent == folder)
        for folder in {p.parent for p in paths}
    }
    return [set(group) - {None} for group in zip_longest(*folders.values())]


def damages():
    """Yield each kind of damage: its name, and what it leaves of the bytes of a file; None for no
    file.
    """
    for number in range(N_FLIPS):
        yield f"bit {number}", flipped
    yield "truncated", lambda data, rng: data[: rng.randrange(len(data))] if data else b"x"
    yield "missing", lambda data, rng: None


def found_by_verify(results: Path, paths: Iterable[Path]) -> set[Path]:
    """Return those of the files that `verify` names."""
    try:
        verify_step(results)
    except StoreError as error:
        names = {line.split(": ")[0] for line in str(error).splitlines()[1:]}
        return {path for path in paths if str(path) in names}
    return set()


def missing_to_snakemake(project: Path, paths: Iterable[Path]) -> set[Path]:
    """Return those of the rules' outputs that Snakemake finds missing."""
    told = run_snakemake(project, "--summary").stdout
    names = set(re.findall(r"^(results/\S+)\t.*missing", told, re.MULTILINE))
    return {path for path in paths if str(path.relative_to(project)) in names}


def put(path: Path, data: bytes | None) -> None:
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)


@pytest.mark.chaos
def test_damage_to_any_file_of_a_run_is_found(finished, tmp_path):
    project = shutil.copytree(finished, tmp_path / "p", symlinks=True)
    results = project / "results"
    whole = {path: path.read_bytes() for path in files_of(results)}
    assert found_by_verify(results, whole) == set()
    # Selections have digests of their own, but are parts of their manifest.
    digested = {path for path in whole if digest_path(path).exists()}
    outputs = {path for path in digested if path.parent.name != "selections"}
    parts = whole.keys() - outputs
    models = {path for path in parts if path.is_relative_to(results / "models")}
    tally, missed = Counter(), []
    for group in (outputs, parts - models, *in_turn(models)):
        for kind, damage in damages():
            for path in group:
                put(path, damage(whole[path], random.Random(f"{kind} {path.relative_to(results)}")))
            to_snakemake = kind == "missing" and group is outputs
            found = (
                missing_to_snakemake(project, group)
                if to_snakemake
                else found_by_verify(results, group)
            )
            for path in group:
                put(path, whole[path])
            tally[kind.split()[0]] += len(group)
            missed += [f"{kind}: {path.relative_to(results)}" for path in group - found]
    print(f"{len(whole)} files, {sum(tally.values())} damages: {dict(tally)}; not found: {missed}")
    assert missed == []

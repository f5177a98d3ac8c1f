"""A results folder that version 0.1 has finished: what this version makes again, and what not.

`data/finished_by_0.1.json` is the record of a finished run of the tiny preset by version 0.1: its
configuration, the versions of its stages, and its files, each with its stamp (stage, name, digest
of what it was made by). No content is read here, so the files are empty.
"""

import json
import os
from pathlib import Path

import pytest
from workflow_runs import copy_project, jobs_of, run_snakemake

from rosetta.config import parse_config
from rosetta.run.provenance import date_back
from rosetta.run.stages import STAGES, pieces_of_job, rule_jobs
from rosetta.storage.names import digest_path

RECORD = json.loads((Path(__file__).parent / "data" / "finished_by_0.1.json").read_text())
WRITTEN = 1_700_000_000  # seconds since the epoch


def write_results(root: Path) -> None:
    """Write the files of the record, empty and all at one time, with the stamps of version 0.1."""
    for name, stamped in RECORD["files"].items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if name.endswith("/") else path.touch()
        if stamped:
            stage, model, made_by = stamped.split(" ")
            stamp = json.dumps({"stage": stage, "name": model, "made_by": made_by})
            digest_path(path).write_text(f"{'0' * 32}  {path.name}\n# {stamp}\n")
            os.utime(digest_path(path), (WRITTEN, WRITTEN))
        os.utime(path, (WRITTEN, WRITTEN))


def raised() -> set[str]:
    """Return the stages of the record whose version is higher, and those that are no more."""
    recorded = {stamped.split(" ")[0] for stamped in RECORD["files"].values() if stamped}
    before = RECORD["versions"]
    return {name for name in recorded if name not in STAGES or STAGES[name].version > before[name]}


def with_readers(stages: set[str]) -> set[str]:
    """Return stages and all that read their results, directly or not."""
    found = set(stages)
    while more := {s.name for s in STAGES.values() if found & set(s.reads)} - found:
        found |= more
    return found


@pytest.fixture
def project(tmp_path):
    folder = copy_project(tmp_path / "p")
    write_results(folder / "results")
    return folder


def test_only_results_of_raised_stages_are_dated_back(project):
    config = parse_config(RECORD["config"])
    stale = date_back(config, project / "results")
    expected = {
        project / "results" / name
        for name, stamped in RECORD["files"].items()
        if stamped and stamped.split(" ")[0] in raised()
    }
    assert set(stale) == expected


def test_a_run_is_resumed_with_the_raised_stages_and_what_reads_them(project):
    jobs = jobs_of(run_snakemake(project, "-n", config=RECORD["config"]))
    new = {s.name for s in STAGES.values() if s.name not in RECORD["versions"]}
    config = parse_config(RECORD["config"])
    asked_for = {s.name for s in STAGES.values() if s.jobs(config)}
    due = with_readers((raised() | new) & asked_for)
    rules = {
        rule
        for rule, of_rule in rule_jobs(config).items()
        for job in of_rule
        if due & {stage for stage, _ in pieces_of_job(config, rule, job)}
    }
    assert set(jobs) - {"all"} == rules

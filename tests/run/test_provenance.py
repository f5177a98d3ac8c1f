"""With which configuration results were made is told by the results, whatever became of Snakemake's
records.
"""

import json
import os
import shutil
import subprocess

import pandas as pd
import pytest
import yaml
from commands import assert_rejected, run_here
from workflow_runs import TINY, jobs_of, run_snakemake

from rosetta.config import Config, dump_config, load_config, parse_config
from rosetta.run.paths import Paths
from rosetta.run.provenance import STALE, date_back, is_stale, left_over, stale_results, stamp
from rosetta.run.stages import STAGES, slice_name
from rosetta.run.status import status_text
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import check_digest, read_stamp, stamping, write_text
from rosetta.storage.names import digest_path

RUN = {**TINY, "results": "results"}
SHORTER = {**RUN, "activations": {**TINY["activations"], "sequence_length": 16}}


@pytest.fixture
def project(finished, tmp_path):
    """A private copy of the finished project, without what Snakemake remembers of it."""
    shutil.copytree(
        finished, tmp_path / "p", symlinks=True, ignore=shutil.ignore_patterns(".snakemake")
    )
    return tmp_path / "p"


def test_an_edit_is_noticed_without_snakemakes_records(finished, project, tmp_path):
    shutil.copytree(finished, tmp_path / "remembered", symlinks=True)
    expected = jobs_of(run_snakemake(tmp_path / "remembered", "-n", config=SHORTER))
    assert {"train_and_profile", "pair", "report"} <= set(expected)
    assert jobs_of(run_snakemake(project, "-n", config=SHORTER)) == expected
    assert jobs_of(run_snakemake(project, "-n", config=RUN)) == {}, "the edit was taken back"
    simulated = {**RUN, "theory": {**TINY["theory"], "kappa": 2.5}}  # of rules that have no input
    assert jobs_of(run_snakemake(project, "-n", "theory_simulations", config=simulated)) == {
        "simulations": 1,
        "theory_simulations": 1,
    }


def test_what_a_run_claims_is_what_made_its_results(finished, tmp_path):
    """Also of a run that makes one file only: the others are not read as results of its
    configuration.
    """
    project, counts = (
        shutil.copytree(finished, tmp_path / "p", symlinks=True),
        "results/tables/counts.csv",
    )
    edited = {**RUN, "controls": {**TINY["controls"], "null_quantile": 0.8}}
    assert jobs_of(run_snakemake(project, counts, config=edited)) == {"tables": 1}
    claimed = load_config(project / "results" / "run_config.yaml")
    assert claimed.controls.null_quantile == 0.8
    assert read_stamp(project / counts) == stamp(claimed, "counts")
    simulated = "results/theory/simulation/beta-1.5.csv"
    command = ("theory", "exponents", "--config", "results/run_config.yaml", simulated)
    rejected = run_here(*command, folder=project)
    assert_rejected(
        rejected,
        r"beta-1\.5\.csv: made with another configuration than .*run_config\.yaml.*--force",
    )
    found = run_here("verify", "results", folder=project).err
    assert "report.html: made with another configuration" in found
    assert "counts.csv: made" not in found
    run_snakemake(project, counts, config=RUN)
    assert not date_back(load_config(project / "results" / "run_config.yaml"), project / "results")
    assert run_here("verify", "results", folder=project).code == 0


@pytest.fixture
def config() -> Config:
    return parse_config(RUN)


def edited(**sections) -> Config:
    return parse_config({**RUN, **sections})


def test_a_stamp_is_stale_if_the_stage_depends_on_what_was_edited(config):
    training = edited(zoo={**TINY["zoo"], "training": {**TINY["zoo"]["training"], "steps": 13}})
    assert is_stale(training, stamp(config, "train", "opt-s"))
    for kept in (
        stamp(config, "tokenizer", "opt"),
        stamp(config, "activations", "opt-s"),
        stamp(config, "corpus"),
    ):
        assert not is_stale(training, kept)
    foreign = edited(models={**TINY["models"], "opt-s": {"path": "elsewhere"}}, filtering=None)
    assert is_stale(foreign, stamp(config, "train", "opt-s"))
    assert is_stale(config, json.dumps({"stage": "retired", "name": "", "made_by": "0" * 32}))
    without = {name: entry for name, entry in TINY["models"].items() if name != "qwen-s"}
    fewer = edited(models=without, ladders={"pythia-opt": TINY["ladders"]["pythia-opt"]})
    assert not is_stale(fewer, stamp(config, "train", "qwen-s")), "nothing asks for it"


@pytest.mark.parametrize(
    ("section", "edit", "stale"),
    [
        ("correlation", {"memory_gb": 3.0}, True),
        ("dask", {"n_workers": 2, "scheduler": "processes"}, True),
        ("dask", {"n_workers": 2, "scheduler": "threads"}, False),
        ("dask", {"threads_per_worker": 2}, False),
    ],
)
def test_intervals_depend_on_the_memory_that_decides_how_half_samples_are_matched(
    config, section, edit, stale
):
    """Whether all neurons fit; the correlations themselves are the same in any memory."""
    changed = edited(**{section: {**TINY.get(section, {}), **edit}})
    assert is_stale(changed, stamp(config, "intervals", "pythia-s--opt-s")) == stale
    assert not is_stale(changed, stamp(config, "correlate", "pythia-s--opt-s"))


def save(paths, config, content="x\n"):
    """Results with a stamp, without one, and a table of a user's own."""
    with stamping(stamp(config, "counts")):
        write_text(paths.table("counts"), content)
    write_text(paths.table("by_hand"), content)
    paths.table("own").write_text(content)
    write_text(paths.run_config, dump_config(config))


def test_what_another_configuration_made_is_dated_back_until_that_is_asked_for_again(
    config, tmp_path
):
    paths = Paths(tmp_path)
    save(paths, config)
    written = paths.table("counts").stat().st_mtime
    other = edited(controls={**TINY["controls"], "null_quantile": 0.8})
    assert date_back(config, tmp_path) == [paths.table("by_hand")]
    assert paths.table("counts").stat().st_mtime == written
    assert set(date_back(other, tmp_path)) == {paths.table("by_hand"), paths.table("counts")}
    assert paths.table("counts").stat().st_mtime == STALE
    assert paths.table("own").stat().st_mtime == pytest.approx(written, abs=10)
    assert date_back(config, tmp_path) == [paths.table("by_hand")]
    assert paths.table("counts").stat().st_mtime == pytest.approx(written, abs=10)


def test_a_stamp_is_a_comment_to_b2sum_and_its_damage_is_found(config, tmp_path):
    paths = Paths(tmp_path)
    save(paths, config)
    beside = digest_path(paths.table("counts"))
    check = ["b2sum", "--length", "128", "--check", "--strict", beside.name]
    subprocess.run(check, cwd=beside.parent, check=True, capture_output=True)
    whole = beside.read_bytes()
    check_digest(paths.table("counts"))
    for damaged in (
        whole.replace(b"stage", b"stbge"),
        whole[:-5],
        whole.replace(b"# {", b"# "),
        whole + b"x",
    ):
        beside.write_bytes(damaged)
        with pytest.raises(DamageError, match="not what was written here"):
            check_digest(paths.table("counts"))


def test_a_step_by_hand_does_not_read_what_another_configuration_made(tmp_path):
    config, paths = (
        parse_config({**RUN, "results": str(tmp_path / "results")}),
        Paths(tmp_path / "results"),
    )
    counts = pd.DataFrame({"ladder": ["l", "l"], "n_neurons": [100, 1000], "matches": [10, 100]})
    save(paths, config, counts.to_csv(index=False))
    assert run_here("fit", paths.table("counts"), folder=tmp_path).code == 0
    changed = yaml.safe_load(dump_config(config))
    changed["controls"]["null_quantile"] = 0.8
    write_text(paths.run_config, yaml.safe_dump(changed))
    os.utime(paths.run_config, (1e9, 1e9))
    assert_rejected(
        run_here("fit", paths.table("counts"), folder=tmp_path),
        r"counts\.csv: made with another config",
    )
    assert run_here("fit", paths.table("by_hand"), folder=tmp_path).code == 0


def write_results(config, root):
    """A file for each result that a configuration asks for, with the stamp of its stage."""
    for name, stage in STAGES.items():
        for job in stage.jobs(config):
            with stamping(stamp(config, name, slice_name(name, job))):
                for path in stage.outputs(config, Paths(root), job):
                    write_text(path, "")


def test_results_that_nothing_asks_for_any_more_are_named(config, tmp_path):
    write_results(config, tmp_path)
    with stamping(stamp(config, "filter_select")):
        selections = Paths(tmp_path).filtering(config.filtering.name).selections_manifest
        write_text(selections.with_suffix("") / "rosetta.parquet", "listed in the manifest")
    write_text(tmp_path / "nulls" / "my_notes.txt", "of no stage")
    assert left_over(config, tmp_path) == {}
    assert "left over" not in status_text(config, Paths(tmp_path), tmp_path)

    without = edited(controls={**TINY["controls"], "document_seeds": []}, filtering=None, sae=None)
    found = left_over(without, tmp_path)
    exchanged = [path for path in found["nulls"] if path.parent.name == "documents"]
    assert (
        exchanged == found["nulls"] == sorted((tmp_path / "nulls" / "documents").glob("*.parquet"))
    )
    assert selections.with_suffix("") / "rosetta.parquet" in found["filter_select"]
    assert {stage for stage in found if not stage.startswith(("filter", "sae"))} == {"nulls"}
    said = status_text(without, Paths(tmp_path), tmp_path)
    assert f"left over: nulls: {found['nulls'][0]} and {len(found['nulls']) - 1} more" in said
    assert not set(found) - {"nulls"} & set(stale_results(without, tmp_path)), "not made again"

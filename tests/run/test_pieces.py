"""What an edit of the configuration makes outdated, and that nothing else is computed again."""

import os
import shutil

import pandas as pd
import pytest
from workflow_runs import TINY, jobs_of, run_snakemake

from rosetta.config import parse_config
from rosetta.run.paths import Paths
from rosetta.run.pieces import do_pieces, is_current, recall_jobs
from rosetta.run.provenance import RECALLED, STALE
from rosetta.run.stages import STAGES, pieces_of_job, rule_jobs
from rosetta.run.stages.record import Piece
from rosetta.storage.names import digest_path

FURTHER = "pythia-s~2--opt-s~2"  # a pair of further trainings, whose matches no rule declares


def due_stages(config, paths):
    """Return the stages of which a run would compute a piece, or would after another piece."""
    pieces = [
        piece
        for rule, jobs in rule_jobs(config).items()
        for job in jobs
        for piece in pieces_of_job(config, rule, job)
    ]
    due, outdated = set(), [not is_current(config, paths, piece) for piece in pieces]
    while True:
        found = {index for index, is_due in enumerate(outdated) if is_due}
        written = {
            path
            for index in found
            for path in STAGES[pieces[index].stage].outputs(config, paths, pieces[index].job)
        }
        outdated = [
            is_due or not written.isdisjoint(STAGES[stage].inputs(config, paths, job))
            for is_due, (stage, job) in zip(outdated, pieces, strict=True)
        ]
        if found == due:
            return {pieces[index].stage for index in due}
        due = found


EMERGENCE = {"emergence", "emergence_figures"}
FROM_MATCHES = {
    *EMERGENCE,
    "past",
    "match",
    "anchors",
    "counts",
    "fit",
    "figures",
    "contexts",
    "report",
    "control_tables",
    "control_figures",
    "describe",
    "findings",
    "neuron_figures",
    "viewer",
    "theory_compare",
    "theory_predict",
    "theory_figures",
    "filter_choose",
    "filter_score",
    "filter_select",
    "filter_pretrain",
    "filter_tables",
    "filter_figure",
}
# Autoencoders themselves depend on stores alone.
OF_FEATURES = {"sae_tables", "sae_figures"}
OF_ABLATIONS = {"ablation_tables", "ablation_figures"}
OF_OUTPUTS = {"ablate", "attribution", "attribution_tables", "attribution_figures", *OF_ABLATIONS}
COMPARED = {"instruments", "instrument_tables", "instrument_figures"}
FROM_TABLES = {
    *EMERGENCE,
    "neuron_figures",
    "theory_compare",
    "theory_predict",
    "theory_figures",
    "describe",
    "findings",
    "report",
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, set()),
        (
            {"controls": {**TINY["controls"], "null_quantile": 0.8}},
            {
                *FROM_TABLES,
                *OF_FEATURES,
                "counts",
                "fit",
                "figures",
                "control_tables",
                "control_figures",
                "theory_simulate",
                "theory_exponents",
                "viewer",
            },
        ),
        (
            {"matching": {**TINY["matching"], "k": 2}},
            FROM_MATCHES
            | COMPARED
            | OF_FEATURES
            | OF_OUTPUTS
            | {"nulls", "intervals", "sweeps", "sae_match"},
        ),
        ({"instruments": {**TINY["instruments"], "soft_price": 0.1}}, {*COMPARED, "report"}),
        ({"report": {"n_matches": 2}}, {"report"}),
        ({"bootstrap": {"seed": 1}}, FROM_TABLES | OF_FEATURES | OF_ABLATIONS),
        (
            {"sae": {**TINY["sae"], "k": 5}},
            {"sae", "sae_encode", "sae_match", *OF_FEATURES, "report"},
        ),
        ({"sae": {**TINY["sae"], "checkpoint_every": 7}}, {"report"}),
        # It may decide how half-samples are matched, and intervals stand beside matches; and which
        # pairs are too large for instruments.
        (
            {"correlation": {**TINY["correlation"], "memory_gb": 1.5}},
            {"intervals", *COMPARED, *FROM_MATCHES, "sae_match", *OF_FEATURES, *OF_OUTPUTS},
        ),
    ],
    ids=[
        "nothing",
        "quantile",
        "k",
        "instruments",
        "report",
        "bootstrap",
        "sae",
        "checkpoints",
        "memory",
    ],
)
def test_an_edit_makes_outdated_what_depends_on_it_and_nothing_else(finished, change, expected):
    config = parse_config({**TINY, "results": "results", **change})
    assert due_stages(config, Paths(finished / "results")) == expected


@pytest.fixture
def project(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "p", symlinks=True)
    return tmp_path / "p"


def test_a_file_that_no_rule_declares_is_made_again(project):
    """By the job that makes it, which computes nothing else."""
    matches = project / "results" / "matches" / f"{FURTHER}.parquet"
    declared = "results/matches/pythia-s--opt-s.parquet"  # by the rule of the same job
    before = pd.read_parquet(matches)
    matches.unlink()
    assert jobs_of(run_snakemake(project, "-n"))["pair"] == 1
    run_snakemake(project, declared)
    pd.testing.assert_frame_equal(pd.read_parquet(matches), before)
    log = (project / "results" / "logs" / "pair" / "pythia-s--opt-s.log").read_text()
    done = {line for line in log.splitlines() if line.startswith(("match ", "correlate "))}
    assert f"match {FURTHER}" in done
    assert all(line.endswith("there already") for line in done - {f"match {FURTHER}"})
    assert "pair" not in jobs_of(run_snakemake(project, "-n"))


def test_a_job_is_recalled_for_what_it_lacks(project):
    config, paths = parse_config({**TINY, "results": "results"}), Paths(project / "results")
    lead = paths.neighbors_part("pythia-s--opt-s", 0, 1)
    recall_jobs(config, paths)
    assert lead.stat().st_mtime > RECALLED
    written = paths.matches(FURTHER).stat().st_mtime
    os.utime(paths.matches(FURTHER), (STALE, STALE))
    recall_jobs(config, paths)
    assert lead.stat().st_mtime == RECALLED
    os.utime(paths.matches(FURTHER), (written, written))
    recall_jobs(config, paths)
    assert lead.stat().st_mtime > RECALLED, "there is nothing to do any more"
    assert is_current(config, paths, Piece("correlate", {"pair": "pythia-s--opt-s", "job": 0}))


def test_a_job_that_failed_after_an_edit_runs_again_and_keeps_what_it_made(project):
    """Snakemake takes it for done: its outputs are there, and its settings are recorded."""
    config = {**TINY, "results": "results", "controls": {**TINY["controls"], "null_quantile": 0.8}}
    results, target = project / "results", "results/tables/counts.csv"
    table, kept = results / "tables" / "controls.csv", results / "tables" / "controls"
    counts = digest_path(results / "tables" / "counts.csv")
    before = counts.stat().st_mtime_ns
    # A folder in the place of a table that is written in the middle of the job.
    table.rename(kept)
    table.mkdir()
    (table / "x").touch()
    failed = run_snakemake(project, target, config=config, check=False)
    assert failed.returncode
    assert counts.stat().st_mtime_ns > before, "the first piece was made"
    made = counts.stat().st_mtime_ns
    shutil.rmtree(table)
    kept.rename(table)
    run_snakemake(project, target)
    assert counts.stat().st_mtime_ns == made, "and kept"
    parsed, paths = parse_config(config), Paths(results)
    assert is_current(parsed, paths, Piece("control_tables", {}))
    assert jobs_of(run_snakemake(project, "-n", target)) == {}


def test_a_piece_is_done_unless_it_is_whole_current_and_newer_than_what_it_reads(project):
    config, paths = parse_config({**TINY, "results": "results"}), Paths(project / "results")
    piece = Piece("match", {"pair": FURTHER})
    out, read = paths.matches(FURTHER), paths.neighbors_part(FURTHER, 0, 1)
    assert is_current(config, paths, piece)
    other = parse_config({**TINY, "results": "results", "matching": {"k": 2}})
    assert not is_current(other, paths, piece), "the stamp is of other settings"
    content = out.read_bytes()
    out.write_bytes(content[:-1] + b"x")
    assert not is_current(config, paths, piece), "it is damaged"
    out.write_bytes(content)
    assert is_current(config, paths, piece)
    os.utime(digest_path(read), None)
    assert not is_current(config, paths, piece), "what it reads is newer"
    digest_path(out).unlink()
    assert is_current(config, paths, piece), "a file without a digest is a user's own"


def test_pieces_are_done_in_order_and_only_if_due(tmp_path):
    config, paths = parse_config({**TINY, "results": str(tmp_path)}), Paths(tmp_path)
    done = []
    work = dict.fromkeys(STAGES, lambda _config, _paths, job: done.append(job["pair"]))
    do_pieces(config, paths, [Piece("match", {"pair": pair}) for pair in ("b", "a")], work)
    assert done == ["b", "a"]

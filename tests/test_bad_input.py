"""Bad input stops before any job, with one message that names the culprit."""

import re

import pytest
from workflow_runs import TINY, copy_project, rosetta, run_snakemake

BAD = [
    ({"matchin": {}}, r"matchin: unknown key"),
    ({"ladders": {"x": [["pythia-s", "nobody"]]}}, r"ladders\.x\[0\]: no model is named 'nobody'"),
    ({"models": {**TINY["models"], "m": {"path": "empty"}}}, r"models\.m\.path: empty .*config\.json"),
    (
        {"filtering": None, "corpus": {"source": {"kind": "files", "path": "corpus.jsonl", "text": "body"}}},
        r"corpus\.source\.text.*'body'",
    ),
    (
        {"filtering": None, "corpus": {"source": {"kind": "files", "path": "empty.jsonl"}}},
        r"holds no document",
    ),
    ({"correlation": {"memory_gb": 0.001}}, r"correlation\.memory_gb: 0\.001"),
    ({"results": "corpus.jsonl/out"}, r"results: .*corpus\.jsonl is not a folder"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[re.sub(r"\\|\[|\]", "", m)[:20] for _, m in BAD])
def test_bad_input_stops_before_any_job_with_one_message(tmp_path, change, message):
    folder = copy_project(tmp_path / "p")
    (folder / "empty").mkdir()
    (folder / "empty.jsonl").write_text("")
    (folder / "corpus.jsonl").write_text('{"text": "a document"}\n')
    done = run_snakemake(folder, config={**TINY, "results": "results", **change}, check=False)
    assert done.returncode != 0
    assert re.search(message, done.stderr)
    assert "Traceback" not in done.stderr
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "none.csv"), "none.csv: no such table"),
        (("fit", "other.csv"), r"other.csv: lacks the columns \['ladder', 'n_neurons', 'matches'\]"),
        (("match", "--a", "none", "--b", "none", "--out", "x.parquet"), "none: holds no store manifest"),
        (("match", "--a", "x", "--b", "x", "--out", "x.parquet", "--k", "0"), "--k"),
        (("match", "n.parquet", "--a", "x", "--b", "x", "--out", "x.parquet"), "give either"),
        (("match", "--a", "x", "--out", "x.parquet"), "give either"),
        (("fit", "words.csv"), "n_neurons in row 2 is 'abc', not a number"),
        (("fit", "good.csv", "--out", "/proc/none/x.csv"), "/proc/none"),
        (("correlate", "--a", "x", "--b", "x", "--out", "o", "--pooling", "sum"), "--pooling"),
        (("plan", "--configfile", "none.yaml"), "none.yaml: cannot read"),
    ],
)
def test_bad_arguments_get_one_message(tmp_path, arguments, message):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "good.csv").write_text("ladder,n_neurons,matches\nx,10,2\nx,20,3\n")
    (tmp_path / "words.csv").write_text("ladder,n_neurons,matches\nx,10,2\nx,abc,3\n")
    done = rosetta(*arguments, folder=tmp_path)
    assert done.returncode == 2
    assert re.search(message, done.stderr)
    assert "Traceback" not in done.stderr

"""What a user of Snakemake sees of a bad configuration: the same one message, and nothing else is
done.
"""

import re

import pytest
import yaml
from commands import tree
from workflow_runs import TINY, copy_project, run_snakemake

PRESET = {**TINY, "results": "results"}
SLIP = yaml.safe_dump(PRESET) + "ladders: {x: [[pythia-s, opt-s]]}\n"
CORPUS = {"source": {"kind": "files", "path": "corpus.jsonl", "text": "body"}}
WITH_MODEL = {**PRESET, "models": {**TINY["models"], "m": {"path": "empty"}}}
BAD = {
    "two problems": (
        {**PRESET, "matchin": {}, "matching": {"k": 0}},
        r"matching\.k: .*0\)\n  matchin: unknown",
    ),
    "key given twice": (SLIP, r"rosetta: .*run\.yaml: line \d+: the key 'ladders' is given twice"),
    "model folder": (WITH_MODEL, r"models\.m\.path: empty .*config\.json"),
    "corpus": (
        {**PRESET, "filtering": None, "corpus": CORPUS},
        r"corpus\.source\.text: no column 'body' ",
    ),
    "too many features": (
        {**PRESET, "theory": {"kappa": 50.0}},
        r"theory\.kappa: at 50, .*lower it",
    ),
    "results": (
        {**PRESET, "results": "corpus.jsonl/out"},
        r"results: .*corpus\.jsonl is not a folder",
    ),
}


@pytest.mark.parametrize(("config", "message"), BAD.values(), ids=BAD)
def test_bad_input_stops_before_any_job_with_one_message(tmp_path, config, message):
    folder = copy_project(tmp_path / "p")
    (folder / "empty").mkdir()
    (folder / "corpus.jsonl").write_text('{"text": "a document"}\n')
    (folder / "run.yaml").write_text(config if isinstance(config, str) else yaml.safe_dump(config))
    (folder / "results").mkdir()
    (folder / "results" / "earlier.txt").write_text("a result")
    before = tree(folder / "results")
    done = run_snakemake(folder, check=False)
    assert done.returncode != 0
    assert re.search(message, done.stderr), done.stderr
    assert len(re.findall("^rosetta: ", done.stderr, re.MULTILINE)) == 1
    assert "Traceback" not in done.stderr
    assert "Error" not in done.stderr, "nothing of Snakemake's own beside it"
    assert tree(folder / "results") == before

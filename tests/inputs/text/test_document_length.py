"""Memory that grows with the longest document, which some tokenizers read whole, is part of what
jobs and plans say.
"""

import json

import pytest

from rosetta.config import parse_config
from rosetta.inputs.text.build import build_corpus
from rosetta.models.known_sizes import TOKENIZING
from rosetta.plan.resources import MB, needs_of_job
from rosetta.plan.sweep import plan_run
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.manifests import read_manifest

LONG = 2 * MB  # bytes, of fewer characters
PHASES = ("activations", "twins", "correlation", "nulls", "intervals", "sweeps", "neurons")
DIMENSIONS = {"n_layers": 2, "d_mlp": 8, "n_parameters": 10**6}


def run_of(folder, *, keep=True, **corpus):
    models = {
        name: {"hub": f"a/{name}", "revision": "x", "dimensions": DIMENSIONS} for name in "mn"
    }
    return parse_config(
        {
            "corpus": {
                "source": {"kind": "files", "path": str(folder / "texts.jsonl")},
                "min_document_bytes": 1,
            }
            | {"splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0}, **corpus},
            "models": models,
            "ladders": {"l": [["m", "n"]]},
            "activations": {"keep": keep},
            "sweeps": {"budgets": True},
            **({} if keep else {"correlation": {"method": "screened"}}),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    texts = ["short", "é" * (LONG // 2), "a little longer"]
    (folder / "texts.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts)
    )
    return folder


def needs(config, paths):
    """Memory in MB of the jobs that read documents, and in the plan of their phases."""
    found = {
        rule: needs_of_job(config, paths, rule, {"model": "m"}).mb
        for rule in ("activations", "twins", "neurons")
    }
    found["correlate"] = needs_of_job(config, paths, "correlate", {"pair": "m--n"}).mb
    found["contexts"] = needs_of_job(config, paths, "contexts", {"group": "m--n"}).mb
    phases = {phase.name: phase.peak_bytes / MB for phase in plan_run(config, paths).phases}
    return found | {f"plan of {name}": phases[name] for name in PHASES}


@pytest.mark.parametrize("keep", [True, False])
def test_the_longest_document_is_part_of_the_memory_of_what_reads_documents(folder, tmp_path, keep):
    config, nowhere, paths = (
        run_of(folder, keep=keep),
        Paths(tmp_path / "no"),
        Paths(tmp_path / "results"),
    )
    build_corpus(config.corpus, paths, made_by(config, "corpus"))
    held = read_manifest(paths.corpus_manifest, "corpus")["splits"]
    assert (held["match"]["longest_bytes"], held["pool"]["longest_bytes"]) == (LONG, 0)
    unknown, known = needs(config, nowhere), needs(config, paths)
    stored = {"activations", "twins", "plan of activations", "plan of twins"}
    live = {
        "activations",
        "twins",
        "neurons",
        "correlate",
        "contexts",
        *(f"plan of {name}" for name in PHASES),
    }
    reading = stored if keep else live
    grown = {name: known[name] - unknown[name] for name in known}
    assert {name for name, more in grown.items() if more > TOKENIZING * LONG / MB / 2} == reading
    for name in reading:
        assert grown[name] == pytest.approx(TOKENIZING * LONG / MB, abs=20), name


def test_before_the_corpus_is_built_its_limit_tells_the_longest_document(folder, tmp_path):
    limited, unlimited = run_of(folder, max_document_bytes=LONG), run_of(folder)
    grown = [
        needs_of_job(config, Paths(tmp_path), "activations", {"model": "m"}).mb
        for config in (limited, unlimited)
    ]
    assert grown[0] - grown[1] == TOKENIZING * LONG / MB

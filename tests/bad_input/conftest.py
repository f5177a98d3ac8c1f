"""A sound run of local models, and a copy of it that a test may spoil."""

import json
import shutil

import pytest
import yaml
from helpers import save_tiny_model


@pytest.fixture(scope="module")
def sound(tmp_path_factory, texts):
    """A sound model of two layers, its documents, and the configuration of a run that uses it."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny_model(folder / "m", texts, "gpt_neox")
    save_tiny_model(folder / "other", texts, "opt", seed=1)
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in texts)
    )
    config = {
        "corpus": {
            "source": {"kind": "files", "path": "corpus.jsonl"},
            "min_document_bytes": 8,
            "splits": HALVES,
        },
        "models": {"m": {"path": "m"}, "other": {"path": "other"}},
        "ladders": {"l": [["m", "other"]]},
        "activations": {"sequence_length": 32, "n_shards": 1, "max_documents": 40},
        "correlation": {"memory_gb": 1.0, "precision": "float32"},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return folder


HALVES = {"train": 0.0, "match": 0.6, "pool": 0.2, "heldout": 0.2}


@pytest.fixture
def folder(sound, tmp_path):
    """A copy of it that may be spoilt."""
    shutil.copytree(sound, tmp_path / "run")
    return tmp_path / "run"

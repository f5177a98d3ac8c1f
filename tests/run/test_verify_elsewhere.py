"""A results folder is sound, or damaged, from wherever it is looked at: its models are named from another place."""

from pathlib import Path

import pytest
from helpers import save_tiny_model
from workflow_runs import TINY

from rosetta.config import parse_config
from rosetta.errors import StoreError
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.sources import model_source
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.run.steps import verify_step


def test_models_of_a_run_are_found_beside_their_manifests(tmp_path, texts, monkeypatch):
    """A trained one and its untrained twin."""
    config, paths = parse_config({**TINY, "results": "results"}), Paths(Path("results"))
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    save_tiny_model(paths.model("opt-s"), texts, "opt")
    for stage, name in (("train", "opt-s"), ("model", "opt-s~untrained-0")):
        manifest = paths.model_manifest(name)
        write_model_manifest(model_source(config, paths, name), manifest, made_by(config, stage, name))
    sound = verify_step(Path("results"))
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "run" / "results"
    assert verify_step(elsewhere).partition(": ")[2] == sound.partition(": ")[2]
    weights = elsewhere / "models" / "opt-s" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(StoreError, match=r"1 of \d+ files are damaged:\n\S*/opt-s/model\.safetensors: .*opt-s\.json"):
        verify_step(elsewhere)

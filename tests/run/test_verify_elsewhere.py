"""A results folder is sound, or damaged, from wherever it is looked at: its models are named from
another place.
"""

from pathlib import Path

import pytest
from helpers import save_tiny_model
from workflow_runs import TINY, VISION

from rosetta.config import dump_config, parse_config
from rosetta.errors import StoreError
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.sources import model_source
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.run.steps import verify_step
from rosetta.storage.digests import write_text
from rosetta.storage.manifests import describe_files, write_manifest


def test_models_of_a_run_are_found_beside_their_manifests(tmp_path, texts, monkeypatch):
    """A trained one and its untrained twin."""
    config, paths = parse_config({**TINY, "results": "results"}), Paths(Path("results"))
    (tmp_path / "run").mkdir()
    monkeypatch.chdir(tmp_path / "run")
    save_tiny_model(paths.model("opt-s"), texts, "opt")
    for stage, name in (("train", "opt-s"), ("model", "opt-s~untrained-0")):
        manifest = paths.model_manifest(name)
        write_model_manifest(
            model_source(config, paths, name), manifest, made_by(config, stage, name)
        )
    sound = verify_step(Path("results"))
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "run" / "results"
    assert verify_step(elsewhere).partition(": ")[2] == sound.partition(": ")[2]
    weights = elsewhere / "models" / "opt-s" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"x")
    with pytest.raises(
        StoreError,
        match=r"1 of \d+ files are damaged:\n\S*/opt-s/model\.safetensors: .*opt-s\.json",
    ):
        verify_step(elsewhere)


def test_what_to_type_is_told_with_the_folder_to_type_it_in(tmp_path, monkeypatch):
    """Targets are named as the run names them, so that the command works in one folder only."""
    folder = tmp_path / "my run"
    table = folder / "results" / "tables" / "notes.csv"
    write_text(
        folder / "results" / "run_config.yaml",
        dump_config(parse_config({**TINY, "results": "results"})),
    )
    write_text(table, "a\n1\n")
    table.write_text("a\n2\n")
    command = (
        "snakemake --cores all --configfile results/run_config.yaml --force "
        "results/tables/notes.csv"
    )
    for where, start in ((folder, ""), (tmp_path, f"cd '{folder}' && ")):
        monkeypatch.chdir(where)
        with pytest.raises(StoreError) as rejected:
            verify_step(folder / "results")
        assert str(rejected.value).splitlines()[-1] == f"Make it again: {start}{command}"


def test_a_damaged_part_of_the_viewer_is_made_again_with_its_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = Paths(Path("results"))
    write_text(paths.run_config, dump_config(parse_config({**TINY, "results": "results"})))
    write_text(paths.viewer, "<p>")
    write_text(paths.viewer_part(0), "rosettaPart(0,{});")
    paths.viewer_part(0).write_text("rosettaPart(1,{});")
    with pytest.raises(StoreError, match=r"viewer/0\.js: .*\n.*--force results/viewer\.html$"):
        verify_step(Path("results"))


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("preset", "name", "is_temporary"),
    [
        (TINY, "opt-s", False),
        (TINY, "opt-s~untrained-0", True),
        (VISION, "pmf-s", False),
        (VISION, "vit-s~2@pmf-s", False),
        (VISION, "vit-s~untrained-0@pmf-s", True),
    ],
)
def test_a_store_is_missed_if_nothing_deletes_it(tmp_path, preset, name, is_temporary, keep):
    results = tmp_path / "results"
    activations = {**preset["activations"], "keep": keep}
    config = parse_config({**preset, "results": str(results), "activations": activations})
    write_text(results / "run_config.yaml", dump_config(config))
    manifest = Paths(results).store_manifest(name, 2, 0)
    store = manifest.with_suffix(".zarr")
    store.mkdir(parents=True)
    (store / "zarr.json").write_text("{}")
    write_manifest(manifest, {"kind": "activations", "files": describe_files(store)})
    verify_step(results)
    (store / "zarr.json").write_text("[]")
    with pytest.raises(StoreError, match=r"0\.zarr/zarr\.json"):
        verify_step(results)
    (store / "zarr.json").unlink()
    store.rmdir()
    if is_temporary or not keep:
        verify_step(results)
        return
    with pytest.raises(StoreError, match=r"0\.zarr/zarr\.json: missing"):
        verify_step(results)

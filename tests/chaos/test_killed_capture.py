"""A capture of images that is killed leaves nothing that is taken for a store or a set of images,
and makes the same files once it is run again.
"""

import shutil
from pathlib import Path

import pytest
from commands import run_here
from workflow_runs import run_of

from rosetta.config.load import load_config
from rosetta.run.paths import Paths
from rosetta.run.pieces import is_due
from rosetta.run.stages.record import Piece

RUN_CONFIG = "results/run_config.yaml"


class Killed(BaseException):
    pass


def killed(*_arguments, **_options):
    raise Killed


def killed_after_a_batch(plain):
    def watched(*arguments, **options):
        yield next(iter(plain(*arguments, **options)))
        raise Killed

    return watched


# Stores, the stage that makes them, and the function in which the job dies; whether it yields.
KILLS = {
    "while images are made": ("pmf-s", "generate", "activations.image_shards.generate_shard", True),
    "between store and images": (
        *("pmf-s", "generate", "activations.image_shards.write_image_set", False),
    ),
    "while images are shown": (
        *("vit-s@pmf-s", "activations", "activations.image_shards.show_images", True),
    ),
}


@pytest.mark.parametrize(("stores", "stage", "place", "yields"), KILLS.values(), ids=KILLS)
def test_a_killed_capture_is_due_and_made_again(
    mixed, tmp_path, monkeypatch, stores, stage, place, yields
):
    results = tmp_path / "results"
    for part in ("images", "models", "captured"):
        shutil.copytree(mixed / "results" / part, results / part)
    shutil.copy(mixed / RUN_CONFIG, results)
    if stage == "generate":
        shutil.rmtree(results / "images" / "generated" / stores)
    command = ["activations", "--config", RUN_CONFIG, "--model", stores, "--shard", "0"]
    command += ["--threads", "1"]  # as small models are captured: more round otherwise
    module, name = f"rosetta.{place}".rsplit(".", 1)
    with monkeypatch.context() as patched:
        plain = getattr(__import__(module, fromlist=[name]), name)
        patched.setattr(f"{module}.{name}", killed_after_a_batch(plain) if yields else killed)
        patched.setattr("rosetta.storage.atomic._remove", lambda _: None)  # as SIGKILL leaves it
        with pytest.raises(Killed):
            run_here(*command, folder=tmp_path)
    monkeypatch.chdir(tmp_path)
    piece = Piece(stage, {"model": stores, "shard": 0})
    config, paths = load_config(Path(RUN_CONFIG)), Paths(Path("results"))
    assert is_due(config, paths, piece)
    assert temporary(results) or not yields
    run_of(tmp_path, *command)
    assert not temporary(results)
    for folder in (f"activations/{stores}", f"images/generated/{stores}"):
        made = files_of(results / folder)
        expected = files_of(mixed / "results" / folder)
        assert made == {file: expected[file] for file in made}
    assert "2-shards/0.json" in files_of(results / "activations" / stores)


def temporary(folder):
    return [path for path in folder.rglob(".*.tmp")]


def files_of(folder):
    """Return the content of all files but digests, which tell the job, too."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".digest"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}

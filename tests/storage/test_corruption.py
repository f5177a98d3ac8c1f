"""Damage to any file that a later step reads: found before use, named, and made again by the
command that is told.
"""

import hashlib
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import assert_rejected, run_here
from helpers import tiny_sizes, tiny_tokenizer

from rosetta.cli.app import main
from rosetta.config.zoo import ZooFamily
from rosetta.correlation.kept_arrays import kept_arrays
from rosetta.errors import StoreError
from rosetta.models.zoo.model_training import train_zoo_model
from rosetta.storage.digests import digest_json
from rosetta.storage.names import digest_path
from rosetta.storage.tables import read_csv, write_csv

RUN = ["--config", "results/run_config.yaml"]
MODEL = [*RUN, "--model", "qwen-s"]
MATCH = [
    "match",
    "results/neighbors/pythia-s--opt-s/0-of-1.parquet",
    "--out",
    "new.parquet",
    "--null",
    "untrained=results/nulls/untrained/pythia-s--opt-s.parquet",
    "--intervals",
    "results/intervals/pythia-s--opt-s.parquet",
]
BASE, TRAINED = (
    ["filtering", "pretrain", *RUN, "--filter", name, "--seed", "0"] for name in ("base", "rosetta")
)
SCORE = ["filtering", "score", *RUN, "--shard", "0"]
PAIR, STORE, SUMS = "pythia-s--opt-s", "activations/qwen-s/2-shards", "filtering/sums"
# Every kind of file that a step reads; a command that reads it; the output of a rule that is made
# again.
FILES = {
    "run_config.yaml": (["counts", *RUN], None),
    "corpus/manifest.json": (["tokenizer", *RUN, "--family", "qwen"], None),
    "corpus/train.parquet": (["tokenizer", *RUN, "--family", "qwen"], None),
    "corpus/match.parquet": (["neurons", *MODEL], None),
    "corpus/pool.parquet": (["filtering", "pool", *RUN], None),
    "corpus/heldout.parquet": (BASE, None),
    "tokenizers/qwen.json": (["train", *MODEL], None),
    "tokenizers/qwen/tokenizer.json": (["train", *MODEL], "tokenizers/qwen.json"),
    "models/qwen-s.json": (["vocabulary", *MODEL], None),
    "models/qwen-s/model.safetensors": (["vocabulary", *MODEL], "models/qwen-s.json"),
    "models/qwen-s/config.json": (["vocabulary", *MODEL], "models/qwen-s.json"),
    "models/qwen-s/tokenizer.json": (["activations", *MODEL, "--shard", "0"], "models/qwen-s.json"),
    "models/opt-m.json": (["counts", *RUN], None),
    f"{STORE}/0.json": (["neurons", *MODEL], None),
    f"{STORE}/0.zarr/zarr.json": (["neurons", *MODEL], f"{STORE}/0.json"),
    f"{STORE}/0.zarr/mean/c/0/0": (["neurons", *MODEL], f"{STORE}/0.json"),
    f"{STORE}/0.zarr/byte_end/c/0": (["neurons", *MODEL], f"{STORE}/0.json"),
    f"{STORE}/0.zarr/activations/0/zarr.json": (["neurons", *MODEL], f"{STORE}/0.json"),
    f"{STORE}/0.zarr/activations/0/c/0/0": (["neurons", *MODEL], f"{STORE}/0.json"),
    f"neighbors/{PAIR}/0-of-1.parquet": (MATCH, None),
    f"nulls/untrained/{PAIR}.parquet": (MATCH, None),
    f"intervals/{PAIR}.parquet": (MATCH, None),
    f"intervals/{PAIR}.replicates.parquet": (["counts", *RUN], None),
    f"sweeps/{PAIR}.parquet": (["control-tables", *RUN], None),
    f"instruments/{PAIR}.parquet": (["instrument-tables", *RUN], None),
    "sae/qwen-s.json": (["sae-encode", *MODEL], None),
    "sae/qwen-s/0/cfg.json": (["sae-encode", *MODEL], "sae/qwen-s.json"),
    "sae/qwen-s/0/sae_weights.safetensors": (["sae-encode", *MODEL], "sae/qwen-s.json"),
    "sae_neurons/qwen-s.parquet": (["sae-tables", *RUN], None),
    "sae_samples/qwen-s.parquet": (["sae-tables", *RUN], None),
    f"features/{STORE}/0.json": (["sae-match", *RUN, "--pair", "pythia-s--qwen-s"], None),
    f"features/matches/{PAIR}.parquet": (["sae-tables", *RUN], None),
    f"features/nulls/documents/{PAIR}.parquet": (["sae-tables", *RUN], None),
    "tables/sae_features.csv": (["sae-figures", *RUN], None),
    f"matches/{PAIR}.parquet": (
        ["anchors", f"results/matches/{PAIR}.parquet", "--out", "new.parquet"],
        None,
    ),
    f"rosetta/{PAIR}.parquet": (["contexts", *RUN, "--group", PAIR], None),
    "contexts/pythia-s.parquet": (["contexts", *RUN, "--group", PAIR], None),
    "vocabulary/qwen-s.parquet": (["describe", *RUN], None),
    "neurons/qwen-s.parquet": (["describe", *RUN], None),
    f"excerpts/{PAIR}.json": (["viewer", *RUN], None),
    "tables/counts.csv": (["fit", "results/tables/counts.csv", "--out", "new.csv"], None),
    "tables/replicates.csv": (
        [
            "fit",
            "results/tables/counts.csv",
            "--replicates",
            "results/tables/replicates.csv",
            "--out",
            "new.csv",
        ],
        None,
    ),
    "tables/scaling.csv": (["findings", *RUN], None),
    "tables/polarization_by_model.csv": (["neuron-figures", *RUN], None),
    "tables/null_summary.csv": (["control-figures", *RUN], None),
    "tables/similarity.csv": (["instrument-figures", *RUN], None),
    "tables/depth_agreement.csv": (["report", *RUN], None),
    "tables/findings.csv": (["report", *RUN], None),
    "tables/theory_beta.csv": (["theory", "compare", *RUN], None),
    "tables/theory_frontiers.csv": (["theory", "figures", *RUN], None),
    "theory/simulation/beta-1.5.csv": (
        ["theory", "exponents", *RUN, "results/theory/simulation/beta-1.5.csv"],
        None,
    ),
    "theory/ngrams.parquet": (["theory", "figures", *RUN], None),
    "tables/theory_ngrams.csv": (["theory", "beta", *RUN, "--out", "new.csv"], None),
    "figures/scaling.png": (["report", *RUN], None),
    f"{SUMS}/choice.json": (SCORE, None),
    f"{SUMS}/classifier.parquet": (SCORE, None),
    f"{SUMS}/candidates.parquet": (["filtering", "select", *RUN], None),
    f"{SUMS}/pool.json": (SCORE, None),
    f"{SUMS}/pool/0.parquet": (SCORE, None),
    f"{SUMS}/scores/0.json": (["filtering", "select", *RUN], None),
    f"{SUMS}/scores/0.parquet": (["filtering", "select", *RUN], None),
    f"{SUMS}/selections.json": (TRAINED, None),
    f"{SUMS}/selections/rosetta.parquet": (TRAINED, f"{SUMS}/selections.json"),
    f"{SUMS}/trainings/base-0.json": (["filtering", "tables", *RUN], None),
    f"{SUMS}/recovery.csv": (["filtering", "tables", *RUN], None),
    f"{SUMS}/shares.csv": (["filtering", "tables", *RUN], None),
    f"{SUMS}/percentiles.csv": (["filtering", "tables", *RUN], None),
    f"{SUMS}/corpus.json": (["report", *RUN], None),
}


@pytest.fixture(scope="module")
def copy(finished, tmp_path_factory):
    """A copy of the finished project, times included, whose files are damaged one after the
    other.
    """
    return shutil.copytree(finished, tmp_path_factory.mktemp("damaged") / "p", symlinks=True)


@pytest.fixture
def command(copy, monkeypatch, capsys):
    """Run `rosetta …` in the copy; return the exit code and what it printed to stderr."""
    monkeypatch.chdir(copy)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rosetta", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code, capsys.readouterr().err

    return run


def flipped(data, rng):
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def of_another_run(path):
    """Return a file of the same kind that is whole in itself; None where it cannot be told from
    damage.
    """
    if path.suffix == ".csv":
        return pd.read_csv(path)[:-1].to_csv(index=False).encode()
    if path.suffix == ".parquet":
        return pd.read_parquet(path)[:-1].to_parquet()
    if path.suffix == ".json" and "manifest_digest" in path.read_text():
        manifest = {**json.loads(path.read_text()), "made_by": {"version": 0}}
        del manifest["manifest_digest"]
        return json.dumps({**manifest, "manifest_digest": digest_json(manifest)}).encode()
    return None


def damages(path):
    """Yield (what is done, the content after it); None for no file."""
    data, rng = path.read_bytes(), random.Random(zlib.crc32(path.name.encode()))
    yield "flipped", flipped(data, rng)
    yield "flipped", flipped(data, rng)
    yield "truncated", data[: rng.randrange(len(data))]
    yield "missing", None
    if other := of_another_run(path):
        yield "another", other


def written(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def put(path, data):
    path.unlink(missing_ok=True)
    if data is not None:
        path.write_bytes(data)


def check_damage(project, run, name, reader, fix):
    """Damage a file in all ways: a command that reads it fails, names it and says how to make it
    again, and writes nothing.
    """
    path = project / "results" / name
    saved = shutil.copy2(path, project.parent / "saved")
    for done, data in damages(path):
        put(path, data)
        before = written(project)
        code, said = run(*reader)
        after = written(project)
        path.unlink(missing_ok=True)
        shutil.copy2(saved, path)
        assert code == 2, (done, said[-2000:])
        assert "Traceback" not in said
        (message,) = re.findall(r"^rosetta: (.*)", said, re.MULTILINE)
        assert "results/" + re.split(r"(/pixels)?\.zarr", name)[0] in message, (done, message)
        assert message.endswith(fix), message
        assert after == before, done


@pytest.mark.parametrize("name", FILES)
def test_damage_is_found_before_use_and_named(copy, command, name):
    reader, piece = FILES[name]
    force = f"--configfile results/run_config.yaml --force results/{piece or name}"
    check_damage(copy, command, name, reader, "" if name == "run_config.yaml" else force)


MADE, SHOWN = "images/generated/pmf-s/2-shards", "activations/vit-s@pmf-s/2-shards"
OF_DRAWN = ["activations", *RUN, "--model", "vit-m", "--shard", "0"]
OF_MADE = ["activations", *RUN, "--model", "vit-s~2@pmf-s", "--shard", "0"]
TRAIN, PARTNERS = ["train", *RUN, "--model", "vit-m"], ["partner-images", *RUN, "--pair"]
# The same of a run on images: its files; a command that reads each; what a rule makes again, or,
# after `rm`, the job that makes it with what the rule declares.
IMAGE_FILES = {
    "images/train.json": (TRAIN, "--force", "images/train.json"),
    "images/train/table.parquet": (TRAIN, "--force", "images/train.json"),
    "images/match.json": (OF_DRAWN, "--force", "images/match.json"),
    "images/match/pixels.zarr/c/0/0/0/0": (OF_DRAWN, "--force", "images/match.json"),
    f"{MADE}/0.json": (OF_MADE, "rm -f", f"{MADE}/0.json"),
    f"{MADE}/0/table.parquet": (OF_MADE, "rm -f", f"{MADE}/0.json"),
    f"{MADE}/0/pixels.zarr/c/0/0/0/0": (OF_MADE, "rm -f", f"{MADE}/0.json"),
    "models/vit-s~2/model.safetensors": (OF_MADE, "rm -f", "models/vit-s~2.json"),
    f"{SHOWN}/1.zarr/activations/0/c/0/0": (
        [*PARTNERS, "pmf-s--vit-s"],
        "rm -f",
        f"{SHOWN}/1.json",
    ),
    "matches/pmf-s~2--vit-s.parquet": (["counts", *RUN], "rm -f", "matches/pmf-s~2--vit-s.parquet"),
    "captured/pmf-s.json": (["report", *RUN], "--force", "captured/pmf-s.json"),
    "contact_sheets/pmf-s--vit-s.png": (["report", *RUN], "--force", "contact_sheets/"),
    "tables/generated_images.csv": (["report", *RUN], "--force", "tables/generated_images.csv"),
}


@pytest.fixture(scope="module")
def image_copy(mixed, tmp_path_factory):
    folder = shutil.copytree(mixed, tmp_path_factory.mktemp("damaged") / "p", symlinks=True)
    for name in ("vit-m", "vit-s~2@pmf-s"):  # a capture takes the manifest away that it replaces
        (folder / "results" / "activations" / name / "2-shards" / "0.json").unlink()
    return folder


@pytest.mark.parametrize("name", IMAGE_FILES)
def test_damage_to_images_is_found_before_use_and_named(image_copy, name):
    def run(*arguments):
        code, _, said = run_here(*arguments, folder=image_copy)
        return code, said

    reader, how, piece = IMAGE_FILES[name]
    piece = f"results/{name if piece.endswith('/') else piece}"
    start = "snakemake --cores all --configfile results/run_config.yaml"
    fix = (
        f"{start} --force {piece}" if how == "--force" else f"rm -f {shlex.quote(piece)} && {start}"
    )
    check_damage(image_copy, run, name, reader, fix)


def test_verify_tells_damaged_images_and_a_store_that_is_gone(image_copy):
    assert run_here("verify", "results", folder=image_copy).code == 0
    results = image_copy / "results"
    pixels, store = results / MADE / "1/pixels.zarr/c/0/0/0/0", results / SHOWN / "0.zarr"
    whole = pixels.read_bytes()
    pixels.write_bytes(flipped(whole, random.Random(0)))
    store.rename(results / "away")
    done = run_here("verify", "results", folder=image_copy)
    (results / "away").rename(store)
    pixels.write_bytes(whole)
    for named in (rf"{SHOWN}/0\.zarr/\S+: missing", rf"{MADE}/1/pixels\.zarr/\S+: damaged"):
        assert_rejected(done, named)
    told = f"rm -f results/{MADE}/1.json results/{SHOWN}/0.json && snakemake --cores all"
    assert told in done.err


DAMAGED = [
    "corpus/heldout.parquet",
    "tokenizers/qwen/tokenizer.json",
    "models/qwen-s/config.json",
    "models/opt-m.json",
    f"{STORE}/0.zarr/activations/0/c/0/0",
    f"excerpts/{PAIR}.json",
    "figures/scaling.png",
    "tables/counts.csv",
    f"{SUMS}/pool/0.parquet",
    f"{SUMS}/scores/0.json",
    f"{SUMS}/selections/rosetta.parquet",
]


def test_verify_tells_all_damaged_files_and_nothing_else(copy, command):
    code, _ = command("verify")
    assert code == 0
    saved = {copy / "results" / name: (copy / "results" / name).read_bytes() for name in DAMAGED}
    for path, data in saved.items():
        path.write_bytes(flipped(data, random.Random(path.name)))
    code, said = command("verify", copy / "results")
    for path, data in saved.items():
        path.write_bytes(data)
    assert code == 2
    lines = said[said.index("rosetta: ") :].splitlines()
    assert re.match(rf"rosetta: {len(DAMAGED)} of \d+ files are damaged:", lines[0])
    assert {Path(line.split(":")[0]).resolve() for line in lines[1:-1]} == {
        path.resolve() for path in saved
    }
    pieces = [f"results/{FILES[name][1] or name}" for name in DAMAGED]
    told = shlex.split(re.search("for piece in (.*?); do", lines[-1])[1])
    assert sorted(told) == sorted(pieces)
    model, store, counts = (
        told.index(f"results/{name}")
        for name in ("models/qwen-s.json", f"{STORE}/0.json", "tables/counts.csv")
    )
    assert model < store < counts, "what others read is made again before them"


def contents(folder):
    paths = [path for path in (folder / "results").rglob("*") if path.is_file()]
    names = {
        path.relative_to(folder): path
        for path in paths
        if not {"logs", "benchmarks"} & set(path.parts)
    }
    return {name: path.read_bytes() for name, path in names.items()}


def test_what_verify_says_makes_exactly_the_damaged_pieces_again(finished, tmp_path):
    """A table, a chunk of a store and the weights of a model: three jobs, and everything is as it
    was.
    """
    copy = shutil.copytree(finished, tmp_path / "p", symlinks=True)
    before = contents(copy)
    for name in (
        "tables/theory_exponents.csv",  # reads nothing of the other two
        "models/qwen-s/model.safetensors",
        "activations/opt-s/2-shards/1.zarr/mean/c/0/0",
    ):
        path = copy / "results" / name
        path.write_bytes(flipped(path.read_bytes(), random.Random(0)))
    told = run_here("verify", "results", folder=copy)
    assert told.code == 2
    typed = told.err.partition("Make them again: ")[2]
    path = os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()])
    done = subprocess.run(
        typed,
        shell=True,
        cwd=copy,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    totals = re.findall(r"^total +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    assert totals == ["1", "1", "1"]
    assert contents(copy) == before


def test_what_a_killed_job_left_damaged_is_made_again(tmp_path, capsys):
    """Not rejected: nothing but the job itself would make it."""
    path, calls = tmp_path / "tile.npz", []

    def make():
        calls.append(1)
        return {"r": np.arange(50.0)}

    kept_arrays(kept_arrays(path, make), make)
    assert len(calls) == 1
    whole = path.read_bytes()
    for _, data in damages(path):
        put(path, data)
        kept_arrays(path, make)
        assert path.read_bytes() == whole
    assert len(calls) == 5
    assert f"{path}: damaged; computing it again" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path, texts, capsys):
    size, training = tiny_sizes()
    training = training.model_copy(update={"steps": 3, "checkpoint_every": 2})
    family, tokenizer = (
        ZooFamily(architecture="gpt2", vocab_size=300, seed=0),
        tiny_tokenizer(texts),
    )

    def train():
        return train_zoo_model(family, size, training, tokenizer, texts, tmp_path)[0].state_dict()

    trained = train()
    whole = (tmp_path / "last.pt").read_bytes()
    for at in range(100, len(whole), len(whole) // 8):
        (tmp_path / "last.pt").write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert all(torch.equal(value, trained[name]) for name, value in train().items())
        assert "last.pt: damaged; starting from step 0" in capsys.readouterr().err


def test_a_table_of_the_user_is_taken_as_it_is(tmp_path):
    """Without a digest beside it; one that was written here and edited is rejected, and the message
    says why.
    """
    table = pd.DataFrame({"x": [1, 2]})
    write_csv(tmp_path / "t.csv", table)
    (tmp_path / "t.csv").write_text("x\n3\n")
    with pytest.raises(
        StoreError,
        match=r"t\.csv: not what was written here.*delete .*\.t\.csv\.digest if you changed",
    ):
        read_csv(tmp_path / "t.csv", ["x"])
    digest_path(tmp_path / "t.csv").unlink()
    assert read_csv(tmp_path / "t.csv", ["x"])["x"].tolist() == [3]


def test_digests_are_those_of_b2sum(tmp_path):
    write_csv(tmp_path / "t.csv", pd.DataFrame({"x": [1]}))
    digest = hashlib.blake2b((tmp_path / "t.csv").read_bytes(), digest_size=16).hexdigest()
    assert digest_path(tmp_path / "t.csv").read_text() == f"{digest}  t.csv\n"

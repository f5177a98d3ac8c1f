"""The paper's own sweep as presets: they say what the paper says, and are planned without network
and corpus.
"""

import json
import re
import socket
from pathlib import Path
from unittest.mock import Mock

import pyarrow as pa
import pytest
import yaml
from transformers import GPT2Config, GPTNeoXConfig, OPTConfig, Qwen2Config
from typer.testing import CliRunner
from workflow_runs import copy_project, jobs_of, run_snakemake

from rosetta.cli.app import app
from rosetta.config import load_config, parse_config
from rosetta.errors import CorpusError, ModelError
from rosetta.models import loading
from rosetta.models.diffusion.facts import pipeline_facts
from rosetta.models.eva02.config import Eva02Config
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import NeuronShape
from rosetta.plan.checks import check_config
from rosetta.plan.methods import compare_methods, with_method
from rosetta.plan.sweep import plan_run
from rosetta.run.paths import Paths
from rosetta.run.stages import job_names

PRESETS = Path(__file__).parents[2] / "workflow" / "presets"
PAPER, SMALL, CODE = (
    PRESETS / f"{n}.yaml" for n in ("paper-language", "pythia-gpt2-opt-small", "codesearchnet")
)
COMMIT = re.compile(r"[0-9a-f]{40}")
# Sizes as method.md, section 5, prints the ladders.
LADDERS = {
    "opt-qwen": "1.3B/1.5B, 2.7B/3B, 6.7B/7B, 13B/14B, 30B/32B",
    "pythia-opt": "160M/125M, 410M/350M, 1.4B/1.3B, 2.8B/2.7B, 6.9B/6.7B, 12B/13B",
    "pythia-gpt2": "160M/124M, 410M/355M, 1.4B/1.5B",
    "opt-pythia-gpt2": "125M/160M/124M, 350M/410M/355M, 1.3B/1.4B/1.5B",
    "pythia-opt-qwen": "1.4B/1.3B/1.5B, 2.8B/2.7B/3B, 6.9B/6.7B/7B, 12B/13B/14B",
}


def billions(text: str) -> float:
    return float(text[:-1]) * {"M": 1e-3, "B": 1.0}[text[-1]]


def test_the_paper_preset_has_the_ladders_of_the_paper():
    config = load_config(PAPER)
    assert list(config.ladders) == list(LADDERS)
    for name, sizes in LADDERS.items():
        rungs = [rung.split("/") for rung in sizes.split(", ")]
        assert [len(rung) for rung in config.ladders[name]] == [len(rung) for rung in rungs]
        families = name.replace("qwen", "qwen2.5").split("-")
        for models, expected in zip(config.ladders[name], rungs, strict=True):
            for model, family, size in zip(models, families, expected, strict=True):
                assert model.startswith(family)
                found = config.models[model].dimensions.n_parameters / 1e9
                assert found == pytest.approx(billions(size), rel=0.1), (
                    f"{model} has not {size} parameters"
                )
    assert sum(map(len, config.ladders.values())) == 21
    assert (
        config.corpus.sampling.max_sequences * config.activations.sequence_length
        == pytest.approx(10e6, rel=1e-3)
    )


def test_the_sweep_is_hundreds_of_jobs():
    assert 200 < sum(map(len, job_names(load_config(PAPER)).values())) < 500


@pytest.mark.parametrize("preset", [PAPER, SMALL, CODE], ids=lambda path: path.stem)
def test_every_model_is_a_commit_and_says_its_size(preset):
    for name, entry in load_config(preset).models.items():
        assert COMMIT.fullmatch(entry.revision), f"{preset}: models.{name}.revision"
        assert entry.dimensions


def test_presets_agree_on_their_models():
    paper = load_config(PAPER)
    for preset in (SMALL, CODE):
        for name, entry in load_config(preset).models.items():
            theirs = paper.models[name]
            assert (entry.hub, entry.revision, entry.dimensions) == (
                theirs.hub,
                theirs.revision,
                theirs.dimensions,
            )


# The widths of published configurations that `dimensions` leaves out; which count parameters, and
# reject a wrong d_mlp.
PUBLISHED = {
    "opt-350m": OPTConfig(
        hidden_size=1024,
        num_hidden_layers=24,
        ffn_dim=4096,
        num_attention_heads=16,
        word_embed_proj_dim=512,
        do_layer_norm_before=False,
    ),
    "opt-30b": OPTConfig(
        hidden_size=7168,
        num_hidden_layers=48,
        ffn_dim=28672,
        num_attention_heads=56,
        word_embed_proj_dim=7168,
    ),
    "pythia-12b": GPTNeoXConfig(
        hidden_size=5120,
        num_hidden_layers=36,
        intermediate_size=20480,
        num_attention_heads=40,
        vocab_size=50688,
    ),
    "gpt2-xl": GPT2Config(n_embd=1600, n_layer=48, n_head=25),
    "qwen2.5-3b": Qwen2Config(
        hidden_size=2048,
        num_hidden_layers=36,
        intermediate_size=11008,
        num_attention_heads=16,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_dimensions_are_those_of_the_published_configurations(name):
    said, config = load_config(PAPER).models[name].dimensions, PUBLISHED[name]
    assert neuron_shape(config, name) == NeuronShape(said.n_layers, said.d_mlp)
    assert count_parameters(config) == said.n_parameters


@pytest.fixture
def offline(monkeypatch):
    def reject(*_arguments, **_options):
        raise AssertionError("a plan needs no network")

    monkeypatch.setattr(socket.socket, "connect", reject)


@pytest.mark.parametrize("preset", [PAPER, SMALL, CODE], ids=lambda path: path.stem)
def test_presets_are_planned_offline_without_their_corpus(preset, tmp_path, monkeypatch, offline):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(
        app, ["plan", "--configfile", str(preset), "--tflops", "250", "--devices", "8"]
    )
    assert done.exit_code == 0, done.output
    config = load_config(preset)
    if config.corpus.source.kind == "files":
        assert f"there is no {config.corpus.source.path} yet" in done.output
    sampling = config.corpus.sampling
    documents = sampling.max_sequences if sampling else config.activations.max_documents
    assert f"positions: {documents * 1024:,} per model" in done.output
    rows = re.findall(
        r"^(exact|screened)(\*?) +(kept|temporary|none) +(\d+)((?: +[\d.,e+]+){6})$",
        done.output,
        re.MULTILINE,
    )
    assert [(row[0], row[2]) for row in rows] == [
        (m, k) for m in ("exact", "screened") for k in ("kept", "temporary", "none")
    ]
    kept = "none" if config.store_mode == "live" else config.store_mode
    assert [row[:3] for row in rows if row[1]] == [(config.correlation.method, "*", kept)]


def test_a_twin_of_a_hub_model_is_planned_from_the_dimensions_of_that(tmp_path, offline):
    data = load_config(SMALL).model_dump(exclude_unset=True)
    models = {"gpt2": data["models"]["gpt2"], "twin": {"untrained": {"of": "gpt2"}}}
    data |= {"models": models, "ladders": {"l": [["gpt2", "twin"]]}, "corpus": {}}
    plan = plan_run(parse_config(data), Paths(tmp_path), 250.0)
    assert "gpt2 × twin: 36,864 × 36,864 neurons" in plan.render()


def test_a_plan_that_needs_the_network_says_how_to_do_without(tmp_path, monkeypatch):
    monkeypatch.setattr(
        loading.AutoConfig, "from_pretrained", Mock(side_effect=OSError("no network"))
    )
    data = load_config(SMALL).model_dump(exclude_unset=True)
    del data["models"]["gpt2"]["dimensions"]
    data["corpus"] = {}
    with pytest.raises(
        ModelError, match=r"models\.gpt2: cannot load .*\(OSError: no network\).*`dimensions`"
    ):
        plan_run(parse_config(data), Paths(tmp_path), 250.0)


KEEP = {"kept": True, "temporary": "temporary", "none": False}


def test_the_table_of_methods_is_made_of_their_plans(tmp_path):
    config = load_config(SMALL)
    table = compare_methods(config, Paths(tmp_path), plan_run(config, Paths(tmp_path), 250.0))
    rows = [
        line.replace("*", " ").split()
        for line in table.splitlines()
        if line.startswith(("exact", "screened"))
    ]
    left = {}
    for cells in rows:
        method, keep = cells[0], KEEP[cells[1]]
        plan = plan_run(with_method(config, method, keep), Paths(tmp_path), 250.0)
        jobs, flops, disk, rest, _memory, hours, disk_hours = cells[-7:]
        assert int(jobs) == sum(map(len, job_names(config).values()))
        moved = sum(phase.operations.moved_bytes for phase in plan.phases)
        assert float(disk_hours) == pytest.approx(moved / 0.5e9 / 3600, abs=0.01)
        assert (moved == 0) is (keep is False)
        assert float(flops) == pytest.approx(sum(phase.flops for phase in plan.phases), rel=1e-2)
        assert float(hours) == pytest.approx(plan.device_hours, abs=0.01)
        left[method, keep] = float(rest)
        assert float(rest) <= float(disk)
    stores = 3 * 36_864 * 196 * 1024 * 2 / 1e9
    for method in ("exact", "screened"):
        assert left[method, True] - left[method, "temporary"] == pytest.approx(stores, abs=0.2)
        assert left[method, False] <= left[method, "temporary"] + 0.1


def test_jobs_that_share_tiles_are_planned_as_one_where_screened():
    config = load_config(SMALL)
    shared = config.model_copy(
        update={"correlation": config.correlation.model_copy(update={"n_jobs": 4})}
    )
    assert with_method(shared, "screened", True).correlation.n_jobs == 1
    assert with_method(shared, "exact", False).correlation.n_jobs == 4


def test_a_run_needs_the_corpus_that_a_plan_does_without(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_config(SMALL)
    check_config(config, need_sources=False)
    with pytest.raises(
        CorpusError, match=r"corpus\.source\.path: data/pile/val\.jsonl\.zst does not exist"
    ):
        check_config(config)
    file = tmp_path / "data" / "pile" / "val.jsonl.zst"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"no archive")
    with pytest.raises(CorpusError, match="cannot be read"):
        check_config(config, need_sources=False)


def test_snakemake_plans_the_whole_sweep(tmp_path):
    """With one document in the place of the Pile, in its format."""
    project = copy_project(tmp_path / "p")
    file = project / load_config(PAPER).corpus.source.path
    file.parent.mkdir(parents=True)
    record = {"text": "To be, or not to be. " * 300, "meta": {"pile_set_name": "Gutenberg (PG-19)"}}
    with pa.CompressedOutputStream(str(file), "zstd") as stream:
        stream.write(json.dumps(record).encode() + b"\n")
    found = jobs_of(run_snakemake(project, "-n", config=yaml.safe_load(PAPER.read_text())))
    del found["all"]
    assert found == {
        rule: len(names) for rule, names in job_names(load_config(PAPER)).items() if names
    }


VISION = PRESETS / "paper-vision.yaml"
DINOV3 = PRESETS / "dinov3-hook.yaml"


def test_the_vision_sweep_pairs_each_generator_with_models_of_its_scale():
    """All 21 runs of Table 3, five ladders."""
    config = load_config(VISION)
    assert [len(rungs) for rungs in config.ladders.values()] == [3, 5, 5, 5, 3]
    assert config.images.generated.n_images == 50_000
    sizes = {
        name: entry.dimensions.n_layers * entry.dimensions.d_mlp
        for name, entry in config.models.items()
    }
    assert (sizes["pmf-b"], sizes["pmf-l"], sizes["pmf-h"]) == (32_768, 87_360, 163_824)
    assert (sizes["dinov2-g"], sizes["clip-h"], sizes["pixio-b"]) == (163_840, 163_840, 36_864)
    assert (sizes["sana"], sizes["pixio-1b"], sizes["clip-bigg"]) == (112_000, 294_912, 393_216)
    assert (sizes["flux2-klein"], sizes["pixio-5b"]) == (230_400, 589_824)
    assert config.ladders["generator-clip"][-1] == ["flux2-klein", "eva02-e"]
    assert config.ladders["generator-pixio-clip"][-1] == ["flux2-klein", "pixio-5b", "eva02-e"]
    said, published = config.models["eva02-e"].dimensions, Eva02Config()
    assert (said.n_layers, said.d_mlp, said.n_cells) == (
        published.num_hidden_layers,
        published.intermediate_size,
        published.side**2,
    )
    for rungs in config.ladders.values():
        assert all(config.is_generator(rung[0]) for rung in rungs)


@pytest.mark.parametrize(
    ("name", "kind", "transformer", "channels"),
    [
        (
            "sana",
            "SanaSprintPipeline",
            {
                "num_layers": 20,
                "num_attention_heads": 70,
                "attention_head_dim": 32,
                "patch_size": 1,
            },
            ("encoder_block_out_channels", 6),
        ),
        (
            "flux2-klein",
            "Flux2KleinPipeline",
            {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24}
            | {"attention_head_dim": 128},
            ("block_out_channels", 4),
        ),
    ],
)
def test_dimensions_of_pipelines_are_those_of_the_published_configurations(
    name, kind, transformer, channels
):
    entry = load_config(VISION).models[name]
    named = entry.pipeline.model_copy(update={"class_names": ["tench"]})
    levels = {channels[0]: [8] * channels[1]}
    index, config = {"_class_name": kind}, {**transformer, "in_channels": 32}
    told = pipeline_facts(index, config, levels, named, f"models.{name}")
    said = entry.dimensions
    assert (told.shape.n_layers, told.shape.d_mlp) == (said.n_layers, said.d_mlp)
    assert told.grid[0] * told.grid[1] == said.n_cells


def test_both_hooks_on_dinov3_are_matched_with_the_same_generators():
    config = load_config(DINOV3)
    right, wrong = config.ladders["pmf-dinov3"], config.ladders["pmf-dinov3-w2"]
    assert [rung[0] for rung in right] == [rung[0] for rung in wrong]
    changed = [pair for pair in zip(right, wrong, strict=True) if pair[0] != pair[1]]
    ((_, neurons), (_, read)) = changed[0]
    first, second = config.models[neurons], config.models[read]
    assert (len(changed), first.recorded, second.recorded) == (1, "neurons", "mlp_input")
    assert (first.hub, first.revision) == (second.hub, second.revision)

import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import ARCHITECTURES, save_tiny_model
from safetensors.numpy import save_file
from transformers import AutoConfig

from rosetta.config import Config, dump_config, load_config, parse_config
from rosetta.config.controls import NULLS
from rosetta.config.documentation import render_reference
from rosetta.errors import ConfigError, ModelError, PlanError, RosettaError
from rosetta.models.folders import folder_shape
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import NeuronShape
from rosetta.plan.checks import check_config
from rosetta.run.stages import STAGES, made_by

ROOT = Path(__file__).parents[2]
GOOD = {
    "zoo": {
        "families": {
            "f": {"architecture": "gpt2", "seed": 1},
            "g": {"architecture": "opt", "seed": 2},
        },
        "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}},
    },
    "models": {
        "f-s": {"zoo": {"family": "f", "size": "s"}},
        "g-s": {"zoo": {"family": "g", "size": "s"}},
    },
    "ladders": {"fg": [["f-s", "g-s"]]},
    "activations": {"sequence_length": 64},
}
ENDPOINT = {"base_url": "http://localhost:1/v1", "model": "m", "api_key_variable": "NO_SUCH_KEY"}


def changed(**changes):
    return {**GOOD, **changes}


def test_shipped_configurations_are_valid():
    files = [ROOT / "config.yaml", *(ROOT / "workflow" / "presets").glob("*.yaml")]
    assert len(files) >= 2
    for file in files:
        load_config(file)


def test_the_written_configuration_is_complete_and_reads_back():
    config = parse_config(GOOD)
    assert parse_config(yaml.safe_load(dump_config(config))) == config
    assert yaml.safe_load(dump_config(config))["matching"] == {"k": 1}


def test_the_documentation_is_in_step_with_the_model():
    assert (ROOT / "docs" / "configuration.md").read_text() == render_reference(Config)


TWO_KINDS = {"path": "x", "hub": "y", "revision": "z"}
ODD_HEADS = {"s": {"n_layers": 1, "d_model": 18, "d_mlp": 8, "n_heads": 4}}
DENSE = {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}
MIXTURE = {"architecture": "qwen2_moe", "seed": 0}


def of_experts(n_experts, per_token, d_shared):
    experts = {"n_experts": n_experts, "per_token": per_token, "d_shared": d_shared}
    return changed(zoo={**GOOD["zoo"], "sizes": {"s": {**DENSE, "experts": experts}}})


def with_model(entry):
    return changed(models={**GOOD["models"], "m": entry})


BAD = [
    ("not a mapping", ["a"], "expected a mapping"),
    ("unknown key", changed(matchin={"k": 1}), r"matchin: unknown key"),
    ("unknown nested key", changed(matching={"kk": 1}), r"matching\.kk: unknown key"),
    ("missing key", {"models": GOOD["models"]}, r"ladders: required key is missing"),
    ("wrong type", changed(matching={"k": "1"}), r"matching\.k: .*integer.*'1'"),
    ("boolean for a number", changed(matching={"k": True}), r"matching\.k"),
    (
        "out of range",
        changed(matching={"k": 0}),
        r"matching\.k: .*greater than or equal to 1.*got 0",
    ),
    ("k above max_k", changed(matching={"k": 50}), r"matching\.k: 50 is above correlation\.max_k"),
    (
        "contexts above",
        changed(viewer={"n_contexts": 30}),
        r"viewer\.n_contexts: 30 is above specialization",
    ),
    (
        "annotated contexts above",
        changed(annotation={**ENDPOINT, "n_contexts": 30}),
        r"annotation\.n_contexts: 30 is above",
    ),
    (
        "key in the file",
        changed(annotation={**ENDPOINT, "api_key": "sk"}),
        r"annotation\.api_key: unknown key",
    ),
    (
        "bad choice",
        changed(alignment={"pooling": "sum"}),
        r"alignment\.pooling: .*'mean', 'max' or 'median'",
    ),
    (
        "ladder of no model",
        changed(ladders={"x": [["f-s", "nobody"]]}),
        r"ladders\.x\[0\]: no model is named 'nobody'",
    ),
    ("rung of one", changed(ladders={"x": [["f-s"]]}), r"ladders\.x\[0\]"),
    (
        "uneven rungs",
        changed(ladders={"x": [["f-s", "g-s"], ["f-s", "g-s", "f-s"]]}),
        r"its rungs must all",
    ),
    ("model twice in a rung", changed(ladders={"x": [["f-s", "f-s"]]}), "names a model twice"),
    ("rung twice", changed(ladders={"x": [["f-s", "g-s"]] * 2}), "names the same rung twice"),
    ("empty ladder", changed(ladders={"x": []}), "has no rung"),
    ("no ladder", changed(ladders={}), r"ladders"),
    ("bad name", changed(models={**GOOD["models"], "../evil": {"path": "x"}}), "names are letters"),
    (
        "separator in a name",
        changed(models={**GOOD["models"], "a--b": {"path": "x"}}),
        "names are letters",
    ),
    ("no kind", with_model({}), r"models\.m: give exactly one of path"),
    ("two kinds", with_model(TWO_KINDS), "exactly one"),
    ("hub without revision", with_model({"hub": "y"}), "`hub` and `revision`"),
    ("unknown family", with_model({"zoo": {"family": "q", "size": "s"}}), r"zoo\.family: 'q'"),
    ("unknown size", with_model({"zoo": {"family": "f", "size": "q"}}), r"zoo\.size: 'q'"),
    ("dangling twin", with_model({"untrained": {"of": "q"}}), r"untrained\.of: no model"),
    (
        "twin of a twin",
        changed(
            models={
                **GOOD["models"],
                "m": {"untrained": {"of": "n"}},
                "n": {"untrained": {"of": "m"}},
            }
        ),
        "is itself untrained",
    ),
    (
        "k of the sweep above max_k",
        changed(sweeps={"k": [1, 50]}),
        r"sweeps\.k: 50 is above correlation\.max_k",
    ),
    (
        "seed twice",
        changed(controls={"permutation_seeds": [1, 1]}),
        r"controls\.permutation_seeds: must differ",
    ),
    (
        "no Hadamard matrix",
        changed(intervals={"n_blocks": 28}),
        r"intervals\.n_blocks: .*take 24 or 32",
    ),
    (
        "reserved name",
        changed(models={**GOOD["models"], "f-s~untrained-0": {"path": "x"}}),
        "names are letters",
    ),
    (
        "fractions",
        changed(corpus={"splits": {"train": 0.9}}),
        r"corpus\.splits: the four fractions must sum to 1",
    ),
    (
        "no share to match",
        changed(corpus={"splits": {"train": 0.84, "match": 0.0}}),
        r"splits: match must be above 0",
    ),
    ("no source kind", changed(corpus={"source": {"path": "x"}}), r"corpus\.source: add `kind"),
    (
        "context",
        changed(activations={"sequence_length": 4096}),
        r"activations\.sequence_length: 4096 is above",
    ),
    (
        "small whole networks",
        changed(theory={"kappa": 50.0, "simulation": {"sizes": [5000]}, "whole": {"sizes": [64]}}),
        r"theory\.kappa: at 50, beta 1\.5 and N = 64 the allocation serves more .* "
        r"theory\.whole\.sizes",
    ),
    ("undetectable", changed(theory={"tau": 1.0}), r"theory\.tau: .*greater than 1"),
    (
        "flat importance",
        changed(theory={"simulation": {"betas": [1.0]}}),
        r"theory\.simulation\.betas\[0\]",
    ),
    ("odd heads", changed(zoo={**GOOD["zoo"], "sizes": ODD_HEADS}), "multiple"),
    (
        "odd experts",
        of_experts(4, 2, 8),
        r"zoo\.sizes\.s: .*\(24\) must be a multiple of 4 × experts.n_experts \(16\)",
    ),
    ("all shared", of_experts(4, 2, 32), r"experts\.d_shared \(0\) must be a multiple"),
    (
        "more than there are",
        of_experts(2, 3, 8),
        r"experts\.per_token 3 is above experts\.n_experts 2",
    ),
    (
        "no experts",
        changed(zoo={**GOOD["zoo"], "families": dict.fromkeys(GOOD["zoo"]["families"], MIXTURE)}),
        r"models\.f-s\.zoo\.size: zoo\.sizes\.s has no experts",
    ),
]


@pytest.mark.parametrize(
    ("content", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_bad_configurations_name_the_key(content, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


def test_several_problems_are_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_config(changed(matching={"k": 0}, corelation={}))
    assert "matching.k" in str(caught.value)
    assert "corelation" in str(caught.value)


def test_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1")
    with pytest.raises(ConfigError, match="not YAML"):
        load_config(tmp_path / "bad.yaml")


def model_folder(folder: Path, **files: str) -> dict:
    folder.mkdir(exist_ok=True, parents=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return changed(
        models={**GOOD["models"], "m": {"path": str(folder)}}, results=str(folder / "out")
    )


GOOD_FILES = {
    "config__json": '{"model_type": "gpt2"}',
    "model__safetensors": "x",
    "tokenizer__json": "{}",
}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"models\.m\.path: .* has no config\.json"),
        ({**GOOD_FILES, "config__json": "{"}, r"config\.json cannot be read"),
        (
            {**GOOD_FILES, "config__json": '{"model_type": "mamba"}'},
            r"'mamba' is not supported. Supported: gpt_neox",
        ),
        (
            {**GOOD_FILES, "config__json": '{"model_type": "gpt2", "n_positions": 8}'},
            r"reads 8 tokens; lower",
        ),
        ({**GOOD_FILES, "config__json": '{"auto_map": {}}'}, "code of its own"),
        (
            {k: v for k, v in GOOD_FILES.items() if k != "model__safetensors"},
            r"no model\.safetensors",
        ),
        ({k: v for k, v in GOOD_FILES.items() if k != "tokenizer__json"}, "no tokenizer"),
    ],
)
def test_bad_model_folders_are_found_before_any_job(tmp_path, files, message):
    config = parse_config(model_folder(tmp_path / "m", **files))
    with pytest.raises(ModelError, match=message):
        check_config(config)


def test_a_missing_model_folder_is_found(tmp_path):
    config = changed(
        models={**GOOD["models"], "m": {"path": str(tmp_path / "none")}}, results=str(tmp_path)
    )
    with pytest.raises(ModelError, match=r"models\.m\.path: .*none is not a folder"):
        check_config(parse_config(config))


def test_pickled_weights_are_refused(tmp_path):
    files = {k: v for k, v in GOOD_FILES.items() if k != "model__safetensors"}
    config = parse_config(model_folder(tmp_path / "m", **files, pytorch_model__bin="x"))
    with pytest.raises(ModelError, match="safetensors only"):
        check_config(config)


def test_an_unwritable_results_folder_is_found(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"results: .*file is not a folder"):
        check_config(parse_config(changed(results=str(tmp_path / "file" / "out"))))
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    if not os.access(locked, os.W_OK):  # root may write anywhere
        with pytest.raises(ConfigError, match="cannot be written"):
            check_config(parse_config(changed(results=str(locked / "out"))))


def test_a_domain_without_a_category_is_found(tmp_path):
    config = changed(specialization={"categories": {"python": "code"}}, results=str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"specialization\.categories: has no category for 'prose', 'cpp'"
    ):
        check_config(parse_config(config))


def test_a_missing_key_is_found(tmp_path):
    pytest.importorskip("openai")
    with pytest.raises(
        ConfigError, match=r"annotation\.api_key_variable: .* NO_SUCH_KEY is not set"
    ):
        check_config(parse_config(changed(annotation=ENDPOINT, results=str(tmp_path))))


def test_a_missing_corpus_is_found(tmp_path):
    source = {"kind": "files", "path": str(tmp_path / "none.jsonl")}
    with pytest.raises(RosettaError, match=r"corpus\.source\.path: .* does not exist"):
        check_config(parse_config(changed(corpus={"source": source}, results=str(tmp_path))))


NO_TRAINING = {"splits": {"train": 0.0, "match": 0.84}}
DOWN = {
    "gpt2": "h.{}.mlp.c_proj",
    "gpt_neox": "layers.{}.mlp.dense_4h_to_h",
    "opt": "decoder.layers.{}.fc2",
}
SHAPES = {"gpt2": (3, 32), "gpt_neox": (2, 12), "opt": (2, 12)}
LOCAL = {
    "gpt2": {"model_type": "gpt2", "n_layer": 3, "n_embd": 8},
    "gpt_neox": {"model_type": "gpt_neox", "num_hidden_layers": 2, "intermediate_size": 12},
    "opt": {"model_type": "opt", "num_hidden_layers": 2, "ffn_dim": 12},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpus": NO_TRAINING}, r"corpus\.splits\.train: is 0, but models\.f-s is trained"),
        (
            {"activations": {**GOOD["activations"], "n_shards": 9, "max_documents": 8}},
            r"n_shards: 9 is above activations\.",
        ),
        (
            {"activations": {**GOOD["activations"], "n_shards": 9}, "corpus": {"max_documents": 8}},
            r"9 is above corpus\.max",
        ),
        ({"correlation": {"memory_gb": 0.001}}, r"correlation\.memory_gb: 0\.001"),
    ],
)
def test_what_can_only_fail_inside_a_job_is_refused_before_any(tmp_path, change, message):
    check_config(parse_config(changed(results=str(tmp_path))))
    with pytest.raises(RosettaError, match=message):
        check_config(parse_config(changed(results=str(tmp_path), **change)))


def local_models(tmp_path, **more):
    for name, content in LOCAL.items():
        model_folder(tmp_path / name, **{**GOOD_FILES, "config__json": json.dumps(content)})
        n_layers, d_mlp = SHAPES[name]
        weights = {
            f"{DOWN[name].format(i)}.weight": np.zeros((d_mlp, 8), np.float32)
            for i in range(n_layers)
        }
        save_file(weights, tmp_path / name / "model.safetensors")
    models = {name: {"path": str(tmp_path / name)} for name in LOCAL}
    twin = {"twin": {"untrained": {"of": "opt"}}}
    unused = {"unused": GOOD["models"]["f-s"], "hub": {"hub": "somebody/model", "revision": "main"}}
    unlike = {"max_scale_ratio": 100.0}  # their sizes are not what is checked here
    return changed(
        models={**models, **twin, **unused}, results=str(tmp_path / "r"), **unlike, **more
    )


@pytest.mark.parametrize("pair", [["gpt2", "gpt_neox"], ["gpt_neox", "opt"], ["gpt2", "twin"]])
def test_memory_is_checked_for_local_models_too(tmp_path, pair):
    """And what nobody needs, here training, is not."""
    config = local_models(tmp_path, ladders={"l": [pair]}, corpus=NO_TRAINING)
    check_config(parse_config(config))
    with pytest.raises(PlanError, match=r"correlation\.memory_gb"):
        check_config(parse_config({**config, "correlation": {"memory_gb": 0.001}}))


def test_a_budget_that_holds_a_pair_but_not_its_permuted_rows_is_refused_before_the_run():
    """Of 96 neurons each, tiles of 48 fit: without the window of rows that the null model
    permutes.
    """
    tiny = yaml.safe_load((ROOT / "workflow" / "presets" / "tiny.yaml").read_text())
    tight = {**tiny, "correlation": {"memory_gb": 0.6125}}
    check_config(
        parse_config(
            {
                **tight,
                "controls": {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": []},
            }
        )
    )
    with pytest.raises(PlanError, match=r"correlation\.memory_gb: 0\.6125"):
        check_config(parse_config(tight))


def test_models_of_unknown_size_are_left_to_their_jobs(tmp_path):
    config = local_models(
        tmp_path, ladders={"l": [["gpt2", "hub"]]}, correlation={"memory_gb": 0.001}
    )
    check_config(parse_config(config))
    model_folder(tmp_path / "opt", config__json=json.dumps({"model_type": "opt"}))
    assert folder_shape(tmp_path / "opt", "models.opt.path") is None


def test_a_folder_tells_its_neurons_without_transformers(tmp_path, texts):
    """As transformers reads them, for every architecture; GPT-2 may leave its MLP's size out."""
    for architecture in ARCHITECTURES:
        folder = save_tiny_model(tmp_path / architecture, texts, architecture)
        assert folder_shape(folder, "models.m.path") == neuron_shape(
            AutoConfig.from_pretrained(folder), "m"
        )
    local_models(tmp_path / "local")
    assert folder_shape(tmp_path / "local" / "gpt2", "models.m.path") == NeuronShape(3, 32)


def test_a_slice_changes_with_its_part_of_the_configuration_only():
    names = {
        "tokenizer": "f",
        "train": "f-s",
        "model": "f-s",
        "activations": "f-s",
        "twins": "f-s",
    }
    anew = {*(f"nulls of {name}" for name in NULLS), "intervals", "sweeps"}

    def slices(content):
        config = parse_config(content)
        nulls = {f"nulls of {name}": made_by(config, "nulls", name) for name in NULLS}
        others = {
            stage: made_by(config, stage, names.get(stage, ""))
            for stage in STAGES
            if stage != "nulls"
        }
        return {**others, **nulls}

    base = slices(GOOD)
    cases = {
        "matching": ({"k": 2}, {"match", *anew}),
        "correlation": ({"max_k": 12}, {"correlate"}),
        "theory": (
            {"tau": 3.0},
            {
                "theory_simulate",
                "theory_sweep",
                "theory_exponents",
                "theory_frontiers",
                "theory_compare",
            }
            | {"theory_figures"},
        ),
        "alignment": ({"pooling": "max"}, {"correlate", "contexts", *anew}),
        "exclusions": ({"first_position": True}, {"correlate", *anew}),
        "controls": ({"untrained_seeds": [5]}, {"twins", "nulls of untrained"}),
        "intervals": ({"n_blocks": 4}, {"intervals"}),
        "sweeps": ({"budgets": True}, {"sweeps", "control_figures"}),
        "activations": ({"sequence_length": 32}, {"activations", "twins"}),
        "report": ({"n_matches": 2}, set()),
        "selectivity": ({"fold_final_norm": True}, {"vocabulary"}),
        "specialization": ({"n_contexts": 10}, {"neurons", "describe"}),
        "bootstrap": ({"seed": 1}, {"describe"}),
        "viewer": ({"n_neurons": 10}, {"contexts"}),
        "annotation": (ENDPOINT, {"annotate"}),
        "corpus": ({"seed": 1}, {"corpus"}),
        "ladders": (
            {"gf": [["g-s", "f-s"]]},
            {
                "counts",
                "control_tables",
                "describe",
                "viewer",
                "theory_beta",
                "theory_compare",
                "theory_figures",
            },
        ),
        "results": ("elsewhere", set()),
    }
    for key, (value, expected) in cases.items():
        new = slices(changed(**{key: value}))
        assert {stage for stage in base if new[stage] != base[stage]} == expected | {"report"}, key
    asked = slices(changed(annotation=ENDPOINT))
    same = slices(changed(annotation={**ENDPOINT, "timeout": 5.0, "n_parallel": 1}))
    assert {stage for stage in base if same[stage] != asked[stage]} == {"report"}, (
        "how the endpoint is reached"
    )
    more = slices(changed(theory={"simulation": {"betas": [1.7]}, "sweep": {"kappa": [2.0]}}))
    expected = {"theory_frontiers", "report"}
    assert {stage for stage in base if more[stage] != base[stage]} == expected, (
        "finished simulations are kept"
    )
    same = slices(changed(dask={"n_workers": 2}))
    assert {stage for stage in base if same[stage] != base[stage]} == {"report"}, (
        "how the work is cut"
    )
    less = slices(changed(correlation={"memory_gb": 1.0}))
    changes = {stage for stage in base if less[stage] != base[stage]}
    assert changes == {"intervals", "report"}, "which neurons half-samples match"

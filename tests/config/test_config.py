"""Configuration files: those of the repository are valid, and bad ones are rejected by key."""

from pathlib import Path

import pytest
import yaml
from small_configs import ENDPOINT, GOOD, changed

from rosetta.config import Config, dump_config, load_config, parse_config
from rosetta.config.documentation import render_reference
from rosetta.errors import ConfigError

ROOT = Path(__file__).parents[2]


def test_shipped_configurations_are_valid():
    files = [ROOT / "config.yaml", *(ROOT / "workflow" / "presets").glob("*.yaml")]
    assert len(files) >= 2
    for file in files:
        load_config(file)


def test_the_written_configuration_is_complete_and_reads_back():
    config = parse_config(GOOD)
    assert parse_config(yaml.safe_load(dump_config(config))) == config
    assert yaml.safe_load(dump_config(config))["matching"] == {"k": 1, "instruments": []}


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


def test_ablations_need_held_out_text():
    splits = {"train": 0.7, "match": 0.3, "pool": 0.0, "heldout": 0.0}
    content = changed(ablation={"ladder": "fg"}, corpus={"splits": splits}, filtering=None)
    message = r"ablation: losses are measured on corpus\.splits\.heldout, which is 0"
    with pytest.raises(ConfigError, match=message):
        parse_config(content)

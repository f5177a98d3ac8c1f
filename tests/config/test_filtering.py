"""The configuration of filtering: references between sections, stages, jobs, and the plan."""

from pathlib import Path

import pytest
from helpers import save_tiny_model
from small_configs import GOOD, changed
from workflow_runs import TINY

from rosetta.config import load_config, parse_config
from rosetta.errors import ConfigError, CorpusError, ModelError
from rosetta.plan.checks import check_config
from rosetta.plan.sweep import plan_run
from rosetta.run.paths import Paths
from rosetta.run.stages import STAGES, job_names, made_by, rule_jobs

ROOT = Path(__file__).parents[2]
FILTER = {
    "name": "code",
    "target": "python",
    "ladder": "fg",
    "scoring": {"sequence_length": 64},
    "pretraining": {"model": "g-s", "sequence_length": 64},
}
SHORT = {"sequence_length": 32}
OWN = {"source": {"kind": "files", "path": "x.jsonl"}}


def filtering(**changes):
    return changed(filtering={**FILTER, **changes})


def test_the_anchor_of_the_last_rung_filters():
    config = parse_config({**filtering(), "ladders": {"fg": [["f-s", "g-s"], ["g-s", "f-s"]]}})
    assert config.filter_model() == "g-s"
    assert config.filter_group() == ("g-s", "f-s")
    config = parse_config(
        {**filtering(rung=0, model="g-s"), "ladders": {"fg": [["f-s", "g-s"], ["g-s", "f-s"]]}}
    )
    assert config.filter_model() == "g-s"
    assert config.filter_group() == ("f-s", "g-s")


def test_the_model_that_is_trained_need_not_be_in_a_ladder():
    third = {**GOOD["models"], "h": {"zoo": {"family": "f", "size": "s"}}}
    config = parse_config(
        {**filtering(pretraining={"model": "h", "sequence_length": 64}), "models": third}
    )
    assert config.needed_models() == ["f-s", "g-s", "h"]
    assert config.used_models() == ["f-s", "g-s"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (filtering(ladder="x"), r"filtering\.ladder: 'x' is not in ladders \(fg\)"),
        (filtering(rung=3), r"filtering\.rung: ladders\.fg has 1 rungs, so no number 3"),
        (filtering(model="h"), r"filtering\.model: 'h' is not on the rung \(f-s, g-s\)"),
        (filtering(target="rust"), r"filtering\.target: 'rust' is not in corpus\.source\.domains"),
        (
            filtering(n_contexts=30),
            r"filtering\.n_contexts: 30 is above specialization\.n_contexts \(20\)",
        ),
        (
            filtering(scoring={"sequence_length": 999}),
            r"filtering\.scoring\.sequence_length: 999 is above the context",
        ),
        (
            filtering(pretraining={"model": "g-s"}),
            r"pretraining\.sequence_length: 1024 is above the context",
        ),
        (
            filtering(pretraining={"model": "h"}),
            r"filtering\.pretraining\.model: no model is named 'h'",
        ),
        (
            filtering(selection={"count": 3, "percentile": 50.0}),
            "give at most one of budget_tokens, count, percentile",
        ),
        (filtering(seeds=[1, 1]), r"seeds: must differ"),
        (
            filtering(pretraining={"model": "g-s", "filters": ["rosetta", "rosetta"]}),
            r"filters: must differ",
        ),
        (
            filtering(pool=OWN),
            r"filtering\.selection: without filtering\.pool\.source\.domain the size of the target",
        ),
        (
            filtering(pool=OWN, selection={"count": 3}),
            r"filters: without .* the oracle finds nothing to train on",
        ),
        (
            {**filtering(), "corpus": OWN},
            r"filtering\.target: no document is labelled 'python', because "
            r"corpus\.source\.domain is not given",
        ),
        (filtering(name="../x"), "names are letters"),
        (filtering(pool={**OWN, "target_share": 0.1}), r"filtering\.pool\.target_share: thins out"),
        (filtering(threshold=1.0), r"filtering\.threshold: unknown key"),
        (
            {**filtering(), "corpus": {"splits": {"train": 0.88, "pool": 0.0}}},
            r"filtering\.pool: corpus\.splits\.pool is 0",
        ),
        (
            {**filtering(), "corpus": {"splits": {"train": 0.84, "heldout": 0.0}}},
            r"filtering\.pretraining: perplexity is measured on corpus\.splits\.heldout",
        ),
    ],
)
def test_bad_references_name_the_key(content, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(content)


def test_every_filtering_stage_depends_on_its_part_only():
    stages = [stage for stage in STAGES if stage.startswith("filter_")]

    def slices(content):
        return {stage: made_by(parse_config(content), stage) for stage in stages}

    base = slices(filtering())
    cases = [
        ({"n_contexts": 10}, {"filter_choose"}),
        ({"pool": {"target_share": 0.1}}, {"filter_pool"}),
        ({"scoring": {"sequence_length": 32}}, {"filter_score"}),
        ({"selection": {"count": 3}}, {"filter_select"}),
        ({"seeds": [5]}, {"filter_select", "filter_pretrain", "filter_tables"}),
        ({"pretraining": {**FILTER["pretraining"], "learning_rate": 0.01}}, {"filter_pretrain"}),
        ({"pretraining": {**FILTER["pretraining"], "checkpoint_every": 7}}, set()),
        ({"target": "cpp"}, {"filter_choose", "filter_pool", "filter_select", "filter_pretrain"}),
    ]
    for change, expected in cases:
        new = slices(filtering(**change))
        assert {stage for stage in stages if new[stage] != base[stage]} == expected, change


def test_what_can_only_fail_inside_a_job_is_rejected_before_any(tmp_path, texts):
    folder = save_tiny_model(tmp_path / "m", texts, "gpt2")  # which reads 32 tokens
    models = {**GOOD["models"], "m": {"path": str(folder)}}
    trained = filtering(pretraining={"model": "m", "sequence_length": 33})
    with pytest.raises(
        ModelError, match=r"reads 32 tokens; lower filtering\.pretraining\.sequence_length \(33\)"
    ):
        check_config(
            parse_config(
                {**trained, "models": models, "results": str(tmp_path), "activations": SHORT}
            )
        )
    (tmp_path / "x.jsonl").write_text('{"body": "text"}\n')
    pool = filtering(
        pool={"source": {"kind": "files", "path": str(tmp_path / "x.jsonl"), "domain": "label"}}
    )
    with pytest.raises(CorpusError, match=r"filtering\.pool\.source\.text: no column 'text'"):
        check_config(parse_config({**pool, "results": str(tmp_path)}))


def test_pieces_of_the_default_run():
    config = load_config(ROOT / "config.yaml")
    jobs = STAGES["filter_pretrain"].jobs(config)
    assert len(jobs) == 1 + 6 * 3
    assert [job["training"] for job in jobs[:2]] == ["base-0", "random-0"]
    assert len(STAGES["filter_score"].jobs(config)) == 2
    assert rule_jobs(config)["filtering"] == [{}], "one job does it all"
    assert not any(
        names for rule, names in job_names(parse_config(GOOD)).items() if rule.startswith("filter")
    )


def test_the_plan_has_the_filters_costs(tmp_path):
    apart = {"activations": {**GOOD["activations"], "shards_per_job": "one"}}
    asked = {**filtering(pool={"n_shards": 3, "target_share": 0.05}), **apart}
    plan = plan_run(parse_config(asked), Paths(tmp_path))
    phases = {phase.name: phase for phase in plan.phases}
    assert phases["filtering"].jobs == 3 + 5
    assert phases["pretraining"].jobs == 19
    assert phases["pretraining"].flops > 0
    assert phases["filtering"].disk_bytes == pytest.approx(0.1 * 12_000_000 * 1.05, rel=1e-3)
    assert "5% of the pool" in plan.render()
    hub = plan_run(
        parse_config(
            filtering(
                pool={"source": {"kind": "hub", "id": "some/pool", "domain": "label"}},
                pretraining=None,
            )
        ),
        Paths(tmp_path),
    )
    assert "the size of its pool is not known" in hub.render()
    assert "pretraining" not in {phase.name for phase in hub.phases}


@pytest.mark.parametrize("shards_per_job", ["one", "all"])
def test_nothing_of_the_pool_is_upstream_of_the_choice(tmp_path, shards_per_job):
    """What `filter_choose` needs, by the files that stages read and write."""
    activations = {**TINY["activations"], "shards_per_job": shards_per_job}
    config, paths = parse_config({**TINY, "activations": activations}), Paths(tmp_path)
    pieces = [(name, job) for name, stage in STAGES.items() for job in stage.jobs(config)]
    makers = {
        path: (name, job)
        for name, job in pieces
        for path in STAGES[name].outputs(config, paths, job)
    }
    upstream, due = set(), [("filter_choose", {})]
    while due:
        stage, job = due.pop()
        upstream.add(stage)
        due += [makers[path] for path in STAGES[stage].inputs(config, paths, job) if path in makers]
    assert {"neurons", "match", "activations", "corpus"} <= upstream
    assert not {stage for stage in upstream if stage.startswith("filter_")} - {"filter_choose"}

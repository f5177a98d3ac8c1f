"""The registry of stages: rules and records are the same, and earlier results stay valid."""

import json
import re
import statistics
from pathlib import Path
from string import Formatter

import pytest
from workflow_runs import ROOT, TINY, VISION, copy_project, jobs_of, run_snakemake

from rosetta.config import parse_config
from rosetta.errors import StageError
from rosetta.run.documentation import results_reference
from rosetta.run.paths import FilterPaths, Paths, places
from rosetta.run.provenance import is_stale
from rosetta.run.stages import (
    RULES,
    STAGES,
    check_rules,
    figure_names,
    job_names,
    made_by,
    pieces_of_job,
    rule_jobs,
    table_names,
)
from rosetta.run.stages.record import Bundle

HEAD = re.compile(r"( *)(?:use rule \w+ as|rule) (\w+)(?: with)?:$")
# Rules that run no stage: they name files, or are the base of the others.
OTHERS = {"all", "theory_simulations", "step", "train_and_profile_longer"}

# With everything in it that has stages. What these digests are of is what earlier versions wrote
# beside their results: a change of one makes every such result outdated, so it comes with a higher
# version of the stage. The report is left out: it depends on every key.
EARLIER = {
    "zoo": {
        "families": {"f": {"architecture": "opt", "vocab_size": 300, "seed": 1}},
        "sizes": {"s": {"n_layers": 1, "d_model": 16, "n_heads": 2, "d_mlp": 32}},
        "training": {"steps": 3},
    },
    "models": {
        "f-s": {"zoo": {"family": "f", "size": "s"}},
        "twin": {"untrained": {"of": "f-s", "seed": 1}},
    },
    "ladders": {"l": [["f-s", "twin"]]},
    "corpus": {"splits": {"train": 0.6, "match": 0.2, "pool": 0.1, "heldout": 0.1}},
    "activations": {"sequence_length": 64},
    "controls": {"untrained_seeds": [0, 1]},
    "matching": {"instruments": ["mutual_nearest", "soft"]},
    "theory": {"predict_sizes": [1000], "sweep": {"kappa": [2.0]}},
    "filtering": {
        "name": "code",
        "target": "python",
        "ladder": "l",
        "scoring": {"sequence_length": 64},
        "pretraining": {"model": "f-s", "sequence_length": 64},
    },
    "ablation": {"ladder": "l"},
    "sae": {"steps": 3},
    "annotation": {"base_url": "http://localhost:1/v1", "model": "m"},
    "judge": {"base_url": "http://localhost:1/v1", "model": "m"},
}
STAMPS = {
    "corpus": ("", "f3b6bcd9d35aee8f69ca86290b10e343"),
    "tokenizer": ("f", "81847204856b21c6414d5d20b91da18e"),
    "train_steps": ("f-s", "596a5c0f3dfa179f5d06ef51a65d4c42"),
    "train": ("f-s", "e4c357d9c5dce876dc1c90a8ae5a0373"),
    "model": ("twin", "5276c0ddfdee2382f4e66572819a7243"),
    "activations": ("f-s", "26058e5c94ef26ee0a81ba63da406912"),
    "twins": ("f-s", "9f18389a7be9c00dbf0499f344a04870"),
    "correlate": ("", "aad6249a5976a4c807b4dc60a243321c"),
    "nulls": ("documents", "e52897e61bd7a296885272114c5bb0db"),
    "intervals": ("", "dab987a94036c7ce834aff46c0a487f7"),
    "sweeps": ("", "df0c88af43ea6981539c9934526ad487"),
    "match": ("", "e7d3e3e79f3ba0f866d87759cbcb441b"),
    "anchors": ("", "43c234ab484cc076dada9def2db0bead"),
    "counts": ("", "28ba426ccddd136998326f3fb63b3660"),
    "fit": ("", "88ccdac2a87c6dc8f26e8483731369d2"),
    "control_tables": ("", "7fdc3acd6e4e39aeb81d900c01435f22"),
    "control_figures": ("", "5cd789733c66bac17360454fb1375ddf"),
    "vocabulary": ("", "8c11ad644235132f4dcac43464843b03"),
    "neurons": ("", "85641880284145a26eab253943cfa5fa"),
    "contexts": ("", "ca6161a3ea81b1b9df2997910fc6f5d2"),
    "describe": ("", "15d6b081a3c020a7a4f2638206fa78b5"),
    "images": ("", "af4ff28460352c6de7e734c3ceac004a"),
    "generate": ("f-s", "310f37df2d57a85736bb64b60f1c65c6"),
    "captured": ("", "3c299685ee7be01b5b44b88315a67c07"),
    "image_twins": ("f-s", "c9bacfc2b02210be1f3c61852261c1d8"),
    "findings": ("", "8f1b86e77637052b16f274b1f3f1f614"),
    "generated_images": ("", "643cbffaeeb9bf01fb11b5f40e4ef4aa"),
    "image_neurons": ("f-s", "e841d7ee0b3454f2eb05080c6fefb969"),
    "partner_images": ("", "87cb5396964c8bf2b2b4471ccb8ce743"),
    "image_excerpts": ("", "9cd7b058596d1cb3813a0358b473930b"),
    "place": ("", "b69f3695dfdffc90e0f4cef8a3821584"),
    "place_maps": ("", "4d9ce731a0efe36dba06ad86aad78281"),
    "contact_sheet": ("", "63a8eb8dd1e82f307e0a672a2fbb5517"),
    "neuron_figures": ("", "24435068bfad356244758674e74b4863"),
    "annotate": ("", "1d577d3e7a0ad947079a5d7d00afd588"),
    "judge": ("", "9deb287d0f1d0331e385d23625cb892f"),
    "viewer": ("", "2acada73f01a46a4b9fbd05710683125"),
    "filter_choose": ("", "80907428e64a3cc841822ae65179449d"),
    "filter_pool": ("", "b9a1966335133751e6b58520844e5eed"),
    "filter_score": ("", "9c58aff7dfdc82f9f1d833ed7b5ade66"),
    "filter_select": ("", "382bf26875e0377b3ba81ede76b32e10"),
    "filter_pretrain": ("", "dca383b0e49c50932d88b12a47528a9e"),
    "filter_tables": ("", "5d2f51d7f16aa90513705a7f2827394e"),
    "filter_figure": ("", "af2197f640c73b21b2a3fdb48817894f"),
    "theory_simulate": ("", "3166941f1c600166b410935d7382ce8a"),
    "theory_sweep": ("", "0720fcab4b47ea6603c60dd55815e181"),
    "theory_sweep_table": ("", "327e7ce9aec3c58bc67f40e3e3e28e86"),
    "theory_exponents": ("", "089a2bf56c1c77e1a48d68ba5beea939"),
    "theory_frontiers": ("", "631c09f6593ad1529eefd8b29f29b529"),
    "theory_ngrams": ("", "6498b6b4fecf93c2617a43e9956e93b5"),
    "theory_beta": ("", "a95b77e463a69304d27904f0a5b2a07a"),
    "theory_compare": ("", "795cb283d527962569267e9e1d7e330d"),
    "theory_predict": ("", "576e821a6fbfa0641efb338efa218c8f"),
    "theory_figures": ("", "9c10e5fc88e205e7b21c5d221c7ab491"),
    "instruments": ("", "2cc555e78b8371cc876ff9415f5b6a49"),
    "instrument_tables": ("", "26e0d856947acc3e1fc53ac253ac0ec5"),
    "instrument_figures": ("", "37acdef2f48656f3b3583d8a3f3511db"),
    "past": ("", "e188a26bdead87c66c28fd90493db88e"),
    "emergence": ("", "f85912bfd25c51598931051765fa50c7"),
    "emergence_figures": ("", "30a38c478b064be80b14829d378e9893"),
    "seed_matches": ("f-s", "50abfe1e38ea97c22cdc932d271fc534"),
    "across_seeds": ("", "aa700d1cb90cdf177f77d4a2643914ee"),
    "across_seeds_figures": ("", "933893ddaf0d6fa2081cb7231fbf6bbc"),
    "attribution": ("", "eed837e9ef430fcc2b8378770e8f30ab"),
    "ablate": ("", "3fd5588fdaa3d2c9608b75763b947d91"),
    "attribution_tables": ("", "1979ce6de3882ad514d18d905f13e308"),
    "attribution_figures": ("", "87ad5ff9a801432f1dba18542c2ed6c7"),
    "ablation_tables": ("", "0d7c52d685203fd7496e72ca7f90fac1"),
    "ablation_figures": ("", "a5d330c6738bf7f0cf50218fbcf4b16b"),
    "figures": ("", "5b10047a3bb8880dee954412afd223eb"),
    "sae": ("f-s", "d1947d2ef6fbe4240a62a5b31f2210ca"),
    "sae_encode": ("", "eedc4665fc4d6e1caae4363234dc5d40"),
    "sae_match": ("", "06b967a43134bbcc0b88f06ae02f16a3"),
    "sae_tables": ("", "dd9f83d91f1e54f3cc363bdb56b62bac"),
    "sae_figures": ("", "0704b7830a1563489d1531a06ae69bdb"),
}


def rules() -> dict[str, list[str]]:
    """The lines of every rule, from its head to its last."""
    found = {}
    for path in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")]:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if head := HEAD.match(line):
                inside = re.compile(rf"{head[1]} +\S|$")
                end = next(
                    (i for i in range(number + 1, len(lines)) if not inside.match(lines[i])),
                    len(lines),
                )
                found[head[2]] = "\n".join(lines[number:end]).rstrip().splitlines()
    return found


NAMES = sorted(set(rules()) - OTHERS)


@pytest.mark.parametrize("shards_per_job", ["one", "all"])
def test_every_record_has_a_rule_and_every_rule_a_record(shards_per_job):
    """Work that bundles always do has no rule besides theirs."""
    activations = {**EARLIER["activations"], "shards_per_job": shards_per_job}
    check_rules(parse_config({**EARLIER, "activations": activations}), NAMES)


def test_rules_are_short():
    lines = {name: len(rule) for name, rule in rules().items() if name not in OTHERS}
    assert statistics.median(lines.values()) <= 15
    assert max(lines.values()) <= 25, lines


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_takes_everything_from_its_own_record(name):
    text = "\n".join(rules()[name])
    lookups = r"\b(job_of|needs|command|only|inputs_of|outputs_of)\(\s*\"(\w+)\""
    named = dict(re.findall(lookups, text))
    assert set(named.values()) == {name}
    assert {"job_of", "command"} <= set(named)
    assert ("needs" in named) == bool(RULES[name].resources)


def test_a_rule_without_a_record_and_a_record_without_a_rule_are_told(tmp_path):
    config = parse_config(EARLIER)
    check_rules(config, RULES)
    unasked = {**EARLIER, "annotation": None, "judge": None}
    check_rules(parse_config(unasked), set(RULES) - {"annotate", "judge"})
    with pytest.raises(
        StageError, match=r"'mathc' is not in the registry.*rosetta/run/stages/.*match"
    ):
        check_rules(config, {*RULES, "mathc"})
    with pytest.raises(
        StageError,
        match=r"no rule in workflow/rules/ runs these stages.*: annotate, viewer, pair\.",
    ):
        check_rules(config, set(RULES) - {"annotate", "viewer", "pair", "match"})
    folder = copy_project(tmp_path / "p")
    matches = folder / "workflow" / "rules" / "matches.smk"
    matches.write_text(
        matches.read_text().replace("use rule step as match with:", "use rule step as mathc with:")
    )
    failed = run_snakemake(folder, "-n", config=TINY, check=False)
    assert failed.returncode
    assert "'mathc' is not in the registry" in failed.stdout + failed.stderr


@pytest.mark.parametrize("shards_per_job", ["one", "all"])
def test_jobs_are_named_by_the_wildcards_of_their_rule(shards_per_job):
    activations = {**EARLIER["activations"], "shards_per_job": shards_per_job}
    config = parse_config({**EARLIER, "activations": activations, "sweeps": {"budgets": True}})
    jobs = rule_jobs(config)
    for name, rule in RULES.items():
        pattern = rule.job_pattern(config)
        wildcards = {field for _, field, _, _ in Formatter().parse(pattern) if field}
        assert all(set(each) == wildcards for each in jobs[name])
        assert len(set(job_names(config)[name])) == len(jobs[name])
    fused = {"profile", "pair"} if shards_per_job == "all" else set()
    assert {name for name in ("profile", "pair", "groups", "part_of_rung") if jobs[name]} == fused
    apart = {"activations", "neurons", "correlate", "nulls", "twins", "match", "contexts"}
    assert all(bool(jobs[name]) is not bool(fused) for name in apart)
    parts = parse_config({**EARLIER, "correlation": {"n_jobs": 2}})
    assert job_names(parts)["correlate"] == ["f-s--twin.0-of-2", "f-s--twin.1-of-2"]
    assert STAGES["filter_score"].job_pattern(config) == "pool.{shard}-of-1"


@pytest.mark.parametrize("shards_per_job", ["one", "all"])
@pytest.mark.parametrize("preset", [TINY, VISION], ids=["text", "images"])
def test_every_piece_of_work_is_done_by_one_job(preset, shards_per_job):
    activations = {**preset["activations"], "shards_per_job": shards_per_job}
    config = parse_config({**preset, "activations": activations})
    done = [
        (stage, tuple(sorted((name, str(value)) for name, value in job.items())))
        for rule, jobs in rule_jobs(config).items()
        for wildcards in jobs
        for stage, job in pieces_of_job(config, rule, wildcards)
    ]
    asked = {
        (name, tuple(sorted((wildcard, str(value)) for wildcard, value in job.items())))
        for name, stage in STAGES.items()
        for job in stage.jobs(config)
    }
    assert len(set(done)) == len(done)
    assert set(done) == asked


ASKED = {
    "base_url": "http://localhost:1/v1",
    "model": "m",
    "api_key_variable": "ROSETTA_TEST_KEY",
}


@pytest.mark.parametrize("shards_per_job", ["one", "all"])
def test_stages_read_what_their_rules_have_as_inputs(tmp_path, monkeypatch, shards_per_job):
    """By the workflow itself: an arrow of the graph of rules is a result that is read."""
    monkeypatch.setenv("ROSETTA_TEST_KEY", "x")
    large = {} if shards_per_job == "all" else {"runs": 10_000}
    simulation = {**TINY["theory"]["simulation"], **large}
    theory = {**TINY["theory"], "sweep": {"kappa": [2.0]}, "simulation": simulation}
    activations = {**TINY["activations"], "shards_per_job": shards_per_job}
    content = {**TINY, "results": str(tmp_path / "r"), "theory": theory}
    content |= {"activations": activations, "annotation": ASKED, "judge": ASKED}
    graph = _rule_graph(tmp_path, content)
    labels = dict(re.findall(r"(\d+)\[label = \"(\w+)\"", graph))
    apart = {"correlate", "filter_pretrain", "theory_sweep_table"}
    assert ({"annotate", "pair"} if shards_per_job == "all" else {"annotate", *apart}) <= set(
        labels.values()
    )
    _check_arrows(graph, parse_config(content))


@pytest.mark.parametrize(
    "how", [{"shards_per_job": "one"}, {"shards_per_job": "all"}, {"keep": False}]
)
def test_so_do_stages_of_images(tmp_path, monkeypatch, how):
    monkeypatch.setenv("ROSETTA_TEST_KEY", "x")
    activations = {**VISION["activations"], **how}
    content = {**VISION, "results": str(tmp_path / "r"), "activations": activations}
    content["judge"] = {**ASKED, "n_validated": 3}
    content["training_ladders"] = {"early": {"models": ["vit-s", "mae-s"], "steps": [1]}}
    _check_arrows(_rule_graph(tmp_path, content), parse_config(content))


def test_what_is_screened_for_waits_for_the_null_models(tmp_path):
    """The one stage that reads more than its record says, and only where it is asked to."""
    activations = {**TINY["activations"], "shards_per_job": "one"}
    content = {**TINY, "results": str(tmp_path / "r"), "activations": activations}
    screened = {"method": "screened", "screening": {"min_r": "auto"}}
    content["correlation"] = {**TINY.get("correlation", {}), **screened}
    assert {("activations", "correlate"), ("nulls", "correlate")} <= _arrows(
        _rule_graph(tmp_path, content)
    )


def _arrows(graph):
    """Return the arrows between rules in a graph of rules, as Snakemake prints it."""
    labels = dict(re.findall(r"(\d+)\[label = \"(\w+)\"", graph))
    return {(labels[a], labels[b]) for a, b in re.findall(r"(\d+) -> (\d+)", graph)}


def _undeclared(config):
    """The stages whose results no rule declares; who reads them needs what is made after them."""
    return {
        stage
        for name, bundle in RULES.items()
        if isinstance(bundle, Bundle)
        for job in rule_jobs(config)[name]
        for stage, _ in bundle.others(config, job)
    }


def _rule_graph(folder, content):
    arguments = ("-s", str(ROOT / "Snakefile"), "--rulegraph")
    return run_snakemake(folder, *arguments, config=content).stdout


def _check_arrows(graph, config):
    """Compare a graph of rules, as Snakemake prints it, with what the records of stages read."""
    read = {name: set() for name in re.findall(r"\d+\[label = \"(\w+)\"", graph)}
    for source, target in _arrows(graph):
        read[target].add(source.replace("_longer", ""))
    found = {"train", "model"}  # what makes models: some are trained, others are there
    asked = {rule for rule, jobs in rule_jobs(config).items() if jobs}
    assert asked == set(read) - OTHERS
    makers = {rule: stages_of(config, rule) for rule in asked}
    for rule in asked:
        asked_for = {stage for stage in STAGES if STAGES[stage].jobs(config)}
        reads = {stage for part in makers[rule] for stage in STAGES[part].reads} & asked_for
        needed = reads - makers[rule] - (found if found & makers[rule] else set())
        # Of several rules that make what a stage reads, it may need some only. Models may be shown
        # a generator's images, and Rosetta Neurons of images are not described further. A judge is
        # tested with activations, but of images only. Permuted positions are correlated with the
        # pair where nothing is stored, and else by the job of the null model.
        made = set().union(*makers.values()) - _undeclared(config)
        some_only = {"images", "anchors"}
        some_only |= {"activations"} if rule == "judge" and "text" in config.modalities else set()
        some_only |= {"correlate"} if rule == "nulls" and not config.permutes_live else set()
        for stage in (needed & made) - some_only:
            one_of = found if stage in found else {stage}
            assert any(one_of & makers[other] for other in read[rule]), (rule, stage)
        # A job may read what another one of its rule has made, and what is of the same stages as
        # some of its own pieces: matches at the end of a training beside those at its steps.
        assert all(reads & makers[other] for other in read[rule] - {rule}), rule


def stages_of(config, rule):
    """The stages whose work the jobs of a rule do."""
    return {
        stage for job in rule_jobs(config)[rule] for stage, _ in pieces_of_job(config, rule, job)
    }


@pytest.mark.parametrize("stage", STAMPS)
def test_results_of_earlier_versions_stay_valid(stage):
    name, made = STAMPS[stage]
    config = parse_config(EARLIER)
    assert not is_stale(config, json.dumps({"stage": stage, "name": name, "made_by": made})), (
        made_by(config, stage, name)
    )


def test_how_a_command_is_spelled_reruns_nothing(tmp_path):
    """Snakemake's records are of an earlier spelling; what made the result is its version and its
    settings.
    """
    folder, table = copy_project(tmp_path / "p"), "results/tables/theory_frontiers.csv"
    config = {**TINY, "results": "results"}
    run_snakemake(folder, table, config=config)
    step = folder / "workflow" / "rules" / "step.smk"
    step.write_text(step.read_text().replace('"rosetta --made-by', '"rosetta  --made-by'))
    assert jobs_of(run_snakemake(folder, "-n", table, config=config)) == {}
    theory = {**TINY["theory"], "kappa": 2.5}
    edited = run_snakemake(folder, "-n", table, config={**config, "theory": theory})
    assert jobs_of(edited) == {"simulations": 1}


def test_no_stage_is_missing_among_the_earlier_ones():
    assert set(STAMPS) | {"report"} == set(STAGES)


def test_whoever_forces_work_that_other_jobs_do_is_told_which(tmp_path):
    folder = copy_project(tmp_path / "p")
    said = run_snakemake(folder, "-n", "-R", "nulls", "pair", config=TINY).stderr
    warned = [line for line in said.splitlines() if line.startswith("warning: ")]
    assert warned == [
        "warning: nulls has no jobs of its own here: the jobs of pair, part_of_rung, "
        "over_training do its work; "
        "force those, or single files",
    ]


@pytest.mark.parametrize("rule", ["judge", "place"])
def test_work_that_nothing_asks_for_cannot_be_forced(tmp_path, rule):
    folder = copy_project(tmp_path / "p")
    failed = run_snakemake(folder, "-n", "-R", rule, config=TINY, check=False)
    assert failed.returncode == 1
    assert f"rosetta: -R {rule}: nothing in this configuration asks for it" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_the_documentation_of_results_is_in_step():
    assert (ROOT / "docs" / "results.md").read_text() == results_reference()


def test_every_place_has_a_path_and_a_meaning_of_its_own():
    for paths in (Paths, FilterPaths):
        table = places(paths)
        assert len({place.pattern for place in table.values()}) == len(table)
        assert all(place.meaning and place.meaning[-1] != "." for place in table.values())
    paths = Paths(Path("r"))
    assert paths.store_manifest("m", 2, "{shard}") == Path("r/activations/m/2-shards/{shard}.json")
    with pytest.raises(TypeError, match="needs 3 values"):
        paths.store_manifest("m", 2)


def test_tables_and_figures_are_those_that_a_configuration_asks_for():
    config = parse_config(EARLIER)
    plain = parse_config(
        {
            **EARLIER,
            "filtering": None,
            "theory": {"predict_sizes": []},
            "controls": {"untrained_seeds": []},
        }
    )
    optional = {"theory_predictions", "theory_sweep", "theory_sweep_exponents"}
    optional |= {"filtering", "filtering_summary", "filtering_domains", "filtering_candidates"}
    optional |= {"filtering_percentiles"}
    assert set(table_names(config)) - set(table_names(plain)) == optional
    assert "filtering" in figure_names(config)
    assert "filtering" not in figure_names(plain)
    assert figure_names(config, "control_figures") == ["nulls", "k_sweep", "threshold_sweep"]


def test_the_report_waits_for_every_table_and_figure_that_is_asked_for():
    config, paths = parse_config(EARLIER), Paths(Path("r"))
    waited = set(STAGES["report"].inputs(config, paths, {}))
    for stage in STAGES.values():
        if not stage.jobs(config):
            continue
        figures = [paths.figure(name, "png") for name in stage.figure_names(config)]
        assert waited >= {*map(paths.table, stage.tables), *figures}, stage.name
        if stage.tables or figures:
            assert stage.name in STAGES["report"].reads

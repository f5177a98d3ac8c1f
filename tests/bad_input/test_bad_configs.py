"""Configurations that cannot be run: each is rejected before any job, by key, value and fix; and
odd ones that can.
"""

import copy
import shlex
import tempfile
from pathlib import Path

import pytest
import yaml
from commands import assert_rejected, run_here, tree
from workflow_runs import TINY

HUGE = 10**18
NAN, INF = float("nan"), float("inf")
ENDPOINT = {"base_url": "http://localhost:1/v1", "model": "m", "api_key_variable": "NO_SUCH_KEY"}
HUB = {"hub": "somebody/model", "revision": "main"}
CHECKPOINTS = {"n_steps": 100, "tokens_per_step": 64}


def changed(key, value):
    """Return the tiny preset with another value at a key, whose parts are divided by slashes."""
    content = copy.deepcopy({**TINY, "results": "results"})
    *parents, last = key.split("/")
    section = content
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = value
    return content


BAD = [
    # types
    ("results", 5, r"results: input should be a valid string; put it in quotes.* \(got 5\)"),
    ("results", [5], r"results: input should be a valid string$"),
    (
        "models/x",
        {"hub": "a/b", "revision": 1234567},
        r"models\.x\.revision: .*put it in quotes.*got 1234567",
    ),
    ("models", [], "models: must be a mapping"),
    ("models", None, r"models: must be a mapping of keys to values \(got None\)"),
    ("models/x", None, r"models\.x: must be a mapping"),
    ("ladders", "x", "ladders: must be a mapping"),
    ("ladders/x", None, r"ladders\.x: must be a list"),
    ("ladders/x", [["pythia-s", "opt-s"], None], r"ladders\.x\[1\]: must be a list"),
    ("zoo/families/x", None, r"zoo\.families\.x: must be a mapping"),
    ("matching/k", 1.0, r"matching\.k: input should be a valid integer \(got 1\.0\)"),
    ("matching/k", "1", r"matching\.k: .*got '1'"),
    ("sweeps/budgets", "yes", r"sweeps\.budgets: input should be a valid boolean \(got 'yes'\)"),
    ("corpus/source", None, r"corpus\.source: must be a mapping"),
    ("corpus/source", {"kind": "martian"}, r"corpus\.source: .*'martian'.*'files'"),
    (
        "specialization/categories",
        "pale",
        r"categories: input should be 'pile' or must be a mapping.*got 'pale'",
    ),
    (
        "specialization/directions/python",
        "up",
        r"directions\.python: input should be 'rises' or 'falls' \(got 'up'\)",
    ),
    ("specialization/directions", ["python"], r"specialization\.directions: must be a mapping"),
    # autoencoders
    ("sae/k", 1000, r"sae\.k: is 1000, but an autoencoder of 32 neurons has 128 features .*Lower"),
    ("sae/width", 0, r"sae\.width: input should be greater than or equal to 1 \(got 0\)"),
    ("sae/per", "head", r"sae\.per: input should be 'model' or 'layer' \(got 'head'\)"),
    ("sae/heldout_one_in", 1, r"sae\.heldout_one_in: .*greater than or equal to 2 \(got 1\)"),
    ("sae/learning_rate", 0.0, r"sae\.learning_rate: input should be greater than 0"),
    ("sae/path", {"nobody": "x"}, r"sae\.path: 'nobody' is no model of a ladder; these are pyth"),
    (
        "sae/path",
        {"opt-s": "nowhere"},
        r"sae\.path\.opt-s: nowhere has neither cfg\.json of SAELens nor config\.json of dict",
    ),
    ("sae/path", {"opt-s": "~/x"}, r"sae\.path\.opt-s: '~' is not expanded"),
    (
        "controls/document_seeds",
        [],
        r"controls\.document_seeds: is empty, but matches of sae's features .*Give a seed",
    ),
    # ranges, and numbers that are none
    ("matching/k", 0, r"matching\.k: input should be greater than or equal to 1 \(got 0\)"),
    (
        "bootstrap/min_clusters",
        1,
        r"bootstrap\.min_clusters: input should be greater than or equal to 2 \(got 1\)",
    ),
    (
        "bootstrap/n_resamples",
        150,
        r"bootstrap\.n_resamples: 150 are too few for \d+ verdicts .* Use at least \d+",
    ),
    ("theory/kappa", NAN, r"theory\.kappa: input should be a finite number \(got nan\)"),
    (
        "zoo/training/learning_rate",
        INF,
        r"learning_rate: input should be a finite number \(got inf\)",
    ),
    ("correlation/memory_gb", INF, r"correlation\.memory_gb: input should be a finite number"),
    ("exclusions/max_norm", INF, r"exclusions\.max_norm: input should be a finite"),
    ("selectivity/firing_std", NAN, r"selectivity\.firing_std: input should be a finite"),
    (
        "filtering/scoring/threshold",
        NAN,
        r"filtering\.scoring\.threshold: input should be a finite",
    ),
    (
        "theory/predict_sizes",
        [0.5],
        r"theory\.predict_sizes\[0\]: input should be greater than or equal to 1",
    ),
    ("corpus/seed", 2**63, r"corpus\.seed: input should be less than 9223372036854775808"),
    (
        "controls/untrained_seeds",
        [2**64],
        r"controls\.untrained_seeds\[0\]: input should be less than",
    ),
    (
        "corpus/min_document_bytes",
        5000,
        r"corpus: min_document_bytes \(5000\) is above max_document_bytes",
    ),
    # absurd sizes
    (
        "zoo/sizes/s/d_mlp",
        HUGE,
        r"zoo\.sizes\.s\.d_mlp: input should be less than or equal to 1000000",
    ),
    ("zoo/sizes/s/n_layers", HUGE, r"zoo\.sizes\.s\.n_layers: input should be less than"),
    ("zoo/sizes/s/d_model", 2 * HUGE, r"zoo\.sizes\.s\.d_model: input should be less than"),
    ("zoo/families/pythia/vocab_size", HUGE, r"vocab_size: input should be less than"),
    ("zoo/training/steps", HUGE, r"zoo\.training\.steps: input should be less than"),
    ("zoo/training/batch_size", HUGE, r"zoo\.training\.batch_size: input should be less than"),
    ("activations/batch_size", HUGE, r"activations\.batch_size: input should be less than"),
    (
        "activations/batch_size",
        "Auto",
        r"s\.batch_size: input should be a valid integer or .*'auto' \(got 'Auto'\)",
    ),
    (
        "activations/n_shards",
        500,
        r"activations\.n_shards: 500 is above activations\.max_documents \(120\)",
    ),
    ("correlation/max_k", HUGE, r"correlation\.max_k: input should be less than"),
    ("correlation/n_jobs", HUGE, r"correlation\.n_jobs: input should be less than"),
    ("correlation/memory_gb", 0.001, r"correlation\.memory_gb: 0\.001 is too little"),
    ("intervals/n_blocks", 10**6, r"intervals\.n_blocks: input should be less than"),
    (
        "intervals/n_blocks",
        6,
        r"intervals\.n_blocks: no Hadamard matrix of order 6 is made, so take 4 or 8",
    ),
    (
        "corpus/source/bytes_per_domain",
        HUGE,
        r"corpus\.source\.bytes_per_domain: input should be less than",
    ),
    (
        "filtering/pool/n_shards",
        HUGE,
        r"filtering\.pool\.n_shards: input should be less than or equal to 4096",
    ),
    (
        "theory/simulation/sizes",
        [HUGE],
        r"theory\.simulation\.sizes\[0\]: input should be less than",
    ),
    (
        "theory/simulation/n_inputs",
        HUGE,
        r"theory\.simulation\.n_inputs: input should be less than",
    ),
    ("theory/gamma", 1e9, r"theory\.gamma: input should be less than or equal to 500"),
    (
        "theory/kappa",
        30.0,
        r"theory\.kappa: at 30, beta 1\.5 and N = 64 the allocation serves more .* lower it",
    ),
    ("theory/sweep", {"kappa": [1.0, 50.0]}, r"theory\.sweep\.kappa: at 50, .*lower it"),
    # twice, or not at all
    ("corpus/source/domains", [], r"corpus\.source\.domains: list should have at least 1 item"),
    ("theory/simulation/betas", [], r"theory\.simulation\.betas: list should have at least 1 item"),
    (
        "corpus/source/domains",
        ["python", "python"],
        r"corpus\.source\.domains: must differ from each other",
    ),
    ("theory/simulation/betas", [1.5, 1.5], r"theory\.simulation\.betas: must differ"),
    ("sweeps/pooling", ["max", "max"], r"sweeps\.pooling: must differ"),
    ("controls/permutation_seeds", [1, 1], r"controls\.permutation_seeds: must differ"),
    ("controls/document_seeds", [1, 1], r"controls\.document_seeds: must differ"),
    ("ladders/x", [["pythia-s", "opt-s"]] * 2, r"ladders\.x: names the same rung twice"),
    # trainings of one recipe
    ("across_seeds/models", ["opt-z"], r"across_seeds\.models: opt-z is no model of a rung"),
    ("across_seeds/models", ["pythia-m"], r"across_seeds\.models: pythia-m is trained once; give"),
    ("across_seeds/models", ["pythia-s"] * 2, r"across_seeds\.models: pythia-s is named twice"),
    # training ladders
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": [3, 40]},
        r"training_ladders\.x\.steps: 40 is not before the end of the training of pythia-m, 12 ",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": [12]},
        r"training_ladders\.x\.steps: 12 is not before the end .* which is looked at anyway",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": {"first": 20, "n": 3}},
        r"training_ladders\.x\.steps: 20 is not before the end of the training",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": [4, 2]},
        r"training_ladders\.x\.steps: must grow, each above the one before \(got \[4, 2\]\)",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": [4, 4]},
        r"training_ladders\.x\.steps: must grow",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": []},
        r"training_ladders\.x\.steps: .*at least 1 item",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": {"first": 2}},
        r"training_ladders\.x\.steps\.n: required key is missing",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": "2"},
        r"training_ladders\.x\.steps: must be a mapping",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m"], "steps": [2]},
        r"training_ladders\.x\.models: .*at least 2 items",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "nobody"], "steps": [2]},
        r"training_ladders\.x\.models: no rung of ladders compares pythia-m--nobody, .*; add it",
    ),
    (
        "training_ladders/x",
        {"models": ["opt-m", "pythia-m"], "steps": [2]},
        r"training_ladders\.x\.models: no rung of ladders compares opt-m--pythia-m",
    ),
    (
        "training_ladders/pythia-opt",
        {"models": ["pythia-m", "opt-m"], "steps": [2]},
        r"training_ladders\.pythia-opt: ladders has a 'pythia-opt', too; .* another name",
    ),
    (
        "training_ladders/x",
        {"models": ["pythia-m", "opt-m"], "steps": [2], "axis": "neurons"},
        r"training_ladders\.x\.axis: input should be 'tokens' \(got 'neurons'\)",
    ),
    (
        "models/pythia-m/checkpoints",
        {**CHECKPOINTS, "paths": "m-{step}"},
        r"models\.pythia-m: checkpoints go with path or hub, not with zoo; leave them out",
    ),
    (
        "models/x",
        {**HUB, "checkpoints": {**CHECKPOINTS, "revisions": "step"}},
        r"models\.x\.checkpoints: revisions: 'step' must hold \{step\} once",
    ),
    (
        "models/x",
        {**HUB, "checkpoints": {**CHECKPOINTS, "revisions": "../{step}"}},
        r"models\.x\.checkpoints: revisions: '\.\./\{step\}': String should match",
    ),
    (
        "models/x",
        {"path": "m", "checkpoints": {**CHECKPOINTS, "paths": "~/m-{step}"}},
        r"models\.x\.checkpoints: paths: '~/m-\{step\}': .*write the home folder out",
    ),
    (
        "models/x",
        {**HUB, "checkpoints": {**CHECKPOINTS, "paths": "m-{step}"}},
        r"models\.x: checkpoints: a model of hub needs revisions",
    ),
    (
        "models/x",
        {**HUB, "checkpoints": CHECKPOINTS},
        r"models\.x\.checkpoints: give one of revisions \(of a hub model\) and paths",
    ),
    # unknown, dangling, cyclic
    ("corelation", {"max_k": 3}, "corelation: unknown key; remove it or correct its spelling"),
    ("zoo/sizes/s/d_mpl", 3, r"zoo\.sizes\.s\.d_mpl: unknown key"),
    (
        "ladders/x",
        [["pythia-s", "nobody"]],
        r"ladders\.x\[0\]: no model is named 'nobody'; models has .*pythia-s",
    ),
    (
        "models/x",
        {"zoo": {"family": "bert", "size": "s"}},
        r"models\.x\.zoo\.family: 'bert' is not in zoo\.families",
    ),
    ("models/x", {"untrained": {"of": "x"}}, r"models\.x\.untrained\.of: 'x' is itself untrained"),
    ("models/x", {"untrained": {"of": "y"}}, r"models\.x\.untrained\.of: no model is named 'y'"),
    (
        "ladders/x",
        [["pythia-m", "opt-s"]],
        r"ladders\.x\[0\]: pythia-m has 96 neurons and opt-s 32; .*max_scale_ratio",
    ),
    (
        "max_scale_ratio",
        0.5,
        r"max_scale_ratio: input should be greater than or equal to 1 \(got 0\.5\)",
    ),
    ("max_scale_ratio", INF, r"max_scale_ratio: input should be a finite number"),
    ("filtering/rung", 7, r"filtering\.rung: ladders\.pythia-opt has 2 rungs, so no number 7"),
    ("filtering/target", "", r"filtering\.target: '' is not in corpus\.source\.domains"),
    # places
    ("results", "", "results: a path has visible characters"),
    ("results", "a\0b", "results: a path has visible characters only"),
    ("results", "a\nb", "results: a path has visible characters only"),
    ("results", "~/results", "results: '~' is not expanded"),
    ("results", "-rf", "results: must not begin with '-'"),
    ("results", "results/{pair}", r"results: must not hold '\{'"),
    ("results", "results/<stage>", r"results: must not hold '<stage>', which Snakemake takes for"),
    ("results", "x" * 5000, "results: File name too long"),
    ("results", "file/out", "results: .*file is not a folder"),
    ("models/x", {"path": ""}, r"models\.x\.path: a path has visible characters"),
    ("models/x", {"path": "none"}, r"models\.x\.path: none is not a folder"),
    ("models/x", {"hub": "../../etc", "revision": "main"}, r"models\.x\.hub: string should match"),
    (
        "models/x",
        {"hub": "a/b", "revision": "../../x"},
        r"models\.x\.revision: string should match",
    ),
    ("models/x", {"hub": "file", "revision": "main"}, r"models\.x\.hub: a folder file lies here"),
    (
        "models/PYTHIA-M",
        HUB,
        r"models: 'PYTHIA-M' and 'pythia-m' differ in the case of letters only",
    ),
    (
        "ladders/Pythia-opt",
        [["pythia-m", "opt-m"]],
        r"ladders: 'Pythia-opt' and 'pythia-opt' differ in the case",
    ),
    (
        "zoo/families/Opt",
        {"architecture": "opt", "vocab_size": 300, "seed": 9},
        r"zoo\.families: 'Opt' and 'opt' differ in the case of letters only",
    ),
    ("dask", {"scheduler": "http://x"}, r"dask\.scheduler: .*got 'http://x'"),
    (
        "dask",
        {"jobqueue": {"walltime": 3600}},
        r"dask: jobqueue\.walltime must be in quotes: YAML reads 01:00:00",
    ),
    (
        "annotation",
        {**ENDPOINT, "base_url": "file:///etc/passwd"},
        r"annotation\.base_url: must be an address",
    ),
    ("ablation/ladder", "none", r"ablation\.ladder: 'none' is not in ladders \(pythia-opt,"),
    ("ablation/rungs", [2], r"ablation\.rungs: ladders\.pythia-opt has 2 rungs, so no number 2"),
    ("ablation/rungs", [0, 0], r"ablation\.rungs: .*must differ from each other"),
    ("ablation/n_draws", 19, r"ablation\.n_draws: .*greater than or equal to 20"),
    ("ablation/method", "median", r"ablation\.method: .*'mean' or 'zero'"),
    (
        "ablation",
        {"ladder": "pythia-opt", "above": "permutation"},
        r"ablation\.above: .*'documents' or 'untrained'",
    ),
    ("attribution", {"quantile": 1.0}, r"attribution\.quantile: .*less than 1"),
    (
        "annotation",
        ENDPOINT,
        r"annotation\.api_key_variable: the environment variable NO_SUCH_KEY is not set",
    ),
]


@pytest.fixture(scope="module")
def folder():
    """A folder with results of an earlier run, of which nothing may change."""
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "results" / "tables").mkdir(parents=True)
        (Path(name) / "results" / "tables" / "counts.csv").write_text("earlier")
        (Path(name) / "file").write_text("")
        yield Path(name)


@pytest.mark.parametrize(
    ("key", "value", "message"), BAD, ids=[f"{key}={str(value)[:20]!a}" for key, value, _ in BAD]
)
def test_a_bad_value_is_rejected_by_its_key(folder, key, value, message):
    (folder / "run.yaml").write_text(yaml.safe_dump(changed(key, value)))
    before = tree(folder)
    assert_rejected(run_here("check", "--configfile", "run.yaml", folder=folder), message)
    assert tree(folder) == before


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
FILES = {
    "key given twice": (
        b"models: {}\nladders: {}\nmodels: {}\n",
        r"line 3: the key 'models' is given twice",
    ),
    "nested key given twice": (
        b"zoo:\n  sizes:\n    s: {d_mlp: 1}\n    s: {d_mlp: 2}\n",
        "line 4: the key 's' is given",
    ),
    "nothing": (b"", "expected a mapping of settings, got NoneType"),
    "a list": (b"- a\n- b\n", "expected a mapping of settings, got list"),
    "not closed": (b"a: [1", "not YAML: .*line 1"),
    "a tab": (b"a:\n\tb: 1\n", "not YAML: .*cannot start any token.*line 2"),
    "not text": (b"\xff\xfe\x00", "cannot read the configuration .*0xff"),
    "a control character": (b"results: a\x00b\n", "not YAML: .*special characters are not allowed"),
    "an object of Python": (
        b'results: !!python/object/apply:os.system ["touch ran"]',
        "not YAML: could not determine",
    ),
    "a date that is none": (b"results: 2020-13-45\n", "not a configuration .*month"),
    "anchors that unfold without end": (LAUGHS.encode(), "holds more than 100,000 values"),
    "an anchor in itself": (
        b"models: &a {x: *a}\nladders: {}\n",
        "holds more than 100,000 values, or refers to itself",
    ),
    "nested without end": (b"a: " + b"[" * 3000, "not a configuration .*recursion"),
    "an unknown anchor": (b"models: *nobody\n", "not YAML: found undefined alias"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_bad_file_is_rejected_by_its_name(folder, content, message):
    (folder / "bad.yaml").write_bytes(content)
    before = tree(folder)
    assert_rejected(
        run_here("check", "--configfile", "bad.yaml", folder=folder),
        rf"rosetta: bad\.yaml: {message}",
    )
    assert tree(folder) == before


def test_several_problems_are_one_message(folder):
    content = {**changed("matching/k", 0), "corelation": {}, "exclusions": {"max_norm": NAN}}
    (folder / "run.yaml").write_text(yaml.safe_dump(content))
    done = run_here("check", "--configfile", "run.yaml", folder=folder)
    for message in (r"matching\.k: ", "corelation: unknown key", r"exclusions\.max_norm: "):
        assert_rejected(done, message)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("results", "it's a; folder $(touch ran) — 結果"),
        ("results", "/tmp/../tmp/rosetta-results"),
        ("zoo/sizes/s", {"n_layers": 1, "d_model": 16, "d_mlp": 1, "n_heads": 1}),
        ("models/v1.0_b-x", {"zoo": {"family": "opt", "size": "s"}}),
        ("models/x", HUB),
        ("theory/predict_sizes", []),
        ("sweeps/k", []),
        (
            "dask",
            {
                "scheduler": "slurm",
                "jobqueue": {"walltime": "01:00:00", "cores": 2, "extra": ["--x"]},
            },
        ),
    ],
)
def test_what_is_odd_and_right_is_accepted(folder, key, value):
    (folder / "run.yaml").write_text(yaml.safe_dump(changed(key, value)))
    done = run_here("check", "--configfile", "run.yaml", "--out", "whole.yaml", folder=folder)
    assert (done.code, done.err) == (0, "")
    again = run_here("check", "--configfile", "whole.yaml", folder=folder)
    assert again.code == 0, "what is written reads back"
    assert not (folder / "ran").exists(), shlex.quote(str(value))

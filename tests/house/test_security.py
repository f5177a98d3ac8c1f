"""Nothing from outside runs or leaks: the claims of docs/security.md; names are in another file."""

import ast
import base64
import json
import pickle
import re
import shutil

import jinja2
import numpy as np
import pytest
import torch
import yaml
import zarr
from commands import assert_rejected, run_here
from helpers import random_ranges, save_stores, save_tiny_model
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from workflow_runs import ROOT, TINY

from rosetta.config import dump_config, parse_config
from rosetta.errors import ConfigError, without_secrets
from rosetta.filtering.corpus_card import as_code
from rosetta.models.zoo.training_loop import Steps, run_steps
from rosetta.report.viewer_parts import embedded_json

SECRET = "sk-Very+secret/5d1f"
SOURCES = [
    *sorted((ROOT / "rosetta").rglob("*.py")),
    *sorted((ROOT / "workflow" / "scripts").glob("*.py")),
]


class Trap:
    """Leaves a file where it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return open, (self.mark, "w")


def calls(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            options = {word.arg: ast.unparse(word.value) for word in node.keywords}
            yield ast.unparse(node.func), [ast.unparse(argument) for argument in node.args], options


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_code_reads_pickles_or_runs_what_it_reads(path):
    imported = set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(), re.MULTILINE))
    assert not imported & {
        "pickle",
        "cPickle",
        "dill",
        "cloudpickle",
        "joblib",
        "marshal",
        "shelve",
    }
    for name, arguments, options in calls(path):
        assert name not in ("eval", "exec", "compile", "os.system", "os.popen", "__import__"), name
        assert not name.endswith(("read_pickle", "unsafe_load", "full_load")), name
        assert options.get("shell", "False") == "False", name
        if name == "torch.load":
            assert options["weights_only"] == "True"
        if name in ("np.load", "numpy.load"):
            assert options["allow_pickle"] == "False"
        if name == "yaml.load":
            assert arguments[1] == "_Loader", "which is a SafeLoader"
        if re.search(r"Auto\w+\.from_(pretrained|config)$", name):
            assert options["trust_remote_code"] == "False"
        if name == "AutoModelForCausalLM.from_pretrained":
            assert options["use_safetensors"] == "True"


@pytest.fixture
def run(tmp_path, texts):
    """A run of a model of one's own, and the mark that a trap would leave."""
    for seed, name in enumerate("mn"):
        save_tiny_model(tmp_path / name, texts, "gpt2", seed=seed)
    config = {"models": {"m": {"path": "m"}, "n": {"path": "n"}}, "ladders": {"l": [["m", "n"]]}}
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({**config, "activations": {"sequence_length": 32}})
    )
    return tmp_path, tmp_path / "ran"


def test_a_pickle_beside_the_weights_is_never_read(run):
    folder, mark = run
    with open(folder / "m" / "pytorch_model.bin", "wb") as file:
        pickle.dump(Trap(mark), file)
    shutil.copy(folder / "m" / "pytorch_model.bin", folder / "m" / "training_args.bin")
    assert run_here("model", "--config", "run.yaml", "--model", "m", folder=folder).code == 0
    (folder / "m" / "model.safetensors").unlink()
    for command in (["check", "--configfile"], ["model", "--model", "m", "--config"]):
        assert_rejected(run_here(*command, "run.yaml", folder=folder), "safetensors only")
    assert not mark.exists()


def test_code_in_a_model_folder_is_never_run(run):
    """Of a supported architecture, the library's class is used; of another, nothing is."""
    folder, mark = run
    code = f"open({str(mark)!r}, 'w')\nclass M: pass\n"
    for name in ("modeling.py", "tokenization.py", "configuration.py"):
        (folder / "m" / name).write_text(code)
    maps = {
        "AutoConfig": "configuration.M",
        "AutoModelForCausalLM": "modeling.M",
        "AutoTokenizer": ["tokenization.M"] * 2,
    }
    for name in ("config.json", "tokenizer_config.json"):
        content = json.loads((folder / "m" / name).read_text())
        (folder / "m" / name).write_text(json.dumps({**content, "auto_map": maps}))
    assert run_here("model", "--config", "run.yaml", "--model", "m", folder=folder).code == 0
    content = json.loads((folder / "m" / "tokenizer_config.json").read_text())
    (folder / "m" / "tokenizer_config.json").write_text(
        json.dumps({**content, "tokenizer_class": "M"})
    )
    run_here("model", "--config", "run.yaml", "--model", "m", folder=folder)
    content = json.loads((folder / "m" / "config.json").read_text())
    (folder / "m" / "config.json").write_text(json.dumps({**content, "model_type": "evil"}))
    assert_rejected(run_here("check", "--configfile", "run.yaml", folder=folder), "not supported")
    assert not mark.exists()


def test_a_pickled_checkpoint_is_not_run(tmp_path):
    torch.save({"run": "x", "model": Trap(tmp_path / "ran")}, tmp_path / "last.pt")
    model = torch.nn.Linear(1, 1)
    model.device = torch.device("cpu")
    steps = Steps(torch.zeros(1, 1, 1, dtype=torch.long), lambda _: 0.1, tmp_path, 1, "x", "rate")
    with pytest.raises(Exception, match=r"(?i)weights.only|damaged"):
        run_steps(model, torch.optim.SGD(model.parameters()), steps, torch.float32)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_with_a_pickled_chunk_is_rejected(tmp_path, zarr_format):
    """Whether it is of the old format, whose objects are pickles, or names such a codec."""
    ranges = random_ranges(np.random.default_rng(0), [30] * 4)
    activations = (
        np.random.default_rng(1).standard_normal((1, len(ranges[0]), 3)).astype(np.float32)
    )
    save_stores(tmp_path / "a", activations, ranges, 4)
    array = next(
        path.parent
        for path in (tmp_path / "a" / "0.zarr").rglob("zarr.json")
        if "token_ids" in str(path)
    )
    content = json.loads((array / "zarr.json").read_text())
    if zarr_format == 2:
        (array / "zarr.json").unlink()
        filters = [{"id": "pickle", "protocol": 5}]
        old = {
            "zarr_format": 2,
            "shape": content["shape"],
            "chunks": content["shape"],
            "dtype": "|O",
            "order": "C",
        }
        (array / ".zarray").write_text(
            json.dumps({**old, "compressor": None, "fill_value": None, "filters": filters})
        )
        (array / "0").write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    else:
        codec = {"name": "numcodecs.pickle", "configuration": {}}
        (array / "zarr.json").write_text(json.dumps({**content, "codecs": [codec]}))
        chunk = next(
            path for path in array.rglob("*") if path.is_file() and path.name != "zarr.json"
        )
        chunk.write_bytes(pickle.dumps(Trap(tmp_path / "ran")))
    done = run_here("store", "check", "a", folder=tmp_path)
    assert_rejected(done, "a/0")
    with pytest.raises(Exception):  # noqa: B017, PT011 - and zarr itself, asked for the format that stores have, does not
        zarr.open_group(tmp_path / "a" / "0.zarr", mode="r", zarr_format=3)["token_ids"][...]
    assert not (tmp_path / "ran").exists()


ENDPOINT = {"base_url": "http://localhost:1/v1", "model": "m", "api_key_variable": "TEST_KEY"}


@pytest.mark.parametrize(
    "annotation",
    [
        {**ENDPOINT, "api_key": SECRET},
        {**ENDPOINT, "api_key_variable": SECRET},
        {**ENDPOINT, "base_url": f"https://user:{SECRET}@host/v1"},
        {**ENDPOINT, "base_url": f"https://host/v1?key={SECRET}"},
        {**ENDPOINT, "base_url": f"https://[{SECRET}/v1"},
        {**ENDPOINT, "model": {"key": SECRET}},
    ],
)
def test_a_secret_in_the_wrong_place_is_rejected_and_not_repeated(annotation):
    with pytest.raises(ConfigError, match=r"annotation\.\w+: ") as caught:
        parse_config({**TINY, "annotation": annotation})
    assert SECRET not in str(caught.value)


def test_the_environment_is_in_no_dump(monkeypatch):
    monkeypatch.setenv("TEST_KEY", SECRET)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    config = parse_config({**TINY, "annotation": ENDPOINT})
    assert SECRET not in dump_config(config) + repr(config) + config.model_dump_json()


def test_messages_are_without_secrets(tmp_path, monkeypatch):
    """Whatever another program's error repeats: a token of the environment, a password in an
    address.
    """
    monkeypatch.setenv("HF_TOKEN", SECRET)
    said = without_secrets(
        f"401 for https://me:pass@host/x, headers: Authorization: Bearer {SECRET}"
    )
    assert said == "401 for https://***@host/x, headers: Authorization: Bearer ***"
    assert without_secrets("results/a@b: no such file") == "results/a@b: no such file"
    done = run_here("fit", f"{SECRET}.csv", folder=tmp_path)
    assert_rejected(done, r"\*\*\*\.csv: no such file")
    source = {"kind": "files", "path": "https://me:hidden@host/c.jsonl"}
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({**TINY, "filtering": None, "corpus": {"source": source}})
    )
    done = run_here("check", "--configfile", "run.yaml", folder=tmp_path)
    assert_rejected(done, r"corpus\.source\.path: must be a place on this machine, not an address")
    assert "hidden" not in done.err


def test_what_an_endpoint_repeats_of_the_key_is_not_shown(monkeypatch):
    pytest.importorskip("openai")
    from chat_server import Server, fault

    from rosetta.config import Annotation
    from rosetta.errors import EndpointError
    from rosetta.judging.endpoint import Endpoint, check_endpoint

    monkeypatch.setenv("TEST_KEY", SECRET)
    forms = [SECRET, "sk-Very%2Bsecret%2F5d1f", base64.b64encode(SECRET.encode()).decode()]
    server = Server()
    server.answers = [fault(400, f"you sent Authorization: Bearer {' and '.join(forms)}")]
    try:
        with pytest.raises(
            EndpointError, match=r"you sent Authorization: Bearer \*\*\* and \*\*\* and \*\*\*"
        ):
            Endpoint(Annotation(**{**ENDPOINT, "base_url": server.url})).ask(
                [{"role": "user", "content": "?"}]
            )
    finally:
        server.close()
    for wrong in (f"{SECRET}\n", f"Bearer {SECRET}", "sk-ü"):
        monkeypatch.setenv("TEST_KEY", wrong)
        with pytest.raises(ConfigError, match="TEST_KEY holds a blank") as caught:
            check_endpoint(Annotation(**ENDPOINT))
        assert SECRET not in str(caught.value)


@given(
    st.recursive(
        st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=5
    )
)
def test_no_text_ends_the_script_that_holds_it(data):
    text = embedded_json(data)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == data


def test_pages_escape_everything_but_their_own_parts():
    templates = ROOT / "rosetta" / "report" / "templates"
    unescaped = [
        found
        for path in templates.glob("*.jinja")
        for found in re.findall(r"\{\{[^}]*\|\s*safe", path.read_text())
    ]
    assert sorted(unescaped) == ["{{ data|safe", "{{ script|safe", "{{ style|safe"]
    for path in (ROOT / "rosetta" / "report").glob("*.py"):
        made = [options for name, _, options in calls(path) if name == "jinja2.Environment"]
        assert all(options["autoescape"] == "True" for options in made)
        assert "Markup" not in path.read_text()
    script = "".join(path.read_text() for path in templates.glob("*.js"))
    assert "textContent" in script
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script
    )
    assert jinja2.Template("{{ x }}", autoescape=True).render(x="<b>") == "&lt;b&gt;"


def test_a_label_stays_text_in_a_card():
    assert (
        as_code("a`b\n# [x](javascript:alert(1)) <script>")
        == "`a'b # [x](javascript:alert(1)) <script>`"
    )


def test_weights_are_read_from_the_folder_alone(run):
    """A file that the index names elsewhere is not opened, not even to see whether it is there."""
    folder, _ = run
    keys = load_file(folder / "m" / "model.safetensors")
    (folder / "m" / "model.safetensors").rename(folder / "outside.safetensors")
    for name in (
        "../outside.safetensors",
        str(folder / "outside.safetensors"),
        "/etc/passwd",
        "a/../../outside.safetensors",
    ):
        (folder / "m" / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": dict.fromkeys(keys, name)})
        )
        done = run_here("check", "--configfile", "run.yaml", folder=folder)
        assert_rejected(done, "which is no safetensors file of this folder")

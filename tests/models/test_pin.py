"""`rosetta pin` against a hub made of dictionaries, and what is said of a model without
safetensors.
"""

from types import SimpleNamespace

import pytest
import yaml
from helpers import save_tiny_model
from huggingface_hub.errors import OfflineModeIsEnabled

from rosetta.config import load_config
from rosetta.config.training_ladders import steps_of_model
from rosetta.errors import ConfigError, ModelError
from rosetta.models import hub, licences
from rosetta.models.loading import load_model
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.pin import pin_text
from rosetta.models.sources import ModelSource

A, B, C, D = (letter * 40 for letter in "abcd")
TEXT = f"""# what a user wrote
models:
  pythia-1.4b: # a name with a dot
    hub: lab/pythia
    revision: main # moves
    dtype: bfloat16
  opt:  {{hub: lab/opt, revision: "{B}", dimensions: {{n_layers: 1, d_mlp: 2, n_parameters: 3}}}}
  mine: {{path: somewhere}}
corpus:
  source: {{kind: hub, id: lab/pile, revision: main}} # texts
ladders:
  one: [[pythia-1.4b, opt]]
"""


class FakeHub:
    """A hub that knows some revisions, each by its commit and files, and some pull requests.

    A file's content is what stands after `=` in its name, and is told only where it is asked for.
    """

    def __init__(self, revisions, discussions=()):
        self.revisions, self.discussions = revisions, discussions

    def model_info(self, name, *, revision, files_metadata=False):
        if (name, revision) not in self.revisions:
            raise OSError(f"404 for {name} {revision}")
        sha, files = self.revisions[name, revision]
        parts = [file.partition("=") for file in files]
        siblings = [
            SimpleNamespace(rfilename=file, blob_id=f"id {content}" if files_metadata else None)
            for file, _, content in parts
        ]
        return SimpleNamespace(sha=sha, siblings=siblings)

    dataset_info = model_info

    def get_repo_discussions(self, name, *, author, discussion_type):
        return iter([one for one in self.discussions if one.repo == name])


def request(num, author=hub.CONVERTER, title=hub.CONVERSION_TITLE):
    return SimpleNamespace(repo="lab/opt", num=num, author=author, title=title)


KNOWN = {
    ("lab/pythia", "main"): (A, ["config.json", "model.safetensors.index.json"]),
    ("lab/opt", B): (B, ["pytorch_model.bin"]),
    ("lab/opt", "refs/pr/3"): (C, ["pytorch_model.bin", "model.safetensors"]),
    ("lab/opt", "refs/pr/9"): (D, ["pytorch_model.bin", "model.safetensors"]),
    ("lab/opt", "refs/pr/11"): (D, ["pytorch_model.bin"]),
    ("lab/pile", "main"): (D, []),
}


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(TEXT)
    return path


def test_revisions_become_commits_and_nothing_else_changes(written, capsys):
    requests = [request(3), request(9, author="somebody"), request(9, title="other"), request(11)]
    pinned = pin_text(written, FakeHub(KNOWN, requests))
    expected = TEXT.replace("revision: main #", f"revision: {A} #").replace(f'"{B}"', C)
    assert pinned == expected.replace("lab/pile, revision: main", f"lab/pile, revision: {D}")
    assert yaml.safe_load(pinned)["models"]["opt"]["revision"] == C
    said = capsys.readouterr().err
    assert f"lab/opt@{B} holds no safetensors; pinned to refs/pr/3" in said


def test_a_pinned_file_is_left_as_it_is(written):
    again = TEXT.replace("revision: main", f"revision: {A}").replace(f'"{B}"', C)
    written.write_text(again)
    known = {
        ("lab/pythia", A): KNOWN["lab/pythia", "main"],
        ("lab/opt", C): KNOWN["lab/opt", "refs/pr/3"],
    }
    assert pin_text(written, FakeHub({**known, ("lab/pile", A): (A, [])})) == again


def test_a_pipeline_is_pinned_if_its_transformer_is_in_safetensors(written):
    text = """
models:
  opt:
    hub: lab/opt
    revision: main
    modality: images
    generator: true
    pipeline: {steps: 1, size: 64, class_names: [owl]}
  mine: {path: somewhere, modality: images}
ladders:
  one: [[opt, mine]]
"""
    written.write_text(text)
    weights = "transformer/diffusion_pytorch_model.safetensors"
    known = {("lab/opt", "main"): (C, ["model_index.json", weights])}
    assert pin_text(written, FakeHub(known)) == text.replace("main", C)
    known["lab/opt", "main"] = (C, ["model_index.json", "model.safetensors"])
    with pytest.raises(ModelError, match=r"models\.opt: lab/opt@main holds no safetensors"):
        pin_text(written, FakeHub(known))


def test_what_cannot_be_pinned_is_named(written):
    with pytest.raises(
        ModelError, match=rf"models\.opt: lab/opt@{B} holds no safetensors, and no pull.*`path`"
    ):
        pin_text(written, FakeHub(KNOWN))
    with pytest.raises(
        ModelError, match=r"models\.pythia-1\.4b: the hub does not tell about lab/pythia@main .*404"
    ):
        pin_text(written, FakeHub({}))
    written.write_text(TEXT.replace("lab/pile, revision: main", "lab/pile"))
    with pytest.raises(ConfigError, match=r"corpus\.source\.revision: is missing"):
        pin_text(written, FakeHub(KNOWN, [request(3)]))


def test_a_conversion_of_other_weights_is_not_taken(written):
    """The hub's service converts `main`, whose weights are not those of another branch."""
    known = {
        **KNOWN,
        ("lab/opt", B): (B, ["pytorch_model.bin=early"]),
        ("lab/opt", "refs/pr/3"): (C, ["pytorch_model.bin=late", "model.safetensors"]),
    }
    no_weights = rf"models\.opt: lab/opt@{B} holds no safetensors, and no pull request has its"
    with pytest.raises(ModelError, match=no_weights):
        pin_text(written, FakeHub(known, [request(3)]))
    known["lab/opt", B] = (B, ["flax_model.msgpack"])
    known["lab/opt", "refs/pr/3"] = (C, ["flax_model.msgpack", "model.safetensors"])
    with pytest.raises(ModelError, match=no_weights):
        pin_text(written, FakeHub(known, [request(3)]))
    halves = [f"pytorch_model-0000{n}-of-00002.bin={n}" for n in (1, 2)]
    known["lab/opt", B] = (B, halves)
    known["lab/opt", "refs/pr/3"] = (C, [*halves, "model.safetensors.index.json"])
    assert C in pin_text(written, FakeHub(known, [request(3)]))


STEPS = f"""
models:
  one:
    hub: lab/one # a model
    revision: main
    checkpoints:
      n_steps: 100
      tokens_per_step: 64
      revisions: "step{{step}}" # every step
  two:
    hub: lab/two
    revision: main
    checkpoints: {{n_steps: 100, tokens_per_step: 64, revisions: {{
      4: v4, # a tag
      16: {D}, 64: v64}}}}
ladders: {{both: [[one, two]]}}
training_ladders:
  early: {{models: [one, two], steps: [4, 16]}}
"""
SAFE = ["model.safetensors"]


def commit(step, letter="a"):
    return f"{step:039}{letter}"


NUMBERED = {
    ("lab/one", "main"): (A, SAFE),
    ("lab/two", "main"): (B, SAFE),
    **{("lab/one", f"step{n}"): (commit(n), SAFE) for n in (4, 16, 64)},
    **{("lab/two", f"v{n}"): (commit(n, "b"), SAFE) for n in (4, 64)},
    ("lab/two", D): (D, SAFE),
}


def steps_of(config, model):
    """Return the revision of a model at every step that is looked at."""
    entry = config.models[model].checkpoints
    return {step: entry.at(step) for step in steps_of_model(config, model)}


def test_every_step_that_is_looked_at_has_its_commit(written, capsys):
    written.write_text(STEPS)
    pinned = pin_text(written, FakeHub(NUMBERED))
    block = f"{{\n        4: {commit(4)},\n        16: {commit(16)}}} # every step"
    expected = STEPS.replace('"step{step}" # every step', block).replace(
        "4: v4,", f"4: {commit(4, 'b')},"
    )
    expected = expected.replace("64: v64", f"64: {commit(64, 'b')}")
    expected = expected.replace("revision: main", f"revision: {A}", 1)
    assert pinned == expected.replace("revision: main", f"revision: {B}")
    written.write_text(pinned)
    config = load_config(written)
    assert steps_of(config, "one") == {4: commit(4), 16: commit(16)}
    assert steps_of(config, "two") == {4: commit(4, "b"), 16: D}
    assert f"models.one.checkpoints.revisions.16: {commit(16)}" in capsys.readouterr().err
    commits = {(model, commit): (commit, SAFE) for (model, _), (commit, _) in NUMBERED.items()}
    assert pin_text(written, FakeHub(commits)) == pinned


def test_a_pattern_in_one_line_is_written_out_below_it(written):
    line = '    checkpoints: {n_steps: 100, tokens_per_step: 64, revisions: "step{step}"}'
    head, tail = STEPS.split("    checkpoints:\n")[0], STEPS[STEPS.index("  two:") :]
    written.write_text(f"{head}{line}\n{tail}")
    pinned = pin_text(written, FakeHub(NUMBERED))
    expected = line.replace('"step{step}"', f"{{\n      4: {commit(4)},\n      16: {commit(16)}}}")
    assert expected in pinned
    written.write_text(pinned)
    assert steps_of(load_config(written), "one") == {4: commit(4), 16: commit(16)}


def test_a_pattern_that_no_ladder_asks_for_stays(written, capsys):
    written.write_text(STEPS.split("training_ladders")[0])
    known = {key: value for key, value in NUMBERED.items() if not key[1].startswith("step")}
    pinned = pin_text(written, FakeHub(known))
    assert 'revisions: "step{step}" # every step' in pinned
    assert f"4: {commit(4, 'b')}, # a tag" in pinned
    assert "models.one.checkpoints.revisions: stays as it is" in capsys.readouterr().err


def test_a_step_has_no_weights_but_its_own(written):
    """A pull request that converts `main` is no step of the training."""
    written.write_text(STEPS)
    known = {
        **NUMBERED,
        ("lab/one", "step16"): (C, ["pytorch_model.bin=16"]),
        ("lab/one", "refs/pr/1"): (D, ["pytorch_model.bin=100", *SAFE]),
    }
    converted = SimpleNamespace(**{**vars(request(1)), "repo": "lab/one"})
    place = r"models\.one\.checkpoints\.revisions\.16: lab/one@step16 holds no safetensors"
    with pytest.raises(ModelError, match=place):
        pin_text(written, FakeHub(known, [converted]))
    known["lab/one", "refs/pr/1"] = (D, ["pytorch_model.bin=16", *SAFE])
    assert f"16: {D}" in pin_text(written, FakeHub(known, [converted]))


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        (
            {"hub: lab/one # a model\n    revision: main": "hub: lab/one\n    revision: &r main"},
            "one",
        ),
        ({"    hub: lab/two\n    revision: main": "    <<: {hub: lab/two, revision: main}"}, "two"),
        ({"\n      4: v4, # a tag": "\n      <<: {4: v4},"}, r"two\.checkpoints\.revisions"),
        (
            {
                'revisions: "step{step}" # every step': "revisions: &steps {4: v4, 16: v16}",
                f"{{\n      4: v4, # a tag\n      16: {D}, 64: v64}}": "*steps",
            },
            r"two\.checkpoints\.revisions",
        ),
    ],
)
def test_what_several_keys_may_mean_is_to_be_written_out(written, changes, key):
    text = STEPS
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    written.write_text(text)
    tags = {
        (f"lab/{m}", f"v{n}"): (f"{n}{m[0]}" * 13, SAFE) for m in ("one", "two") for n in (4, 16)
    }
    with pytest.raises(ConfigError, match=rf"models\.{key}.*: stands at an anchor"):
        pin_text(written, FakeHub({**NUMBERED, **tags}))


def raising(error):
    def reject(*_, **__):
        raise error

    return reject


@pytest.mark.parametrize("error", [OfflineModeIsEnabled("no"), hub.httpx.ConnectError("no")])
def test_a_hub_that_cannot_be_reached_is_said(written, error):
    silent = SimpleNamespace(model_info=raising(error), dataset_info=raising(error))
    with pytest.raises(
        ModelError, match=r"models\.pythia-1\.4b: the hub does not tell about lab/pythia@main"
    ):
        pin_text(written, silent)


@pytest.fixture
def answers(monkeypatch):
    """Let the hub's answer to whether a file exists be a set of names, and the local cache be
    empty.
    """
    files: set[str] = set()
    api = SimpleNamespace(file_exists=lambda model, name, revision: name in files)
    monkeypatch.setattr(hub, "HfApi", lambda: api)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: None)
    return files


def test_weights_are_looked_for_before_they_are_fetched(answers, monkeypatch):
    with pytest.raises(
        ModelError, match=r"models\.opt: lab/opt@main holds no safetensors\..*refs/pr/N"
    ):
        hub.check_safetensors("lab/opt", "main", "models.opt")
    answers.add("model.safetensors.index.json")
    hub.check_safetensors("lab/opt", "main", "models.opt")

    for error in (OfflineModeIsEnabled("no"), hub.httpx.ConnectError("no")):
        rejecting = SimpleNamespace(file_exists=raising(error))
        monkeypatch.setattr(hub, "HfApi", lambda rejecting=rejecting: rejecting)
        with pytest.raises(
            ModelError,
            match=rf"the hub does not tell about lab/opt@main \({type(error).__name__}: no\)",
        ):
            hub.check_safetensors("lab/opt", "main", "models.opt")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_, **__: "cached/model.safetensors")
    hub.check_safetensors("lab/opt", "main", "models.opt")


def test_the_model_step_and_loading_name_the_fix(tmp_path, texts, answers, monkeypatch):
    """A folder stands for the hub here: transformers takes either, and reads no revision of a
    folder.
    """
    folder = save_tiny_model(tmp_path / "m", texts, "opt")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    source = ModelSource("opt", str(folder), revision="main")
    with pytest.raises(ModelError, match=r"models\.opt: .* holds no safetensors.*rosetta pin"):
        write_model_manifest(source, tmp_path / "manifest.json", {})
    with pytest.raises(
        ModelError, match=r"models\.opt: cannot load the weights.*refs/pr/N.*reproduction\.md"
    ):
        load_model(source)
    answers.add("model.safetensors")
    (folder / "README.md").write_text("no front matter")
    monkeypatch.setattr(licences, "hf_hub_download", lambda model, name, **_: f"{model}/{name}")
    assert write_model_manifest(source, tmp_path / "manifest.json", {}).n_layers == 2

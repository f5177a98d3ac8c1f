"""What `import rosetta` costs and offers: the interface changes only on purpose."""

import inspect
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import rosetta
from rosetta.api.run import Run

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests" / "api" / "public_interface.txt"
FUNCTIONS = [name for name in rosetta.__all__ if inspect.isfunction(getattr(rosetta, name))]
# What the import of the package may load, the standard library's own modules by name.
LOADED = {
    "rosetta",
    "typing",
    "typing.io",
    "typing.re",
    "_typing",
    "collections",
    "collections.abc",
    "_collections",
    "_collections_abc",
    "functools",
    "_functools",
    "operator",
    "_operator",
    "keyword",
    "reprlib",
    "itertools",
    "contextlib",
    "copyreg",
    "types",
    "enum",
    "re",
    "re._casefix",
    "re._compiler",
    "re._constants",
    "re._parser",
    "_sre",
    "warnings",
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
}
HEAVY = {"torch", "transformers", "zarr", "dask", "distributed", "sklearn", "datasets"}


def in_a_fresh_process(code: str, **environment: str | None) -> str:
    """Return what a code prints in an interpreter of its own; a variable of None is not set."""
    variables = {**os.environ, **environment}
    kept = {name: value for name, value in variables.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=kept, check=True, cwd=ROOT
    )
    return done.stdout


def loaded_by(statement: str) -> set[str]:
    code = (
        f"import sys; before = set(sys.modules); {statement}; print(*(set(sys.modules) - before))"
    )
    return set(in_a_fresh_process(code).split())


def test_the_import_loads_nothing_heavy_and_takes_no_time():
    assert loaded_by("import rosetta") - LOADED == set()
    clock = "time.process_time()"
    timed = f"import time; start = {clock}; import rosetta; print({clock} - start)"
    assert float(in_a_fresh_process(timed)) < 0.1


def test_who_only_reads_tables_does_not_wait_for_torch():
    used = "import rosetta as r; r.open_run, r.fit_power_law, r.plot_scaling, r.anchors, r.match"
    loaded = {module.split(".")[0] for module in loaded_by(used)}
    assert "pandas" in loaded
    assert not loaded & HEAVY


def test_every_public_name_is_there_and_no_other():
    assert set(rosetta.__all__) <= set(dir(rosetta))
    assert rosetta.__all__ == sorted(rosetta.__all__)
    assert rosetta.__version__ == version("rosetta-neurons")
    names: dict[str, object] = {}
    exec("from rosetta import *", names)
    assert names.keys() - {"__builtins__"} == set(rosetta.__all__)
    with pytest.raises(AttributeError, match="module 'rosetta' has no attribute 'corelate'"):
        _ = rosetta.corelate


def test_the_drawing_modules_choose_no_back_end():
    files = (ROOT / "rosetta" / "report").glob("*figure*.py")
    modules = [f"rosetta.report.{path.stem}" for path in files]
    assert len(modules) > 4
    chosen = "matplotlib.rcParams._get_backend_or_none()"
    code = f"import matplotlib, {', '.join(modules)}; print({chosen})"
    assert in_a_fresh_process(code, MPLBACKEND=None) == "None\n"


def test_the_command_line_draws_into_files_whatever_a_notebook_has_set():
    code = (
        "import os, sys; from rosetta import cli; sys.argv = ['rosetta', '--help']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "import matplotlib; print(matplotlib.get_backend())"
    )
    said = in_a_fresh_process(code, MPLBACKEND="module://not_installed_here")
    assert said.splitlines()[-1].lower() == "agg"


def public_members() -> list[tuple[str, object]]:
    """Return the public functions and classes, and what is public of the classes, by name."""
    found = [(f"rosetta.{name}", getattr(rosetta, name)) for name in FUNCTIONS]
    for name in ("ModelStore", "NeighborLists", "Run"):
        cls = getattr(rosetta, name)
        found.append((f"rosetta.{name}", cls))
        members = [(key, value) for key, value in vars(cls).items() if not key.startswith("_")]
        methods = [
            (key, value)
            for key, value in members
            if inspect.isfunction(value) or isinstance(value, property)
        ]
        found += [(f"rosetta.{name}.{key}", value) for key, value in methods]
    return found


def described(name: str, member: object) -> str:
    if isinstance(member, property):
        return f"{name} -> {member.fget.__annotations__['return']}"
    if member in (rosetta.NeighborLists, rosetta.Run):
        return name  # functions return these; users do not make them
    return f"{name}{inspect.signature(member)}"


def test_signatures_change_only_on_purpose():
    """Record a change there, in CHANGELOG.md and, as semantic versioning asks, in the version."""
    found = [described(*member) for member in public_members()]
    assert found == RECORDED.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(("name", "member"), public_members(), ids=dict(public_members()))
def test_everything_public_says_what_it_takes_and_returns(name, member):
    text = inspect.getdoc(member) or ""
    assert text, name
    if inspect.isfunction(member) and name.count(".") == 1:
        for parameter in inspect.signature(member).parameters.values():
            assert re.search(
                rf"^(\w+, )*\**{parameter.name}\b.* : |^\*+{parameter.name}", text, re.MULTILINE
            ), f"{name} does not say what {parameter.name} is"
        assert "Returns\n-------" in text, name
        assert "Raises\n------" in text, name


def test_a_run_has_an_accessor_for_everything_that_the_interface_promises():
    promised = """config paths counts scaling scaling_pooled findings table matches neurons
    rosetta_neurons vocabulary contexts store"""
    assert set(promised.split()) <= {*vars(Run), *Run.__dataclass_fields__}


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "rosetta" / "py.typed").exists()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"]["rosetta"]

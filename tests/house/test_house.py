"""The rules of the house: imports point one way, files stay small, heavy libraries stay out of
Snakemake's parse.
"""

import ast
import importlib
import inspect
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import typer
from package_sources import PACKAGE, ROOT, imports_of

from rosetta.cli.app import app
from rosetta.config import SPLITS

# Each module or part may import those before it, and its own part. The modules named `steps` are a
# layer of their own, above the mathematics of all parts.
ORDER = [
    "errors",
    "extras",
    "progress",
    "moments",
    "hadamard",
    "storage",
    "config",
    "run",
    "inputs",
    "models",
    "activations",
    "alignment",
    "correlation",
    "matching",
    "analysis",
    "instruments",
    "emergence",
    "sae",
    "theory",
    "filtering",
    "ablation",
    "drawing",
    "judging",
    "report",
    "atlas",
    "jobs",
    "plan",
    "api",
    "cli",
]
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
# What every command may use; of the parts after them it takes steps, and classes of arguments.
SHARED = {*ORDER[: ORDER.index("run") + 1], "cli"}


def part_of(module: str) -> str:
    return module.removeprefix("rosetta.").split(".")[0]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def is_steps(module: str) -> bool:
    """Tell whether a module has the steps of a part."""
    return module.split(".")[-1] == "steps"


def may_import(here: str, module: str) -> bool:
    """Tell whether one module of the package may import another."""
    earlier, own = ORDER.index(part_of(module)), ORDER.index(part_of(here))
    if part_of(here) == "cli":
        return True
    if is_steps(module):
        return is_steps(here) and earlier < own
    return (is_steps(here) and part_of(module) != "cli") or earlier <= own


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    for module, _ in imports_of(path):
        assert not module.startswith("snakemake"), "the package knows nothing of Snakemake"
        if module.startswith("rosetta."):
            assert may_import(module_of(path), module), f"{path.name} imports {module}"


@pytest.mark.parametrize(
    ("here", "module", "allowed"),
    [
        ("rosetta.correlation.pairs", "rosetta.activations.store", True),
        ("rosetta.activations.store", "rosetta.correlation.pairs", False),
        ("rosetta.inputs.text.steps", "rosetta.models.tokenizers", True),
        ("rosetta.inputs.text.build", "rosetta.inputs.text.steps", False),
        ("rosetta.plan.checks", "rosetta.activations.steps", False),
        ("rosetta.matching.steps", "rosetta.activations.steps", True),
        ("rosetta.activations.steps", "rosetta.matching.steps", False),
        ("rosetta.report.steps", "rosetta.cli.options", False),
    ],
)
def test_steps_stand_above_all_mathematics(here, module, allowed):
    assert may_import(here, module) == allowed


@pytest.mark.parametrize("path", sorted((PACKAGE / "cli").glob("*.py")), ids=lambda path: path.stem)
def test_the_command_line_takes_steps_and_the_classes_of_their_arguments(path):
    for module, name in imports_of(path):
        if module.startswith("rosetta.") and part_of(module) not in SHARED:
            is_step = is_steps(module) and name.endswith("_step")
            is_class = name[:1].isupper() and not name.isupper()
            assert is_step or is_class, f"{path.name}: {module}.{name}"


def commands_of(typer_app: typer.Typer, prefix: str = "") -> Iterator[tuple[str, Callable]]:
    """Yield every command of the command line: its words, and the function behind it."""
    for command in typer_app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        yield f"{prefix}{name}", command.callback
    for group in typer_app.registered_groups:
        yield from commands_of(group.typer_instance, f"{prefix}{group.name} ")


COMMANDS = dict(commands_of(app))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_calls_exactly_one_step(command):
    steps = steps_called_by(inspect.getsource(COMMANDS[command]))
    assert len(steps) == 1, f"rosetta {command} calls {steps}"
    words = command.replace("-", "_").split()
    named = {f"{'_'.join(words)}_step", f"{words[-1]}_step"}
    assert named & set(steps), f"rosetta {command} calls {steps}"


def steps_called_by(source: str) -> list[str]:
    """Return the steps of every call in a function, and those that it imports and does not call."""
    tree = ast.parse(textwrap.dedent(source))
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = [function.id for function in calls if isinstance(function, ast.Name)]
    steps = [name for name in called if name.endswith("_step")]
    imported = [
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and is_steps(node.module or "")
        for alias in node.names
    ]
    return steps + [name for name in imported if name not in steps]


def test_a_command_that_works_by_itself_is_found():
    alone = "def figures(config):\n    from rosetta.report.figures import draw\n    draw(config)\n"
    both = "def counts(config):\n    count_step(config)\n    draw_step(config)\n"
    imported = "    from rosetta.report.steps import draw_step\n"
    handed_on = f"def counts(config):\n{imported}    run(draw_step, count_step())"
    assert steps_called_by(alone) == []
    assert steps_called_by(both) == ["count_step", "draw_step"]
    assert steps_called_by(handed_on) == ["count_step", "draw_step"]


def test_files_stay_small():
    for path in [
        *PACKAGE.rglob("*.py"),
        *(ROOT / "workflow").rglob("*.smk"),
        *(ROOT / "tests").rglob("*.py"),
    ]:
        assert len(path.read_text().splitlines()) <= 500, path


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tests").rglob("*.py")),
    ids=lambda path: str(path.relative_to(ROOT / "tests")),
)
def test_helpers_of_tests_are_in_modules_of_their_own(path):
    for module, _ in imports_of(path):
        assert not module.split(".")[-1].startswith("test_"), f"{path.name} imports {module}"


MOST_PARAMETERS = 6


def parameters_of(function: ast.FunctionDef, front_door: bool) -> list[str]:
    """Return the parameters of a function; of a public function of `api` only those that may be
    given without their names, because options by name are what notebooks are written with.
    """
    arguments = function.args
    named = [] if front_door else arguments.kwonlyargs
    found = [one.arg for one in [*arguments.posonlyargs, *arguments.args, *named]]
    return found[1:] if found[:1] in (["self"], ["cls"]) else found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_take_few_parameters(path):
    """What always travels together is one frozen description. Options of commands are Typer's."""
    part = part_of(module_of(path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef) and part != "cli":
            found = parameters_of(node, part == "api" and not node.name.startswith("_"))
            assert len(found) <= MOST_PARAMETERS, (path, node.name)


def test_the_rules_take_the_splits_from_the_package():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert ", ".join(f'"{split}"' for split in SPLITS) not in rules


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_name_that_is_imported_is_there(path):
    """Steps import late, so a command would fail in mid run."""
    importlib.import_module(module_of(path).removesuffix(".__init__"))
    for module, name in imports_of(path):
        if module.startswith("rosetta"):
            there = hasattr(importlib.import_module(module), name or "__name__")
            assert there or find_spec(f"{module}.{name}"), f"{path.name}: {module} has no {name}"


def loaded_by(*modules):
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_what_the_snakefile_imports_is_light():
    loaded = loaded_by(
        "rosetta.plan.checks", "rosetta.plan.resources", "rosetta.run.stages", "rosetta.run.paths"
    )
    assert not {"torch", "transformers", "pandas", "zarr", "dask", "datasets", "pyarrow"} & loaded


def test_steps_that_only_read_tables_do_not_wait_for_torch():
    """Heavy libraries are imported inside the steps that need them."""
    steps = [module_of(path) for path in MODULES if is_steps(module_of(path))]
    drawn = (
        "control_figures",
        "figures",
        "filtering_figures",
        "neuron_figures",
        "theory_figures",
        "viewer",
    )
    modules = [*steps, *(f"rosetta.report.{name}" for name in drawn)]
    assert not {"torch", "transformers", "zarr", "dask", "sklearn"} & loaded_by(*modules)


def test_jobs_of_models_and_of_pairs_do_not_wait_for_scipys_statistics():
    """They take most of a second to import, and a run has dozens of these jobs."""
    for_models = (
        "rosetta.activations.capture",
        "rosetta.analysis.steps",
        "rosetta.models.steps",
        "rosetta.models.zoo.model_training",
    )
    for_pairs = ("rosetta.instruments.pair", "rosetta.matching.steps", "rosetta.correlation.steps")
    assert "scipy.stats" not in loaded_by(*for_models, *for_pairs)

"""The rules of the house: imports point one way, files stay small, heavy libraries stay out of Snakemake's parse."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from rosetta.config import SPLITS

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "rosetta"

# Each module or part may import those before it, and its own part.
ORDER = [
    "errors", "progress", "moments", "hadamard", "storage", "config", "run", "inputs", "models", "activations",
    "alignment", "correlation", "matching", "analysis", "theory", "filtering", "judging", "report", "plan", "api",
    "steps", "cli",
]  # fmt: skip


def part_of(module: str) -> str:
    return module.removeprefix("rosetta.").split(".")[0]


def imports_of(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    if path == PACKAGE / "__init__.py":
        return
    here = part_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
    for module in imports_of(path):
        assert not module.startswith("snakemake"), "the package knows nothing of Snakemake"
        if module.startswith("rosetta."):
            assert ORDER.index(part_of(module)) <= ORDER.index(here), f"{path.name} imports {module}"


def test_files_stay_small():
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "workflow").rglob("*.smk"), *(ROOT / "tests").rglob("*.py")]:
        assert len(path.read_text().splitlines()) <= 500, path


def test_the_rules_take_the_splits_from_the_package():
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    assert ", ".join(f'"{split}"' for split in SPLITS) not in rules


def test_every_module_can_be_imported():
    """Names that one module takes from another are there; steps import late, so a command would fail in mid run."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "rosetta."):
        importlib.import_module(module.name)


def loaded_by(*modules):
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_what_the_snakefile_imports_is_light():
    loaded = loaded_by("rosetta.plan.checks", "rosetta.plan.resources", "rosetta.run.stages", "rosetta.run.paths")
    assert not {"torch", "transformers", "pandas", "zarr", "dask", "datasets", "pyarrow"} & loaded


def test_jobs_that_only_read_tables_do_not_wait_for_torch():
    steps = ("annotate", "counts", "describe", "filtering", "matches", "theory")
    drawn = ("control_figures", "figures", "filtering_figures", "neuron_figures", "theory_figures", "viewer")
    modules = [f"rosetta.steps.{name}" for name in steps] + [f"rosetta.report.{name}" for name in drawn]
    assert not {"torch", "transformers", "zarr", "dask", "sklearn"} & loaded_by(*modules)

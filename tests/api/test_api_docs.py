"""docs/api.md and docs/tour.ipynb: everything in them runs, and they show every public name."""

import contextlib
import io
import re
import resource
import shutil
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from tiny_image_architectures import noise_images, tiny_image_model

import rosetta

DOCS = Path(__file__).parents[2] / "docs"
CODE = re.findall(
    r"^```python\n(.*?)^```$",
    (DOCS / "api.md").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
TOUR = nbformat.read(DOCS / "tour.ipynb", as_version=4)


@pytest.fixture
def project(small_run, texts, tmp_path, monkeypatch):
    """The current folder, with what the examples say that they need."""
    for name in ("first", "second"):
        shutil.copytree(small_run.parent / name, tmp_path / "models" / name)
    classifier = tiny_image_model("vit-classifier", num_labels=4)
    classifier.save_pretrained(tmp_path / "models" / "classifier")
    images = noise_images(n=24)
    np.savez(tmp_path / "images.npz", images=images, labels=np.arange(24) % 4)
    (tmp_path / "results").symlink_to(small_run)
    (tmp_path / "texts.txt").write_text(
        "\n\n".join(dict.fromkeys(text.strip() for text in texts[:90]))
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_examples_of_the_page_run_from_top_to_bottom(project, capsys):
    names: dict[str, object] = {}
    for number, block in enumerate(CODE, start=1):
        exec(compile(block, f"docs/api.md, block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert "ModelStore('stores/first'): first, 2 layers of 24 units" in said
    assert "NeighborLists: first and second, 10 neighbours of each neuron" in said
    assert said.splitlines()[-1] == "results: has no pair (second, first); it has (first, second)."
    assert len(names["more"]) > len(names["same"]) > 0
    assert names["axes"].get_xlabel() == "neurons per model"


def test_the_page_shows_every_public_function():
    shown = "\n".join(CODE)
    unseen = [name for name in rosetta.__all__ if f"rosetta.{name}" not in shown]
    assert unseen == ["NeighborLists", "Run", "__version__"], (
        "the first two are what functions return"
    )


def test_the_tour_has_no_outputs_that_a_rerun_would_change():
    for cell in TOUR.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_tour_runs_and_draws_two_figures(project, monkeypatch):
    monkeypatch.delenv("MPLBACKEND")  # so that the kernel shows figures, as it does for a reader
    notebook, used = nbformat.from_dict(TOUR), processor_seconds()
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(project)}}).execute()
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    figures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(figures) == 2
    said = "".join(
        output.text
        for output in outputs
        if output.output_type == "stream" and output.name == "stdout"
    )
    assert re.search(r"neox-64 L\d/U\d+, r = 0\.\d\d\n", said)
    assert re.search(r"first L\d/U\d+ and second L\d/U\d+: r = 0\.\d\d\n", said)
    assert "«" in said
    assert processor_seconds() - used < 40


def processor_seconds() -> float:
    """Return the processor time of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_without_a_run_the_tour_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = [
        cell.source
        for cell in TOUR.cells
        if cell.cell_type == "code" and re.search(r"\brun\b", cell.source)
    ]
    assert len(cells) == 2
    said, names = io.StringIO(), {"rosetta": rosetta, "Path": Path}
    with contextlib.redirect_stdout(said):
        for cell in cells:
            exec(cell, names)
    assert said.getvalue().startswith("There is no run in results/ yet: make run")

"""The numbers in the documentation are those that a script wrote from the tables of runs with different seeds."""

import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from rosetta.config import dump_config, load_config, parse_config
from rosetta.errors import RosettaError
from rosetta.files import write_text
from rosetta.paths import Paths
from rosetta.tables import write_csv

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "workflow" / "scripts" / "docs_numbers.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("docs_numbers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_as_recorded(script):
    assert script.outdated(ROOT) == []
    text = "".join(page.read_text("utf-8") for page in script.pages_of(ROOT))
    assert set(re.findall(r"<!-- numbers: (\S+) -->", text)) == set(script.SECTIONS), "each is shown somewhere"


def test_the_second_run_differs_in_seeds_alone(script):
    first = yaml.safe_load((ROOT / "config.yaml").read_text())
    config, changes = (
        load_config(ROOT / "config.yaml"),
        yaml.safe_load((ROOT / "workflow/other_seeds.yaml").read_text()),
    )
    update_config(first, changes)
    other = parse_config(first)
    assert other.results != config.results
    assert script.without_seeds(other) == script.without_seeds(config)
    before, after = script.seeds_of(config), script.seeds_of(other)
    assert before.keys() == after.keys()
    assert all(before[name] != after[name] for name in before)


def save_run(script, folder, number, **changes):
    """A run whose numbers are told apart: those of run 2 are twice those of run 1."""
    content = yaml.safe_load((ROOT / "workflow" / "presets" / "tiny.yaml").read_text())
    update_config(content, {"results": str(folder), "corpus": {"seed": number}, **changes})
    paths = Paths(folder)
    write_text(paths.run_config, dump_config(parse_config(content)))
    for i, section in enumerate(script.SECTIONS.values()):
        keys, where = list(section.keys.values()), section.where
        row = dict.fromkeys(script.columns_of(section), number * (100 + i) + 0.125)
        row |= {key: "007" if key == "ladder" else f"{key}-1" for key in keys} | dict(where)
        missing = dict.fromkeys(row, None) | {key: f"{key}-2" for key in keys} | dict(where)
        write_csv(paths.table(section.table), pd.DataFrame([row, missing] if number == 1 else [row]))
    paths.figure("scaling", "png").parent.mkdir(parents=True, exist_ok=True)
    paths.figure("scaling", "png").write_bytes(b"drawn")
    return folder


@pytest.fixture
def pages(script, tmp_path):
    """A folder with the documentation alone."""
    (tmp_path / "root" / "docs").mkdir(parents=True)
    for page in [*script.pages_of(ROOT), ROOT / script.NUMBERS]:
        shutil.copy(page, tmp_path / "root" / page.relative_to(ROOT))
    return tmp_path / "root"


def test_every_number_of_every_run_reaches_its_page(script, pages, tmp_path):
    runs = [save_run(script, tmp_path / f"run-{n}", n) for n in (1, 2)]
    script.write(pages, runs)
    assert script.outdated(pages) == []
    text = "\n".join(page.read_text("utf-8") for page in script.pages_of(pages))
    for name in script.SECTIONS:
        table = text.split(f"<!-- numbers: {name} -->")[1].split("<!-- /numbers -->")[0]
        assert "run 1: corpus 1, pythia 1, opt 2, qwen 3; run 2: corpus 2, pythia 1" in table
        heads, _, values, missing = (line for line in table.splitlines() if line.startswith("|"))
        assert heads.count("run 1") == heads.count("run 2") == len(script.SECTIONS[name].cells)
        i = list(script.SECTIONS).index(name)
        for number in (1, 2):
            assert f"{number * (100 + i)}" in values
        assert set(missing.split(" | ")[len(script.SECTIONS[name].keys) :]) <= {"–", "– |"}
    assert "| 007 |" in text
    assert (pages / script.FIGURE).read_bytes() == b"drawn"


def test_an_edit_by_hand_is_found(script, pages, tmp_path):
    script.write(pages, [save_run(script, tmp_path / f"run-{n}", n) for n in (1, 2)])
    page = pages / "docs" / "theory.md"
    written = page.read_text("utf-8")
    page.write_text(written.replace("103.12", "104.12"), "utf-8")
    assert script.outdated(pages) == ["docs/theory.md"]
    page.write_text(written, "utf-8")
    (pages / script.FIGURE).write_bytes(b"another")
    assert script.outdated(pages) == [str(script.FIGURE)]
    numbers = json.loads((pages / script.NUMBERS).read_text())
    numbers["sections"]["theory"][0][0]["predicted"] = 1.0
    (pages / script.NUMBERS).write_text(json.dumps(numbers))
    assert "docs/theory.md" in script.outdated(pages)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- numbers: scaling -->\n", "no end"),
        ("<!-- numbers: scaling -->\n<!-- numbers: counts -->\n<!-- /numbers -->\n", "no end"),
        ("<!-- numbers: unheard-of -->\n<!-- /numbers -->\n", "none of scaling"),
    ],
)
def test_a_place_without_end_or_of_no_section_is_refused(script, text, message):
    with pytest.raises(RosettaError, match=message):
        script.fill(text, {}, "page.md")


def test_numbers_are_of_two_runs_that_differ_in_seeds(script, tmp_path):
    first = save_run(script, tmp_path / "a", 1)
    same = save_run(script, tmp_path / "b", 1)
    longer = save_run(script, tmp_path / "c", 2, zoo={"training": {"steps": 13}})
    wrong = {"two runs": [first], "different seeds": [first, same], "more than seeds": [first, longer]}
    for message, runs in wrong.items():
        with pytest.raises(RosettaError, match=message):
            script.record(runs)
    Paths(first).table("counts").unlink()
    with pytest.raises(RosettaError, match=r"counts\.csv: no such file"):
        script.record([first, save_run(script, tmp_path / "d", 2)])

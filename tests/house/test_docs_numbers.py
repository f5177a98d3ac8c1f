"""The numbers in the documentation are those that a script wrote from the tables of runs with
different seeds.
"""

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

from rosetta.analysis.scaling import NULL_SCALING_COLUMNS
from rosetta.config import SPLITS, dump_config, load_config, parse_config
from rosetta.errors import RosettaError
from rosetta.run.paths import Paths
from rosetta.storage.digests import digest_file, write_text
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import write_csv, write_parquet
from rosetta.theory.comparison import MATCHED_R_COLUMNS

ROOT = Path(__file__).parents[2]
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
    assert sorted(re.findall(r"<!-- numbers: (\S+) -->", text)) == sorted(script.SECTIONS), (
        "each is shown once"
    )


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
    tables = {}
    for i, section in enumerate(script.SECTIONS.values()):
        if callable(section.table):
            continue
        keys, where = (
            list(section.keys.values()),
            {column: values[0] for column, values in section.where.items()},
        )
        row = dict.fromkeys(script.columns_of(section), number * (100 + i) + 0.125)
        row |= {key: "007" if key == "ladder" else f"{key}-1" for key in keys} | where
        missing = dict.fromkeys(row, None) | {key: f"{key}-2" for key in keys} | where
        tables.setdefault(section.table, []).extend([row, missing] if number == 1 else [row])
    for name, rows in tables.items():
        write_csv(paths.table(name), pd.DataFrame(rows))
    write_csv(paths.table("null_scaling"), pd.DataFrame(columns=NULL_SCALING_COLUMNS))
    write_csv(paths.table("theory_matched_r"), pd.DataFrame(columns=MATCHED_R_COLUMNS))
    save_corpus(paths, {})
    paths.figure("scaling", "png").parent.mkdir(parents=True, exist_ok=True)
    paths.figure("scaling", "png").write_bytes(b"drawn")
    return folder


def save_corpus(paths, sources):
    """A corpus of documents of one domain, given their sources by split."""
    files, held = {}, {}
    for split in SPLITS:
        found = sources.get(split, [])
        table = pd.DataFrame({"id": range(len(found)), "domain": "python", "source": found}).astype(
            {"source": "str"}
        )
        write_parquet(paths.split(split), table)
        files[split], held[split] = digest_file(paths.split(split)), {"documents": len(found)}
    write_manifest(
        paths.corpus_manifest, {"kind": "corpus", "made_by": {}, "splits": held, "files": files}
    )


@pytest.fixture
def pages(script, tmp_path):
    """A folder with the documentation alone."""
    for page in [*script.pages_of(ROOT), ROOT / script.NUMBERS, ROOT / script.FIGURE]:
        (tmp_path / "root" / page.relative_to(ROOT)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, tmp_path / "root" / page.relative_to(ROOT))
    return tmp_path / "root"


def test_every_number_of_every_run_reaches_its_page(script, pages, tmp_path):
    runs = [save_run(script, tmp_path / f"run-{n}", n) for n in (1, 2)]
    script.write(pages, runs)
    assert script.outdated(pages) == []
    text = "\n".join(page.read_text("utf-8") for page in script.pages_of(pages))
    for name in [name for name, section in script.SECTIONS.items() if not callable(section.table)]:
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
    number = f"{100 + list(script.SECTIONS).index('theory')}.12"
    assert number in written
    page.write_text(written.replace(number, "99.12"), "utf-8")
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
        ("<!-- numbers: unheard-of -->\n<!-- /numbers -->\n", "none of pooled"),
    ],
)
def test_a_place_without_end_or_of_no_section_is_rejected(script, text, message):
    with pytest.raises(RosettaError, match=message):
        script.fill(text, {}, "page.md")


def test_a_section_without_a_place_or_a_record_is_found(script, pages, tmp_path):
    page = pages / "docs" / "theory.md"
    text = page.read_text("utf-8")
    page.write_text(
        re.sub(r"<!-- numbers: ngrams -->.*?<!-- /numbers -->", "β is 1.2.", text, flags=re.DOTALL),
        "utf-8",
    )
    assert script.outdated(pages) == ["ngrams (no page has a place for it)"]
    page.write_text(text, "utf-8")
    script.write(pages, [save_run(script, tmp_path / f"run-{n}", n) for n in (1, 2)])
    assert script.outdated(pages) == []
    numbers = json.loads((pages / script.NUMBERS).read_text())
    del numbers["sections"]["ngrams"]
    numbers["sections"]["retired"] = [[], []]
    (pages / script.NUMBERS).write_text(json.dumps(numbers))
    assert script.outdated(pages) == [
        "docs/numbers.json (has other sections: ngrams, retired; record the runs again)"
    ]


def test_what_is_the_same_in_all_runs_is_shown_once(script):
    row = {"order": 2, "n_features": 1234, "beta": 1.5, "ci_low": 1.25, "ci_high": 1.75}
    other = {**row, "beta": 1.625}
    numbers = {"configuration": "0" * 64, "seeds": [{"corpus": 1}, {"corpus": 2}]}
    shown = script.render("ngrams", {**numbers, "sections": {"ngrams": [[row], [other]]}})
    assert "| longest n-gram | features, all runs | β, run 1 | β, run 2 |" in shown
    assert "| 2 | 1,234 | 1.50 (1.25 to 1.75) | 1.62 (1.25 to 1.75) |" in shown


def test_exponents_of_the_nulls_stand_beside_those_of_the_trained(script, tmp_path):
    paths = Paths(save_run(script, tmp_path, 1))
    laws = [("z", "plain", 0.8), ("z", "above_untrained", 0.3), ("a", "plain", 0.7)]
    nulls = [("z", "permutation", 0.9), ("z", "untrained", 1.0), ("a", "permutation", 0.6)]
    for name, rows, second in (("scaling", laws, "statistic"), ("null_scaling", nulls, "control")):
        table = pd.DataFrame(rows, columns=["ladder", second, "alpha"]).assign(
            alpha_ci_low=0.5, alpha_ci_high=1.5
        )
        write_csv(paths.table(name), table)
    found = script.rows_of(script.SECTIONS["null_scaling"], paths)
    assert [(row["ladder"], row["control"], row["alpha"]) for row in found] == [
        ("z", "trained", 0.8),
        ("z", "permutation", 0.9),
        ("z", "untrained", 1.0),
        ("a", "trained", 0.7),
        ("a", "permutation", 0.6),
    ]


def test_factors_are_those_of_the_largest_rungs(script, tmp_path):
    paths = Paths(save_run(script, tmp_path, 1))
    rows = [
        {"ladder": ladder, "rung": rung, "model": f"m{rung}", "route": route, "factor": rung + 0.5}
        for ladder, rungs in (("a", 3), ("b", 2))
        for rung in range(rungs)
        for route in ("ngrams", "loss")
    ]
    write_csv(paths.table("theory_matched_r"), pd.DataFrame(rows, columns=MATCHED_R_COLUMNS))
    found = script.rows_of(script.SECTIONS["matched_r"], paths)
    assert [(row["ladder"], row["model"], row["route"], row["factor"]) for row in found] == [
        ("a", "m2", "ngrams", 2.5),
        ("a", "m2", "loss", 2.5),
        ("b", "m1", "ngrams", 1.5),
        ("b", "m1", "loss", 1.5),
    ]


def test_the_harvest_is_counted_by_document_file_and_package(script, tmp_path):
    paths = Paths(save_run(script, tmp_path, 1))
    save_corpus(
        paths,
        {
            "train": ["p/a.py#0", "p/a.py#1", "p/b.py#0", "q/a.py#0", "q/a.py#7"],
            "pool": ["r/c.py#0"],
        },
    )
    (row,) = script.rows_of(script.SECTIONS["harvest"], paths)
    shown = [form.format(**row) for form in script.SECTIONS["harvest"].cells.values()]
    assert shown == ["5 (3, 2)", "0 (0, 0)", "1 (1, 1)", "0 (0, 0)"]


def test_phases_are_told_in_cpu_minutes(script, tmp_path):
    paths = Paths(save_run(script, tmp_path, 1))
    for rule, job, seconds in (
        ("corpus", "all", 30),
        ("train_and_profile", "opt-s", 60),
        ("train_and_profile", "opt-m", 90),
        ("train_and_profile", "x", 7),
    ):
        write_text(
            paths.benchmark(rule, job), f"s\tmax_rss\tcpu_time\n{9 * seconds}\t1\t{seconds}\n"
        )
    section = script.SECTIONS["phases"]
    shown = {
        row["phase"]: [form.format(**row) for form in section.cells.values()]
        for row in script.rows_of(section, paths)
    }
    assert shown == {"all": ["3", "3.0"], "train_and_profile": ["2", "2.5"], "corpus": ["1", "0.5"]}
    assert next(iter(shown)) == "all"


def test_numbers_are_of_a_run_or_of_several_that_differ_in_seeds(script, tmp_path):
    first = save_run(script, tmp_path / "a", 1)
    same = save_run(script, tmp_path / "b", 1)
    longer = save_run(script, tmp_path / "c", 2, zoo={"training": {"steps": 13}})
    wrong = {
        "results folder of a run": [],
        "different seeds": [first, same],
        "more than seeds": [first, longer],
    }
    for message, runs in wrong.items():
        with pytest.raises(RosettaError, match=message):
            script.record(runs)
    alone = script.render("pooled", script.record([first]))
    assert alone.startswith("Seeds corpus 1, ")
    assert "run" not in alone
    Paths(first).table("counts").unlink()
    with pytest.raises(RosettaError, match=r"counts\.csv: no such file"):
        script.record([first, save_run(script, tmp_path / "d", 2)])

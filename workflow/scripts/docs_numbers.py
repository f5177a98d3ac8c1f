"""Write the numbers of the default run into the documentation, from the tables of runs with
different seeds.

    docs_numbers.py results results-2     records the runs in docs/numbers.json, and fills the pages
    docs_numbers.py                       fills the pages from docs/numbers.json
    docs_numbers.py --check               says whether the pages are what is recorded

A page has places for them: `<!-- numbers: NAME -->` … `<!-- /numbers -->`, with a name of
`SECTIONS`. What stands between is never edited by hand.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import string
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pandas as pd

from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.scaling import NOTHING_LEFT_OUT
from rosetta.config import SPLITS, Config, load_config
from rosetta.errors import ConfigError, RosettaError, StoreError
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import cluster_of
from rosetta.report.phases import phase_table
from rosetta.run.paths import Paths
from rosetta.run.provenance import compare_with_run
from rosetta.storage.digests import also_checking, digest_file, digest_json
from rosetta.storage.tables import read_csv
from rosetta.theory.comparison import MATCHED_R_COLUMNS
from rosetta.theory.exponents import PARTIAL_COUNTS

ROOT = Path(__file__).parents[2]
NUMBERS, FIGURE = Path("docs/numbers.json"), Path("docs/scaling.png")
PLACE = re.compile(r"<!-- numbers: (\S+) -->\n(.*?)<!-- (/numbers|numbers: \S+) -->", re.DOTALL)
NOTHING = "–"


class Section(NamedTuple):
    """A table of the documentation: what it shows of which table of a run.

    Attributes
    ----------
    table : str or callable
        Name of the run's table, or what makes it of the run's paths.
    keys : dict
        Column that names a row, by its heading.
    cells : dict
        What is shown of every run, by its heading: a format string of the table's columns.
    where : dict
        Values of which rows must have one, by column.
    """

    table: str | Callable[[Paths], pd.DataFrame]
    keys: dict[str, str]
    cells: dict[str, str]
    where: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def _beside_nulls(paths: Paths) -> pd.DataFrame:
    """Return the exponents of all matches, of the trained models and of every null model."""
    columns = ["ladder", "alpha", "alpha_ci_low", "alpha_ci_high"]
    trained = read_csv(paths.table("scaling"), ["statistic", *columns])
    trained = trained[trained["statistic"] == PLAIN].assign(control="trained")
    nulls = read_csv(paths.table("null_scaling"), ["control", *columns])
    ladders = trained["ladder"].tolist()
    return pd.concat([trained, nulls]).sort_values(
        "ladder", key=lambda names: names.map(ladders.index), kind="stable"
    )


def _largest_rungs(paths: Paths) -> pd.DataFrame:
    """Return what the matched r of every ladder's largest rung say."""
    table = read_csv(paths.table("theory_matched_r"), MATCHED_R_COLUMNS)
    return table[table["rung"] == table.groupby("ladder")["rung"].transform("max")]


def _harvest(paths: Paths) -> pd.DataFrame:
    """Return how many documents every domain has, and of how many files and packages they are, by
    split.
    """
    parts = []
    for split in SPLITS:
        found = read_split(paths, split)
        sources = found.assign(
            file=found["source"].map(cluster_of), package=found["source"].str.split("/").str[0]
        )
        counts = sources.groupby("domain")[["id", "file", "package"]].nunique()
        parts.append(
            counts.set_axis([f"{split}_documents", f"{split}_files", f"{split}_packages"], axis=1)
        )
    return pd.concat(parts, axis=1).fillna(0).sort_index().rename_axis("domain").reset_index()


def _phases(paths: Paths) -> pd.DataFrame:
    """Return the CPU minutes and jobs of every phase, and of all."""
    table = phase_table(load_config(paths.run_config), paths).sort_values(
        "cpu_seconds", ascending=False, kind="stable"
    )
    every = pd.DataFrame([{"phase": "all", **table[["jobs", "cpu_seconds"]].sum()}])
    found = pd.concat([every, table[["phase", "jobs", "cpu_seconds"]]])
    return found.assign(cpu_minutes=found["cpu_seconds"] / 60)


_ALPHA = "{alpha:.2f} ({alpha_ci_low:.2f} to {alpha_ci_high:.2f})"
_POOLED = {"α (95%) [families]": _ALPHA + " [{alpha_family_low:.2f} to {alpha_family_high:.2f}]"}
SECTIONS = {
    "pooled": Section(
        "scaling_pooled", {"matches": "statistic"}, _POOLED, {"left_out": (NOTHING_LEFT_OUT,)}
    ),
    "families": Section(
        "scaling_pooled",
        {"matches": "statistic", "family left out": "left_out"},
        {"α (95%)": _ALPHA},
        {"statistic": tuple(COUNT_OF)},
    ),
    "scaling": Section(
        "scaling",
        {"ladder": "ladder", "statistic": "statistic"},
        {
            "α (95%) [documents and thresholds]": _ALPHA
            + " [{alpha_resampled_low:.2f} to {alpha_resampled_high:.2f}]"
        },
    ),
    "counts": Section(
        "counts",
        {"ladder": "ladder", "models": "models", "neurons": "n_neurons"},
        {
            "matches": "{matches:.0f} ({matches_ci_low:.0f} to {matches_ci_high:.0f})",
            "above documents": "{above_documents:.0f} ({above_documents_ci_low:.0f} to "
            "{above_documents_ci_high:.0f})",
            "above untrained": "{above_untrained:.0f} ({above_untrained_ci_low:.0f} to "
            "{above_untrained_ci_high:.0f})",
        },
    ),
    "nulls": Section(
        "null_summary",
        {"ladder": "ladder", "rung": "rung", "null": "control"},
        {"matches": "{matches:.0f}", "mean r": "{mean_r:.2f}"},
    ),
    "null_scaling": Section(
        _beside_nulls, {"ladder": "ladder", "matches of": "control"}, {"α (95%)": _ALPHA}
    ),
    "theory": Section(
        "theory_vs_measured",
        {"ladder": "ladder", "statistic": "statistic", "route": "route"},
        {
            "predicted": "{predicted:.2f} ({predicted_ci_low:.2f} to {predicted_ci_high:.2f})",
            "measured": "{measured:.2f} ({measured_ci_low:.2f} to {measured_ci_high:.2f}) "
            "[{measured_resampled_low:.2f} to {measured_resampled_high:.2f}]",
        },
        {"quantity": ("matches",)},
    ),
    "whole_networks": Section(
        "theory_exponents",
        {"β": "beta", "neurons": "neurons", "count": "quantity"},
        {"1/β": "{predicted:.3f}", "fitted": "{fitted:.3f} ({ci_low:.3f} to {ci_high:.3f})"},
        {"quantity": ("matches", *PARTIAL_COUNTS)},
    ),
    "ngrams": Section(
        "theory_ngrams",
        {"longest n-gram": "order"},
        {"features": "{n_features:,.0f}", "β": "{beta:.2f} ({ci_low:.2f} to {ci_high:.2f})"},
    ),
    "matched_r": Section(
        _largest_rungs,
        {"ladder": "ladder", "with": "model", "route": "route"},
        {
            "r above the floor": "{n:.0f}",
            "factor": "{factor:.1f} ({factor_low:.1f} to {factor_high:.1f})",
        },
    ),
    "findings": Section(
        "findings",
        {"finding": "finding", "ladder": "ladder", "statistic": "statistic"},
        {"verdict": "{verdict}", "value": "{value:.2f} ({ci_low:.2f} to {ci_high:.2f})"},
    ),
    "filtering": Section(
        "filtering_summary",
        {"filter": "filter"},
        {
            "F1": "{f1:.2f}",
            "average precision": "{average_precision:.2f}",
            "held-out perplexity": "{perplexity:.2f}",
            "minus the Rosetta Neuron's": "{perplexity_difference:+.2f} "
            "({perplexity_difference_ci_low:+.2f} to "
            "{perplexity_difference_ci_high:+.2f})",
        },
    ),
    "harvest": Section(
        _harvest,
        {"domain": "domain"},
        {
            split: f"{{{split}_documents:,.0f}} ({{{split}_files:,.0f}}, {{{split}_packages:,.0f}})"
            for split in SPLITS
        },
    ),
    "phases": Section(
        _phases, {"phase": "phase"}, {"jobs": "{jobs:.0f}", "CPU minutes": "{cpu_minutes:.1f}"}
    ),
}


class _Cells(string.Formatter):
    """Formats the numbers that are there, and shows a dash for those that are not."""

    def format_field(self, value: Any, spec: str) -> str:
        return NOTHING if value is None else super().format_field(value, spec)


def columns_of(section: Section) -> list[str]:
    """Return the columns of a run's table that a section shows."""
    named = [
        name
        for cell in section.cells.values()
        for _, name, _, _ in string.Formatter().parse(cell)
        if name
    ]
    return list(dict.fromkeys([*section.keys.values(), *named, *section.where]))


def record(runs: list[Path]) -> dict[str, Any]:
    """Return what is to be remembered of finished runs: seeds, configuration, and the rows that the
    pages show.

    Raises
    ------
    RosettaError
        If there is no run, they are not of one configuration with different seeds, or
        a table is missing.
    """
    configs = [load_config(Paths(run).run_config) for run in runs]
    seeds = [seeds_of(config) for config in configs]
    if not runs or len({digest_json(some) for some in seeds}) < len(runs):
        raise ConfigError(
            "give the results folder of a run, or those of several with different seeds: "
            "results results-2."
        )
    rest = {digest_json(without_seeds(config)) for config in configs}
    if len(rest) > 1:
        raise ConfigError(
            "the runs differ in more than seeds and results. Run one configuration with other "
            "seeds."
        )
    found = {
        name: [rows_of(section, Paths(run)) for run in runs] for name, section in SECTIONS.items()
    }
    figure = digest_file(Paths(runs[0]).figure("scaling", "png"))
    return {"configuration": rest.pop(), "seeds": seeds, "figure": figure, "sections": found}


def seeds_of(config: Config) -> dict[str, int]:
    """Return the seeds that tell runs apart: of the corpus, and of each family of models."""
    return {
        "corpus": config.corpus.seed,
        **{name: family.seed for name, family in config.zoo.families.items()},
    }


def without_seeds(config: Config) -> dict[str, Any]:
    """Return the rest of a configuration."""
    content = config.model_dump(mode="json", exclude={"results": True, "corpus": {"seed"}})
    for family in content["zoo"]["families"].values():
        del family["seed"]
    return content


def rows_of(section: Section, paths: Paths) -> list[dict[str, Any]]:
    """Return the rows of a run's table that a section shows, numbers with six digits."""
    if isinstance(section.table, str):
        table = read_csv(paths.table(section.table), columns_of(section))
    else:
        table = section.table(paths)
    for column, values in section.where.items():
        table = table[table[column].isin(values)]
    table = table[columns_of(section)].drop_duplicates(list(section.keys.values()))
    return [
        {name: _plain(value) for name, value in row.items()} for row in table.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return float(f"{value:.6g}") if isinstance(value, float) else value


def render(name: str, numbers: dict[str, Any]) -> str:
    """Return the Markdown of a section: what the runs were, and a table with a column per run and
    cell.
    """
    if not numbers:
        return (
            "No runs are recorded yet: one, or several with different seeds, and "
            "`make docs-numbers` fill this in.\n"
        )
    section, runs = SECTIONS[name], numbers["sections"][name]
    told = [
        ("" if len(runs) == 1 else f"run {i}: ")
        + ", ".join(f"{key} {seed}" for key, seed in seeds.items())
        for i, seeds in enumerate(numbers["seeds"], start=1)
    ]
    keys = list(section.keys.values())
    rows: dict[tuple, list[dict[str, Any]]] = {}
    for i, run in enumerate(runs):
        for row in run:
            rows.setdefault(tuple(row[key] for key in keys), [{} for _ in runs])[i] = row
    columns = [
        [f"{part:g}" if isinstance(part, float) else str(part) for part in parts]
        for parts in zip(*rows, strict=True)
    ]
    heads = list(section.keys)
    for cell, form in section.cells.items():
        shown = [[_cell(form, found[i]) for found in rows.values()] for i in range(len(runs))]
        same = all(column == shown[0] for column in shown)  # as of what no seed of these changes
        each = [f"{cell}, run {i + 1}" for i in range(len(runs))]
        heads += each if not same else [cell if len(runs) == 1 else f"{cell}, all runs"]
        columns += shown[:1] if same else shown
    lines = [heads, ["---"] * len(heads), *zip(*columns, strict=True)]
    table = "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )
    seeds = f"Seeds {'' if len(runs) == 1 else 'of '}{'; '.join(told)}."
    return f"{seeds} Configuration `{numbers['configuration'][:12]}`.\n\n{table}\n"


def _cell(form: str, row: dict[str, Any]) -> str:
    shown = _Cells().vformat(form, (), row) if row else NOTHING
    return re.sub(rf" [(\[]{NOTHING} to {NOTHING}[)\]]", "", shown)  # no interval


def fill(text: str, numbers: dict[str, Any], page: str) -> str:
    """Return a page with what is recorded in all of its places.

    Raises
    ------
    StoreError
        If a place has no end, or a name that is not one of `SECTIONS`.
    """

    def filled(place: re.Match) -> str:
        name, end = place[1], place[3]
        if end != "/numbers" or name not in SECTIONS:
            raise StoreError(
                f"{page}: the place {name!r} has no end, or is none of {', '.join(SECTIONS)}."
            )
        return f"<!-- numbers: {name} -->\n{render(name, numbers)}<!-- /numbers -->"

    if len(PLACE.findall(text)) != text.count("<!-- numbers: "):
        raise StoreError(
            f"{page}: a place for numbers has no end; write <!-- /numbers --> after it."
        )
    return PLACE.sub(filled, text)


def outdated(root: Path) -> list[str]:
    """Return what of the documentation is not as recorded: pages, the figure, sections without a
    place or a record.
    """
    numbers = json.loads((root / NUMBERS).read_text("utf-8"))
    texts = {page: page.read_text("utf-8") for page in pages_of(root)}
    shown = {name for text in texts.values() for name, _, _ in PLACE.findall(text)}
    unplaced = [f"{name} (no page has a place for it)" for name in SECTIONS if name not in shown]
    if numbers and numbers["sections"].keys() != SECTIONS.keys():
        others = ", ".join(sorted(numbers["sections"].keys() ^ SECTIONS.keys()))
        return [*unplaced, f"{NUMBERS} (has other sections: {others}; record the runs again)"]
    pages = [page for page, text in texts.items() if fill(text, numbers, page.name) != text]
    if numbers and digest_file(root / FIGURE) != numbers["figure"]:
        pages.append(root / FIGURE)
    return [*unplaced, *(str(page.relative_to(root)) for page in pages)]


def pages_of(root: Path) -> list[Path]:
    """Return the pages that may have places."""
    return [
        root / "README.md",
        root / "benchmarks" / "README.md",
        *sorted((root / "docs").glob("*.md")),
    ]


def write(root: Path, runs: list[Path]) -> None:
    """Record runs, if any are given, and fill all pages."""
    if runs:
        numbers = record(runs)
        (root / NUMBERS).write_text(
            json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", "utf-8"
        )
        shutil.copyfile(Paths(runs[0]).figure("scaling", "png"), root / FIGURE)
    numbers = json.loads((root / NUMBERS).read_text("utf-8"))
    for page in pages_of(root):
        page.write_text(fill(page.read_text("utf-8"), numbers, page.name), "utf-8")


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "runs", nargs="*", type=Path, help="results folders of runs with different seeds"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a page is not as recorded"
    )
    arguments = parser.parse_args()
    try:
        if not arguments.check:
            with also_checking(compare_with_run):
                write(ROOT, arguments.runs)
        elif pages := outdated(ROOT):
            sys.exit(
                f"not as recorded in {NUMBERS}: {'; '.join(pages)}. Run `make docs-numbers`; "
                "edit none by hand."
            )
    except RosettaError as error:
        sys.exit(f"rosetta: {error}")


if __name__ == "__main__":
    main()

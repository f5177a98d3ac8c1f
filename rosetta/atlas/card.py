"""The card of an atlas, README.md: its tables, where they come from, and their licence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import yaml

from rosetta.atlas.columns import TABLES, records
from rosetta.filtering.corpus_card import as_code, size_category

_HEAD = """
# An atlas of Rosetta Neurons

Neurons that independently trained networks share, with how much they correlate, what chance makes
of that, and what each is like. Layers and units count from 0; a unit is a coordinate of the
activation that enters an MLP's down projection.

```python
from datasets import load_dataset

matches = load_dataset("path/to/this/folder", "matches", split="train")
```

The tables are Parquet files: `pandas.read_parquet("data/matches.parquet")`,
`polars.read_parquet(...)` and `SELECT * FROM 'data/matches.parquet'` in duckdb read them, too.
Those without rows are for these only; `load_dataset` does not open them.
`index.html` is a site with a page per neuron; it opens from a disk and from any web server.
"""
_TEXTS = {
    "imported": "The imported files tell of no contexts.",
    "none": "Texts are left out, and so are the places of contexts: `rosetta atlas export --texts "
    "none` was asked for.",
    "ids": "Texts are left out: every document stays under the licence of its source, which this "
    "software does not know and does not check. Contexts are told by the id of the document and "
    "the range of bytes. Whoever has the corpus finds a document, as the run cut it, by the hash "
    "of its text.",
    "all": "**Texts of the corpus are part of this atlas** (the columns `before`, `token` and "
    "`after`), because `--texts all` was asked for. Each stays under the licence of its source, "
    "which this software does not know and does not check.",
}
_PICTURES = {
    False: "Images are told by their ids and classes; the pictures themselves are left out.",
    True: "**Small pictures are part of this atlas**, because `--pictures` was asked for. Each "
    "stays under the licence of its source. `datasets` shows them after "
    '`.cast_column("picture", datasets.Image())`.',
}
_READING = """## How to read the numbers

- Small models have many mutual nearest neighbours by chance. A match is a finding if it is above a
  null model: `above_documents` and `above_untrained` say so, by the threshold of its ladder in
  `groups`. They are empty where the run has no threshold.
- Intervals are 95%, over half-samples of the documents or images. They say nothing of other
  trainings.
- Rows of `matches` and `rosetta` are per rung of a ladder. A group that is in two ladders has its
  rows twice, with the class by each ladder's own threshold.
- Empty cells were not measured.
"""


def card(facts: dict[str, Any], sizes: dict[str, int], models: pd.DataFrame, site: str) -> str:
    """Return the card.

    Parameters
    ----------
    facts : dict
        `folder.Atlas.facts`.
    sizes : dict of str to int
        Rows per table.
    models : DataFrame
        The table `models`.
    site : str
        A sentence on the site.
    """
    parts = [
        _front_matter(facts, sizes),
        _HEAD + f"\n{site}\n",
        "\n".join(["## Where it comes from", "", *_provenance(facts), ""]),
        "\n".join(["## Models", "", *_models(models), ""]),
        "\n".join(["## Licence", "", *_licence(facts, sizes), ""]),
        _READING,
        "\n".join(_tables(sizes)),
    ]
    return "\n".join(parts)


def _front_matter(facts: dict[str, Any], sizes: dict[str, int]) -> str:
    """Return the YAML that the hub and `datasets` read."""
    # `datasets` opens no table without rows.
    held = [name for name in TABLES if sizes[name]]
    configs = [
        {
            "config_name": name,
            "data_files": [{"split": "train", "path": f"data/{name}.parquet"}],
            **({"default": True} if name == held[0] else {}),
        }
        for name in held
    ]
    content = {
        "pretty_name": "Atlas of Rosetta Neurons",
        "license": facts["licence"],
        "tags": ["interpretability", "rosetta-neurons"],
        "size_categories": [size_category(sum(sizes.values()))],
        "configs": configs,
    }
    return f"---\n{yaml.safe_dump(content, sort_keys=False, allow_unicode=True)}---"


def _provenance(facts: dict[str, Any]) -> Iterator[str]:
    shown = ("origin", "configuration", "seeds", "k", "null_quantile", "samples", "files")
    names = {
        "configuration": "digest of the configuration",
        "k": "matches are mutual k-nearest neighbours; k",
        "null_quantile": "quantile of a null model's r that a match has to exceed",
        "files": "imported files, with their digests",
    }
    for key in shown:
        if (value := facts.get(key)) not in (None, {}, []):
            yield f"- {names.get(key, key)}: {_told(value)}"
    told = ", ".join(f"{name} {number}" for name, number in facts["versions"].items())
    yield f"- written by: {told}"


def _told(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return as_code(text)


def _models(models: pd.DataFrame) -> Iterator[str]:
    yield "| model | source | location | revision | seed | weights | licence |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    columns = ("model", "source", "location", "revision", "seed", "weights", "licence")
    for row in records(models):
        cells = ("" if pd.isna(row[name]) else row[name] for name in columns)
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(value: object) -> str:
    text = str(int(value)) if isinstance(value, float) else str(value)
    return as_code(text).replace("|", "¦") if text else "–"


def _licence(facts: dict[str, Any], sizes: dict[str, int]) -> Iterator[str]:
    yield f"The tables of numbers are passed on under: {as_code(facts['licence'])}."
    yield ""
    yield _TEXTS[facts["texts"]]
    if sizes["images"]:
        yield _PICTURES[facts["pictures"]]
    yield ""
    yield "Models are not part of it. Their licences, as their cards or folders state them, are"
    yield "in the table `models`. Tokens in `promoted` and `suppressed` are of the models'"
    yield "vocabularies."


def _tables(sizes: dict[str, int]) -> Iterator[str]:
    yield "## Tables"
    for name, table in TABLES.items():
        yield f"\n### {name}\n"
        yield f"{sizes[name]:,} rows. One row per {_article_free(table.row)}.\n"
        yield "| column | type | what it is |"
        yield "| --- | --- | --- |"
        for column, (kind, meaning) in table.columns.items():
            yield f"| `{column}` | {type_name(kind)} | {meaning} |"
    yield ""


def _article_free(row: str) -> str:
    return row.removeprefix("a ")


def type_name(kind: Any) -> str:
    """Return the name of a column's type: `list of string`, `double`, …"""
    return str(kind).replace("list<item: ", "list of ").replace(">", "")

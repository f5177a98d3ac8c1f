"""The card of a filtered corpus: where it comes from, by what rule, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Iterable

from rosetta import __version__
from rosetta.config.filtering import FilterScoring
from rosetta.filtering.corpus import Counts

_HEAD = """---
pretty_name: {quoted}
license: other
task_categories:
- text-generation
tags:
- data-filtering
- rosetta-neurons
size_categories:
- {size}
configs:
- config_name: default
  data_files:
  - split: train
    path: "data-*.parquet"
---

# {title}

{counts.selected:,} documents ({counts.selected_tokens:,} tokens) that one neuron of a language
model selected from a pool of {counts.pool:,} documents ({counts.pool_tokens:,} tokens);
{counts.not_selected:,} documents were not selected. Open it with

```python
from datasets import load_dataset

corpus = load_dataset("path/to/this/folder", split="train")
```

| column | what it is |
|---|---|
| `id` | hash of the text, 16 hexadecimal digits |
| `text` | the document |
| `domain` | its label in the pool; empty if it has none |
| `source` | where the pool has it from |
| `score` | what the neuron read on it |
| `tokens` | its tokens, by the tokenizer that the budget is counted in |

Rows are in the order of the pool's shards, not of their scores.
"""

_LICENCE = """## Licence

This selection grants no rights to its texts. Every document stays under the licence of its source,
which the pool's provider knows and this software does not check. Look at the sources before you
pass the texts on, or a model trained on them.
"""

_SCORES = {
    "mean": "the mean of the neuron's activation over the document's tokens",
    "max": "the neuron's highest activation on the document's tokens",
    "top_mean": "the mean of the neuron's highest activations, on {top_fraction:.0%} of the "
    "document's tokens",
    "above": "the share of the document's tokens on which the neuron's activation is above "
    "{threshold:g}",
}


def score_sentence(settings: FilterScoring) -> str:
    """Return what a score is, in words."""
    values = {"top_fraction": settings.top_fraction, "threshold": settings.threshold}
    return _SCORES[settings.score].format(**values)


def render_card(title: str, counts: Counts, sections: Iterable[tuple[str, list[str]]]) -> str:
    """Return the card: facts, one list per section, and a caution about licences.

    Parameters
    ----------
    title : str
        Of the corpus.
    counts : Counts
        What pool and selection hold.
    sections : iterable of (str, list of str)
        Headings with their points.
    """
    quoted = json.dumps(title, ensure_ascii=False)
    parts = [
        _HEAD.format(title=title, quoted=quoted, counts=counts, size=size_category(counts.selected))
    ]
    for heading, points in sections:
        parts.append("\n".join([f"## {heading}", "", *(f"- {point}" for point in points), ""]))
    return "\n".join([*parts, _LICENCE, f"Made by rosetta {__version__}.", ""])


def as_code(text: str) -> str:
    """Return outside text as one line of Markdown code that cannot end itself."""
    return "`" + " ".join(text.replace("`", "'").split()) + "`"


def size_category(n: int) -> str:
    """Return the hub's name for a number of rows."""
    bounds = [1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000]
    names = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
    return names[sum(n >= bound for bound in bounds)]

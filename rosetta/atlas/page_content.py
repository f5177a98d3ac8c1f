"""What the page of a neuron shows, from the rows of an atlas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

Neuron = tuple[str, int, int]  # model, layer, unit
Rows = Mapping[str, Mapping[Neuron, list[dict[str, Any]]]]
NOTHING = "–"
_NUMBERS = {
    "depth": "depth",
    "n_partners": "partners",
    "mean_r": "mean r",
    "max_r": "highest r",
    "min_r": "lowest r",
    "baseline_r": "r of the baseline",
    "excess_r": "r above the baseline",
    "excess_kurtosis": "vocabulary kurtosis (excess)",
    "activation_mean": "activation mean",
    "activation_variance": "activation variance",
    "activation_skewness": "activation skewness",
    "activation_kurtosis": "activation kurtosis (excess)",
    "fraction_active": "fraction active",
    "domain_information": "bits about the domain or class",
    "domain_purity": "purity of the class",
    "monosemanticity": "monosemanticity",
    "explained_variance": "variance that a factor explains",
}
_CLASSES = {"above_documents": "exchanged samples", "above_untrained": "untrained twins"}


def number(value: Any, digits: int = 3) -> float | None:
    """Return a number of so many digits; None for an empty cell."""
    return None if pd.isna(value) else float(f"{value:.{digits}g}")


def shown_count(value: Any) -> str:
    """Return a number as pages print it; a dash for an empty cell."""
    if pd.isna(value):
        return NOTHING
    short = float(f"{value:.4g}")
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1e4 else f"{short:g}"


def neuron_content(
    neuron: Neuron, rows: Rows, address: Callable[[Neuron], str | None]
) -> dict[str, Any]:
    """Return what the page of a neuron shows.

    Parameters
    ----------
    neuron : (str, int, int)
        Model, layer and unit.
    rows : mapping
        By table and neuron, its rows; `matches` has those in which it is the partner, and
        `matches_as_anchor` the others.
    address : callable
        From a neuron to the address of its page from the index, None if it has none.
    """
    own = rows["neurons"][neuron]
    return {
        "name": own[0]["neuron"],
        "about": [*_annotations(own), *_verdicts(rows["verdicts"][neuron])],
        "matches": [
            *(_match(row, "", address) for row in rows["matches_as_anchor"][neuron]),
            *(_match(row, "_anchor", address) for row in rows["matches"][neuron]),
        ],
        "measured": [_measured(row) for row in own],
        "contexts": [
            {**row, "value": shown_count(row["value"]), "token": _text(row["token"])}
            for row in rows["contexts"][neuron]
        ],
        "images": [_image(row) for row in rows["images"][neuron]],
    }


def _annotations(own: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for row in own[:1]:
        if _text(row["annotation"]) is not None:
            verdict = _flag(row["annotation_monosemantic"], " · one concept", " · several concepts")
            yield {"who": "Named by a model", "what": row["annotation"], "verdict": verdict}


def _verdicts(rows: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for row in rows:
        if _text(row["description"]) is not None:
            verdict = _flag(row["is_monosemantic"], " · monosemantic", " · not monosemantic")
            yield {
                "who": f"Judged by {row['judge']}",
                "what": row["description"],
                "verdict": verdict,
            }


def _flag(value: Any, yes: str, no: str) -> str:
    return "" if pd.isna(value) else yes if value else no


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _match(
    row: dict[str, Any], other: str, address: Callable[[Neuron], str | None]
) -> dict[str, Any]:
    """Return a match as a page prints it; `other` is the suffix of the partner's columns."""
    partner = (row[f"model{other}"], row[f"layer{other}"], row[f"unit{other}"])
    ends = [shown_count(row[f"r_ci_{end}"]) for end in ("low", "high")]
    margins = [value for value in (row["margin_a"], row["margin_b"]) if pd.notna(value)]
    rung = "" if pd.isna(row["rung"]) else f", {int(row['rung'])}"
    return {
        "place": f"{_text(row['ladder']) or NOTHING}{rung}",
        "group": row["group"],
        "partner": f"{partner[0]} {row[f'neuron{other}']}",
        "url": address(partner),
        "r": shown_count(row["r"]),
        "interval": NOTHING if NOTHING in ends else " to ".join(ends),
        "margin": shown_count(min(margins, default=None)),
        **{
            name: shown_count(row[name]) for name in ("p_permutation", "p_documents", "p_untrained")
        },
        "class_": "; ".join(_classes(row)) or NOTHING,
    }


def _classes(row: dict[str, Any]) -> Iterator[str]:
    for name, null in _CLASSES.items():
        if pd.notna(row[name]):
            yield f"{'above' if row[name] else 'below'} {null}"


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    """Return what was measured of a neuron, without what was not."""
    known = [(word, row[name]) for name, word in _NUMBERS.items() if pd.notna(row[name])]
    tokens = [
        (f"{side} tokens:", _paired(row[column], row[f"{column}_cosine"]))
        for side, column in (("Promoted", "promoted"), ("Suppressed", "suppressed"))
    ]
    return {
        "stores": _text(row["stores"]),
        "numbers": [(word, shown_count(value)) for word, value in known],
        "tokens": [(side, pairs) for side, pairs in tokens if pairs],
        "firing": _paired(row["domains"], row["domain_firing"]),
    }


def _paired(names: Sequence[str] | None, values: Sequence[float] | None) -> list[tuple[str, str]]:
    """Return names with their values; none if either is an empty cell."""
    if names is None or values is None:
        return []
    return [(name, shown_count(value)) for name, value in zip(names, values, strict=True)]


def _image(row: dict[str, Any]) -> dict[str, Any]:
    from rosetta.inputs.images.thumbnails import webp_address_of

    picture = row["picture"]
    return {
        **row,
        "score": shown_count(row["score"]),
        "address": webp_address_of(picture) if isinstance(picture, bytes) else None,
    }

"""The neuron viewer: one HTML file that needs no server or network.

Text of the corpus reaches the page as JSON in which no character can end the script element, and
the script shows it through textContent only. A content security policy lets nothing run but the
viewer's own script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS, VOCABULARY_COLUMNS
from rosetta.analysis.counts import model_shape
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.populations import rosetta_above
from rosetta.analysis.replicates import group_thresholds, known_thresholds
from rosetta.config import Config, group_name
from rosetta.judging.annotate import ANNOTATED, ANNOTATION_COLUMNS
from rosetta.matching.mutual import MATCH_COLUMNS, NOTE_COLUMNS
from rosetta.report.figures import TITLES
from rosetta.run.paths import Paths
from rosetta.storage.digests import read_bytes
from rosetta.storage.tables import read_parquet, read_parquet_metadata

# What the viewer shows of every neuron, by the name of its column.
NUMBERS = {
    "excess_kurtosis": "vocabulary kurtosis",
    "activation_mean": "activation mean",
    "activation_kurtosis": "activation kurtosis",
    "fraction_active": "fraction active",
    "domain_information": "bits about the domain",
}


def viewer_page(config: Config, paths: Paths) -> str:
    """Return the viewer of a finished run, a page of HTML.

    It shows groups, whatever the ladder: above a null is what exceeds the highest threshold of the
    group's ladders.
    """
    groups = {
        group_name(group): json.loads(read_bytes(paths.excerpts(group_name(group))))
        for group in config.groups("text")
    }
    models = {model: _Model(paths, model) for model in config.used_models("text")}
    if config.annotation:
        _annotate(groups, read_parquet(paths.annotations, ANNOTATION_COLUMNS))
    limits = group_thresholds(config, known_thresholds(config, paths))
    for group in config.groups("text"):
        note_matches(
            groups[group_name(group)], paths, rosetta_above(paths, group, limits[group_name(group)])
        )
    nulls = [TITLES[name] for name in next(iter(limits.values())) if name != PLAIN]
    return render_viewer(viewer_data(groups, models, nulls))


def note_matches(group: dict[str, Any], paths: Paths, above: dict[str, pd.DataFrame]) -> None:
    """Note which nulls a group's neurons are above, and the match of each partner.

    Parameters
    ----------
    group : dict
        Of `analysis.excerpts.group_excerpts`; changed in place.
    paths : Paths
        The run, for the matches of the anchor with each other model.
    above : dict
        By statistic, the group's Rosetta Neurons above that null (`populations.rosetta_above`).
    """
    anchor, *others = group["models"]
    exceeding = [
        set(zip(table["layer_anchor"], table["unit_anchor"], strict=True))
        for table in above.values()
    ]
    key = ["layer_a", "unit_a", "layer_b", "unit_b"]
    tables = [
        read_parquet(
            paths.matches(group_name((anchor, other))), [*MATCH_COLUMNS, *NOTE_COLUMNS]
        ).set_index(key)
        for other in others
    ]
    for neuron in group["neurons"]:
        own, *partners = neuron["partners"]
        place = own["layer"], own["unit"]
        neuron["above"] = [place in neurons for neurons in exceeding]
        for partner, table in zip(partners, tables, strict=True):
            match = table.loc[(*place, partner["layer"], partner["unit"])]
            partner["match"] = {name: _number(match[name]) for name in NOTE_COLUMNS}
            partner["match"]["margin"] = _number(min(match["margin_a"], match["margin_b"]))


def _annotate(groups: dict[str, dict[str, Any]], annotations: pd.DataFrame) -> None:
    """Add to the groups' neurons what a language model says of them."""
    named = annotations[annotations["status"] == ANNOTATED].set_index(["model", "layer", "unit"])
    about = {
        neuron: {
            "name": row["name"],
            "examples": list(row["examples"]),
            "is_monosemantic": bool(row["is_monosemantic"]),
        }
        for neuron, row in named.iterrows()
    }
    for group in groups.values():
        for neuron in group["neurons"]:
            for model, partner in zip(group["models"], neuron["partners"], strict=True):
                if (model, partner["layer"], partner["unit"]) in about:
                    partner["about"] = about[model, partner["layer"], partner["unit"]]


class _Model:
    """What is known of the neurons of a model.

    Attributes
    ----------
    domains : list of str
        Domains of the corpus.
    """

    def __init__(self, paths: Paths, model: str) -> None:
        neurons = read_parquet(paths.neurons(model), NEURON_COLUMNS)
        vocabulary = read_parquet(paths.vocabulary(model), VOCABULARY_COLUMNS)
        self._neurons = neurons.merge(vocabulary, on=["layer", "unit"], validate="one_to_one")
        self._neurons = self._neurons.set_index(["layer", "unit"])
        self._contexts = paths.contexts(model)
        self._shape = model_shape(paths, model)
        self.domains: list[str] = read_parquet_metadata(paths.neurons(model))["domains"]

    def describe(self, layer: int, unit: int) -> dict[str, Any]:
        """Return a neuron's name and numbers, and the share of each domain's tokens it fires at."""
        row = self._neurons.loc[layer, unit]
        return {
            "name": self._shape.name(layer, unit),
            "numbers": [_number(row[name]) for name in NUMBERS],
            "firing": [_number(share) for share in row["domain_firing"]],
        }

    def main_domains(self, neurons: list[tuple[int, int]]) -> list[int]:
        """Return the domain of most of each neuron's top contexts; the first on ties."""
        wanted = pd.DataFrame(neurons, columns=["layer", "unit"]).drop_duplicates()
        # Read when asked for: of all models at once, the contexts of all neurons would take much
        # memory.
        contexts = wanted.merge(read_parquet(self._contexts, CONTEXT_COLUMNS), on=["layer", "unit"])
        number = (
            contexts["domain"]
            .map({domain: i for i, domain in enumerate(self.domains)})
            .to_numpy(np.int64)
        )
        counts = pd.crosstab([contexts["layer"], contexts["unit"]], number)
        main = counts.idxmax(axis=1).to_dict()
        return [int(main[neuron]) for neuron in neurons]


def viewer_data(
    groups: dict[str, dict[str, Any]], models: dict[str, Any], nulls: list[str]
) -> dict[str, Any]:
    """Join the groups' excerpts and what is known of their neurons into the viewer's data.

    Parameters
    ----------
    groups : dict
        By name, what `analysis.excerpts.group_excerpts` returns; to every neuron, `above` is added:
        for each null model, whether its matches are above it.
    models : dict
        By name, an object with `domains`, `describe` and `main_domains`.
    nulls : list of str
        What it is called to be above each null model.

    Returns
    -------
    dict
        `models`, `domains`, `numbers` (names), `nulls`, `groups` (name and numbers of models),
        `excerpts` (shared by the groups), `neurons` of all groups.
    """
    names = list(models)
    excerpts: dict[tuple, dict[str, Any]] = {}
    neurons = []
    for number, group in enumerate(groups.values()):
        of_group = [names.index(model) for model in group["models"]]
        merged = [_merge_excerpt(excerpts, excerpt, of_group) for excerpt in group["excerpts"]]
        anchors = [
            (neuron["partners"][0]["layer"], neuron["partners"][0]["unit"])
            for neuron in group["neurons"]
        ]
        domains = models[group["models"][0]].main_domains(anchors) if anchors else []
        for neuron, domain in zip(group["neurons"], domains, strict=True):
            partners = [
                {**partner, **models[model].describe(partner["layer"], partner["unit"])}
                for model, partner in zip(group["models"], neuron["partners"], strict=True)
            ]
            contexts = [
                {**context, "excerpt": merged[context["excerpt"]]} for context in neuron["contexts"]
            ]
            neurons.append(
                {
                    **neuron,
                    "group": number,
                    "domain": domain,
                    "partners": partners,
                    "contexts": contexts,
                }
            )
    return {
        "models": names,
        "domains": next((model.domains for model in models.values()), []),
        "numbers": list(NUMBERS.values()),
        "nulls": nulls,
        "groups": [
            {"name": name, "models": [names.index(model) for model in group["models"]]}
            for name, group in groups.items()
        ],
        "excerpts": list(excerpts.values()),
        "neurons": neurons,
    }


def _merge_excerpt(
    excerpts: dict[tuple, dict[str, Any]], excerpt: dict[str, Any], models: list[int]
) -> int:
    """Add an excerpt, or only its models' tokens if another group has it; return its number."""
    key = excerpt["document"], excerpt["byte_start"], len(excerpt["text"])
    if key not in excerpts:
        excerpts[key] = {**excerpt, "number": len(excerpts), "tokens": {}}
    excerpts[key]["tokens"].update(zip(map(str, models), excerpt["tokens"], strict=True))
    return excerpts[key]["number"]


def render_viewer(data: dict[str, Any]) -> str:
    """Return the page that shows `viewer_data`."""
    templates = resources.files("rosetta.report") / "templates"
    script, style = ((templates / name).read_text("utf-8") for name in ("viewer.js", "viewer.css"))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rosetta.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("viewer.html.jinja").render(
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
        data=embedded_json(data),
    )


def embedded_json(data: Any) -> str:
    """Return JSON for a script element, with `<`, `>` and `&` escaped."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _hash(text: str) -> str:
    """Return the digest by which a content security policy names an inline element."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode(
        "ascii"
    )


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if np.isfinite(value) else None

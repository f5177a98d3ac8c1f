"""The neuron viewer: an HTML file that needs no server or network.

Text of the corpus reaches the page as JSON in which no character can end the script element, and
the script shows it through textContent only. A content security policy lets nothing run but the
viewer's own script.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib import resources
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from rosetta.analysis.columns import (
    CONTEXT_COLUMNS,
    NEURON_COLUMNS,
    VOCABULARY_COLUMNS,
    WRITTEN_COLUMNS,
)
from rosetta.analysis.counts import model_shape
from rosetta.analysis.histograms import HIGH, LOW
from rosetta.analysis.null_thresholds import PLAIN
from rosetta.analysis.populations import rosetta_above
from rosetta.analysis.replicates import group_thresholds, known_thresholds
from rosetta.analysis.short_numbers import short_number
from rosetta.config import Config, group_name
from rosetta.judging.annotate import ANNOTATED, ANNOTATION_COLUMNS
from rosetta.matching.mutual import MATCH_COLUMNS, NOTE_COLUMNS, ROSETTA_COLUMNS
from rosetta.report.figures import TITLES
from rosetta.report.viewer_chance import pair_chance
from rosetta.report.viewer_images import ImageModel
from rosetta.report.viewer_links import neuronpedia_name
from rosetta.report.viewer_numbers import NUMBERS
from rosetta.report.viewer_parts import embedded_json, policy_hash, split_texts
from rosetta.run.paths import Paths
from rosetta.storage.digests import read_bytes
from rosetta.storage.tables import read_parquet, read_parquet_metadata

# The page's script: each file has one purpose, and all of them share one scope.
SCRIPTS = (
    "data",
    "parts",
    "kept",
    "filters",
    "address",
    "list",
    "chance",
    "histogram",
    "neuron",
    "contexts",
    "images",
    "export",
    "keys",
)


def viewer_page(config: Config, paths: Paths) -> tuple[str, list[str]]:
    """Return the viewer of a finished run: a page of HTML, and parts that lie beside it.

    It shows groups, whatever the ladder: above a null is what exceeds the highest threshold of the
    group's ladders.
    """
    held = {"text": paths.excerpts, "images": paths.image_excerpts}
    groups = {
        group_name(group): json.loads(read_bytes(held[modality](group_name(group))))
        for modality in config.modalities
        for group in config.groups(modality)
    }
    models = _models(config, paths, _shown_neurons(groups))
    if config.annotation:
        _annotate(groups, read_parquet(paths.annotations, ANNOTATION_COLUMNS))
    limits = group_thresholds(config, known_thresholds(config, paths))
    for group in config.groups():
        name, (anchor, *others) = group_name(group), group
        note_matches(groups[name], paths, group, rosetta_above(paths, group, limits[name]))
        rosetta = read_parquet(paths.rosetta(name), ROSETTA_COLUMNS)
        groups[name]["modality"] = config.modality_of(anchor)
        groups[name]["n_rosetta"] = len(rosetta.drop_duplicates(["layer_anchor", "unit_anchor"]))
        groups[name]["chance"] = [
            pair_chance(config, paths, (anchor, other), limits[name]) for other in others
        ]
    nulls = [TITLES[name] for name in next(iter(limits.values())) if name != PLAIN]
    page, parts = split_texts(viewer_data(groups, models, nulls))
    return render_viewer(page), parts


def _models(
    config: Config, paths: Paths, shown: dict[str, pd.DataFrame]
) -> dict[str, _Model | ImageModel]:
    """Return what is known of the neurons that are shown, by the names that groups give models."""
    texts = {
        model: _Model(config, paths, model, shown[model]) for model in config.used_models("text")
    }
    of_images = {
        store: ImageModel.of(config, paths, store, shown[store])
        for store in shown
        if store not in texts
    }
    return {**texts, **of_images}


def _shown_neurons(groups: dict[str, dict[str, Any]]) -> dict[str, pd.DataFrame]:
    """Return the neurons that are shown of each model: layer, unit."""
    places: dict[str, set[tuple[int, int]]] = {}
    for group in groups.values():
        for number, model in enumerate(group["models"]):
            partners = [neuron["partners"][number] for neuron in group["neurons"]]
            found = places.setdefault(model, set())
            found.update((partner["layer"], partner["unit"]) for partner in partners)
    return {
        model: pd.DataFrame(sorted(found), columns=["layer", "unit"], dtype=np.int32)
        for model, found in places.items()
    }


def note_matches(
    group: dict[str, Any], paths: Paths, models: Sequence[str], above: dict[str, pd.DataFrame]
) -> None:
    """Note which nulls a group's neurons are above, and the match of each partner.

    Parameters
    ----------
    group : dict
        Of `analysis.excerpts.group_excerpts`, or of images; changed in place.
    paths : Paths
        The run, for the matches of the anchor with each other model.
    models : sequence of str
        Its models, anchor first.
    above : dict
        By statistic, the group's Rosetta Neurons above that null (`populations.rosetta_above`).
    """
    anchor, *others = models
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
            partner["match"] = {name: short_number(match[name]) for name in NOTE_COLUMNS}
            partner["match"]["margin"] = short_number(min(match["margin_a"], match["margin_b"]))


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
    """What is known of a model's neurons that are shown.

    Attributes
    ----------
    domains : list of str
        Domains of the corpus.
    n_layers : int
        Its layers.
    neuronpedia : str or None
        What Neuronpedia calls it (`viewer_links.neuronpedia_name`).
    """

    def __init__(self, config: Config, paths: Paths, model: str, shown: pd.DataFrame) -> None:
        neurons = read_parquet(paths.neurons(model), NEURON_COLUMNS)
        vocabulary = read_parquet(paths.vocabulary(model), [*VOCABULARY_COLUMNS, *WRITTEN_COLUMNS])
        key = ["layer", "unit"]
        # Only those: the tokens of all neurons of all models would take much memory.
        neurons, vocabulary = (shown.merge(table, on=key) for table in (neurons, vocabulary))
        self._neurons = neurons.merge(vocabulary, on=key, validate="one_to_one").set_index(key)
        self._contexts = paths.contexts(model)
        self._shape = model_shape(paths, model)
        self.n_layers = self._shape.n_layers
        self.neuronpedia = neuronpedia_name(config.models[model])
        self.domains: list[str] = read_parquet_metadata(paths.neurons(model))["domains"]

    def describe(self, layer: int, unit: int) -> dict[str, Any]:
        """Return a neuron's name and numbers, the share of each domain's tokens it fires at, and
        the tokens that it promotes and suppresses, with their cosines.
        """
        row = self._neurons.loc[layer, unit]
        return {
            "name": self._shape.name(layer, unit),
            "numbers": [short_number(row.get(name, np.nan)) for name in NUMBERS],
            "firing": [short_number(share) for share in row["domain_firing"]],
            **{side: _with_cosines(row, side) for side in ("promoted", "suppressed")},
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


def _with_cosines(row: pd.Series, side: str) -> list[tuple[str, float | None]]:
    """Return tokens with their cosines, of one side of `WRITTEN_COLUMNS`."""
    cosines = map(short_number, row[f"{side}_cosine"])
    return list(zip(row[side], cosines, strict=True))


def viewer_data(
    groups: dict[str, dict[str, Any]], models: dict[str, Any], nulls: list[str]
) -> dict[str, Any]:
    """Join the groups' excerpts and what is known of their neurons into the viewer's data.

    Parameters
    ----------
    groups : dict
        By name, what `analysis.excerpts.group_excerpts` or that of images returns, with `modality`:
        `text`, `images`, or `none` if there is neither; `n_rosetta`: how many Rosetta Neurons it
        has in all; and `chance`: `pair_chance` for each model but the anchor. To every neuron,
        `above` is added: for each null model, whether its matches are above it.
    models : dict
        By name, an object with `domains`, `n_layers`, `neuronpedia`, `describe`, `main_domains`.
    nulls : list of str
        What it is called to be above each null model.

    Returns
    -------
    dict
        `models`, `layers` and `neuronpedia` (of the models), `domains`, `numbers` (names), `nulls`,
        `histogram` (where its axis begins and ends),
        `groups` (name, numbers of models, modality, `grids` and `score` of images, `n_rosetta` and
        `chance`), `excerpts` (shared by the groups; of images with a `picture`), `neurons` of all
        groups, each with its `rank` in the group. What a model does not know is null.
    """
    names = list(models)
    domains = list(dict.fromkeys(name for model in models.values() for name in model.domains))
    excerpts: dict[tuple, dict[str, Any]] = {}
    neurons = []
    for number, group in enumerate(groups.values()):
        of_group = [names.index(model) for model in group["models"]]
        merged = [_merge_excerpt(excerpts, excerpt, of_group) for excerpt in group["excerpts"]]
        joined = _joined_neurons(group, models, domains, merged)
        neurons += [{**neuron, "group": number} for neuron in joined]
    return {
        "models": names,
        "layers": [model.n_layers for model in models.values()],
        "neuronpedia": [model.neuronpedia for model in models.values()],
        "domains": domains,
        "numbers": list(NUMBERS.values()),
        "nulls": nulls,
        "histogram": [LOW, HIGH],
        "groups": [
            {
                "name": name,
                "models": [names.index(model) for model in group["models"]],
                "modality": group["modality"],
                "grids": group.get("grids"),
                "score": group.get("score"),
                "n_rosetta": group["n_rosetta"],
                "chance": group["chance"],
            }
            for name, group in groups.items()
        ],
        "excerpts": list(excerpts.values()),
        "neurons": neurons,
    }


def _joined_neurons(
    group: dict[str, Any], models: dict[str, Any], domains: list[str], excerpts: list[int]
) -> Iterator[dict[str, Any]]:
    """Yield a group's neurons in the order of their ranks, with what models say of them; `excerpts`
    are the numbers of the group's excerpts among those of all groups.
    """
    places = [neuron["partners"][0] for neuron in group["neurons"]]
    anchor = models[group["models"][0]]
    mains = anchor.main_domains([(one["layer"], one["unit"]) for one in places]) if places else []
    for rank, (neuron, main) in enumerate(zip(group["neurons"], mains, strict=True), 1):
        partners = [
            {**partner, **_described(models[model], partner, domains)}
            for model, partner in zip(group["models"], neuron["partners"], strict=True)
        ]
        contexts = [{**one, "excerpt": excerpts[one["excerpt"]]} for one in neuron["contexts"]]
        yield {
            **neuron,
            "rank": rank,
            "domain": None if main is None else domains.index(anchor.domains[main]),
            "partners": partners,
            "contexts": contexts,
        }


def _described(model: Any, partner: dict[str, Any], domains: list[str]) -> dict[str, Any]:
    """Return what a model says of a neuron, its firing by the domains of all models."""
    told = model.describe(partner["layer"], partner["unit"])
    firing = dict(zip(model.domains, told["firing"], strict=True))
    return {**told, "firing": [firing.get(name) for name in domains] if firing else []}


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
    """Return the page that shows `viewer_data`, as `viewer_parts.split_texts` returns it.

    Its own script alone may run. Where texts lie beside the page, that script may load others.
    """
    templates = resources.files("rosetta.report") / "templates"
    parts = [(templates / f"viewer_{name}.js").read_text("utf-8") for name in SCRIPTS]
    script = '"use strict";\n(() => {\n' + "\n".join(parts) + "})();\n"
    style = (templates / "viewer.css").read_text("utf-8")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rosetta.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("viewer.html.jinja").render(
        script=script,
        style=style,
        script_hash=policy_hash(script),
        style_hash=policy_hash(style),
        data=embedded_json(data),
        in_parts=bool(data["parts"]),
    )

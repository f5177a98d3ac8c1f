"""The site of an atlas: an index with a search, a list per model, and a page per neuron.

A neuron's address is `neurons/MODEL/L3-U12.html`: it follows from the neuron alone, so that it is
the same in every atlas that has the neuron, whatever its rank or groups. Pages show what strangers
wrote: templates escape all text, the one script uses textContent only, and a content security
policy lets nothing else run or load.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
import pandas as pd
import pyarrow as pa

from rosetta.atlas.columns import records
from rosetta.atlas.page_content import Neuron, neuron_content, number, shown_count
from rosetta.progress import bar
from rosetta.report.viewer_parts import embedded_json, policy_hash

SEARCHED_CONTEXTS = 3  # of a neuron: their texts are searched from the index


def page_of(model: str, name: str) -> str:
    """Return the address of a neuron's page, given its model and its printed name."""
    return f"neurons/{quote(model, safe='~@')}/{name.replace('/', '-')}.html"


@dataclass(frozen=True)
class Site:
    """What the pages show.

    Attributes
    ----------
    frames : dict of str to DataFrame
        The tables of the atlas.
    chosen : list of (str, int, int)
        Model, layer and unit of the neurons that have a page, highest r first.
    n_neurons : int
        Neurons that the atlas has in all.
    """

    frames: dict[str, pd.DataFrame]
    chosen: list[Neuron]
    n_neurons: int

    @classmethod
    def of(cls, tables: dict[str, pa.Table], max_pages: int) -> Site:
        """Return the site of an atlas' tables, with the neurons of highest r."""
        frames = {name: table.to_pandas() for name, table in tables.items()}
        # Of images, a neuron has a row for every set of images.
        once = frames["neurons"].drop_duplicates(["model", "layer", "unit"])
        best = once.sort_values("max_r", ascending=False, kind="stable", na_position="last")
        chosen = best[["model", "layer", "unit"]].head(max_pages)
        return cls(frames, list(chosen.itertuples(index=False, name=None)), len(once))

    @property
    def n_pages(self) -> int:
        """Neurons that have a page."""
        return len(self.chosen)

    @property
    def sentence(self) -> str:
        """How many neurons have a page."""
        if self.n_pages == self.n_neurons:
            return f"All {self.n_neurons:,} neurons of the tables have a page."
        return (
            f"{self.n_pages:,} of {self.n_neurons:,} neurons have a page, those of highest r "
            "(`--max-pages`); the tables have all of them."
        )

    def write(self, folder: Path) -> None:
        """Write all pages into a folder."""
        by_model: dict[str, list[Neuron]] = {
            str(name): [] for name in self.frames["models"]["model"]
        }
        for neuron in self.chosen:
            by_model[neuron[0]].append(neuron)
        self._index(folder, by_model)
        template = self._environment.get_template("neuron.html.jinja")
        for model in by_model:
            (folder / "neurons" / model).mkdir(parents=True)
        for neuron in bar(self.chosen, total=self.n_pages, label="atlas", unit="page"):
            content = neuron_content(neuron, self._rows, self._address)
            page = template.render(model=self._models[neuron[0]], neuron=content)
            _write(folder / "neurons" / neuron[0] / Path(self._address(neuron) or "").name, page)

    def _index(self, folder: Path, by_model: dict[str, list[Neuron]]) -> None:
        """Write the index, what its search reads, and the list of each model."""
        listed = self._environment.get_template("model.html.jinja")
        (folder / "models").mkdir()
        for name, neurons in by_model.items():
            rows = [self._row(neuron) for neuron in sorted(neurons)]
            page = listed.render(model=self._models[name], neurons=rows)
            _write(folder / "models" / f"{name}.html", page)
        script = _part("atlas_search.js")
        models = [{**self._models[name], "n_pages": len(own)} for name, own in by_model.items()]
        index = self._environment.get_template("index.html.jinja").render(
            script=script,
            script_hash=policy_hash(script),
            sentence=self.sentence,
            models=models,
            groups=list(self._groups()),
        )
        _write(folder / "index.html", index)
        _write(folder / "search.js", f"rosettaAtlas({embedded_json(self._searched())});\n")

    def _searched(self) -> dict[str, Any]:
        """Return what the search knows of every neuron with a page."""
        models = list(self._models)
        groups = list(dict.fromkeys(name for one in self.chosen for name in self._groups_of(one)))
        numbers = {name: i for i, name in enumerate(groups)}
        neurons = [
            [
                models.index(one[0]),
                one[1],
                one[2],
                self._names[one],
                number(self._rows["neurons"][one][0]["max_r"], 4),
                [numbers[name] for name in self._groups_of(one)],
                "\n".join(self._words(one)),
            ]
            for one in self.chosen
        ]
        return {"models": models, "groups": groups, "neurons": neurons}

    def _words(self, neuron: Neuron) -> Iterator[str]:
        """Yield what is said of a neuron: names, tokens, and the texts of its first contexts."""
        for row in self._rows["neurons"][neuron]:
            yield from _texts(row["annotation"])
            for name in ("promoted", "suppressed"):
                yield from _texts(*([] if row[name] is None else row[name]))
        for row in self._rows["verdicts"][neuron]:
            yield from _texts(row["description"])
        for row in self._rows["contexts"][neuron][:SEARCHED_CONTEXTS]:
            yield "".join(_texts(row["before"], row["token"], row["after"]))

    def _groups_of(self, neuron: Neuron) -> list[str]:
        found = [
            row["groups"] for row in self._rows["neurons"][neuron] if row["groups"] is not None
        ]
        return list(dict.fromkeys(name for names in found for name in names))

    def _row(self, neuron: Neuron) -> dict[str, Any]:
        return {
            "url": self._address(neuron),
            "name": self._names[neuron],
            "r": shown_count(self._rows["neurons"][neuron][0]["max_r"]),
            "groups": ", ".join(self._groups_of(neuron)),
        }

    def _groups(self) -> Iterator[dict[str, str]]:
        for row in records(self.frames["groups"]):
            counts = {}
            for name in ("matches", "above_documents", "above_untrained"):
                low, high = (shown_count(row[f"{name}_ci_{end}"]) for end in ("low", "high"))
                told = f" ({low} to {high})" if "–" not in (low, high) else ""
                counts[name] = f"{shown_count(row[name])}{told}"
            yield {**{name: row[name] for name in ("ladder", "rung", "group")}, **counts}

    def _address(self, neuron: Neuron) -> str | None:
        """Return the address of a neuron's page from the index; None if it has none."""
        return page_of(neuron[0], self._names[neuron]) if neuron in self._names else None

    @cached_property
    def _names(self) -> dict[Neuron, str]:
        """Printed names of the neurons that have a page."""
        return {one: str(self._rows["neurons"][one][0]["neuron"]) for one in self.chosen}

    @cached_property
    def _rows(self) -> dict[str, defaultdict[Neuron, list[dict[str, Any]]]]:
        """Rows of the tables by neuron; a match belongs to both of its neurons."""
        wanted = set(self.chosen)
        found = {
            name: _by_neuron(self.frames[name], "", wanted)
            for name in ("neurons", "verdicts", "contexts", "images", "matches")
        }
        found["matches_as_anchor"] = _by_neuron(self.frames["matches"], "_anchor", wanted)
        return found

    @cached_property
    def _models(self) -> dict[str, dict[str, Any]]:
        """What pages say of models, by name."""
        rows = records(self.frames["models"])
        return {
            row["model"]: {
                "name": row["model"],
                "url": f"models/{quote(row['model'], safe='~@')}.html",
                "origin": "; ".join(_origin(row)),
                "n_neurons": shown_count(row["n_neurons"]),
            }
            for row in rows
        }

    @cached_property
    def _environment(self) -> jinja2.Environment:
        style = _part("atlas.css")
        environment = jinja2.Environment(
            loader=jinja2.PackageLoader("rosetta.atlas"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.globals.update(style=style, style_hash=policy_hash(style))
        return environment


def _by_neuron(
    frame: pd.DataFrame, suffix: str, wanted: set[Neuron]
) -> defaultdict[Neuron, list[dict[str, Any]]]:
    """Return the rows of a table by their neuron, of those that are wanted."""
    found: defaultdict[Neuron, list[dict[str, Any]]] = defaultdict(list)
    places = zip(*(frame[f"{name}{suffix}"] for name in ("model", "layer", "unit")), strict=True)
    keep = [place in wanted for place in places]
    for row in records(frame[keep]):
        found[row[f"model{suffix}"], row[f"layer{suffix}"], row[f"unit{suffix}"]].append(row)
    return found


def _texts(*values: Any) -> Iterable[str]:
    """Return those values that are texts: an empty cell is none."""
    return [value for value in values if isinstance(value, str)]


def _origin(model: dict[str, Any]) -> Iterator[str]:
    """Yield what is said of where a model comes from."""
    words = {"trained": "trained by the run", "hub": "of the hub", "folder": "a folder"}
    yield words.get(model["source"], str(model["source"]))
    told = {"location": "", "revision": "at ", "licence": "licence: "}
    if model["source"] == "trained":  # its name, and that it is trained
        told = {}
    for name, word in told.items():
        yield from (f"{word}{value}" for value in _texts(model[name]) if value)
    if pd.notna(model["seed"]):
        yield f"seed {int(model['seed'])}"


def _part(name: str) -> str:
    return (resources.files("rosetta.atlas") / "templates" / name).read_text("utf-8")


def _write(path: Path, text: str) -> None:
    # A lone surrogate has no UTF-8 form.
    path.write_bytes(text.encode("utf-8", "replace"))

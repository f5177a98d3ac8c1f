"""The published language code's folders as an atlas (docs/reproduction.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
from pydantic import Field, TypeAdapter, ValidationError

from rosetta.atlas.imported import (
    PLACES,
    NamedModel,
    check_different,
    group_rows,
    matched_rows,
)
from rosetta.config.base import Section
from rosetta.config.messages import describe_problems
from rosetta.errors import ConfigError, StoreError
from rosetta.matching.interchange import MAX_R, read_buddies
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.storage.digests import digest_file, read_bytes

BUDDIES, BUDDIES_STATS = "best_buddies.json", "best_buddies_stats.json"
ANCHORS, ANCHORS_STATS = "rosetta_anchors.json", "rosetta_avg_corr_stats.json"
_LONGEST_NAME = 255  # bytes of a part of a path
_MOST_OFF = 1e-4  # of a mean that a file tells beside its terms
_Index = Annotated[int, Field(ge=0, lt=PLACES)]


class Partner(Section):
    """The best match of an anchor neuron in another model."""

    model: str
    model2_layer: _Index
    model2_neuron: _Index
    correlation: float = Field(ge=-MAX_R, le=MAX_R)


class Anchor(Section):
    """An anchor neuron that is matched with every other model."""

    model1_layer: _Index
    model1_neuron: _Index
    avg_correlation: float
    per_model: list[Partner] = Field(min_length=1)


_FILE = TypeAdapter(list[Anchor])


@dataclass(frozen=True)
class Published:
    """What lies in a folder of the published code.

    Attributes
    ----------
    models : list of NamedModel
        The anchor first.
    buddies : list of Path or None
        By other model, its `best_buddies.json`, if it is there.
    anchors : Path or None
        `rosetta_anchors.json`, if there is one.
    called : list of str
        What the files call the other models.
    """

    models: list[NamedModel]
    buddies: list[Path | None]
    anchors: Path | None
    called: list[str]

    @classmethod
    def find(cls, source: Path, named: Sequence[NamedModel]) -> Published:
        """Return what is in a folder, or what a `best_buddies.json` is.

        Parameters
        ----------
        source : Path
            A `best_buddies.json`, a folder that has one, or the folder of an anchor and several
            models, whose files name them.
        named : sequence of NamedModel
            What the models are, the anchor first; needed where no file names them.

        Raises
        ------
        ConfigError
            If models are not named, or not as many as there are.
        StoreError
            If there is nothing of the published code.
        """
        if source.is_file():
            return cls._pair(source, named)
        anchors = _first(source / "rosetta" / ANCHORS, source / ANCHORS)
        if anchors is not None:
            return cls._several(source, anchors, named)
        buddies = _first(source / BUDDIES, source / "correlations" / BUDDIES)
        if buddies is None:
            raise StoreError(
                f"{source}: has neither {BUDDIES} nor {ANCHORS}. Give a folder that the published "
                "language code wrote, or the universal.csv of universal-neurons."
            )
        return cls._pair(buddies, named)

    @classmethod
    def _pair(cls, file: Path, named: Sequence[NamedModel]) -> Published:
        if len(named) != 2:
            raise ConfigError(
                f"--model: {file} names no models; give it twice, the file's model 1 first."
            )
        check_different(named)
        return cls(list(named), [file], None, [])

    @classmethod
    def _several(cls, source: Path, anchors: Path, named: Sequence[NamedModel]) -> Published:
        stats = anchors.with_name(ANCHORS_STATS)
        told = _json(stats) if stats.is_file() else {}
        called = _names_in(stats, told) or _models_of(anchors)
        if not named and not isinstance(told.get("anchor"), str):
            raise ConfigError(
                f"--model: nothing beside {anchors} names the anchor; give --model for it and "
                f"for each of {', '.join(called)}."
            )
        models = list(named) or [
            NamedModel.parse(one, str(stats)) for one in (told["anchor"], *called)
        ]
        if len(models) != 1 + len(called):
            raise ConfigError(
                f"--model: {anchors} is of an anchor and {len(called)} models "
                f"({', '.join(called)}); give one for each, the anchor first."
            )
        check_different(models)
        folders = (source / _folder(one, anchors) / "correlations" for one in called)
        buddies = [_first(folder / BUDDIES) for folder in folders]
        return cls(models, buddies, anchors, called)

    def files(self) -> Iterator[Path]:
        """Yield what is read."""
        yield from (path for path in (self.anchors, *self.buddies) if path is not None)


def published_rows(
    found: Published, k: int | None
) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Return the rows of an atlas, and the files that they are from with their digests.

    Parameters
    ----------
    found : Published
        What there is.
    k : int or None
        Keep the mutual k-nearest neighbours of those in a `best_buddies.json`; all if None.

    Raises
    ------
    StoreError
        If a file is of another form, or files contradict each other.
    """
    groups = []
    for model, path in zip(found.models[1:], found.buddies, strict=True):
        if path is not None:
            pair = [found.models[0], model]
            table = read_buddies(path, pair[0].name, pair[1].name, k)
            _check_count(path.with_name(BUDDIES_STATS), "total_pairs", path, k)
            groups.append(group_rows(pair, [table]))
    if found.anchors is not None:
        groups.append(group_rows(found.models, _anchor_tables(found)))
    rows = {
        name: pd.concat([group[name] for group in groups], ignore_index=True)
        for name in ("matches", "rosetta", "groups")
    }
    rows["models"] = pd.DataFrame([model.row for model in found.models])
    rows["neurons"] = matched_rows(rows["matches"])
    return rows, {path.name: digest_file(path) for path in found.files()}


def _check_count(stats: Path, key: str, file: Path, k: int | None) -> None:
    """Check that the statistics beside a file are of as many rows as the file has."""
    if not stats.is_file() or k is not None:
        return
    told, there = _json(stats).get(key), len(json.loads(read_bytes(file)))
    if told != there:
        raise StoreError(
            f"{stats}: {key} is {told!r}, and {file.name} has {there}. Give the files of one run."
        )


def _anchor_tables(found: Published) -> list[pd.DataFrame]:
    """Return `rosetta_anchors.json` as matches with each other model; ranks are not in it."""
    assert found.anchors is not None
    anchors = _read_anchors(found.anchors)
    _check_count(found.anchors.with_name(ANCHORS_STATS), "count", found.anchors, None)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in found.called}
    for number, anchor in enumerate(anchors):
        _check_anchor(found.anchors, number, anchor, found.called)
        for partner in anchor.per_model:
            place = {"layer_a": anchor.model1_layer, "unit_a": anchor.model1_neuron}
            other = {"layer_b": partner.model2_layer, "unit_b": partner.model2_neuron}
            rows[partner.model].append({**place, **other, "r": partner.correlation})
    names = [model.name for model in found.models]
    tables = []
    for name, called in zip(names[1:], found.called, strict=True):
        table = pd.DataFrame(rows[called], columns=["layer_a", "unit_a", "layer_b", "unit_b", "r"])
        if table.duplicated(["layer_a", "unit_a"]).any():
            raise StoreError(f"{found.anchors}: gives an anchor a second time. Write it again.")
        empty = dict.fromkeys(("rank_a", "rank_b", "margin_a", "margin_b"), np.nan)
        tables.append(table.assign(model_a=names[0], model_b=name, **empty)[MATCH_COLUMNS])
    return tables


def _check_anchor(path: Path, number: int, anchor: Anchor, called: Sequence[str]) -> None:
    if [partner.model for partner in anchor.per_model] != list(called):
        raise StoreError(
            f"{path}: [{number}] is not of {', '.join(called)}, as others are. Write it again."
        )
    mean = np.mean([partner.correlation for partner in anchor.per_model])
    if abs(mean - anchor.avg_correlation) > _MOST_OFF:
        raise StoreError(
            f"{path}: [{number}] has avg_correlation {anchor.avg_correlation:g}, and the mean of "
            f"its correlations is {mean:g}. Write it again."
        )


def _read_anchors(path: Path) -> list[Anchor]:
    try:
        return _FILE.validate_json(read_bytes(path))
    except ValidationError as error:
        problem = describe_problems(error.errors(include_url=False)[:1])[0]
        raise StoreError(
            f"{path}: not a list of anchors ({problem}). Give the {ANCHORS} of the published "
            "language code, as docs/reproduction.md describes it."
        ) from None


def _models_of(path: Path) -> list[str]:
    anchors = _read_anchors(path)
    return [partner.model for partner in anchors[0].per_model] if anchors else []


def _names_in(stats: Path, told: dict[str, Any]) -> list[str]:
    """Return what the statistics beside the anchors call the other models; none if they do not."""
    names = told.get("models", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise StoreError(f"{stats}: models is {names!r}, not a list of names. Write it again.")
    return names


def _folder(name: str, file: Path) -> str:
    """Return the folder of a model: its name, which the files beside it tell, as one part of a
    path.
    """
    part = name.replace("/", "_")
    fits = part.isprintable() and len(part.encode(errors="replace")) <= _LONGEST_NAME
    if part in ("", ".", "..") or "\\" in part or not fits:
        raise StoreError(
            f"{file}: {name!r} is a model there, which names no folder. Give the files as the "
            "published code wrote them."
        )
    return part


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_bytes(path))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise StoreError(f"{path}: not a JSON object. Give the files of the published code.")
    return content


def _first(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)

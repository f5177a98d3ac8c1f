"""Tables of other projects as an atlas: what they do not tell is empty."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from rosetta.atlas.run_neurons import Matched
from rosetta.atlas.run_tables import ranked_anchors
from rosetta.config import group_name
from rosetta.config.base import Name
from rosetta.config.corpus import HUB_ID
from rosetta.config.messages import describe_problems
from rosetta.errors import ConfigError
from rosetta.matching.mutual import rosetta_neurons

PLACES = 2**31  # numbers of layers and units that a table can hold
_FORM = re.compile(r"(?:(?P<name>[^=@/]+)=)?(?P<id>[^=@]+)(?:@(?P<revision>[^=@]+))?")


class NamedModel(NamedTuple):
    """A model of another project's table.

    Attributes
    ----------
    name : str
        Its name in the atlas.
    hub : str or None
        Its id on the hub.
    revision : str or None
        Its commit or tag there.
    """

    name: str
    hub: str | None = None
    revision: str | None = None

    @classmethod
    def parse(cls, text: str, place: str = "--model") -> NamedModel:
        """Return the model written `name`, `owner/id`, or `name=owner/id@revision`.

        Raises
        ------
        ConfigError
            If it is none of these.
        """
        found = _FORM.fullmatch(text)
        if not found:
            raise ConfigError(f"{place}: {text!r} is not NAME, ID or NAME=ID@REVISION.")
        name, hub, revision = found["name"], found["id"], found["revision"]
        is_hub = name is not None or "/" in hub or revision is not None
        if is_hub and not re.fullmatch(HUB_ID, hub):
            raise ConfigError(f"{place}: {hub!r} is not an id on the hub, such as owner/model.")
        own = name or hub.rpartition("/")[2]
        try:
            TypeAdapter(Name).validate_python(own)
        except ValidationError as error:
            problem = describe_problems(error.errors())[0]
            raise ConfigError(f"{place}: {own!r}: {problem}") from None
        return cls(own, hub if is_hub else None, revision)

    @property
    def row(self) -> dict[str, str | None]:
        """Its row of the table `models`."""
        source = "hub" if self.hub else "unknown"
        told = {"location": self.hub, "revision": self.revision}
        return {"model": self.name, "modality": "text", "source": source, **told}


def check_different(models: Sequence[NamedModel]) -> None:
    """Check that models have different names.

    Raises
    ------
    ConfigError
        If two have the same.
    """
    names = [model.name for model in models]
    if again := next((name for name in names if names.count(name) > 1), None):
        raise ConfigError(
            f"--model: {again} is the name of two models. Write NAME=ID, with different names."
        )


def dense_name(layer: int, unit: int) -> str:
    """Return the printed name of a neuron of a model of which no more is known."""
    return f"L{layer}/U{unit}"


def group_rows(
    models: Sequence[NamedModel], matches: Sequence[pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Return the rows of a group in the tables `matches`, `rosetta` and `groups`.

    Parameters
    ----------
    models : sequence of NamedModel
        The anchor first.
    matches : sequence of DataFrame
        `matching.mutual.MATCH_COLUMNS`, one table per other model.
    """
    names = [model.name for model in models]
    group = group_name(tuple(names))
    rosetta = rosetta_neurons(list(matches))
    ranks = pd.concat(matches, ignore_index=True)[
        ["layer_a", "unit_a", "model_b", "layer_b", "unit_b", "rank_a", "rank_b"]
    ].set_axis(
        ["layer_anchor", "unit_anchor", "model", "layer", "unit", "rank_a", "rank_b"], axis=1
    )
    keys = ["layer_anchor", "unit_anchor", "model", "layer", "unit"]
    found = rosetta.merge(ranks, on=keys, how="left", validate="one_to_one")
    anchors = ranked_anchors(found)
    counted = {"group": group, "models": names, "modality": "text", "matches": len(anchors)}
    return {
        "matches": _named(found, group),
        "rosetta": _named(anchors, group),
        "groups": pd.DataFrame([counted]),
    }


def _named(rows: pd.DataFrame, group: str) -> pd.DataFrame:
    places = zip(rows["layer_anchor"], rows["unit_anchor"], strict=True)
    named = rows.assign(group=group, neuron_anchor=[dense_name(*place) for place in places])
    if "model" not in rows:
        return named
    partners = zip(rows["layer"], rows["unit"], strict=True)
    return named.assign(neuron=[dense_name(*place) for place in partners])


def matched_rows(matches: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table `neurons` that matches alone tell."""
    found = Matched.of(matches).neurons
    places = zip(found["layer"], found["unit"], strict=True)
    return found.assign(neuron=[dense_name(*place) for place in places])

"""Which models of two atlases are the same: told by their weights, not by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from rosetta.atlas.columns import records
from rosetta.errors import ConfigError

BY_WEIGHTS = "the same weights"
BY_HUB = "the same id on the hub, and no two revisions; the weights of one are not on record"
AS_TOLD = "as told with --same"


class Same(NamedTuple):
    """A model that is in both atlases.

    Attributes
    ----------
    a, b : str
        What each atlas calls it.
    why : str
        How it is known to be the same.
    """

    a: str
    b: str
    why: str


class Identity(NamedTuple):
    """What is known of the models of two atlases.

    Attributes
    ----------
    same : list of Same
        Models in both, in the order of the first atlas.
    cautions : list of str
        Names that both atlases have, for models that are not the same, or not known to be.
    """

    same: list[Same]
    cautions: list[str]


def same_models(a: pd.DataFrame, b: pd.DataFrame, told: Mapping[str, str]) -> Identity:
    """Return which models of two tables `models` are the same.

    They are if their weights are, whatever their names. If one has no weights on record, they are
    if both name the same id on the hub, and no two revisions. Or they are as told.

    Parameters
    ----------
    a, b : DataFrame
        The table `models` of each atlas.
    told : mapping of str to str
        Models that are the same although nothing says so: names in a, and their names in b.

    Raises
    ------
    ConfigError
        If what is told names a model that is not there, or one of b twice.
    """
    rows_a, rows_b = _by_name(a), _by_name(b)
    _check_told(told, rows_a, rows_b)
    found = {one: Same(one, other, AS_TOLD) for one, other in told.items()}
    for alike, why in ((_same_weights, BY_WEIGHTS), (_same_hub_id, BY_HUB)):
        for name, row in rows_a.items():
            taken = {same.b for same in found.values()}
            if name in found:
                continue
            fitting = [
                other for other in rows_b if other not in taken and alike(row, rows_b[other])
            ]
            if fitting:
                found[name] = Same(name, name if name in fitting else fitting[0], why)
    same = [found[name] for name in rows_a if name in found]
    cautions = [
        caution
        for name in rows_a
        if name in rows_b and (caution := _caution(rows_a[name], rows_b[name], found.get(name)))
    ]
    return Identity(same, cautions)


def _by_name(models: pd.DataFrame) -> dict[str, dict[str, Any]]:
    known = models.astype(object).where(models.notna(), None)
    return {str(row["model"]): row for row in records(known)}


def _check_told(told: Mapping[str, str], a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    for side, names, there in (("first", told.keys(), a), ("second", told.values(), b)):
        for name in names:
            if name not in there:
                raise ConfigError(
                    f"--same: {name!r} is no model of the {side} atlas; it has {', '.join(there)}."
                )
    if len(set(told.values())) < len(told):
        raise ConfigError("--same: names one model of the second atlas twice. Name each once.")


def _same_weights(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return bool(a["weights"]) and a["weights"] == b["weights"]


def _same_hub_id(a: dict[str, Any], b: dict[str, Any]) -> bool:
    if a["weights"] and b["weights"]:  # these tell
        return False
    named = a["source"] == b["source"] == "hub" and a["location"] == b["location"]
    both_known = a["revision"] and b["revision"]
    return named and (not both_known or a["revision"] == b["revision"])


def _caution(a: dict[str, Any], b: dict[str, Any], same: Same | None) -> str:
    """Return what is to be said of a name that both atlases have."""
    name = a["model"]
    if same is not None and same.b == name and same.why != AS_TOLD:
        return ""
    if not a["weights"] or not b["weights"]:
        said = "nothing on record says that the weights are the same"
    elif (a["source"] == "hub") != (b["source"] == "hub"):
        said = (
            f"one is told by its id on the hub and the other by a digest ({a['weights']}, "
            f"{b['weights']}), so nothing says that the weights are the same"
        )
    else:
        said = f"OTHER WEIGHTS ({a['weights']} and {b['weights']})"
    if same is not None and same.b == name:
        return f"{name}: the same name, and {said}; compared because --same says so"
    return f"{name}: the same name, but {said}; not compared. --same {name}={name} would"

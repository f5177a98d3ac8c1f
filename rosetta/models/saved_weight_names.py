"""Which neurons a weight of a saved model belongs to, by its name in the file."""

from __future__ import annotations

import re
from typing import NamedTuple

from rosetta.models.architectures.record import Architecture

# Files keep experts one by one, or all of a layer at once as the library holds them when they are
# loaded.
_EXPERT_WEIGHT = re.compile(
    r"(?:^|\.)layers\.(\d+)\.(?:mlp|block_sparse_moe)\.experts\.(?:(\d+)\.(?:down_proj|w2)\.weight|down_proj)$"
)
ALL_EXPERTS = -1


class SavedWeight(NamedTuple):
    """Which down projection a saved weight is: of a layer, or of its expert(s)."""

    layer: int
    expert: int | None = None


def saved_weight(architecture: Architecture, name: str) -> SavedWeight | None:
    """Return which down projection a saved weight's name means; None for others.

    Models are saved with and without the names of the modules that hold the layers.
    """
    if architecture.experts and (found := _EXPERT_WEIGHT.search(name)):
        return SavedWeight(int(found[1]), ALL_EXPERTS if found[2] is None else int(found[2]))
    if architecture.saved:
        named = "|".join(architecture.saved).replace("{layer}", r"(\d+)")
        found = re.search(rf"^(?:{named})\.weight$", name)
        return SavedWeight(int(next(filter(None, found.groups())))) if found else None
    path = architecture.down_projection
    if path is None:
        return None
    inner = path[path[: path.index(".{layer}")].rfind(".") + 1 :]
    pattern = re.escape(inner).replace(re.escape("{layer}"), r"(\d+)")
    found = re.search(rf"(?:^|\.){pattern}\.weight$", name)
    return SavedWeight(int(found[1])) if found else None

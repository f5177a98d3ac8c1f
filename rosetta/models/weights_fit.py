"""Whether saved weights fit their configuration, by names and shapes.

A weight that the model does not use is as bad as one that is missing: the model would run without
it, and read something else than what was trained.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from rosetta.errors import ModelError

ONE_MODEL = "Put the configuration and the weights of one model there."
SHOWN = 3

# What files hold beside the weights of the model and may be left unread. The library knows of
# further ones, model by model, and does not report them.
LEFTOVERS = (
    # frequencies of rotary positions, which follow from the configuration
    r"(^|\.)(\w+_)?inv_freq$",
    # causal masks, which old GPT-2, GPT-J and GPT-NeoX saved
    r"\.(attn|attention|self_attn)\.(masked_)?bias$",
    r"(^|\.)position_ids$",  # 0, 1, 2, …
    # Heads of other tasks read the last hidden state: classifiers, reward and value models,
    # question answering.
    r"^(score|classifier|classification_head|reward_head|v_head|value_head|qa_outputs)\.",
)


def check_fit(info: dict[str, Any], what: str, leftovers: Collection[str] = ()) -> None:
    """Check what transformers says of loading weights (`output_loading_info`).

    Parameters
    ----------
    info : dict
        `missing_keys`, `unexpected_keys`, `mismatched_keys` (with both shapes), `error_msgs`.
    what : str
        What messages name as the culprit.
    leftovers : collection of str
        Regular expressions of further weights that may be left unread
        (`rosetta.models.architectures.record.Architecture`).

    Raises
    ------
    ModelError
        Naming some of the weights that are missing, of another shape, or not used, and how many
        there are.
    """
    if info["missing_keys"]:
        raise ModelError(
            f"{what} lack {listed(info['missing_keys'])}, which config.json asks for. {ONE_MODEL}"
        )
    if info["mismatched_keys"]:
        misfits = [
            f"{key} ({_size(found)} for {_size(wanted)})"
            for key, found, wanted in info["mismatched_keys"]
        ]
        raise ModelError(
            f"{what} are of other shapes than config.json says: {listed(misfits)}. {ONE_MODEL}"
        )
    leftover = re.compile("|".join((*LEFTOVERS, *leftovers)))
    unused = [key for key in info["unexpected_keys"] if not leftover.search(key)]
    if unused:
        raise ModelError(
            f"{what} hold {listed(unused)}, which the model of config.json does not use: it "
            "would compute something "
            f"else than what was trained. {ONE_MODEL}"
        )
    if info.get("error_msgs"):
        raise ModelError(
            f"{what} cannot be brought into the model's form: {listed(info['error_msgs'])}. "
            f"{ONE_MODEL}"
        )


def listed(names: Collection[str]) -> str:
    """Return the first names in order, and how many more there are."""
    shown = ", ".join(sorted(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"


def _size(shape: Any) -> str:
    return " × ".join(map(str, shape))

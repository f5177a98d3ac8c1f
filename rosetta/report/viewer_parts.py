"""The texts of the viewer: inside the page, or beside it in parts where they are too large.

A part is a script, because a page that is opened from a disk may load scripts beside it, and no
data.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

FOLDER = "viewer"  # beside the page
INSIDE_BYTES = 20_000_000  # texts of at most this size are inside the page
PART_NEURONS = 250


def split_texts(
    data: dict[str, Any], inside_bytes: int = INSIDE_BYTES
) -> tuple[dict[str, Any], list[str]]:
    """Return the data that the page holds, and the parts that lie beside it: none if all fits.

    Parameters
    ----------
    data : dict
        Of `viewer.viewer_data`.
    inside_bytes : int
        The largest size of the texts inside the page.

    Returns
    -------
    page : dict
        The data with `parts`: None, or where they are (`folder`), how many neurons each is of
        (`neurons`) and the size of all (`bytes`). Then it has no `excerpts`, and its neurons no
        `contexts`.
    parts : list of str
        Scripts. Each gives the contexts of `PART_NEURONS` neurons, and the excerpts that they name.
    """
    neurons = data["neurons"]
    parts = [
        _part(data, number, neurons[low : low + PART_NEURONS])
        for number, low in enumerate(range(0, len(neurons), PART_NEURONS))
    ]
    n_bytes = sum(len(part.encode()) for part in parts)
    if n_bytes <= inside_bytes:
        return {**data, "parts": None}, []
    without = [{key: neuron[key] for key in neuron if key != "contexts"} for neuron in neurons]
    where = {"folder": FOLDER, "neurons": PART_NEURONS, "bytes": n_bytes}
    return {**data, "neurons": without, "excerpts": [], "parts": where}, parts


def _part(data: dict[str, Any], number: int, neurons: list[dict[str, Any]]) -> str:
    contexts = [neuron["contexts"] for neuron in neurons]
    named = sorted({context["excerpt"] for shown in contexts for context in shown})
    excerpts = [[excerpt, data["excerpts"][excerpt]] for excerpt in named]
    held = embedded_json({"contexts": contexts, "excerpts": excerpts})
    return f"rosettaPart({number},{held});\n"


def embedded_json(data: Any) -> str:
    """Return JSON for a script element, with `<`, `>` and `&` escaped; it is JavaScript, too."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def policy_hash(text: str) -> str:
    """Return the digest by which a content security policy names an inline element."""
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")

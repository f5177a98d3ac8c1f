"""Addresses of neurons: in the viewer, for links from other pages, and on Neuronpedia."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from rosetta.config import ModelEntry, group_name

# Models whose MLP neurons Neuronpedia shows, by their id on the hub, and its name for them. A
# neuron's page is `/{name}/{layer}/{unit}`.
NEURONPEDIA = {"openai-community/gpt2": "gpt2-small", "gpt2": "gpt2-small"}


def viewer_link(viewer: str, group: str, neuron: str | None = None) -> str:
    """Return the address of a neuron's view, `viewer.html#a--b/L3/U12`, or of all of a group.

    Parameters
    ----------
    viewer : str
        Address of the viewer.
    group : str
        Name of the group whose Rosetta Neuron it is.
    neuron : str, optional
        Printed name of the anchor's neuron (`NeuronShape.name`). If not given, the address is that
        of the list of the group, `viewer.html#?group=a--b`.
    """
    if neuron is None:
        return f"{viewer}#?{urlencode({'group': group})}"
    return f"{viewer}#{quote(group, safe='')}/{quote(neuron)}"


def group_that_shows(pair: tuple[str, str], groups: Sequence[tuple[str, ...]]) -> str:
    """Return the name of the group in which the viewer shows the matches of a pair.

    Parameters
    ----------
    pair : (str, str)
        Two models, the anchor first.
    groups : sequence of tuple of str
        The groups of the run, anchors first. A pair is a group itself, or the anchor and another
        model of a larger one.
    """
    larger = (group for group in groups if group[0] == pair[0] and pair[1] in group)
    return group_name(pair if pair in groups else next(larger))


def neuronpedia_name(entry: ModelEntry) -> str | None:
    """Return what Neuronpedia calls a model of the hub, None if it does not show its neurons."""
    return NEURONPEDIA.get(entry.hub or "")

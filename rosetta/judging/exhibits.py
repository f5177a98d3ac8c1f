"""What a judge is shown of a neuron: a contact card, or its top contexts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import pandas as pd

from rosetta.drawing.contact_cards import NeuronOnImages, contact_card, encoded, lettered_grid
from rosetta.judging.endpoint import Messages
from rosetta.judging.prompt import marked_contexts
from rosetta.judging.questions import image_part, verdict_question
from rosetta.models.neurons import Neuron

if TYPE_CHECKING:  # these bring zarr and torch, which judging texts does without
    from rosetta.analysis.image_tables import TopMaps
    from rosetta.inputs.images.shown_images import ShownImages
    from rosetta.judging.lettered_images import LetteredImages


class Exhibit(Protocol):
    """The neurons of some stores, as a judge sees them."""

    def question(self, neuron: Neuron, top_k: int) -> Messages:
        """Return the messages that ask for a verdict on a neuron."""


@dataclass(frozen=True)
class ImageExhibit:
    """Neurons of a model that sees images, on contact cards.

    Attributes
    ----------
    images : ShownImages
        The images that the stores are of.
    tops : mapping of Neuron to TopMaps
        What each neuron does on its top images.
    lettered : mapping of Neuron to LetteredImages
        The images of the validation, of the neurons that it is on.
    """

    images: ShownImages
    tops: Mapping[Neuron, TopMaps]
    lettered: Mapping[Neuron, LetteredImages] = field(default_factory=dict)

    def question(self, neuron: Neuron, top_k: int) -> Messages:
        """Return the messages that ask for a verdict, with the card of the top images."""
        top = self.tops[neuron].head(top_k)
        card = contact_card(NeuronOnImages(self.images.pixels(top.images), top.maps))
        return verdict_question("images", len(top.images), image_part(encoded(card)))

    def grid(self, neuron: Neuron) -> dict[str, Any]:
        """Return the part of a message that shows the images of the validation."""
        pixels = self.images.pixels(self.lettered[neuron].numbers)
        return image_part(encoded(lettered_grid(pixels)))


@dataclass(frozen=True)
class TextExhibit:
    """Neurons of a language model, on their top contexts.

    Attributes
    ----------
    contexts : mapping of Neuron to DataFrame
        Top contexts of each neuron, in the order of rank: document, byte_start, byte_end.
    texts : dict
        Texts by document id.
    context_bytes : int
        Text shown on each side of the token.
    """

    contexts: Mapping[Neuron, pd.DataFrame]
    texts: dict[int, str]
    context_bytes: int

    def question(self, neuron: Neuron, top_k: int) -> Messages:
        """Return the messages that ask for a verdict, with the top contexts."""
        shown = self.contexts[neuron].head(top_k)
        marked = marked_contexts(shown, self.texts, self.context_bytes)
        return verdict_question("text", len(shown), marked)

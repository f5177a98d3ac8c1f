"""The images that a judge is asked about in the validation, under the letters A to J."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rosetta.activations.reader import StoreReader
from rosetta.analysis.neuron_maps import image_scores
from rosetta.config.neurons import ImageScore
from rosetta.judging.questions import N_ACTIVATING, N_QUIET, VALIDATION_LETTERS
from rosetta.models.neurons import Neuron
from rosetta.storage.digests import hash64


@dataclass(frozen=True)
class LetteredImages:
    """Images that a judge is asked about.

    Attributes
    ----------
    numbers : ndarray of int64, shape (n,)
        Numbers of the images in the order of the stores, by their letters from A on.
    activating : str
        Letters of those that activate the neuron, such as 'ADFGJ'.
    """

    numbers: np.ndarray
    activating: str


def letter_images(
    stores: Sequence[StoreReader],
    cards: Mapping[Neuron, np.ndarray],
    seed: int,
    score: ImageScore = "mean",
) -> dict[Neuron, LetteredImages]:
    """Return the images of the validation of each neuron, shuffled: those that follow the ones on
    its card, and as many at random of the half on which its value is lowest.

    Parameters
    ----------
    stores : sequence of StoreReader
        Shard stores of the model, in order, of `trials.needed_images` images at least.
    cards : mapping of Neuron to ndarray of int64
        Numbers of the images on each neuron's card.
    seed : int
        Of the quiet images, and of the order of the letters.
    score : {'mean', 'max'}
        What an image's value is, as on the cards.
    """
    neurons = list(cards)
    layer, unit = np.array(neurons, np.int64).reshape(-1, 2).T
    values = image_scores(stores, layer, unit, score)
    return {
        neuron: _letters(of_neuron, cards[neuron], hash64("lettered", seed, *neuron))
        for neuron, of_neuron in zip(neurons, values, strict=True)
    }


def _letters(values: np.ndarray, card: np.ndarray, seed: int) -> LetteredImages:
    rng = np.random.default_rng(seed)
    order = np.argsort(-values, kind="stable")
    following = order[~np.isin(order, card)][:N_ACTIVATING]
    quiet = rng.choice(order[len(order) - len(order) // 2 :], N_QUIET, replace=False)
    places = rng.permutation(N_ACTIVATING + N_QUIET)
    letters = zip(VALIDATION_LETTERS, places.tolist(), strict=True)
    activating = "".join(letter for letter, place in letters if place < N_ACTIVATING)
    return LetteredImages(np.concatenate([following, quiet])[places], activating)

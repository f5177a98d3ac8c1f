"""Trials of the judge: disjoint random draws of Rosetta Neurons, and of as many other neurons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rosetta.config import Judge
from rosetta.judging.questions import N_ACTIVATING, N_QUIET
from rosetta.storage.digests import hash64

TRIAL_COLUMNS = ["store", "layer", "unit", "trial", "is_rosetta"]
VALIDATION_TRIAL_COLUMNS = ["store", "layer", "unit", "trial"]
_KINDS = {"layer": "int64", "unit": "int64", "trial": "int64", "is_rosetta": "bool"}


@dataclass(frozen=True)
class Candidates:
    """The neurons of some stores that may be drawn.

    Attributes
    ----------
    store : str
        Name of the stores, which for a language model is the model's.
    rosetta, others : ndarray of int64, shape (n, 2)
        Layer and unit of its Rosetta Neurons, and of its other neurons that are not dead.
    """

    store: str
    rosetta: np.ndarray
    others: np.ndarray


@dataclass(frozen=True)
class Drawn:
    """Trials, and what is to be told of them.

    Attributes
    ----------
    trials : DataFrame
        `TRIAL_COLUMNS` (trials from 1), or `VALIDATION_TRIAL_COLUMNS`.
    n_each : int
        Neurons of each kind in a trial.
    note : str
        Why they are fewer than asked for; empty if they are not.
    """

    trials: pd.DataFrame
    n_each: int
    note: str


@dataclass(frozen=True)
class StoreTrials:
    """All that is drawn of the neurons of some stores.

    Attributes
    ----------
    candidates : Candidates
    judged, validated : Drawn
        The neurons that are judged, and those on which the judge is tested.
    """

    candidates: Candidates
    judged: Drawn
    validated: Drawn

    @property
    def notes(self) -> list[str]:
        """What is to be told of them."""
        return [drawn.note for drawn in (self.judged, self.validated) if drawn.note]

    @property
    def facts(self) -> dict[str, str | int]:
        """A row of the table of trials."""
        return {
            "store": self.candidates.store,
            "n_rosetta": len(self.candidates.rosetta),
            "n_others": len(self.candidates.others),
            "n_per_trial": self.judged.n_each,
            "n_validated": self.validated.n_each,
            "note": "; ".join(self.notes),
        }


def draw_store(candidates: Candidates, settings: Judge, n_images: int | None) -> StoreTrials:
    """Draw the neurons of some stores.

    Parameters
    ----------
    candidates : Candidates
        Those that may be drawn.
    settings : Judge
        How many, and how.
    n_images : int or None
        Images that the stores are of; None for a language model, for which there is no validation.
    """
    judged = draw_trials(candidates, settings)
    needed = needed_images(settings.top_k)
    if not settings.n_validated or n_images is None or n_images >= needed:
        wanted = settings.n_validated if n_images is not None else 0
        return StoreTrials(candidates, judged, draw_validation(candidates, settings, wanted))
    note = (
        f"{candidates.store}: {n_images} images, fewer than the {needed} that a validation with "
        f"{settings.top_k} on the card needs; not validated"
    )
    none = _table([], VALIDATION_TRIAL_COLUMNS)
    return StoreTrials(candidates, judged, Drawn(none, 0, note))


def draw_trials(candidates: Candidates, settings: Judge) -> Drawn:
    """Draw the neurons that are judged. No neuron is drawn twice.

    All trials have as many Rosetta Neurons as other neurons, and the same number of them:
    `settings.n_per_trial`, or as many as all trials can have. Layer-matched, each Rosetta Neuron
    has a partner of its own among the other neurons of its layer, and such couples are drawn, so
    that both kinds lie in the same layers. A layer with fewer other neurons than Rosetta Neurons
    has as many couples as it has other neurons. For example, of 70 Rosetta Neurons and 30 others in
    layer 0, and 10 and 90 in layer 1, there are 30 + 10 couples, which give 4 trials of 10.
    """
    rng = np.random.default_rng(hash64("judge", settings.seed, candidates.store))
    # Shuffled from one order, so that a draw does not depend on how tables are sorted.
    rosetta, others = (
        rng.permutation(side[np.lexsort((side[:, 1], side[:, 0]))])
        for side in (candidates.rosetta, candidates.others)
    )
    if settings.layer_matched:
        rosetta, others = _couples(rosetta, others)
        order = rng.permutation(len(rosetta))
        rosetta, others = rosetta[order], others[order]
    n_each = min(
        settings.n_per_trial, *(len(side) // settings.n_trials for side in (rosetta, others))
    )
    rows = [
        (candidates.store, int(layer), int(unit), 1 + number // n_each, is_rosetta)
        for is_rosetta, side in ((True, rosetta), (False, others))
        for number, (layer, unit) in enumerate(side[: n_each * settings.n_trials])
    ]
    table = _table(rows, TRIAL_COLUMNS)
    note = "" if n_each == settings.n_per_trial else _note(candidates, settings, n_each)
    table = table.sort_values(["trial", "is_rosetta"], kind="stable", ignore_index=True)
    return Drawn(table, n_each, note)


def draw_validation(candidates: Candidates, settings: Judge, n_wanted: int) -> Drawn:
    """Draw the neurons on which the judge is tested, `n_wanted` per trial, from all live ones.

    No neuron is drawn twice. Trials are smaller, and of one size, where there are too few.
    """
    rng = np.random.default_rng(hash64("judge validation", settings.seed, candidates.store))
    neurons = np.concatenate([candidates.rosetta, candidates.others])
    neurons = rng.permutation(neurons[np.lexsort((neurons[:, 1], neurons[:, 0]))])
    n_each = min(n_wanted, len(neurons) // settings.n_trials)
    rows = [
        (candidates.store, int(layer), int(unit), 1 + number // n_each)
        for number, (layer, unit) in enumerate(neurons[: n_each * settings.n_trials])
    ]
    note = ""
    if n_each < n_wanted:
        note = (
            f"{candidates.store}: {len(neurons)} live neurons, so {settings.n_trials} trials of "
            f"{n_each} instead of {n_wanted} are validated"
        )
    return Drawn(_table(rows, VALIDATION_TRIAL_COLUMNS), n_each, note)


def _table(rows: Sequence[tuple[object, ...]], columns: list[str]) -> pd.DataFrame:
    """Return a table of trials, whose columns are of their kinds even without rows."""
    kinds = {name: _KINDS[name] for name in columns if name in _KINDS}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def _couples(rosetta: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return Rosetta Neurons and other neurons of the same layers, row by row."""
    chosen: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for layer in np.unique(rosetta[:, 0]):
        sides = [side[side[:, 0] == layer] for side in (rosetta, others)]
        n_couples = min(map(len, sides))
        for kept, side in zip(chosen, sides, strict=True):
            kept.append(side[:n_couples])
    empty = np.empty((0, 2), np.int64)
    first, second = (np.concatenate([empty, *kept]) for kept in chosen)
    return first, second


def _note(candidates: Candidates, settings: Judge, n_each: int) -> str:
    found = f"{len(candidates.rosetta)} Rosetta Neurons and {len(candidates.others)} others"
    where = " of the same layers" if settings.layer_matched else ""
    if not n_each:
        return (
            f"{candidates.store}: {found}, too few{where} for {settings.n_trials} disjoint trials; "
            "not judged"
        )
    return (
        f"{candidates.store}: {found}, so {settings.n_trials} disjoint trials of {n_each}{where} "
        f"instead of {settings.n_per_trial}"
    )


def needed_images(top_k: int) -> int:
    """Return how many images a validation needs: all that activate are in the upper half."""
    return 2 * (top_k + max(N_ACTIVATING, N_QUIET))

"""The settings under which the sweeps match a pair again: budgets, halves, poolings, exclusions."""

from __future__ import annotations

from typing import NamedTuple

from rosetta.config import Config
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.view import View
from rosetta.run.paths import Paths

MIN_SAMPLES = 8  # of the smallest budget


class SweptSetting(NamedTuple):
    """A correlation that a sweep asks for.

    Attributes
    ----------
    sweep, setting : str
        Name of the sweep, and what it sets, in words.
    view : View
        Samples, positions and neurons that are correlated.
    pooling : str or None
        In place of the configuration's.
    """

    sweep: str
    setting: str
    view: View
    pooling: str | None


def swept_settings(config: Config, paths: Paths, n_samples: int) -> list[SweptSetting]:
    """Return every correlation that the sweeps ask for, of so many samples."""
    sweeps, main = config.sweeps, config.exclusions
    found: list[SweptSetting] = []
    if sweeps.budgets:
        budget = n_samples // 2
        while budget >= MIN_SAMPLES:
            found.append(SweptSetting("budget", str(budget), View(main, first=budget), None))
            budget //= 2
    if sweeps.split_half:
        halves = (View(main, half=half, sample_table=paths.split("match")) for half in (0, 1))
        found += [SweptSetting("split_half", str(view.half), view, None) for view in halves]
    found += [
        SweptSetting("pooling", pooling, View(main), pooling)
        for pooling in sweeps.pooling
        if pooling != config.alignment.pooling
    ]
    for other in sweeps.exclusions:
        found.append(SweptSetting("exclusions", describe_exclusions(other), View(other), None))
    return found


def describe_exclusions(exclusions: Exclusions) -> str:
    """Return the exclusions that are in force, in words; `none` if there are none."""
    given = exclusions.model_dump(exclude_defaults=True)
    shown = (name if value is True else f"{name} {value:g}" for name, value in given.items())
    return ", ".join(shown) or "none"

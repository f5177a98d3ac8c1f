"""The settings under which the sweeps match a pair again: budgets, halves, poolings, grids, images,
exclusions.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from rosetta.config import Config
from rosetta.config.exclusions import Exclusions
from rosetta.config.image_stores import shared_by_generator
from rosetta.config.sweeps import GENERATED, SOURCE
from rosetta.correlation.view import View

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
    stores : tuple of str or None
        Names of both models' stores, in place of the pair's own.
    """

    sweep: str
    setting: str
    view: View
    pooling: str | None = None
    stores: tuple[str, str] | None = None


def swept_settings(
    config: Config, pair: str, table: Path | None, n_samples: int, *, resampled: bool
) -> list[SweptSetting]:
    """Return every correlation of a pair that the sweeps ask for, of so many samples.

    `table` tells the samples' clusters; without one they are images, which have no spans to pool
    otherwise, and no first position. `resampled` says whether the models' grids differ: another
    one makes no difference where they do not.
    """
    sweeps, main = config.sweeps, View.of(config)
    found: list[SweptSetting] = []
    if sweeps.budgets:
        budget = n_samples // 2
        while budget >= MIN_SAMPLES:
            found.append(SweptSetting("budget", str(budget), replace(main, first=budget)))
            budget //= 2
    if sweeps.split_half:
        halves = (replace(main, half=half, sample_table=table) for half in (0, 1))
        found += [SweptSetting("split_half", str(view.half), view) for view in halves]
    found += [
        SweptSetting("pooling", pooling, main, pooling)
        for pooling in sweeps.pooling
        if table and pooling != config.alignment.pooling
    ]
    if not table:
        found += [
            SweptSetting("grid", grid, replace(main, grid=grid))
            for grid in sweeps.grid
            if resampled and grid != main.grid
        ]
        found += _image_sources(config, pair, main, n_samples) if sweeps.image_source else []
    for other in sweeps.exclusions:
        if not table and other.first_position:
            continue
        view = replace(main, exclusions=other)
        found.append(SweptSetting("exclusions", describe_exclusions(other), view))
    return found


def _image_sources(config: Config, pair: str, main: View, n_samples: int) -> list[SweptSetting]:
    """Return the same number of images of each source that both models were shown."""
    shared = shared_by_generator(config, pair)
    if not shared:
        return []
    same = replace(main, first=min(n_samples, config.images.generated.n_images))
    return [
        SweptSetting("image_source", SOURCE, same),
        *(
            # One name at all sizes, if it can be, so that there is an exponent.
            SweptSetting(
                "image_source",
                GENERATED if len(shared) == 1 else f"made by {generator}",
                same,
                stores=stores,
            )
            for generator, stores in shared.items()
        ),
    ]


def describe_exclusions(exclusions: Exclusions) -> str:
    """Return the exclusions that are in force, in words; `none` if there are none."""
    given = exclusions.model_dump(exclude_defaults=True)
    shown = (name if value is True else f"{name} {value:g}" for name, value in given.items())
    return ", ".join(shown) or "none"

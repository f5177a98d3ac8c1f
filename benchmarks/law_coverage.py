"""Whether the 95% interval of the exponent holds the exponent in 95% of simulated studies.

Counts are drawn from a law with α = 0.7: log-normal effects of trainings, rungs and counts, and
Poisson's scatter. `python benchmarks/law_coverage.py --studies 1000` prints a table.
"""

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from rosetta.analysis.count_law import CountLaw, fit_count_law

ALPHA = 0.7
SPAN = 10**1.5  # largest over smallest size
PAIRS = [("pythia", "opt"), ("pythia", "qwen"), ("opt", "qwen")]
TRIPLE = [("pythia", "opt", "qwen")]
# Ladders by their families, and trainings per family on each rung.
DESIGNS = {
    "3 pair ladders, 8 rungs of 2 × 2": (PAIRS, [2] * 8),
    "3 pair ladders, 8 rungs, 2 to 1 trainings": (PAIRS, [2, 2, 2, 1, 1, 1, 1, 1]),
    "3 pair ladders, 8 rungs of 1": (PAIRS, [1] * 8),
    "1 pair ladder, 8 rungs of 2 × 2": (PAIRS[:1], [2] * 8),
    "1 pair ladder, 8 rungs of 1": (PAIRS[:1], [1] * 8),
    "1 pair ladder, 4 rungs of 1": (PAIRS[:1], [1] * 4),
    "1 triple ladder, 6 rungs of 2 × 2 × 2": (TRIPLE, [2] * 6),
}
# Standard deviations of the logarithms: of trainings, rungs and counts.
SCATTERS = [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (0.15, 0.1, 0.05), (0.25, 0.0, 0.1), (0.1, 0.25, 0.0)]


@dataclass(frozen=True)
class Groups:
    """The groups of a design: columns of `fit_count_law`."""

    sizes: np.ndarray
    ladders: list[str]
    rungs: list[int]
    models: list[tuple[str, ...]]

    @classmethod
    def of(cls, ladders: list[tuple[str, ...]], trainings: list[int]) -> "Groups":
        """Return all groups of every rung: one training of each family."""
        rows = [
            (size, "-".join(families), rung, models)
            for families in ladders
            for rung, (size, n) in enumerate(
                zip(128 * np.geomspace(1, SPAN, len(trainings)), trainings, strict=True)
            )
            for models in itertools.product(
                *[[f"{family}-{rung}~{i}" for i in range(n)] for family in families]
            )
        ]
        sizes, names, rungs, models = map(list, zip(*rows, strict=True))
        return cls(np.array(sizes), names, rungs, models)

    def drawn(
        self, sigmas: tuple[float, float, float], smallest: float, rng: np.random.Generator
    ) -> np.ndarray:
        """Return counts of one study; the typical count of the smallest size is `smallest`."""
        trained, placed, own = sigmas
        trainings = {model: rng.normal(0, trained) for group in self.models for model in group}
        places = list(zip(self.ladders, self.rungs, strict=True))
        rungs = {place: rng.normal(0, placed) for place in places}
        effects = [
            rungs[place] + sum(trainings[model] for model in group) + rng.normal(0, own)
            for place, group in zip(places, self.models, strict=True)
        ]
        typical = smallest * (self.sizes / self.sizes.min()) ** ALPHA
        return rng.poisson(typical * np.exp(effects))

    def fitted(self, counts: np.ndarray) -> CountLaw:
        """Return the law of counts of these groups."""
        return fit_count_law(self.sizes, counts, self.ladders, self.rungs, self.models)


def studies(
    groups: Groups, sigmas: tuple[float, float, float], smallest: float, n: int, seed: int = 0
) -> Iterator[CountLaw]:
    """Yield the laws of n drawn studies."""
    rng = np.random.default_rng(seed)
    for _ in range(n):
        yield groups.fitted(groups.drawn(sigmas, smallest, rng))


def coverage(laws: list[CountLaw]) -> float:
    """Return how many of the intervals hold the exponent."""
    return float(np.mean([abs(law.alpha - ALPHA) < law.half_width for law in laws]))


def main() -> None:
    """Print coverage and half width by design, scatter and smallest count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--smallest", type=float, nargs="+", default=[20.0, 4.0])
    options = parser.parse_args()
    print("| design | σ training, rung, count | smallest count | coverage | half width | df |")
    print("|---|---|---|---|---|---|")
    for (name, design), sigmas, smallest in itertools.product(
        DESIGNS.items(), SCATTERS, options.smallest
    ):
        laws = list(studies(Groups.of(*design), sigmas, smallest, options.studies))
        half, df = (np.median([getattr(law, of) for law in laws]) for of in ("half_width", "df"))
        place = f"| {name} | {', '.join(f'{sigma:g}' for sigma in sigmas)} | {smallest:g} "
        print(f"{place}| {coverage(laws):.3f} | {half:.3f} | {df:.1f} |", flush=True)


if __name__ == "__main__":
    main()

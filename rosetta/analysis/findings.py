"""Whether a run supports each finding of the study: one plain sentence, with numbers.

*count sublinear* is the law of all rungs and trainings. The others compare the smallest and the
largest rung of a ladder, with first trainings held fixed: they say how well these models were
measured, not how other trainings would turn out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import Estimate
from rosetta.analysis.count_law import FEW
from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.groups import (
    COMPARED,
    COMPARED_ON_IMAGES,
    OTHERS,
    difference_group,
    polarization,
    rosetta_group,
    specialization,
)
from rosetta.analysis.intervals import half_sample_freedom, half_sample_interval
from rosetta.analysis.null_thresholds import NULL_TITLES, PLAIN
from rosetta.analysis.populations import Rung
from rosetta.analysis.scaling import counted_columns
from rosetta.analysis.verdicts import LEVEL, Evidence, judge, p_above, p_below
from rosetta.config import PAIR_SEPARATOR, Config
from rosetta.config.references import derived_ladders


@dataclass(frozen=True)
class Measured:
    """A rung with its counts, and the means of its Rosetta Neurons and of the others.

    Attributes
    ----------
    ladder, anchor : str
        Names of the ladder and of the rung's anchor.
    n_anchor : int
        Neurons of the anchor.
    counts : dict of str to tuple of float
        By statistic, the count and its 95% interval.
    replicates : dict of str to ndarray of float64, shape (R,)
        The same on each half-sample.
    polarization, specialization : dict of str to Estimate
        `rosetta.analysis.groups`.
    categories : list of str
        What `specialization` tells apart.
    """

    ladder: str
    anchor: str
    n_anchor: int
    counts: dict[str, tuple[float, float, float]]
    replicates: dict[str, np.ndarray]
    polarization: dict[str, Estimate]
    specialization: dict[str, Estimate]
    categories: list[str]

    @classmethod
    def of(
        cls,
        row: pd.Series,
        replicates: pd.DataFrame,
        n_anchor: int,
        rung: Rung,
        config: Config,
    ) -> Measured:
        """Measure the rung of a row of counts; `replicates` are of all rungs."""
        name = (row["ladder"], row["rung"])
        halves = replicates[
            (replicates["ladder"] == row["ladder"]) & (replicates["rung"] == row["rung"])
        ]
        return cls(
            row["ladder"],
            row["models"].split(PAIR_SEPARATOR)[0],
            n_anchor,
            {
                statistic: tuple(
                    float(row[f"{column}{end}"]) for end in ("", "_ci_low", "_ci_high")
                )
                for statistic, column in COUNT_OF.items()
                if column in row
            },
            {
                str(statistic): part.sort_values("half_sample")["matches"].to_numpy(float)
                for statistic, part in halves.groupby("statistic")
            },
            polarization(rung.sample, config, *name),
            specialization(rung.sample, config, *name),
            rung.populations[0].categories,
        )


def findings_table(
    rungs: Mapping[tuple[str, int], Rung],
    scaling: pd.DataFrame,
    counts: pd.DataFrame,
    replicates: pd.DataFrame,
    n_neurons: Mapping[str, int],
    config: Config,
) -> pd.DataFrame:
    """Return every ladder's findings (`FINDING_COLUMNS`), on all matches and above each null.

    Parameters
    ----------
    rungs : mapping of (str, int) to Rung
        By ladder and number, all rungs.
    scaling, counts, replicates : DataFrame
        Fitted laws (`scaling.SCALING_COLUMNS`), counts (`counts.COUNT_COLUMNS`) and those on
        half-samples (`replicates.REPLICATE_COLUMNS`).
    n_neurons : mapping of str to int
        Neurons of each model.
    config : Config
        Settings of the bootstrap and of specialisation.
    """
    laws = scaling.set_index(["ladder", "statistic"])
    statistics = [name for name, _ in counted_columns(counts)]
    found: list[Evidence] = []
    for ladder, members in counts.groupby("ladder", sort=False):
        ordered = members.sort_values("n_neurons", kind="stable")
        first = rungs[str(ladder), int(ordered["rung"].iloc[0])]
        claims = dict(_CLAIMS)
        for measure in first.populations[0].neurons:
            claims |= _CLAIMS_WITH.get(measure, {})
        found += [
            count_finding(str(ladder), one, laws.reindex([(ladder, one)]).iloc[0])
            for one in statistics
        ]
        if len(ordered) < 2:
            why = "The ladder has one rung, so nothing can be said about growth with size."
            found += [
                Evidence(str(ladder), name, one, why) for name in claims for one in statistics
            ]
            continue
        small, large = (
            Measured.of(
                row,
                replicates,
                n_neurons[row["models"].split(PAIR_SEPARATOR)[0]],
                rungs[str(ladder), int(row["rung"])],
                config,
            )
            for _, row in ordered.iloc[[0, -1]].iterrows()
        )
        found += [
            claim(small, large, one, config) for claim in claims.values() for one in statistics
        ]
    groups = {
        str(ladder): [models.split(PAIR_SEPARATOR) for models in members["models"]]
        for ladder, members in counts.groupby("ladder", sort=False)
    }
    table = judge(found, derived_ladders(groups))
    return table.assign(
        sentence=[_told(*pair) for pair in zip(table["statistic"], table["sentence"], strict=True)]
    )


def _told(statistic: str, sentence: str) -> str:
    """Return a sentence that says which matches it counts."""
    if statistic == PLAIN:
        return sentence
    return (
        f"Of matches above the null of {NULL_TITLES[statistic.removeprefix('above_')]}: {sentence}"
    )


def count_finding(ladder: str, statistic: str, law: pd.Series) -> Evidence:
    """Ask whether the number of Rosetta Neurons grows, and more slowly than the models: 0 < α < 1.

    Both ends of the interval of α have to lie between; p is the larger one of the two.
    """
    alpha, low, high, df, n = (
        float(law[key]) for key in ("alpha", "alpha_ci_low", "alpha_ci_high", "df", "n_rungs")
    )
    p = np.maximum(p_above(alpha, low, df), p_below(alpha, high, df, bound=1.0))
    reason = law.get("reason")  # a table that was read has NaN for none
    missing = "Too few rungs for an interval of α, or the error of the counts is not known."
    if isinstance(reason, str) and reason:
        what = "The exponent α has no interval" if np.isfinite(alpha) else "There is no exponent α"
        missing = f"{what}: {reason}."
    evidence = Evidence(ladder, "count sublinear", statistic, missing)
    if not np.isfinite(p):
        return evidence
    what = "Growth" if low <= 0 else "Sublinear growth"
    return replace(
        evidence,
        seen="The number of Rosetta Neurons grows sublinearly with size",
        unseen=f"{what} of the number of Rosetta Neurons with size is not shown",
        numbers=f"the exponent α is {alpha:.2f} (95% interval {low:.2f} to {high:.2f}, {int(n)} "
        "rungs)",
        value=alpha,
        low=low,
        high=high,
        p=float(p),
    )


def share_finding(small: Measured, large: Measured, statistic: str, _config: Config) -> Evidence:
    """Ask whether the count per neuron of the anchor falls from the smallest to the largest rung.

    All neurons are there, so what varies is the samples: intervals are those of the counts, from
    half-samples. A rung with few matches is not judged, since its halves hardly differ: 0 matches
    on every half would have no error.
    """
    evidence = Evidence(
        small.ladder, "share falling", statistic, "The counts have no error from half-samples."
    )
    both = (small, large)
    halves = [one.replicates.get(statistic, np.empty(0)) / one.n_anchor for one in both]
    if not len(halves[0]) or len(halves[0]) != len(halves[1]):
        return evidence
    if min(one.counts[statistic][0] for one in both) < FEW:
        why = (
            f"The smallest or the largest rung has fewer than {FEW} matches, too few to "
            "compare their shares."
        )
        return replace(evidence, numbers=why)
    shares = [np.array(one.counts[statistic]) / one.n_anchor for one in both]
    change, spread = float(shares[1][0] - shares[0][0]), halves[1] - halves[0]
    low, high = map(float, half_sample_interval(change, spread))
    p = p_below(change, high, half_sample_freedom(spread))
    if not np.isfinite(p):
        return evidence
    told = [
        f"{100 * share:.1f}% of {one.anchor} ({100 * start:.1f} to {100 * end:.1f})"
        for (share, start, end), one in zip(shares, both, strict=True)
    ]
    return replace(
        evidence,
        seen="The share of Rosetta Neurons falls",
        unseen="A falling share of Rosetta Neurons is not shown",
        numbers=f"it goes from {told[0]} to {told[1]}, a change of {100 * change:+.1f} points "
        f"(95% interval {100 * low:+.1f} to {100 * high:+.1f})",
        value=change,
        low=low,
        high=high,
        p=p,
    )


@dataclass(frozen=True)
class Widening:
    """A claim that Rosetta Neurons have more of a measure than the others, ever more with size.

    Attributes
    ----------
    finding : str
        Its name.
    column : int
        Number of the measure among those compared.
    measure : str
        The measure in words.
    seen, unseen : str
        As of `Evidence`.
    """

    finding: str
    column: int
    measure: str
    seen: str
    unseen: str


# Rosetta Neurons write to fewer tokens than the others.
POLARIZATION = Widening(
    "polarization",
    COMPARED.index("excess_kurtosis"),
    "vocabulary kurtosis",
    "Polarization with size is seen",
    "Polarization with size is not shown",
)
# The images that they fire on are more alike to another model (Dravid 2026, section 5.1).
MONOSEMANTICITY = Widening(
    "monosemanticity",
    COMPARED_ON_IMAGES.index("monosemanticity"),
    "monosemanticity score",
    "Rosetta Neurons are more monosemantic than the others, and ever more so with size",
    "That Rosetta Neurons become more monosemantic than the others with size is not shown",
)


def widening_finding(
    claim: Widening, small: Measured, large: Measured, statistic: str, _config: Config
) -> Evidence:
    """Ask whether a gap between Rosetta Neurons and the others is there, and widens with size.

    The gap in the mean at the largest rung and its change since the smallest both have to be above
    zero; the number that decides is the change, and p the larger one of the two.
    """
    column = claim.column
    gaps = [
        measured.polarization[difference_group(statistic)][column : column + 1]
        for measured in (small, large)
    ]
    change = gaps[1] - gaps[0]
    evidence = Evidence(small.ladder, claim.finding, statistic, _TOO_FEW)
    if any(one.polarization[OTHERS].n[column] == 0 for one in (small, large)):
        why = "The run has no further model of a rung's size to tell how alike images are."
        return replace(evidence, numbers=why)
    p = np.maximum(gaps[1].p_above(), change.p_above())
    if not np.isfinite(p).all():
        return evidence
    (gap, gap_low, gap_high), (value, low, high) = _scalars(gaps[1]), _scalars(change)
    rosetta, others = (
        large.polarization[group].value[column] for group in (rosetta_group(statistic), OTHERS)
    )
    return replace(
        evidence,
        seen=claim.seen,
        unseen=claim.unseen,
        numbers=f"at the largest rung the mean {claim.measure} is {rosetta:.2f} for Rosetta "
        "Neurons and "
        f"{others:.2f} for the others (difference {gap:+.2f}, 95% interval {gap_low:+.2f} to "
        f"{gap_high:+.2f}), and the "
        f"difference has changed by {value:+.2f} ({low:+.2f} to {high:+.2f}) since the smallest",
        value=value,
        low=low,
        high=high,
        p=float(p[0]),
    )


def specialization_finding(
    small: Measured, large: Measured, statistic: str, config: Config
) -> Evidence:
    """Ask whether Rosetta Neurons' domains shift with size as `specialization.directions` says.

    The numbers are changes, from the smallest to the largest rung, of NormalizedFire of Rosetta
    Neurons less that of the random baseline. What decides is the mean change of the categories that
    are expected to rise less that of those expected to fall. A category that changes against its
    direction, at intervals that hold for all categories together (Bonferroni), speaks against the
    claim.
    """
    directions = config.specialization.directions
    names = small.categories
    expected = [i for i, name in enumerate(names) if name in directions]
    evidence = Evidence(
        small.ladder, "specialization", statistic, "The corpus has no domains to tell apart."
    )
    if len(names) < 2:
        return evidence
    if not expected:
        why = (
            f"specialization.directions says of none of the domains ({', '.join(names)}) "
            "which way it should change."
        )
        return replace(evidence, numbers=why)
    excess = [
        one.specialization[rosetta_group(statistic)] - one.specialization[OTHERS]
        for one in (small, large)
    ]
    change = excess[1] - excess[0]
    shift = change[len(names) : len(names) + 1]
    p = shift.p_above()
    if not np.isfinite(p).all():
        return replace(evidence, numbers=_TOO_FEW)
    value, low, high = _scalars(shift)
    told, against = _changes(change, names, {i: directions[names[i]] for i in expected})
    return replace(
        evidence,
        seen="What Rosetta Neurons read highest on shifts with size as expected, compared with "
        "random other neurons",
        unseen="The expected shift with size of what Rosetta Neurons read highest on, compared "
        "with random other "
        "neurons, is not shown",
        numbers=f"by {value:+.2f} (95% interval {low:+.2f} to {high:+.2f}) of NormalizedFire; "
        f"{told}",
        value=value,
        low=low,
        high=high,
        p=float(p[0]),
        against=against,
    )


def _changes(change: Estimate, names: list[str], directions: dict[int, str]) -> tuple[str, bool]:
    """Return the changes of the categories that have a direction in words, and whether any is
    against it.
    """
    low, high = change.interval()
    wrong = {"rises": change.p_below(), "falls": change.p_above()}
    parts = []
    for direction, verb in (("rises", "rise"), ("falls", "fall")):
        told = [
            f"{names[i]} {change.value[i]:+.2f}"
            + (f" ({low[i]:+.2f} to {high[i]:+.2f})" if np.isfinite(low[i]) else "")
            for i, one in directions.items()
            if one == direction
        ]
        parts += [f"of those expected to {verb}, {', '.join(told)}"] if told else []
    against = [names[i] for i, one in directions.items() if wrong[one][i] * len(directions) < LEVEL]
    parts += [f"against the direction: {', '.join(against)}"] if against else []
    return "; ".join(parts), bool(against)


_CLAIMS = {"share falling": share_finding}
# By the measure that a ladder's neurons have where the claim is made: of a vocabulary, of images.
_CLAIMS_WITH = {
    "excess_kurtosis": {
        "polarization": partial(widening_finding, POLARIZATION),
        "specialization": specialization_finding,
    },
    "monosemanticity": {"monosemanticity": partial(widening_finding, MONOSEMANTICITY)},
}
_TOO_FEW = (
    "A rung has too few clusters of neurons in one of the groups to compare "
    "(bootstrap.min_clusters)."
)


def _scalars(estimate: Estimate) -> tuple[float, float, float]:
    low, high = estimate.interval()
    return float(estimate.value[0]), float(low[0]), float(high[0])

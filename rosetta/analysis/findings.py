"""Whether a run supports each finding of the study, in one plain sentence with its numbers and interval.

A finding compares the smallest and the largest rung of a ladder. Its interval is a bootstrap over neurons (matched ones
together) with the models held fixed: it says how well these models were measured, not how other trainings would turn
out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np
import pandas as pd

from rosetta.analysis.bootstrap import CONFIDENCE, Estimate, mean_estimate
from rosetta.analysis.groups import OTHERS, difference_group, polarization, rosetta_group, specialization
from rosetta.analysis.nulls import PLAIN
from rosetta.analysis.populations import MEASURES, Rung
from rosetta.config import Config

FINDING_COLUMNS = ["ladder", "finding", "statistic", "verdict", "value", "ci_low", "ci_high", "sentence"]
SUPPORTED, NOT_SUPPORTED, UNDECIDED = "supported", "not supported", "cannot be judged"


@dataclass(frozen=True)
class Finding:
    """A claim about a ladder, what this run says to it, and the number that decides.

    Attributes
    ----------
    ladder : str
        Name of the ladder.
    finding : {'count sublinear', 'share falling', 'polarization', 'specialization'}
        The claim.
    statistic : str
        Which Rosetta Neurons it is judged on: `plain` for all, `above_…` for those whose matches are above that null.
    verdict : {'supported', 'not supported', 'cannot be judged'}
        Supported means that the 95% interval of the deciding number lies on the claim's side.
    value, ci_low, ci_high : float
        The deciding number and its interval; NaN where it cannot be judged.
    sentence : str
        The finding in words.
    """

    ladder: str
    finding: str
    statistic: str
    verdict: str
    value: float
    ci_low: float
    ci_high: float
    sentence: str


@dataclass(frozen=True)
class Measured:
    """A rung with the means of its Rosetta Neurons and of the others."""

    rung: Rung
    polarization: dict[str, Estimate]
    specialization: dict[str, Estimate]

    @classmethod
    def of(cls, rung: Rung, config: Config) -> Measured:
        """Measure a rung."""
        name = (rung.ladder, rung.number)
        return cls(rung, polarization(rung.sample, config, *name), specialization(rung.sample, config, *name))


def findings_table(rungs: list[Rung], scaling: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Return the findings of every ladder (`FINDING_COLUMNS`), on all matches and on those above each null.

    Parameters
    ----------
    rungs : list of Rung
        All rungs, ladder by ladder.
    scaling : DataFrame
        Fitted laws (`scaling.SCALING_COLUMNS`).
    config : Config
        Settings of the bootstrap and the baseline.
    """
    laws = scaling.set_index(["ladder", "statistic"])
    found = []
    for ladder, members in groupby(rungs, key=lambda rung: rung.ladder):
        ordered = sorted(members, key=lambda rung: rung.n_neurons)
        statistics = list(ordered[0].sample[0].by_statistic())
        found += [count_finding(ladder, statistic, laws.loc[(ladder, statistic)]) for statistic in statistics]
        if len(ordered) < 2:
            sentence = "The ladder has one rung, so nothing can be said about growth with size."
            found += [_undecided(ladder, name, statistic, sentence) for name in _JUDGES for statistic in statistics]
        else:
            small, large = (Measured.of(rung, config) for rung in (ordered[0], ordered[-1]))
            found += [judge(small, large, one, config) for judge in _JUDGES.values() for one in statistics]
    return pd.DataFrame([_told(finding) for finding in found], columns=FINDING_COLUMNS)


_WHICH = {
    "above_permutation": "permuted positions",
    "above_documents": "exchanged documents",
    "above_untrained": "untrained twins",
}


def _told(finding: Finding) -> Finding:
    """Return a finding whose sentence says which matches it counts."""
    if finding.statistic == PLAIN:
        return finding
    return replace(finding, sentence=f"Of matches above the null of {_WHICH[finding.statistic]}: {finding.sentence}")


def count_finding(ladder: str, statistic: str, law: pd.Series) -> Finding:
    """Judge whether the number of Rosetta Neurons grows, and more slowly than the models: 0 < α < 1."""
    alpha, low, high = (float(law[key]) for key in ("alpha", "alpha_ci_low", "alpha_ci_high"))
    if not np.isfinite(low):
        sentence = "Fewer than three rungs have matches, so the exponent α has no interval."
        return _undecided(ladder, "count sublinear", statistic, sentence)
    numbers = f"the exponent α is {alpha:.2f} (95% interval {low:.2f} to {high:.2f}, {int(law['n_rungs'])} rungs)"
    if alpha <= 0:
        verdict, sentence = NOT_SUPPORTED, f"The number of Rosetta Neurons does not grow with size: {numbers}."
    elif high < 1:
        verdict, sentence = SUPPORTED, f"The number of Rosetta Neurons grows sublinearly with size: {numbers}."
    else:
        verdict = NOT_SUPPORTED
        tail = "lies above 1" if low > 1 else "includes 1"
        sentence = f"Sublinear growth of the number of Rosetta Neurons is not shown: {numbers}, which {tail}."
    return Finding(ladder, "count sublinear", statistic, verdict, alpha, low, high, sentence)


def share_finding(small: Measured, large: Measured, statistic: str, config: Config) -> Finding:
    """Judge whether the share of Rosetta Neurons among the anchor's neurons falls from the smallest to the largest."""
    shares = [_share(measured.rung, statistic, config) for measured in (small, large)]
    change, (low, high) = _scalars(shares[1] - shares[0])
    numbers = (
        f"from {_percent(shares[0])} of the neurons of {small.rung.populations[0].model} to {_percent(shares[1])} of "
        f"those of {large.rung.populations[0].model}, a change of {100 * change:+.1f} points "
        f"(95% interval {100 * low:+.1f} to {100 * high:+.1f})"
    )
    verdict = SUPPORTED if high < 0 else NOT_SUPPORTED
    start = (
        "The share of Rosetta Neurons falls" if high < 0 else "A falling share of Rosetta Neurons is not shown: it goes"
    )
    return Finding(small.rung.ladder, "share falling", statistic, verdict, change, low, high, f"{start} {numbers}.")


def polarization_finding(small: Measured, large: Measured, statistic: str, _config: Config) -> Finding:
    """Judge whether Rosetta Neurons write to fewer tokens than the others, and the gap widens with size.

    Supported if the gap in mean vocabulary kurtosis at the largest rung and its change since the smallest are both
    above zero with 95% confidence; the number that decides is the change.
    """
    column = MEASURES.index("excess_kurtosis")
    gaps = [measured.polarization[difference_group(statistic)][column : column + 1] for measured in (small, large)]
    (gap, (gap_low, gap_high)), (change, (low, high)) = _scalars(gaps[1]), _scalars(gaps[1] - gaps[0])
    if not np.isfinite([gap_low, low]).all():
        return _undecided(small.rung.ladder, "polarization", statistic, _TOO_FEW)
    rosetta, others = (large.polarization[group].value[column] for group in (rosetta_group(statistic), OTHERS))
    numbers = (
        f"at the largest rung the mean vocabulary kurtosis is {rosetta:.2f} for Rosetta Neurons and {others:.2f} for "
        f"the others (difference {gap:+.2f}, 95% interval {gap_low:+.2f} to {gap_high:+.2f}), and the difference has "
        f"changed by {change:+.2f} ({low:+.2f} to {high:+.2f}) since the smallest"
    )
    verdict = SUPPORTED if gap_low > 0 and low > 0 else NOT_SUPPORTED
    start = "Polarization with size is seen" if verdict == SUPPORTED else "Polarization with size is not shown"
    return Finding(small.rung.ladder, "polarization", statistic, verdict, change, low, high, f"{start}: {numbers}.")


def specialization_finding(small: Measured, large: Measured, statistic: str, _config: Config) -> Finding:
    """Judge whether the domains that Rosetta Neurons read highest on shift with size, beyond what other neurons do.

    The numbers are changes, from the smallest to the largest rung, of NormalizedFire of Rosetta Neurons less that of
    the random baseline. Supported if at least one domain's excludes zero, at intervals widened for the number of
    domains (Bonferroni); the number that decides is the largest change relative to its interval.
    """
    ladder, names = small.rung.ladder, small.rung.populations[0].categories
    if len(names) < 2:
        return _undecided(ladder, "specialization", statistic, "The corpus has no domains to tell apart.")
    means = [measured.specialization for measured in (small, large)]
    excess = [mean[rosetta_group(statistic)] - mean[OTHERS] for mean in means]
    change = excess[1] - excess[0]
    low, high = change.interval(1 - (1 - CONFIDENCE) / len(names))
    if not np.isfinite(low).all():
        return _undecided(ladder, "specialization", statistic, _TOO_FEW)
    columns = zip(names, change.value, low, high, strict=True)
    told = [f"{name} {value:+.2f} ({start:+.2f} to {end:+.2f})" for name, value, start, end in columns]
    rises = [text for text, end in zip(told, low, strict=True) if end > 0]
    falls = [text for text, end in zip(told, high, strict=True) if end < 0]
    decisive = int(np.argmax(np.abs(change.value) / np.maximum(high - low, np.finfo(float).tiny)))
    numbers = float(change.value[decisive]), float(low[decisive]), float(high[decisive])
    note = f"(change of NormalizedFire; the intervals hold for all {len(names)} domains together with 95% confidence)"
    if not (rises or falls):
        sentence = (
            "A shift with size of the domains that Rosetta Neurons read highest on, compared with random other "
            f"neurons, is not shown: the clearest change is {told[decisive]} {note}."
        )
        return Finding(ladder, "specialization", statistic, NOT_SUPPORTED, *numbers, sentence)
    parts = [f"{verb} for {', '.join(part)}" for verb, part in (("rises", rises), ("falls", falls)) if part]
    sentence = (
        f"What Rosetta Neurons read highest on shifts with size, compared with random other neurons: it "
        f"{' and '.join(parts)} {note}."
    )
    return Finding(ladder, "specialization", statistic, SUPPORTED, *numbers, sentence)


_JUDGES = {
    "share falling": share_finding,
    "polarization": polarization_finding,
    "specialization": specialization_finding,
}


def _share(rung: Rung, statistic: str, config: Config) -> Estimate:
    mask = rung.sample[0].by_statistic()[statistic]
    return mean_estimate(mask[:, None], config.bootstrap, "share", rung.ladder, rung.number)


def _scalars(estimate: Estimate) -> tuple[float, tuple[float, float]]:
    low, high = estimate.interval()
    return float(estimate.value[0]), (float(low[0]), float(high[0]))


def _percent(share: Estimate) -> str:
    value, (low, high) = _scalars(share)
    return f"{100 * value:.1f}% ({100 * low:.1f} to {100 * high:.1f})"


_TOO_FEW = "A rung has too few neurons in one of the groups to compare."


def _undecided(ladder: str, finding: str, statistic: str, sentence: str) -> Finding:
    return Finding(ladder, finding, statistic, UNDECIDED, *[float("nan")] * 3, sentence)

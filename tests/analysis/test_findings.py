"""Verdicts on the study's findings: planted truth, the direction that is asked for, and the
correction for many.
"""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from planted_populations import rungs
from scipy import stats
from scipy.optimize import brentq

from rosetta.analysis.counts import COUNT_OF
from rosetta.analysis.findings import count_finding, findings_table
from rosetta.analysis.intervals import half_sample_error, half_sample_interval
from rosetta.analysis.null_thresholds import NULL_TITLES, PLAIN, STATISTICS
from rosetta.analysis.populations import IMAGE_MEASURES
from rosetta.analysis.scaling import scaling_table
from rosetta.analysis.verdicts import (
    DERIVED,
    LEVEL,
    NOT_SUPPORTED,
    SUPPORTED,
    UNDECIDED,
    Evidence,
    holm,
    judge,
    p_above,
    p_below,
)
from rosetta.config import Bootstrap, Config, Specialization, group_name, parse_config
from rosetta.config.references import derived_ladders
from rosetta.errors import ConfigError

CONFIG = Config.model_construct(
    bootstrap=Bootstrap(n_resamples=1000), specialization=Specialization(n_random=50)
)
LAWS = pd.DataFrame(
    {
        "ladder": "l",
        "statistic": ["plain", "above_untrained"],
        "alpha": [0.6, 0.7],
        "alpha_ci_low": [0.57, 0.67],
        "alpha_ci_high": [0.63, 0.73],
        "n_rungs": 4,
        "df": 2.0,
    }
)
SIZES = np.array([256.0, 512.0, 1024.0, 2304.0])


def counted(members, spread=0.02):
    """Tables of the anchors' counts, and of them on eight half-samples that vary by a share of the
    count.
    """
    counts, halves = [], []
    for rung in members:
        place = {"ladder": rung.ladder, "rung": rung.number}
        models = group_name(tuple(one.model for one in rung.populations))
        row = {**place, "models": models, "n_neurons": rung.n_neurons}
        for name, mask in rung.sample[0].by_statistic().items():
            count, column = int(mask.sum()), COUNT_OF[name]
            varied = count * (1 + spread * np.random.default_rng(rung.number).normal(size=8))
            halves += [
                {**place, "statistic": name, "half_sample": i, "matches": one}
                for i, one in enumerate(varied)
            ]
            low, high = half_sample_interval(count, varied)
            row |= {column: count, f"{column}_ci_low": low, f"{column}_ci_high": high}
        counts.append(row)
    return pd.DataFrame(counts), pd.DataFrame(halves)


def found(members, laws, counts, halves, config):
    by_place = {(rung.ladder, rung.number): rung for rung in members}
    sizes = {one.model: one.shape.n_neurons for rung in members for one in rung.populations}
    return findings_table(by_place, laws, counts, halves, sizes, config).set_index(
        ["finding", "statistic"]
    )


def judged(members, laws=LAWS, config=CONFIG, spread=0.02):
    return found(members, laws, *counted(members, spread), config)


def verdicts(small, large, config=CONFIG):
    table = judged(rungs(small, large), config=config).xs(PLAIN, level="statistic")
    return table["verdict"].to_dict(), table


def test_planted_findings_are_supported():
    said, table = verdicts(
        {"share": 0.4, "kurtosis": (1, 0)},
        {"share": 0.2, "kurtosis": (4, 0), "fire": ((2.0, 0.5), (1.0, 1.0))},
    )
    assert set(said.values()) == {SUPPORTED}
    assert table.loc["share falling", "value"] == pytest.approx(-0.2)
    assert table.loc["share falling", "ci_low"] < -0.2 < table.loc["share falling", "ci_high"] < 0
    assert table.loc["specialization", "value"] == pytest.approx(1.5, abs=0.05)
    sentence = table.loc["specialization", "sentence"]
    assert re.search(
        r"expected to rise, code \+(0\.9|1\.0).*; of those expected to fall, prose -0\.[45]",
        sentence,
    )
    assert (table["p_corrected"] <= 0.05).all()
    assert set(table["n_verdicts"]) == {8}


def test_what_is_not_there_is_not_supported():
    said, table = verdicts({"share": 0.2}, {"share": 0.2})
    assert said.pop("count sublinear") == SUPPORTED
    assert set(said.values()) == {NOT_SUPPORTED}
    assert table["sentence"].iloc[1:].str.contains("not shown").all()


def test_a_gap_that_narrows_or_a_shift_of_all_neurons_is_not_supported():
    both = ((2.0, 0.5), (2.0, 0.5))
    said, _ = verdicts(
        {"share": 0.1, "kurtosis": (4, 0)}, {"share": 0.3, "kurtosis": (1, 0), "fire": both}
    )
    assert said["polarization"] == said["specialization"] == said["share falling"] == NOT_SUPPORTED


def test_a_gap_that_widens_but_is_still_below_zero_is_no_polarization():
    said, table = verdicts({"share": 0.3, "kurtosis": (-4, 0)}, {"share": 0.3, "kurtosis": (-1, 0)})
    assert table.loc["polarization", "ci_low"] > 0, "the change alone would do"
    assert said["polarization"] == NOT_SUPPORTED


@pytest.mark.parametrize(
    "changed", [{"fire": ((0.5, 2.0), (1.0, 1.0))}, {"fire": ((1.0, 2.0), (1.0, 1.0))}]
)
def test_a_shift_the_other_way_is_not_supported(changed):
    said, table = verdicts({"share": 0.3}, {"share": 0.3, **changed})
    assert said["specialization"] == NOT_SUPPORTED
    assert table.loc["specialization", "ci_high"] < 0
    assert "against the direction: " in table.loc["specialization", "sentence"]


NAMES = ("python", "arithmetic", "prose")
DIRECTIONS = {"python": "rises", "arithmetic": "rises", "prose": "falls"}


@pytest.mark.parametrize(
    ("rosetta", "verdict"),
    [
        ((2.0, 1.0, 0.5), SUPPORTED),
        ((2.5, 0.6, 0.5), NOT_SUPPORTED),
        ((1.0, 0.5, 1.0), NOT_SUPPORTED),
    ],
    ids=["as expected", "code alone", "a fall of arithmetic alone"],
)
def test_a_fall_of_arithmetic_counts_against_what_else_rises(rosetta, verdict):
    config = CONFIG.model_copy(
        update={"specialization": Specialization(n_random=50, directions=DIRECTIONS)}
    )
    even = {"share": 0.3, "categories": NAMES, "fire": ((1.0,) * 3, (1.0,) * 3)}
    said, table = verdicts(even, {**even, "fire": (rosetta, (1.0,) * 3)}, config)
    assert said["specialization"] == verdict
    row = table.loc["specialization"]
    expected = (rosetta[0] + rosetta[1]) / 2 - rosetta[2]
    assert row["value"] == pytest.approx(expected, abs=0.05)
    assert ("against the direction: arithmetic;" in row["sentence"]) == (verdict == NOT_SUPPORTED)


def test_domains_without_a_direction_cannot_be_judged():
    even = {"share": 0.3, "categories": ("a", "b"), "fire": ((1.0, 1.0), (1.0, 1.0))}
    said, table = verdicts(even, {**even, "fire": ((3.0, 0.5), (1.0, 1.0))})
    assert said["specialization"] == UNDECIDED
    assert (
        "specialization.directions says of none of the domains (a, b)"
        in table.loc["specialization", "sentence"]
    )


@pytest.mark.parametrize(("small", "large"), [(0.02, 0.0), (0.02, 0.3), (0.3, 0.004)])
def test_a_share_of_few_matches_cannot_be_judged(small, large):
    """Four matches against none look certain, because no half-sample of none has any."""
    said = judged(rungs({"share": small}, {"share": large})).xs(PLAIN, level="statistic")
    assert said.loc["share falling", "verdict"] == UNDECIDED
    assert "fewer than 5 matches" in said.loc["share falling", "sentence"]


@pytest.mark.parametrize("share", [0.0675, 0.0725])
def test_too_few_rosetta_neurons_cannot_be_judged(share):
    """Fourteen or fifteen at the smallest rung, however far apart the groups; the share has another
    error.
    """
    members = rungs(
        {"share": share}, {"share": 0.3, "kurtosis": (9, 0), "fire": ((2.0, 0.5), (1.0, 1.0))}
    )
    said = judged(members)["verdict"].xs(PLAIN, level="statistic")
    few = 200 * share < 14
    assert said["polarization"] == said["specialization"] == (UNDECIDED if few else SUPPORTED)
    assert said["share falling"] == NOT_SUPPORTED


def test_the_share_and_its_interval_are_those_of_the_count():
    """Of 80 of 200 neurons and 160 of 800, with the half-samples' own intervals, not a resampling
    of neurons.
    """
    members = rungs({"share": 0.4}, {"share": 0.2})
    found = judged(members).loc["share falling", PLAIN]
    counts, halves = counted(members)
    of_plain = halves[halves["statistic"] == PLAIN]
    first, last = (
        of_plain.loc[of_plain["rung"] == rung, "matches"].to_numpy() / n
        for rung, n in ((0, 200), (1, 800))
    )
    low, high = half_sample_interval(-0.2, last - first)
    assert (found["value"], found["ci_low"], found["ci_high"]) == pytest.approx((-0.2, low, high))
    error = half_sample_error(last - first)
    freedom = brentq(lambda n: stats.t.ppf(0.975, n) - (high + 0.2) / error, 1, 100)
    assert found["p"] == pytest.approx(2 * stats.t.cdf(-0.2 / error, freedom), rel=1e-6)
    low, high = counts.loc[0, ["matches_ci_low", "matches_ci_high"]] / 2
    assert f"from 40.0% of s ({low:.1f} to {high:.1f})" in found["sentence"]
    assert judged(members, spread=0.0).loc[("share falling", PLAIN), "verdict"] == UNDECIDED


def test_without_half_samples_the_share_cannot_be_judged():
    members = rungs({"share": 0.4}, {"share": 0.2})
    counts, halves = counted(members)
    for missing in (halves[:0], halves.assign(matches=np.nan)):
        table = found(members, LAWS, counts, missing, CONFIG)
        assert set(table.loc["share falling", "verdict"]) == {UNDECIDED}


def test_growth_of_a_count_without_a_law_cannot_be_judged():
    table = judged(rungs({"share": 0.4}, {"share": 0.2}), LAWS[:1])
    assert table.loc["count sublinear", "verdict"].to_dict() == {
        PLAIN: SUPPORTED,
        "above_untrained": UNDECIDED,
    }


def test_findings_are_judged_on_matches_above_a_null_too():
    """Every other Rosetta Neuron is above the null; the others are the same neurons as for all
    matches.
    """
    members = rungs({"share": 0.4, "kurtosis": (1, 0)}, {"share": 0.2, "kurtosis": (4, 0)})
    above = judged(members).xs("above_untrained", level="statistic")
    assert len(above) == 4
    assert above["sentence"].str.startswith("Of matches above the null of untrained twins: ").all()
    assert above.loc["count sublinear", "value"] == 0.7
    assert above.loc["share falling", "value"] == pytest.approx(-0.1)
    own = [one.populations[0] for one in members]
    gaps = [
        one.neurons.loc[one.above["above_untrained"]["g"], "excess_kurtosis"].mean()
        - one.neurons.loc[~one.rosetta["g"] & ~one.dead, "excess_kurtosis"].mean()
        for one in own
    ]
    assert above.loc["polarization", "value"] == pytest.approx(gaps[1] - gaps[0])


def test_every_null_has_a_name_in_sentences():
    assert set(STATISTICS) - {PLAIN} <= {f"above_{name}" for name in NULL_TITLES}


def test_one_rung_cannot_be_judged():
    table = judged(rungs({"share": 0.2}, {"share": 0.2})[:1], LAWS.assign(alpha_ci_low=np.nan))
    assert set(table["verdict"]) == {UNDECIDED}
    assert set(table["n_verdicts"]) == {0}


def one_verdict(evidence):
    return judge([evidence], set()).iloc[0]


@pytest.mark.parametrize(
    ("low", "high", "verdict", "words"),
    [
        (0.4, 0.8, SUPPORTED, "grows sublinearly"),
        (0.4, 1.2, NOT_SUPPORTED, "Sublinear growth of the number"),
        (1.1, 1.3, NOT_SUPPORTED, "Sublinear growth of the number"),
        (
            -0.9,
            -0.1,
            NOT_SUPPORTED,
            "Growth of the number of Rosetta Neurons with size is not shown",
        ),
        (
            -0.1,
            0.8,
            NOT_SUPPORTED,
            "Growth of the number of Rosetta Neurons with size is not shown",
        ),
        (0.6, 0.6, UNDECIDED, "Too few rungs"),
    ],
)
def test_the_count_is_judged_by_both_ends_of_its_interval(low, high, verdict, words):
    law = LAWS.assign(alpha=(low + high) / 2, alpha_ci_low=low, alpha_ci_high=high).iloc[0]
    found = one_verdict(count_finding("l", "plain", law))
    assert (found["verdict"], words in found["sentence"]) == (verdict, True)


@pytest.mark.parametrize("matches", [[0, 0, 0, 0], [0, 0, 5, 0]])
def test_why_there_is_no_exponent_is_told(matches):
    counts = pd.DataFrame({"ladder": "l", "n_neurons": SIZES, "matches": matches})
    law = scaling_table(counts).iloc[0]
    found = one_verdict(count_finding("l", "plain", law))
    assert law["reason"]
    assert (found["verdict"], found["sentence"]) == (
        UNDECIDED,
        f"There is no exponent α: {law['reason']}.",
    )


@pytest.mark.parametrize("scatter", [0.1, 0.2, 0.3])
def test_a_count_that_does_not_grow_is_seldom_called_sublinear(scatter):
    """Four rungs without growth and log-normal scatter: at most 2.5% of runs. (With any α above
    zero: 36 to 49%.)
    """
    n_runs, rng = 1000, np.random.default_rng(7)
    x = np.log(SIZES) - np.log(SIZES).mean()
    counts = 4.0 + rng.normal(0, scatter, size=(n_runs, 4))
    alpha = counts @ x / (x @ x)
    residual = counts - counts.mean(axis=1, keepdims=True) - alpha[:, None] * x
    half = stats.t.ppf(0.975, 2) * np.sqrt((residual**2).sum(axis=1) / 2 / (x @ x))
    laws = [
        pd.Series(
            {"alpha": a, "alpha_ci_low": a - h, "alpha_ci_high": a + h, "n_rungs": 4, "df": 2.0}
        )
        for a, h in zip(alpha, half, strict=True)
    ]
    found = np.mean(
        [count_finding("l", "plain", law).p <= LEVEL for law in laws]
    )  # a single verdict needs no correction
    assert found < 0.025 + 3 * np.sqrt(0.025 * 0.975 / n_runs)


def test_p_is_that_of_students_t():
    """From an estimate of 2 with a standard error of 0.8 and 6 degrees of freedom."""
    half = stats.t.ppf(0.975, 6) * 0.8
    assert p_above(2.0, 2.0 - half, 6) == pytest.approx(2 * stats.t.sf(2 / 0.8, 6))
    assert p_above(2.0, 2.0 - half, 6, bound=3.0) == 1.0
    assert p_below(2.0, 2.0 + half, 6, bound=3.0) == pytest.approx(2 * stats.t.sf(1 / 0.8, 6))
    assert np.isnan([p_above(2.0, np.nan, 6), p_above(2.0, 2.0, 6)]).all()


def test_the_correction_for_many_verdicts():
    """Against its definition, and in runs without any truth: at most 5% of them support
    anything.
    """
    p = np.array([0.04, 0.001, 0.013, 0.6, 0.013])
    np.testing.assert_allclose(holm(p), [0.08, 0.005, 0.052, 0.6, 0.052])
    draws = np.random.default_rng(0).random((4000, 24))
    supporting = np.mean([(holm(row) <= 0.05).any() for row in draws])
    assert supporting == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))
    assert not len(holm(np.empty(0)))


def evidence(p, finding="polarization", ladder="l", statistic="plain"):
    texts = {"numbers": "it is 1.00", "seen": "It is seen", "unseen": "It is not shown"}
    return Evidence(ladder, finding, statistic, **texts, value=1.0 + p, low=0.5, high=2.0, p=p)


def test_a_verdict_stands_among_all_of_the_run():
    assert one_verdict(evidence(0.01))["verdict"] == SUPPORTED
    many = judge(
        [evidence(0.01), *(evidence(0.5 + i / 100, ladder=f"m{i}") for i in range(11))], set()
    )
    first = many.iloc[0]
    assert (first["verdict"], first["n_verdicts"]) == (NOT_SUPPORTED, 12)
    assert (
        first["sentence"]
        == "It is not shown: it is 1.00; p = 0.01, and 0.12 corrected for 12 verdicts."
    )
    assert judge([replace(evidence(0.001), against=True)], set())["verdict"].tolist() == [
        NOT_SUPPORTED
    ]


def test_copies_count_once_and_what_is_not_judged_counts_not_at_all():
    """Where all matches are above a null, its verdict is that of all matches."""
    undecided = Evidence("l", "specialization", "plain", "Too few.")
    found = [
        evidence(0.02),
        evidence(0.02, statistic="above_untrained"),
        undecided,
        evidence(0.03, ladder="of three"),
        evidence(0.04, finding="share falling"),
    ]
    table = judge(found, {"of three"})
    assert set(table["n_verdicts"]) == {2}
    assert table["verdict"].tolist() == [SUPPORTED, SUPPORTED, UNDECIDED, DERIVED, SUPPORTED]
    assert table["p_corrected"].tolist() == pytest.approx(
        [0.04, 0.04, np.nan, np.nan, 0.04], nan_ok=True
    )
    assert table["sentence"].iloc[3].startswith("Not judged, because")


def test_ladders_of_three_that_share_pairs_are_derived():
    pairs = {"ab": [["a", "b"], ["c", "d"]], "de": [["d", "e"]]}
    larger = {name: [list(name)] for name in ("abf", "gcd", "aeg")}
    assert derived_ladders({**pairs, **larger}) == {"abf", "gcd"}
    assert derived_ladders({"abf": larger["abf"]}) == set(), "no ladder of pairs says the same"


def test_too_few_resamples_for_the_number_of_verdicts_are_rejected():
    """The number that the message asks for lets the smallest p that there can be stand the
    correction, just so.
    """
    names = [f"m{i}" for i in range(8)]
    base = {
        "models": {name: {"path": name} for name in names},
        "ladders": {
            f"l{i}": [[names[i], names[7 - i]], [names[i], names[6 - i]]] for i in range(3)
        },
    }
    with pytest.raises(
        ConfigError, match=r"bootstrap\.n_resamples: 100 are too few for \d+ verdicts"
    ) as rejected:
        parse_config({**base, "bootstrap": {"n_resamples": 100}})
    verdicts, needed = (
        int(re.search(rf"{word} (\d+)", str(rejected.value))[1]) for word in ("for", "least")
    )
    assert (
        parse_config({**base, "bootstrap": {"n_resamples": needed}}).bootstrap.n_resamples == needed
    )
    assert verdicts == 2 * 3 * 3, (
        "two findings by resamples, on all matches and above two nulls, of three ladders"
    )
    assert verdicts * 2 / (needed + 1) < 0.05 < verdicts * 2 / (0.99 * needed)
    # What p are at best: nothing for the findings without resamples, which are corrected before.
    assert holm(np.array([2 / (needed + 1)] * verdicts + [1e-9] * verdicts)).max() <= 0.05


def test_resamples_are_asked_for_what_they_decide_alone():
    """Neither permuted positions, nor a ladder of one rung, nor one that is derived adds verdicts
    by resamples.
    """
    names = [f"m{i}" for i in range(14)]
    pairs = {f"l{i}": [[names[i], names[i + 1]], [names[i + 6], names[i + 7]]] for i in range(7)}
    base = {"models": {name: {"path": name} for name in names}, "ladders": pairs}
    assert parse_config(base).bootstrap.n_resamples == 4000
    derived = {"three": [["m0", "m1", "m2"], ["m6", "m7", "m8"]]}
    least = 40 * 2 * 3 * 7
    for more in ({}, derived, {"short": [["m0", "m5"]]}):
        wide = {**base, "ladders": {**pairs, **more}}
        assert parse_config({**wide, "bootstrap": {"n_resamples": least}})
        with pytest.raises(ConfigError, match=rf"Use at least {least}"):
            parse_config({**wide, "bootstrap": {"n_resamples": least - 1}})
    alone = {"document_seeds": [], "untrained_seeds": []}
    with pytest.raises(ConfigError, match=rf"Use at least {40 * 2 * 7}"):
        parse_config({**base, "controls": alone, "bootstrap": {"n_resamples": 500}})


def of_images(rung, gap):
    """The same neurons as of models that see images; Rosetta Neurons have a gap in their score."""
    rng = np.random.default_rng(1)
    members = []
    for one in rung.populations:
        measured = one.neurons[["layer", "unit"]].assign(**dict.fromkeys(IMAGE_MEASURES, 0.0))
        noise = rng.normal(0.5, 0.1, len(measured))
        scores = noise + np.where(one.rosetta[rung.group], gap, 0.0)
        members.append(replace(one, neurons=measured.assign(monosemanticity=scores)))
    return replace(rung, populations=members)


@pytest.mark.parametrize(
    ("gaps", "verdict"), [((0.05, 0.3), SUPPORTED), ((0.3, 0.05), NOT_SUPPORTED)]
)
def test_models_that_see_images_are_judged_on_how_monosemantic_they_become(gaps, verdict):
    plain = rungs({"share": 0.4}, {"share": 0.2})
    members = [of_images(rung, gap) for rung, gap in zip(plain, gaps, strict=True)]
    table = judged(members).xs(PLAIN, level="statistic")
    assert set(table.index) == {"count sublinear", "share falling", "monosemanticity"}
    assert table["verdict"]["monosemanticity"] == verdict
    assert table["value"]["monosemanticity"] == pytest.approx(gaps[1] - gaps[0], abs=0.05)
    text = judged(plain).xs(PLAIN, level="statistic")
    assert table["value"]["share falling"] == text["value"]["share falling"]


def test_without_an_encoder_nothing_is_said_of_monosemanticity():
    members = [of_images(rung, np.nan) for rung in rungs({"share": 0.4}, {"share": 0.2})]
    for one in (one for rung in members for one in rung.populations):
        one.neurons["monosemanticity"] = np.nan
    found = judged(members).xs(PLAIN, level="statistic").loc["monosemanticity"]
    assert found["verdict"] not in (SUPPORTED, NOT_SUPPORTED)
    assert "no further model" in found["sentence"]

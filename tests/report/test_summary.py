"""The sentences that the report begins with, against tables whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from rosetta.report.summary import (
    generated_answer,
    like_answer,
    place_answer,
    real_answer,
    what_for_answer,
    why_answer,
)

COUNTS = pd.DataFrame(
    {
        "models": ["a--b", "c--d"],
        "n_neurons": [64.0, 1024.0],
        "matches": [13, 1300],
        "above_untrained": [9, 1200],
        "above_untrained_ci_low": [7.0, 1150.4],
        "above_untrained_ci_high": [11.0, 1249.6],
    }
)


def laws(statistic):
    return pd.DataFrame({"statistic": [statistic], "n_points": [8], "alpha": [0.6]})


def test_the_largest_group_tells_how_many_are_above_chance():
    answer = real_answer(COUNTS, laws("above_untrained"), laws("above_untrained"))
    assert answer.sentence == (
        "Of the 1,300 matches of c--d, the largest group, 1,200 (95% interval 1,150 to 1,250) are "
        "above those of untrained twins."
    )


def test_without_a_null_model_nothing_is_called_real():
    assert "No null model" in real_answer(COUNTS, laws("plain"), laws("plain")).sentence


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        (["cannot be judged", "not supported", "supported"], "third: s2"),
        (["cannot be judged", "not supported", "not supported"], "second: s1"),
        (["cannot be judged"] * 3, "first: s0"),
    ],
)
def test_a_supported_finding_is_told_before_others(verdicts, told):
    findings = pd.DataFrame(
        {
            "ladder": ["first", "second", "third"],
            "finding": ["polarization", "monosemanticity", "polarization"],
            "verdict": verdicts,
            "p": [np.nan if verdict == "cannot be judged" else 0.2 for verdict in verdicts],
            "sentence": ["s0", "s1", "s2"],
        }
    )
    assert like_answer(findings).sentence == told


def comparison(**changed):
    row = {"ladder": "l", "quantity": "matches", "route": "loss"}
    row |= {"predicted": 0.5, "predicted_ci_low": 0.4, "predicted_ci_high": 0.6}
    row |= {"measured": 0.7, "measured_ci_low": 0.65, "measured_ci_high": 0.75}
    return row | changed


def test_the_narrowest_measurement_is_compared_with_its_narrowest_prediction():
    rows = [
        comparison(ladder="wide", measured_ci_low=0.1),
        comparison(route="ngrams", predicted_ci_low=0.1),
        comparison(),
        comparison(ladder="none", measured_ci_low=np.nan),
        comparison(ladder="other", quantity="excess_kurtosis", measured_ci_low=0.7),
    ]
    told = why_answer(pd.DataFrame(rows)).sentence
    assert "α = 0.50 (95% interval 0.40 to 0.60) for l by the route of loss" in told
    assert "0.70 (95% interval 0.65 to 0.75) was measured: the intervals do not overlap." in told
    met = why_answer(pd.DataFrame([comparison(predicted_ci_high=0.66)])).sentence
    assert "the intervals overlap." in met
    none = why_answer(pd.DataFrame([comparison(predicted=np.nan)])).sentence
    assert "no prediction" in none


def test_a_filter_is_told_with_what_training_on_it_is_worth():
    summary = pd.DataFrame(
        {
            "filter": ["random", "classifier", "rosetta"],
            "f1": [0.0648, 0.75, 0.651],
            "perplexity_difference": [0.3, 0.1, np.nan],
            "perplexity_difference_ci_low": [-0.2, 0.0, np.nan],
            "perplexity_difference_ci_high": [0.8, 0.2, np.nan],
        }
    )
    assert what_for_answer(summary, "L0/U1 of m", "code").sentence == (
        "L0/U1 of m finds documents of code with F1 0.65 (0.06 at random, 0.75 by a classifier), "
        "and training on a random selection gives a perplexity there that is 0.30 higher (95% "
        "interval -0.20 to +0.80) than on its."
    )
    untrained = summary.assign(perplexity_difference=np.nan)
    assert what_for_answer(untrained, "n", "code").sentence.endswith("0.75 by a classifier).")


def test_place_is_averaged_over_matches():
    place = pd.DataFrame(
        {
            "matches": [30, 10, 0],
            "mean_r": [0.5, 0.9, np.nan],
            "mean_r_place": [0.1, 0.5, np.nan],
            "share_mostly_place": [0.0, 1.0, np.nan],
        }
    )
    told = place_answer(place).sentence
    assert told == (
        "Of a mean r of 0.60 between matched neurons on images, place alone makes 0.20, and more "
        "than half of it in 25% of the matches."
    )
    assert "have a match" in place_answer(place[2:]).sentence


def test_the_best_generator_is_told():
    generated = pd.DataFrame(
        {
            "generator": ["g", "h"],
            "classifier": ["v", "w"],
            "recognised": [0.2, 0.4],
            "recognised_of_real": [0.8, 0.9],
            "chance_recognised": [0.1, 0.1],
        }
    )
    assert generated_answer(generated).sentence == (
        "Of the images of the best generator, h, w tells the class of 40% (90% of real ones, 10% "
        "by chance)."
    )

"""Tables of filters: the paper's form, and perplexities compared at the same seed."""

import numpy as np
import pandas as pd
import pytest

from rosetta.filtering.results import results_table, summary_table


def test_results_in_the_papers_form():
    found = [
        ("random", 0, 0.1, 50),
        ("random", 1, 0.3, 51),
        ("rosetta", None, 0.8, 52),
        ("oracle", None, 1.0, 53),
    ]
    recovered = pd.DataFrame(
        [
            {
                "filter": name,
                "seed": seed,
                "precision": f1,
                "recall": f1,
                "f1": f1,
                "average_precision": f1,
                "selected_documents": 3,
                "selected_tokens": tokens,
            }
            for name, seed, f1, tokens in found
        ]
    )
    trained = pd.DataFrame(
        [
            ("base", 0, 9.0),
            ("random", 0, 5.0),
            ("random", 1, 7.0),
            ("rosetta", 0, 4.0),
            ("rosetta", 1, 4.2),
        ],
        columns=["filter", "seed", "perplexity"],
    )
    table = results_table(recovered, trained)
    assert table.columns.tolist() == [
        "filter",
        "seed",
        "precision",
        "recall",
        "f1",
        "selected_tokens",
        "perplexity",
    ]
    assert table["filter"].tolist() == ["base", "random", "random", "rosetta", "rosetta", "oracle"]
    assert table["perplexity"].tolist()[:5] == [9.0, 5.0, 7.0, 4.0, 4.2]
    assert np.isnan(table["perplexity"].iloc[5])
    summary = summary_table(table, recovered, ["base", "random", "rosetta", "oracle"]).set_index(
        "filter"
    )
    assert summary.loc["random", "perplexity"] == 6.0
    # Two values 5 and 7: standard error 1, Student's t of one degree of freedom 12.706.
    assert summary.loc["random", "perplexity_ci_high"] == pytest.approx(6 + 12.7062, abs=1e-4)
    assert summary.loc["random", "f1"] == pytest.approx(0.2)
    assert np.isnan(summary.loc["oracle", "perplexity"])
    assert summary.loc["oracle", "n_trainings"] == 0


def test_perplexities_are_compared_at_the_same_seed():
    """Seeds shift both filters alike here, so that only the paired interval tells them apart."""
    shifts = {0: 0.0, 1: 5.0, 2: -3.0, 3: 11.0}
    gaps = {0: 0.43, 1: -0.04, 2: 0.88}
    trained = [
        ("base", 0, 200.0),
        *(("rosetta", seed, 116.0 + shift) for seed, shift in shifts.items()),
    ]
    trained += [("non_rosetta", seed, 116.0 + shifts[seed] + gap) for seed, gap in gaps.items()]
    trained += [("oracle", 3, 100.0)]
    names = ("base", "non_rosetta", "classifier", "rosetta", "oracle")
    found = dict.fromkeys(("precision", "recall", "f1", "average_precision"), 0.5)
    sizes = {"selected_documents": 3, "selected_tokens": 50}
    recovered = pd.DataFrame(
        [{"filter": name, "seed": None, **found, **sizes} for name in names[1:]]
    )
    table = results_table(
        recovered, pd.DataFrame(trained, columns=["filter", "seed", "perplexity"])
    )
    summary = summary_table(table, recovered, list(names)).set_index("filter")
    row = summary.loc["non_rosetta"]
    # By hand: mean 0.42333, standard deviation 0.46004, times 4.30265 (Student's t of 2 degrees)
    # over the root of 3.
    assert row["perplexity_difference"] == pytest.approx(0.42333, abs=1e-5)
    assert row["perplexity_difference_ci_high"] - row["perplexity_difference"] == pytest.approx(
        1.14281, abs=1e-4
    )
    assert row["perplexity_difference"] - row["perplexity_difference_ci_low"] == pytest.approx(
        1.14281, abs=1e-4
    )
    assert summary["n_pairs"].to_dict() == {
        "base": 0,
        "non_rosetta": 3,
        "classifier": 0,
        "rosetta": 0,
        "oracle": 1,
    }
    assert summary.loc["oracle", "perplexity_difference"] == -27.0
    assert np.isnan(summary.loc["oracle", "perplexity_difference_ci_low"]), (
        "one pair has no interval"
    )
    assert summary.loc[["base", "classifier", "rosetta"], "perplexity_difference"].isna().all()

"""What the report says first follows from the tables, and can say the opposite; estimates without
an interval.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.counts import COUNT_COLUMNS
from rosetta.analysis.null_counts import NULL_SUMMARY_COLUMNS
from rosetta.analysis.pairs_of_models import ALL_PAIRS
from rosetta.analysis.rung_means import rung_table
from rosetta.analysis.scaling import null_scaling_table, pooled_table, scaling_table
from rosetta.report.figures import draw_estimates, interval_limits
from rosetta.report.headline import (
    chance_sentence,
    floor_sentence,
    headline,
    headline_statistic,
    headline_table,
    uncounted_sentence,
)
from rosetta.storage.tables import read_csv, write_csv

SIZES = np.array([256.0, 512, 1024, 2304])
LADDERS = {"a-b": ("a", "b"), "a-c": ("a", "c"), "b-c": ("b", "c")}
NULLS = ("permutation", "documents", "untrained")
TITLED = ("permuted positions", "exchanged samples", "untrained twins")


def make_tables(alpha=0.7, chance=2.0, zeros=False):
    """Three ladders by one law; each null has `chance` times the matches, and one calibrated
    count.
    """
    rows, controls = [], []
    for ladder, families in LADDERS.items():
        for rung, size in enumerate(SIZES):
            n = round(0.5 * size**alpha)
            above = 0 if zeros and rung == 0 else round(0.3 * size**alpha)
            row = {
                "ladder": ladder,
                "rung": rung,
                "models": "--".join(f"{name}-{rung}" for name in families),
            }
            row |= {
                "n_neurons": size,
                "families": "--".join(families),
                "matches": n,
                "above_untrained": above,
            }
            row |= {
                f"{name}_ci_{end}": f * row[name]
                for name in ("matches", "above_untrained")
                for end, f in ENDS
            }
            rows.append(row)
            controls += [
                (ladder, rung, name, seed, round(chance * n) + seed, 0.2)
                for name in NULLS
                for seed in range(3)
            ]
    counts = pd.DataFrame(rows, columns=COUNT_COLUMNS)
    controls = pd.DataFrame(
        controls, columns=["ladder", "rung", "control", "seed", "matches", "mean_r"]
    )
    summary = (
        controls.groupby(["ladder", "rung", "control"], sort=False)["matches"].mean().reset_index()
    )
    summary = summary.assign(
        matches_ci_low=0.9 * summary["matches"], matches_ci_high=np.nan
    ).reindex(columns=NULL_SUMMARY_COLUMNS)
    return counts, controls, summary


def read_back(tmp_path, table):
    """As the report reads it: empty cells are missing."""
    write_csv(tmp_path / "table.csv", table)
    return read_csv(tmp_path / "table.csv", list(table.columns))


ENDS = (("low", 0.9), ("high", 1.1))


def floors(alphas, half=0.1):
    rows = [
        {"ladder": ladder, "threshold": i / 10, "alpha": alpha}
        | {"alpha_ci_low": alpha - half, "alpha_ci_high": alpha + half}
        for i, alpha in enumerate(alphas)
        for ladder, alpha in (("a-b", 9.0), (ALL_PAIRS, alpha))
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("alpha", "said"),
    [
        (0.6, "grow more slowly than the models"),
        (1.5, "grow faster than the models"),
        (1.0, "grow, but whether more slowly than the models cannot be told"),
        (0.0, "are not shown to grow"),
        (-0.6, "become fewer"),
    ],
)
def test_the_headline_is_the_calibrated_count_and_follows_its_exponent(tmp_path, alpha, said):
    counts, controls, _ = make_tables()
    counts[["matches", "above_untrained"]] = np.outer(
        200 * (SIZES[[0, 1, 2, 3] * 3] / 256) ** alpha, [9, 1]
    ).round()
    scaling, pooled = (
        read_back(tmp_path, scaling_table(counts)),
        read_back(tmp_path, pooled_table(counts, None, controls)),
    )
    assert headline_statistic(pooled, scaling) == "above_untrained"
    sentence = headline(pooled, scaling, counts)
    assert sentence.startswith(
        f"Rosetta Neurons whose matches are above those of untrained twins {said}: "
    )
    law = pooled[(pooled["statistic"] == "above_untrained") & (pooled["left_out"] == "none")].iloc[
        0
    ]
    assert (
        f"α = {law['alpha']:.2f} (95% interval {law['alpha_ci_low']:.2f} to "
        f"{law['alpha_ci_high']:.2f})" in sentence
    )
    others = pooled[(pooled["statistic"] == "above_untrained") & (pooled["left_out"] != "none")]
    assert sentence.endswith(
        "12 pairs of models in 3 ladder(s); with one family of models left out at a time, the "
        f"lowest of these exponents is {others['alpha'].min():.2f} and the highest "
        f"{others['alpha'].max():.2f}."
    )


def test_each_modality_has_a_sentence_and_rows_of_its_own_ladders(tmp_path):
    counts, controls, summary = make_tables()
    counts["modality"] = np.where(counts["ladder"] == "b-c", "images", "text")
    made = (
        pooled_table(counts, None, controls),
        scaling_table(counts),
        null_scaling_table(counts, controls),
    )
    pooled, scaling, chance = (read_back(tmp_path, table) for table in made)
    said = headline(pooled, scaling, counts)
    of_text, of_images = said.split(f"Of {ALL_PAIRS} of images: ")
    assert of_text.startswith(f"Of {ALL_PAIRS} of text: ")
    assert "8 pairs of models in 2 ladder(s)" in of_text
    assert "4 pairs of models in 1 ladder(s)" in of_images
    table = headline_table(pooled, scaling, chance, counts, rung_table(counts), summary).set_index(
        "what is counted"
    )
    shown = table["matches by rung"].str.findall(r"[abc]-[abc]")
    assert shown[f"{ALL_PAIRS} of images, all matches"] == ["b-c"]
    assert shown[f"{ALL_PAIRS} of text, chance: untrained twins"] == ["a-b", "a-c"]


def test_without_pairs_or_nulls_the_headline_says_so(tmp_path):
    counts, controls, _ = make_tables()
    bare = counts.assign(above_untrained=np.nan)
    laws = pooled_table(bare, None, controls), scaling_table(bare)
    assert headline_statistic(*laws) == "plain", "the exponent of a null is no headline"


def test_a_run_of_three_models_per_rung_has_a_headline_and_a_row_per_ladder(tmp_path):
    counts, controls, summary = make_tables()
    triples = counts.assign(families="a--b--c")
    made = (
        pooled_table(triples, None, controls),
        scaling_table(triples),
        null_scaling_table(triples, controls),
    )
    pooled, scaling, chance = (read_back(tmp_path, table) for table in made)
    assert headline_statistic(pooled, scaling) == "above_untrained"
    said = headline(pooled, scaling, triples)
    assert "no exponent pooled over pairs of models. By ladder: a-b: α = 0." in said
    table = headline_table(
        pooled, scaling, chance, triples, rung_table(triples), summary
    ).set_index("what is counted")
    assert set(table.index) == {
        f"{ladder}, {name}"
        for ladder in LADDERS
        for name in ("all matches", "above untrained", *(f"chance: {title}" for title in TITLED))
    }
    assert table.loc["a-c, chance: untrained twins", "matches by rung"].startswith(
        "a-c 49, 79, 129, 227"
    )
    assert table["α"].astype(float).between(0.65, 0.75).all()
    assert set(table["points"]) == {"4"}
    assert pooled["reason"].eq("there is no ladder of pairs").all()


def test_counts_that_no_threshold_calibrates_are_named():
    counts, _, _ = make_tables()
    missing = counts.assign(
        above_untrained=counts["above_untrained"].where(counts["ladder"] != "a-c")
    )
    assert uncounted_sentence(missing, ["permutation", "untrained"]).startswith(
        "No matches are counted above untrained twins in a-c: the null model has too few matches"
    )
    assert uncounted_sentence(counts, ["untrained"]) == ""
    both = uncounted_sentence(counts, ["documents", "untrained"])
    assert "above exchanged samples in a-b, a-c, b-c: the null" in both


@pytest.mark.parametrize(
    ("chance", "said"),
    [
        (2.0, "Chance alone makes more {}: permuted positions more on 12 of 12 rungs (2.0"),
        (0.2, "Chance alone makes no more {}: permuted positions more on 0 of 12 rungs (0.2"),
    ],
)
def test_whether_chance_makes_more_follows_from_the_counts(chance, said):
    counts, _, summary = make_tables(chance=chance)
    expected = said.format("mutual nearest neighbours than the trained models have")
    assert chance_sentence(counts, summary).startswith(expected)
    some = summary.assign(matches=summary["matches"].where(summary["rung"] > 0, 0))
    if chance > 1:
        assert "have on some rungs: permuted positions more on 9 of 12 rungs" in chance_sentence(
            counts, some
        )
    assert "not known" in chance_sentence(counts, summary[:0])


def test_whether_the_exponent_depends_on_the_floor_follows_from_the_intervals():
    flat = floor_sentence(floors([0.60, 0.65, 0.62]))
    assert (
        "floors of r from 0 to 0.2, the exponent of all pairs is 0.60 to 0.65; one value, 0.55 "
        "to 0.70, lies in" in flat
    )
    assert "the exponent depends on it" in floor_sentence(floors([0.6, 0.9, 1.2]))
    assert floor_sentence(floors([0.6])) == ""


def test_the_first_table_has_a_row_per_count_and_null(tmp_path):
    counts, controls, summary = make_tables()
    pooled = read_back(tmp_path, pooled_table(counts, None, controls))
    more = counts[counts["rung"] == 0].assign(  # a second training of each model, with 10 more
        models=lambda rows: rows["models"].str.replace("-0", "-0~2"),
        matches=lambda rows: rows["matches"] + 10,
    )
    trainings = pd.concat([counts, more], ignore_index=True)
    table = headline_table(
        pooled, counts[:0], counts[:0], counts, rung_table(trainings), summary
    ).set_index("what is counted")
    assert table.index.tolist() == [
        "all matches",
        "above untrained",
        "chance: permuted positions",
        "chance: exchanged samples",
        "chance: untrained twins",
    ]
    assert table.loc["all matches", "matches by rung"].startswith("a-b 29, 39, 64, 113; a-c 29")
    assert table.loc["chance: untrained twins", "matches by rung"].startswith(
        "a-b 49, 79, 129, 227"
    )
    assert table["α"].astype(float).between(0.65, 0.75).all()


def test_estimates_without_interval_are_open_and_long_intervals_end_in_arrows():
    rows = pd.DataFrame(
        {
            "alpha": [0.5, 0.6, 0.7],
            "alpha_ci_low": [0.4, np.nan, -9],
            "alpha_ci_high": [0.6, np.nan, 9],
        }
    )
    limits = interval_limits(rows, "alpha", reach=1.0)
    assert limits[0] == pytest.approx(-0.5 - 0.11)
    assert limits[1] == pytest.approx(1.7 + 0.11)
    _, axes = plt.subplots()
    draw_estimates(
        axes, pd.Series([1, 2, 3]), rows, "alpha", limits, color="k", marker="o", ms=4, lw=1
    )
    open_, filled, down, up = axes.lines
    assert (open_.get_markerfacecolor(), list(open_.get_xdata())) == ("white", [1, 2, 3])
    assert list(filled.get_xdata()) == [1, 3]
    assert [(line.get_marker(), list(line.get_xdata())) for line in (down, up)] == [
        ("v", [3]),
        ("^", [3]),
    ]
    ends = [segment[:, 1].tolist() for segment in axes.collections[0].get_segments()]
    assert ends[1] == pytest.approx(list(limits))
    assert interval_limits(rows.assign(alpha=np.nan), "alpha", 1.0) == (0.0, 1.0)

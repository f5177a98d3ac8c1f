"""The report's words on training ladders, and their figure, from tables of known content."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rosetta.emergence.columns import (
    CURVE_COLUMNS,
    EMERGENCE_COLUMNS,
    EMERGENCE_NEURON_COLUMNS,
    GROUP_COLUMNS,
    SURVIVAL_COLUMNS,
)
from rosetta.report.emergence_figure import EmergenceTables, draw_emergence, short
from rosetta.report.emergence_section import emergence_sentences
from rosetta.report.figures import FONT_SIZE
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_csv

STEPS = [10, 100, 1000]
TOKENS = [5000.0, 50_000.0, 500_000.0]
COUNTS = [2, 30, 60]


def counted(**changes):
    """Counts over three steps, ± 2; chance makes 40 matches, of which 6 are above all nulls."""
    rows = {
        "step": STEPS,
        "tokens": TOKENS,
        "above_all": COUNTS,
        "matches": [count + 10 for count in COUNTS],
        "emerged": [0.1, 0.6, 1.0],
        "by_chance": [40.0] * 3,
        "chance_above_all": [6.0] * 3,
        **changes,
    }
    table = pd.DataFrame(rows)
    halves = {"above_all": 2, "matches": 2, "emerged": 0.05, "by_chance": 5}
    for name, half in {**halves, "chance_above_all": 1}.items():
        table[f"{name}_ci_low"] = table[name] - half
        table[f"{name}_ci_high"] = table[name] + half
    untrained = {"step": 0, "tokens": 0.0, "matches": 50.0}
    untrained |= {"matches_ci_low": 40.0, "matches_ci_high": 60.0}
    table = pd.concat([pd.DataFrame([untrained]), table], ignore_index=True)
    return table.assign(ladder="early").reindex(columns=EMERGENCE_COLUMNS)


def curve(half_life=1.5):
    rows = pd.DataFrame(
        {
            "doublings": [0.0, 1.5, 3.0],
            "at_risk": [40, 40, 10],
            "lost": [0, 20, 2],
            "survival": [1.0, 0.5, 0.4],
            "survival_ci_low": [1.0, 0.4, 0.3],
            "survival_ci_high": [1.0, 0.6, 0.5],
        }
    )
    rows = rows.assign(ladder="early", half_life=half_life, half_life_ci_low=1.5)
    return rows.reindex(columns=CURVE_COLUMNS)


def groups(low=0.1):
    rows = [
        {
            "step": step,
            "tokens": tokens,
            "model": model,
            "measure": "own_r",
            "group": group,
            "mean": mean,
            "mean_ci_low": mean - half,
            "mean_ci_high": mean + half,
        }
        for step, tokens in zip(STEPS[:-1], TOKENS[:-1], strict=True)
        for model in ("a", "b")
        for group, mean, half in (
            ("rosetta", 0.6, 0.1),
            ("others", 0.4, 0.1),
            ("difference", 0.2, 0.2 - low),
        )
    ]
    return pd.DataFrame(rows).assign(ladder="early").reindex(columns=GROUP_COLUMNS)


def neurons():
    rows = pd.DataFrame({"nearest_tokens": TOKENS, "first_above_tokens": TOKENS})
    return rows.assign(ladder="early").reindex(columns=EMERGENCE_NEURON_COLUMNS)


def tables(**changes):
    found = {
        "emergence": counted(),
        "survival": pd.DataFrame({"ladder": ["early"]}).reindex(columns=SURVIVAL_COLUMNS),
        "survival_curve": curve(),
        "emergence_neurons": neurons(),
        "emergence_groups": groups(),
    }
    return {**found, **changes}


def test_what_a_training_shows_is_told_by_rule():
    assert emergence_sentences("early", tables()) == (
        "early: 60 [58, 62] matches are above all null models at the end, after 500k tokens, and 2 "
        "[0, 4] at step 10. From step 100 on (50k tokens) their interval lies above that of "
        "exchanged samples, of which 6.0 [5.0, 7.0] are above all null models then. Half of the "
        "final pairs are above all null models by step 100 (50k tokens): 60% [55%, 65%]. The "
        "half-life of the matches that are new after the first step is 1.5 [1.5, more than is "
        "followed] doublings of the tokens read; lost is what is missing at a step and at every "
        "later one. r with their own final selves of Rosetta Neurons, "
        "against the others: higher in 4 and lower in 0 of 4 comparisons, one per step and model, "
        "by 95% intervals."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"emergence": counted(above_all=[0, 0, 1])},
            "At the end their interval is not above that of exchanged samples, of which 6.0",
        ),
        ({"emergence": counted(above_all=[40, 1, 60])}, "From step 1000 on"),
        ({"emergence": counted(chance_above_all=[1.0, 26.0, 1.0])}, "From step 100 on"),
        ({"emergence": counted(chance_above_all=[1.0, 27.0, 1.0])}, "From step 1000 on"),
        (
            {"emergence": counted().assign(above_all_ci_low=np.nan)},
            "when they leave chance is not told",
        ),
        (
            {"emergence": counted(emerged=[0.1, 0.2, 1.0])},
            "Half of the final pairs are above all null models at the end only.",
        ),
        ({"emergence": counted(emerged=[np.nan] * 3)}, "There are no final pairs to follow back."),
        (
            {"survival_curve": curve(np.nan)},
            "More than half of the matches that are new after the first step last as long as they "
            "are followed: 40% [30%, 50%] beyond 3.0 doublings",
        ),
        (
            {"survival_curve": curve().head(1).assign(survival=np.nan, reason="no match is new")},
            "How long matches last is not known: no match is new.",
        ),
        ({"emergence_groups": groups(low=-0.1)}, "higher in 0 and lower in 0 of 4 comparisons"),
        (
            {"emergence_groups": groups(low=np.nan)},
            "against the others: not known; 4 have too few neurons for an interval.",
        ),
    ],
)
def test_so_is_what_it_does_not_show(changes, said):
    assert said in emergence_sentences("early", tables(**changes))


def test_nothing_is_told_of_chance_without_a_null_model():
    """All mutual nearest neighbours are told as what they are, and nothing as above chance."""
    unknown = dict.fromkeys(("above_all", "emerged"), np.nan)
    found = counted().assign(**unknown, nulls="", reason="there is none")
    nothing = curve().head(1).assign(survival=np.nan, reason="there is none")
    changes = {"survival_curve": nothing, "emergence_groups": groups().head(0)}
    assert emergence_sentences("early", tables(emergence=found, **changes)) == (
        "early: no null model could be read: there is none. So which matches are above chance, "
        "when they are and how long they last is not told. All mutual nearest neighbours are 70 "
        "[68, 72] at the end, after 500k tokens, and 12 [10, 14] at step 10, chance among them."
    )
    drawn = draw_emergence(EmergenceTables(**tables(emergence=found, **changes)))
    counts, emerged, survival, _ = drawn.axes
    assert tuple(COUNTS) not in lines(counts)
    assert tuple(count + 10 for count in COUNTS) in lines(counts)
    assert "no final pair is above a null" in [text.get_text() for text in emerged.texts]
    assert "no match is followed" in [text.get_text() for text in survival.texts]
    plt.close(drawn)


@pytest.fixture
def figure(tmp_path):
    paths = Paths(tmp_path)
    for name, table in tables().items():
        write_csv(paths.table(name), table)
    drawn = draw_emergence(EmergenceTables.read(paths))
    yield drawn
    plt.close(drawn)


def lines(axes):
    return {tuple(line.get_ydata()) for line in axes.lines}


def test_the_figure_draws_what_the_tables_say(figure):
    counts, emerged, survival, own = figure.axes
    assert tuple(COUNTS) in lines(counts)
    assert tuple(count + 10 for count in COUNTS) in lines(counts)
    assert (50.0,) in lines(counts), "untrained twins"
    assert (40.0,) * 3 in lines(counts), "chance"
    assert (6.0,) * 3 in lines(counts), "chance above all null models"
    assert (0.1, 0.6, 1.0) in lines(emerged)
    assert (1 / 3, 2 / 3, 1.0) in lines(emerged)
    assert (1.0, 0.5, 0.4) in lines(survival)
    assert {(0.6, 0.6), (0.4, 0.4)} <= lines(own)
    assert counts.get_xscale() == "log"
    ticks = counts.xaxis.get_major_formatter().format_ticks(counts.get_xticks())
    assert ticks[0] == "0"
    assert ticks[-1] == "500k"


def test_all_that_is_written_has_one_size(figure):
    figure.draw_without_rendering()
    written = [text for text in figure.findobj(plt.Text) if text.get_text()]
    assert {text.get_fontsize() for text in written} == {FONT_SIZE}


@pytest.mark.parametrize(
    ("number", "text"),
    [(950, "950"), (4096, "4.1k"), (460_800, "461k"), (2_097_152, "2.1M"), (3e11, "300B")],
)
def test_tokens_are_short(number, text):
    assert short(number) == text

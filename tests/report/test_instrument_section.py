"""The report's words on instruments, and their figure, from tables of known content."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from rosetta.instruments.columns import (
    INSTRUMENT_COLUMNS,
    INSTRUMENT_SCALING_COLUMNS,
    SIMILARITY_COLUMNS,
)
from rosetta.report.instrument_figure import InstrumentTables, draw_instruments
from rosetta.report.instrument_section import law_sentences, similarity_sentence
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_csv

NAMES = ["mutual_nearest", "absolute", "procrustes", "cca", "soft"]


def law(ladder, instrument, alpha, half=0.1, reference=0.6):
    """Return a law whose difference from the reference is known as well as its exponent."""
    difference = np.nan if instrument == "mutual_nearest" else alpha - reference
    wide = np.hypot(half, 0.1)
    return {
        "ladder": ladder,
        "instrument": instrument,
        "alpha": alpha,
        "alpha_ci_low": alpha - half,
        "alpha_ci_high": alpha + half,
        "difference": difference,
        "difference_ci_low": difference - wide,
        "difference_ci_high": difference + wide,
    }


def laws(*rows):
    return pd.DataFrame(rows).reindex(columns=INSTRUMENT_SCALING_COLUMNS)


FIVE = [
    ("mutual_nearest", 0.6),
    ("absolute", 0.65),
    ("procrustes", 0.95),
    ("cca", 0.3),
    ("soft", np.nan),
]


def test_what_agrees_is_told_by_rule_of_all_pairs():
    table = laws(
        *(law("x-y", name, 0.1) for name in NAMES),
        *(law("all pairs", name, alpha) for name, alpha in FIVE),
    )
    assert law_sentences(table) == (
        "all pairs: α is 0.60 ± 0.10 under mutual nearest neighbours. "
        "It agrees with it under by |r| (0.65 ± 0.10). "
        "It is larger under Procrustes (0.95 ± 0.10). "
        "It is smaller under CCA (0.30 ± 0.10). "
        "It cannot be compared under soft matching."
    )


def test_one_ladder_is_told_of_itself():
    told = law_sentences(laws(law("x-y", "mutual_nearest", 0.6), law("x-y", "cca", 0.61, np.nan)))
    assert told == (
        "x-y: α is 0.60 ± 0.10 under mutual nearest neighbours. It cannot be compared under "
        "CCA (0.61)."
    )


def test_without_an_exponent_nothing_is_compared():
    told = law_sentences(laws(law("x-y", "mutual_nearest", np.nan), law("x-y", "cca", 0.6)))
    assert told == "x-y: mutual nearest neighbours give no exponent to compare others with."
    told = law_sentences(laws(law("x-y", "mutual_nearest", 0.6), law("all pairs", "cca", 0.6)))
    assert told.startswith("all pairs: mutual nearest neighbours give no exponent")


def similarity():
    rows = [
        {
            "ladder": "x-y",
            "rung": rung,
            "models": f"x{size}--y{size}",
            "n_neurons": size,
            "score": 0.5,
            "calibrated": calibrated,
            "p": p,
        }
        for rung, (size, calibrated, p) in enumerate([(200, 0.4, 0.01), (100, 0.0, 0.3)])
    ]
    return pd.DataFrame(rows).reindex(columns=SIMILARITY_COLUMNS)


def test_similarities_are_told_beyond_chance_and_against_size():
    assert similarity_sentence(similarity()) == (
        "The models of 1 of 2 rungs are more alike than permuted samples make them (p ≤ 0.05 "
        "each). Calibrated, the similarity is 0.00 at 100 neurons (x100--y100) and 0.40 at 200 "
        "(x200--y200)."
    )
    none = similarity().assign(calibrated=np.nan)
    assert similarity_sentence(none) == "No rung has a calibrated similarity."


def counts(empty=()):
    rows = [
        {
            "ladder": "x-y",
            "rung": rung,
            "instrument": name,
            "n_neurons": size,
            "count": np.nan if name in empty else size / 2,
            "count_ci_low": size / 3,
            "count_ci_high": size,
        }
        for name in NAMES
        for rung, size in enumerate((100, 200))
    ]
    return pd.DataFrame(rows).reindex(columns=INSTRUMENT_COLUMNS)


@pytest.mark.parametrize("empty", [(), ("soft",), tuple(NAMES)])
def test_the_figure_has_a_place_for_every_instrument(tmp_path, empty):
    table = laws(
        *(law("x-y", name, np.nan if name in empty else alpha) for name, alpha in FIVE),
        *(law("all pairs", name, 0.5) for name in NAMES),
    )
    paths = Paths(tmp_path)
    content = {"instruments": counts(empty), "instrument_scaling": table}
    for name, one in {**content, "similarity": similarity()}.items():
        write_csv(paths.table(name), one)
    drawn = draw_instruments(InstrumentTables.read(paths))
    drawn.canvas.draw()
    exponents, lines, chance = drawn.axes
    assert [text.get_text() for text in exponents.get_xticklabels()] == [
        "mutual nearest",
        "by |r|",
        "Procrustes",
        "CCA",
        "soft matching",
    ]
    series = [line for line in lines.get_lines() if len(line.get_xdata()) == 2]
    assert len(series) == len(NAMES) - len(empty)
    assert [list(line.get_ydata()) for line in series] == [[50, 100]] * len(series)
    assert chance.get_ylim() == (0, 1)
    plt.close(drawn)

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
from rosetta.report.instrument_section import law_sentences, similarity_sentences, told_ladders
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


def test_what_differs_is_told_by_rule():
    table = laws(
        *(law("x-y", name, 0.1) for name in NAMES),
        *(law("all pairs", name, alpha) for name, alpha in FIVE),
    )
    assert law_sentences(table, "all pairs") == (
        "all pairs: α is 0.60 ± 0.10 under mutual nearest neighbours. "
        "It cannot be told apart from it under by |r| (0.65 ± 0.10). "
        "It is larger under Procrustes (0.95 ± 0.10). "
        "It is smaller under CCA (0.30 ± 0.10). "
        "It cannot be compared under soft matching."
    )


def test_one_ladder_is_told_of_itself():
    table = laws(law("x-y", "mutual_nearest", 0.6), law("x-y", "cca", 0.61, np.nan))
    told = law_sentences(table, "x-y")
    assert told == (
        "x-y: α is 0.60 ± 0.10 under mutual nearest neighbours. It cannot be compared under "
        "CCA (0.61)."
    )


def test_without_an_exponent_nothing_is_compared():
    table = laws(law("x-y", "mutual_nearest", np.nan), law("x-y", "cca", 0.6))
    told = law_sentences(table, "x-y")
    assert told == "x-y: mutual nearest neighbours give no exponent to compare others with."
    table = laws(law("x-y", "mutual_nearest", 0.6), law("all pairs", "cca", 0.6))
    told = law_sentences(table, "all pairs")
    assert told.startswith("all pairs: mutual nearest neighbours give no exponent")


TEXT_AND_IMAGES = {"x-y": "text", "v-w": "images", "x-z": "text", "v-u": "images"}
WHOSE = {
    "one ladder": (["x-y"], {"x-y": "text"}, ["x-y"]),
    "pooled": (["x-y", "x-z", "all pairs"], {"x-y": "text", "x-z": "text"}, ["all pairs"]),
    "both": (
        [*TEXT_AND_IMAGES, "all pairs of text", "all pairs of images"],
        TEXT_AND_IMAGES,
        ["all pairs of text", "all pairs of images"],
    ),
    "one of each": (
        ["x-y", "v-w", "x-z", "all pairs of text"],
        {"x-y": "text", "v-w": "images", "x-z": "text"},
        ["all pairs of text", "v-w"],
    ),
}


@pytest.mark.parametrize("case", WHOSE)
def test_every_modality_is_told_of(case):
    ladders, modalities, expected = WHOSE[case]
    table = laws(*(law(ladder, "mutual_nearest", 0.6) for ladder in ladders))
    assert told_ladders(table, modalities) == expected


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
    said = (
        "x-y: the models of 1 of 2 rungs are more alike than permuted samples make them (p ≤ 0.05 "
        "each). Calibrated, the similarity is 0.00 at 100 neurons and 0.40 at 200."
    )
    assert similarity_sentences(similarity()) == said
    none = similarity().assign(calibrated=np.nan, ladder="x-z")
    single = similarity()[:1].assign(ladder="v-w")
    several = pd.concat([similarity(), none, single])
    assert similarity_sentences(several) == (
        f"{said} x-z: no rung has a calibrated similarity. v-w: the models of 1 of 1 rungs are "
        "more alike than permuted samples make them (p ≤ 0.05 each). Calibrated, the similarity is "
        "0.40 at 200 neurons."
    )


def counts(empty=()):
    rows = [
        {
            "ladder": "x-y",
            "rung": rung,
            "instrument": name,
            "n_neurons": size,
            "matches": np.nan if name in empty else size / 2,
            "matches_ci_low": size / 3,
            "matches_ci_high": size,
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

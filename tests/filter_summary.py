"""A table of filters as a finished run has it."""

import pandas as pd

from rosetta.filtering.precision_recall import PERCENTILE_COLUMNS, PERCENTILES
from rosetta.filtering.results import SUMMARY_COLUMNS

NAN = float("nan")
ROWS = {  # F1; perplexity, low, high; difference, low, high
    "base": (NAN, 9.0, NAN, NAN, NAN, NAN, NAN),
    "random": (0.1, 5.0, 3.5, 6.5, 1.0, 0.8, 1.2),
    "non_rosetta": (0.2, 4.2, 3.9, 4.5, 0.2, -0.1, 0.5),
    "non_rosetta_best": (0.9, 3.9, 2.9, 4.9, -0.1, -0.15, -0.05),
    "classifier": (0.8, NAN, NAN, NAN, NAN, NAN, NAN),
    "rosetta": (0.8, 4.0, 3.9, 4.1, NAN, NAN, NAN),
    "oracle": (1.0, 2.9, 2.8, 3.0, -1.1, -2.3, 0.1),
}
SUMMARY = pd.DataFrame(
    [
        (name, f1, f1, f1, f1, 50, mean, low, high, 3, *paired, 3)
        for name, (f1, mean, low, high, *paired) in ROWS.items()
    ],
    columns=SUMMARY_COLUMNS,
)
SWEPT = pd.DataFrame(
    [
        (name, None, percentile, percentile / 100, 100, percentile / 100, 1 - percentile / 100)
        for name in ROWS
        if name != "base"
        for percentile in PERCENTILES
    ],
    columns=PERCENTILE_COLUMNS,
)

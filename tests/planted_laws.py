"""Counts, estimates of beta and polarizations that follow a planted power law."""

import math

import numpy as np
import pandas as pd

from rosetta.analysis.groups import POLARIZATION_COLUMNS
from rosetta.theory.routes import BETA_COLUMNS

SIZES = np.array([256.0, 512, 1024, 2304])


def planted(alpha=0.5, ladder="l"):
    counts = pd.DataFrame(
        {"ladder": ladder, "rung": range(4), "n_neurons": SIZES, "matches": 3 * SIZES**alpha}
    )
    rows = [
        (ladder, "ngrams", 1 / alpha, 1 / alpha - 0.1, 1 / alpha + 0.1, 8),
        (ladder, "loss", *[math.nan] * 3, 2),
    ]
    return counts, pd.DataFrame(rows, columns=BETA_COLUMNS)


def polarization(slope):
    rows = [
        ("l", rung, group, statistic, mean, 0.9 * mean, 1.1 * mean, 50)
        for rung, size in enumerate(SIZES)
        for group, sign in (
            ("rosetta", 1),
            ("rosetta_above_untrained", 1.5),
            ("non_rosetta", -1),
            ("difference", 0.3),
        )
        for statistic, mean in (
            ("excess_kurtosis", 2.0 * size ** (sign * slope)),
            ("domain_information", rung - 1.0),
            ("fraction_active", 0.3),
        )
    ]
    return pd.DataFrame(rows, columns=POLARIZATION_COLUMNS)

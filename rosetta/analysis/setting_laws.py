"""The laws of counts that are made under several settings: α against the floor of r, against k, and
so on.
"""

from __future__ import annotations

import pandas as pd

from rosetta.analysis.count_law import law_of
from rosetta.analysis.counts import FLOOR_OF
from rosetta.analysis.pairs_of_models import pairs_by_modality
from rosetta.analysis.scaling import FIT_COLUMNS, few_matches, fit_told

_LAW_COLUMNS = [
    "alpha",
    "alpha_ci_low",
    "alpha_ci_high",
    "n_rungs",
    *FIT_COLUMNS,
    "few_matches",
    "reason",
]
FLOOR_SCALING_COLUMNS = ["ladder", "threshold", *_LAW_COLUMNS]


def laws_by(table: pd.DataFrame, *by: str) -> pd.DataFrame:
    """Return the exponent of every ladder under every setting, and that of all ladders of pairs
    together, with a height each (`rosetta.analysis.pairs_of_models`, if there are any pairs).

    Columns: ladder, those of the setting, alpha with the 95% interval of the fit, and what
    `rosetta.analysis.scaling.scaling_table` says of a fit. An exponent that does not depend on the
    floor of r is no work of chance matches, whose r are low.

    Parameters
    ----------
    table : DataFrame
        One row per group and setting: ladder, models, n_neurons, matches, optionally rung and
        modality, and the columns of the setting.
    *by : str
        The columns that tell settings apart, such as `threshold`.
    """
    rows = []
    for key, part in table.groupby(["ladder", *by], sort=False):
        rows.append((*key, *_law_cells(part)))
    for called, pairs in pairs_by_modality(table):
        once = pairs.drop_duplicates(["models", *by])  # of several ladders, the first
        for setting, part in once.groupby(list(by), sort=False):
            rows.append((called, *setting, *_law_cells(part)))
    return pd.DataFrame(rows, columns=["ladder", *by, *_LAW_COLUMNS])


def floor_table(counts: pd.DataFrame) -> pd.DataFrame:
    """Return the laws of matches above each floor of r, `threshold` (`FLOOR_SCALING_COLUMNS`).

    Rows are those of `laws_by`; there are none where no count above a floor is known.

    Parameters
    ----------
    counts : DataFrame
        One row per group: ladder, rung, models, n_neurons, and `matches_above_0.3` and so on: the
        columns of `FLOOR_OF`, or some.
    """
    floors = [name for name in FLOOR_OF if name in counts]
    keys = ["ladder", "rung", "models", "n_neurons"]
    keys += ["modality"] if "modality" in counts else []
    table = counts[[*keys, *floors]].melt(keys, var_name="floor", value_name="matches")
    table = table.assign(threshold=table["floor"].map(FLOOR_OF))
    return laws_by(table, "threshold")[FLOOR_SCALING_COLUMNS]


def _law_cells(part: pd.DataFrame) -> list:
    points = part.assign(count=part["matches"])
    law = law_of(points)
    cells = {
        "alpha": law.alpha,
        "alpha_ci_low": law.alpha - law.half_width,
        "alpha_ci_high": law.alpha + law.half_width,
        **fit_told(law),
        "few_matches": few_matches(points),
        "reason": law.reason,
    }
    return [cells[name] for name in _LAW_COLUMNS]

"""A number of a table in words, with its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd


def number(row: pd.Series, name: str, form: str) -> str:
    """Return a number of a row with its 95% interval, if that is known: `0.44 [0.41, 0.47]`.

    Parameters
    ----------
    row : Series
        With `{name}`, `{name}_ci_low` and `{name}_ci_high`.
    name : str
        The column.
    form : str
        A format specification, such as `.2f`.
    """
    low, high = row[f"{name}_ci_low"], row[f"{name}_ci_high"]
    known = np.isfinite([low, high]).all()
    return f"{row[name]:{form}}" + (f" [{low:{form}}, {high:{form}}]" if known else "")

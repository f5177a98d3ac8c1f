"""Numbers short enough for a page."""

from __future__ import annotations

import math


def short_number(value: float) -> float | None:
    """Return a number of four digits, or None where it is not finite: JSON has no NaN."""
    return float(f"{value:.4g}") if math.isfinite(value) else None

"""Progress for people: a bar on a terminal, a line every few seconds in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from tqdm import tqdm


def bar(items: Iterable | None = None, *, total: int | None, label: str, unit: str = "it") -> tqdm:
    """Return a tqdm bar that prints whole lines, seldom, when stderr is a file."""
    interactive = sys.stderr.isatty()
    return tqdm(
        items,
        total=total,
        desc=label,
        unit=unit,
        position=0,  # a bar inside another prints lines of its own, no cursor movements
        unit_scale=unit in ("tok", "B"),
        mininterval=0.2 if interactive else 5.0,
        ascii=not interactive,
        dynamic_ncols=interactive,
        ncols=None if interactive else 100,
        file=sys.stderr if interactive else _Lines(),
    )


class _Lines:
    """A stream that turns tqdm's carriage returns into lines of their own."""

    def write(self, text: str) -> None:
        line = text.replace("\r", "").strip()
        if line:
            sys.stderr.write(line + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def say(message: str) -> None:
    """Print one line to the log."""
    print(message, file=sys.stderr, flush=True)

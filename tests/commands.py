"""Running `rosetta` in this process, and what every refusal must look like."""

import contextlib
import io
import re
import sys
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from rosetta import cli


class Done(NamedTuple):
    code: int
    out: str
    err: str


def run_here(*arguments, folder: Path) -> Done:
    """Run a command in a folder; an exception that `rosetta` lets through fails the test with its
    traceback.
    """
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with (
        contextlib.chdir(folder),
        mock.patch.object(sys, "argv", ["rosetta", *map(str, arguments)]),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            cli.main()
        except SystemExit as exit_:
            code = exit_.code
    return Done(code or 0, out.getvalue(), err.getvalue())


def assert_rejected(done: Done, message: str) -> None:
    """Exit code 2, one message that matches, no traceback."""
    assert done.code == 2, done
    assert len(re.findall(r"^rosetta: |^╭─ Error|^Error: ", done.err, re.MULTILINE)) == 1, done.err
    assert "Traceback" not in done.err
    assert re.search(message, unwrapped(done.err)), done.err


def unwrapped(text: str) -> str:
    """Return a message in one line: usage errors come in a box as wide as the terminal."""
    return " ".join(text.replace("│", " ").split())


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return everything below a folder, files with their content."""
    found = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in found
    }

"""The command line, in this process."""

import sys

import pytest

from rosetta.cli.app import main


@pytest.fixture
def rosetta_main(monkeypatch, capsys):
    """Return a function that runs the command line here: (exit code, stdout, stderr)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["rosetta", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run

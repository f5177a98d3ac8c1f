"""`rosetta --version` says which version is installed."""

from importlib.metadata import version

from commands import run_here

import rosetta


def test_the_version_is_that_of_the_package(tmp_path):
    done = run_here("--version", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"rosetta {version('rosetta-neurons')}\n"
    assert rosetta.__version__ in done.out

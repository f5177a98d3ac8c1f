"""Snakemakes that begin with what they import: a process that has imported it, and forks.

Run as a script, it reads requests from its standard input, a line of JSON each, and writes the exit
code of each Snakemake. Importing Snakemake and what the Snakefile asks of the package takes twice
as long as planning a small run.
"""

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path


@cache
def _server() -> subprocess.Popen:
    """Return the process that forks; it ends when this one does, which closes its input."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, __file__], text=True, bufsize=1, **pipes)


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Snakemake in a folder, in this process's environment."""
    with tempfile.TemporaryDirectory() as said:
        out, err = (Path(said) / name for name in ("out", "err"))
        request = {"folder": str(folder), "said": [str(out), str(err)], "arguments": arguments}
        print(json.dumps({**request, "environment": dict(os.environ)}), file=_server().stdin)
        code = _server().stdout.readline()
        assert code, "the process that forks is gone"
        return subprocess.CompletedProcess(
            ["snakemake", *arguments], int(code), out.read_text(), err.read_text()
        )


def _serve() -> None:
    """Fork a process for each request; only these return."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return _become(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    sys.exit()


def _become(request: dict) -> None:
    """Make this process what was asked for."""
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in enumerate(request["said"], 1):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), number)
    sys.argv = ["snakemake", *request["arguments"]]


if __name__ == "__main__":
    import snakemake.cli

    import rosetta.models.folders  # what workflow/rules/common.smk imports, and prices need
    import rosetta.plan.checks
    import rosetta.plan.resources
    import rosetta.run.pieces
    import rosetta.sae.folders
    import rosetta.theory.allocation  # noqa: F401

    snakemake.cli.get_argument_parser()  # imports all plugins
    _serve()
    snakemake.cli.main()

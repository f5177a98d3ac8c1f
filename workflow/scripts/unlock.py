"""Before a run: see that Snakemake has room for its records, and remove the lock that a killed one left in this folder.

The lock stays where a run, or a job of a killed one, is alive.
"""

import shutil
import sys
from pathlib import Path

from rosetta.errors import RosettaError
from rosetta.files import check_room
from rosetta.processes import hold, running_here

LOCKS = Path(".snakemake/locks")
RECORD_BYTES = 100_000  # with less, Snakemake ends with a traceback

try:
    check_room(Path.cwd() / ".snakemake", RECORD_BYTES)
except RosettaError as error:
    sys.exit(f"rosetta: {error}")

if LOCKS.is_dir() and any(LOCKS.iterdir()):
    try:
        hold(Path.cwd())  # so that no other run begins between the look and the removal
    except RosettaError as error:
        sys.exit(f"rosetta: {error}")
    alive = running_here(Path.cwd())
    if alive:
        sys.exit(
            f"rosetta: a run, or a job that a killed run left behind, is at work in this folder (process {alive[0]}). "
            "Wait for it, or stop it first."
        )
    print("Removing the lock of a run that was killed.", file=sys.stderr)
    shutil.rmtree(LOCKS)  # what `snakemake --unlock` does, which reads the whole workflow first

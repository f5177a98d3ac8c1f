"""Before a run: see that Snakemake can write what it needs, and remove the lock that a killed one
left in this folder.

The lock stays where a run, or a job of a killed one, is alive.
"""

import os
import shutil
import sys
from pathlib import Path

from snakemake.common import get_appdirs

from rosetta.errors import RosettaError
from rosetta.storage.atomic import check_room
from rosetta.storage.locks import hold, running_here

LOCKS = Path(".snakemake/locks")
RECORD_BYTES = 100_000  # with less, Snakemake ends with a traceback

cache = Path(
    get_appdirs().user_cache_dir
)  # Snakemake, which makes it before it reads anything, ends with a traceback
try:
    cache.mkdir(parents=True, exist_ok=True)
    writable = os.access(cache, os.W_OK | os.X_OK)
except OSError:
    writable = False
if not writable:
    sys.exit(
        f"rosetta: {cache}: cannot be written, and Snakemake keeps copies of its rules there. "
        "Set XDG_CACHE_HOME to a "
        "folder that can be, say XDG_CACHE_HOME=$PWD/.cache; Matplotlib and the hub of models "
        "then use it too."
    )

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
            "rosetta: a run, or a job that a killed run left behind, is at work in this folder "
            f"(process {alive[0]}). "
            "Wait for it, or stop it first."
        )
    print("Removing the lock of a run that was killed.", file=sys.stderr)
    shutil.rmtree(LOCKS)  # what `snakemake --unlock` does, which reads the whole workflow first

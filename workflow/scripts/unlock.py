"""Remove the lock that a killed Snakemake left in this folder, unless one is still running here."""

import subprocess
import sys
from pathlib import Path

from rosetta.processes import running_here

LOCKS = Path(".snakemake/locks")


if LOCKS.is_dir() and any(LOCKS.iterdir()):
    alive = running_here(Path.cwd())
    if alive:
        sys.exit(f"Another run is working in this folder (process {alive[0]}). Wait for it, or stop it first.")
    print("Removing the lock of a run that was killed.", file=sys.stderr)
    done = subprocess.run(["snakemake", "--unlock"], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)

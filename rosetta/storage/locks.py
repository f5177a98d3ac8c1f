"""Which processes work on a run: on this machine, and the holder on any machine."""

from __future__ import annotations

import atexit
import fcntl
import os
import socket
from pathlib import Path
from typing import IO

import psutil

from rosetta.errors import BusyError

RUN_LOCK = Path(".snakemake") / "run.lock"

_held: list[
    IO[str]
] = []  # open until the process ends: the system gives a lock back when its file is closed


def running_here(folder: Path, results: Path | None = None) -> list[int]:
    """Return the processes that run Snakemake, or a job that a killed one left alive, in a folder.

    With `results`, an absolute path that may not tell the folder, those that name it on their
    command line count, too.
    """
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        names = [Path(word).name for word in words[:3]]
        # A person who asks for the status is not a run.
        if not {"snakemake", "rosetta"} & set(names) or "status" in words:
            continue
        if process.info["cwd"] == str(folder) or (
            results and any(f"{results}/" in f"{word}/" for word in words)
        ):
            found.append(process.info["pid"])
    return found


def is_held(folder: Path) -> bool:
    """Tell whether another process holds a folder, without holding it.

    Also True where `hold` would fail because nobody can tell.
    """
    try:
        stream = open(folder / RUN_LOCK)  # noqa: SIM115
    except FileNotFoundError:
        return False
    with stream:
        process, _, machine = stream.read().partition(" ")
        if (
            not process
        ):  # a run that came to its end leaves no name; nobody is disturbed by a look at the lock
            return False
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # given back as the file is closed
        except BlockingIOError:
            return True
        except OSError:
            return machine != socket.gethostname()
    return False


def hold(folder: Path) -> None:
    """Hold a folder for this process, until it ends in whatever way.

    Unlike Snakemake's lock, which is a file that outlives a killed run, this one is the operating
    system's: it is gone with its holder, and is seen from other machines that share the folder over
    NFS.

    Raises
    ------
    BusyError
        If another process holds the folder, or was killed on another machine and the file system
        has no locks.
    """
    (folder / RUN_LOCK).parent.mkdir(exist_ok=True)
    stream = open(folder / RUN_LOCK, "a+")  # noqa: SIM115
    stream.seek(0)
    process, _, machine = stream.read().partition(" ")
    here = socket.gethostname()
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError(
            f"Another run is at work in this folder: process {process} on {machine}. Wait for "
            "it, or stop it first."
        ) from None
    except OSError as error:
        if machine not in ("", here):
            raise BusyError(
                f"The last run in this folder, process {process} on {machine}, did not end "
                "well, and this file system "
                f"cannot tell whether it is still alive ({error}). If it is not, delete "
                f"{RUN_LOCK} and run again."
            ) from None
    stream.truncate(0)
    stream.write(f"{os.getpid()} {here}")
    stream.flush()
    atexit.register(stream.truncate, 0)
    _held.append(stream)

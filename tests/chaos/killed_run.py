"""A run that is killed again and again, restarted by the documented command, and watched for work
done twice.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psutil
import torch
import yaml
from snakemake_records import recorded
from workflow_runs import CORES, ROOT, copy_project

# What a kill waits for once its share of the jobs is done: nothing, or that one of these files
# appears.
EVENTS = {
    "any moment": (),
    "a file being written": (r"/\.[^/]+\.[0-9a-f]{8}\.tmp(/|$)",),
    "a checkpoint or a tile": (r"/checkpoints/[^/]+/last\.pt$", r"/\.tiles-[^/]+/[^/]+\.npz$"),
}
PATIENCE = 2  # jobs that may finish while a kill waits for its moment
POLL_SECONDS = 0.02


def make_project(folder: Path, config: dict) -> Path:
    """Copy what `make run` needs; the environment is the one that runs the tests."""
    copy_project(folder)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "run.yaml").write_text(yaml.safe_dump(config))
    return folder


def make_run(*targets: str) -> list[str]:
    """Return the one command that starts a run and goes on with it after anything."""
    return [
        "make",
        "--old-file=.venv/installed",
        "run",
        "CONFIG=run.yaml",
        f"CORES={CORES}",
        f"TARGETS={' '.join(targets)}",
    ]


def finished_jobs(folder: Path) -> set[str]:
    """Return the jobs, by their logs, that Snakemake has recorded as finished and does not call
    incomplete.
    """
    incomplete = recorded(folder, "incomplete")
    done, open_again = set(), set()
    for output, record in recorded(folder, "metadata").items():
        try:
            log = json.loads(record.read_text())["log"][0]
        except (ValueError, FileNotFoundError):
            continue  # killed while it wrote this: the job is not finished
        (open_again if output in incomplete else done).add(log)
    return done - open_again


@dataclass
class Tally:
    """What the kills met."""

    seed: int
    kills: dict[str, int] = field(default_factory=lambda: dict.fromkeys(EVENTS, 0))
    finished: int = 0
    interrupted: int = 0
    recomputed: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    tiles_found: int = 0

    def text(self) -> str:
        """Return the figures for people."""
        kills = ", ".join(f"{n} at {event}" for event, n in self.kills.items())
        return (
            f"seed {self.seed}: {sum(self.kills.values())} kills ({kills}); {self.finished} jobs; "
            f"{self.interrupted} times a job was cut off; recomputed though finished: "
            f"{self.recomputed or 'none'}; "
            f"trainings resumed: {', '.join(self.resumed) or 'none'}; tiles that outlived a "
            f"kill: {self.tiles_found}"
        )


class KilledRun:
    """A project whose run is killed `n_kills` times, spread over its jobs, and then goes on to the
    end.

    Parameters
    ----------
    folder : Path
        The project, made by `make_project`.
    targets : tuple of str
        Files to make; none for all.
    n_jobs : int
        Jobs of an uninterrupted run.
    n_kills, seed : int
        How often it is killed, and what the moments are drawn from.
    """

    def __init__(
        self, folder: Path, targets: tuple[str, ...], n_jobs: int, n_kills: int, seed: int
    ) -> None:
        self.folder, self._command = folder, make_run(*targets)
        self._random = random.Random(seed)
        self._last = (
            n_jobs - 2
        )  # jobs finished when a kill waits no longer, so that the run does not end before it
        self._thresholds = sorted(
            self._random.randint(0, max(0, self._last - PATIENCE)) for _ in range(n_kills)
        )
        self.tally = Tally(seed)
        self._logs: dict[str, int] = {}  # of finished jobs: when they were last written to
        self._cut: dict[str, int] = {}  # of interrupted ones
        self._steps: dict[
            str, int
        ] = {}  # of interrupted trainings, by their log: steps in the checkpoint
        self._tiles: dict[Path, int] = {}

    def to_the_end(self, out: Path) -> Tally:
        """Kill, restart, and finish; return what was seen. Everything that the runs say goes to
        `out`.
        """
        with open(out, "w") as stream:
            for threshold, event in zip(self._thresholds, cycle(EVENTS), strict=False):
                process = self._start(stream)
                if self._wait(process, threshold, event):
                    self._kill(process)
                    self.tally.kills[event] += 1
                    self._look()
                    print(f"killed at {event}, {len(self._logs)} jobs finished", flush=True)
            process = self._start(stream)
            assert process.wait(timeout=3600) == 0, out.read_text()[-5000:]
        self._look()
        self.tally.finished = len(self._logs)
        return self.tally

    def _start(self, stream) -> subprocess.Popen:
        stream.flush()
        return subprocess.Popen(
            self._command,
            cwd=self.folder,
            start_new_session=True,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )

    def _wait(self, process: subprocess.Popen, threshold: int, event: str) -> bool:
        """Wait for the moment of a kill; False if the run came to its end before."""
        while len(finished_jobs(self.folder)) < threshold and not self._ended(process):
            time.sleep(POLL_SECONDS)
        limit = min(len(finished_jobs(self.folder)) + PATIENCE, self._last)
        seen = self._found(event)
        # Up to ten seconds: a run needs three to begin, and five for a job.
        until = time.monotonic() + (math.inf if EVENTS[event] else self._random.uniform(0, 10))
        while (
            not self._ended(process)
            and len(finished_jobs(self.folder)) < limit
            and time.monotonic() < until
        ):
            if self._found(event) - seen:
                break
            time.sleep(POLL_SECONDS)
        return not self._ended(process)

    @staticmethod
    def _ended(process: subprocess.Popen) -> bool:
        code = process.poll()
        assert not code, f"the run failed with {code}"
        return code is not None

    def _found(self, event: str) -> set[str]:
        patterns = EVENTS[event]
        if not patterns:
            return set()
        walked = os.walk(self.folder / "results")
        names = (
            os.path.join(at, name) for at, folders, files in walked for name in folders + files
        )
        return {name for name in names if any(re.search(pattern, name) for pattern in patterns)}

    def _kill(self, process: subprocess.Popen) -> None:
        """Kill the whole process group and see that nothing of the run is left."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 30
        while alive := [
            p.pid for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(self.folder)
        ]:
            assert time.monotonic() < deadline, (
                f"processes {alive} outlived the kill of their group"
            )
            time.sleep(0.02)

    def _look(self) -> None:
        """Compare what is there with what was there at the last kill, and remember it."""
        done = finished_jobs(self.folder)
        for log, written in self._logs.items():
            if self._written(log) != written:
                self.tally.recomputed.append(log)
        self._logs = {log: self._written(log) for log in done}
        begun = {
            str(path.relative_to(self.folder))
            for path in (self.folder / "results" / "logs").rglob("*.log")
        }
        cut = {log: self._written(log) for log in begun - done}
        self.tally.interrupted += len(cut.items() - self._cut.items())
        self._cut = cut
        self._look_at_checkpoints()
        self._look_at_tiles()

    def _written(self, log: str) -> int:
        return (self.folder / log).stat().st_mtime_ns

    def _look_at_checkpoints(self) -> None:
        """A training that had a checkpoint must have gone on from there, if it got as far as its
        first step.
        """
        for log, steps in self._steps.items():
            said = (self.folder / log).read_text()
            if re.search(r"checkpoint at|resuming at|train loss|perplexity", said):
                resumed = re.search(r"resuming at step (\d+)", said)
                assert resumed, f"{log}: had a checkpoint of step {steps}, and began again:\n{said}"
                assert int(resumed[1]) >= steps, said
                self.tally.resumed.append(f"{Path(log).stem} at step {resumed[1]}")
        self._steps = {}
        for checkpoint in (self.folder / "results").rglob("checkpoints/*/last.pt"):
            rule = "filter_pretrain" if "filtering" in checkpoint.parts else "train"
            log = f"results/logs/{rule}/{checkpoint.parent.name}.log"
            if log not in self._logs:
                self._steps[log] = len(torch.load(checkpoint, weights_only=True)["losses"])

    def _look_at_tiles(self) -> None:
        for tile, written in self._tiles.items():
            if tile.exists():
                assert tile.stat().st_mtime_ns == written, (
                    f"{tile}: was finished, and is computed again"
                )
        tiles = {
            tile: tile.stat().st_mtime_ns
            for tile in (self.folder / "results").rglob(".tiles-*/*.npz")
        }
        self.tally.tiles_found += len(tiles.keys() - self._tiles.keys())
        self._tiles = tiles

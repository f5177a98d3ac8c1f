"""A SLURM cluster of one node, of this machine and this user, that leaves no trace when it is
stopped.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo", "srun")
PATH = os.pathsep.join(
    [os.environ["PATH"], "/usr/sbin"]
)  # daemons lie there, and users' paths may lack it
START_SECONDS = 60

CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
MpiDefault=none
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/log/completed.txt
SwitchType=switch/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=3600
KillWait=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=600 DefaultTime=10 DefMemPerCPU=100 State=UP
"""


def missing_programs() -> list[str]:
    """Return the programs that a cluster needs and this machine lacks."""
    return [name for name in PROGRAMS if not shutil.which(name, path=PATH)]


class Cluster:
    """A running cluster; `environment` is what commands and jobs need to reach it."""

    def __init__(self, cpus: int = 4) -> None:
        self.folder = Path(
            tempfile.mkdtemp(prefix="slurm-", dir="/tmp")
        )  # munged wants a short path, open to all
        self.folder.chmod(0o755)
        for name in ("bin", "log", "state", "spool", "munge"):
            (self.folder / name).mkdir(mode=0o755)
        self.environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(self.folder / "bin"), PATH]),
            "SLURM_CONF": str(self.folder / "slurm.conf"),
        }
        memory = psutil.virtual_memory().total // 1_000_000 * 3 // 4
        port, node_port = _free_ports(2)
        host = socket.gethostname().split(".")[0]
        user = psutil.Process().username()
        text = CONFIGURATION.format(
            folder=self.folder,
            host=host,
            user=user,
            port=port,
            node_port=node_port,
            cpus=cpus,
            memory=memory,
        )
        (self.folder / "slurm.conf").write_text(text)
        self._start()

    def _start(self) -> None:
        munge = self.folder / "munge"
        key = munge / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        # The executor's job step drops SLURM_CONF, and its own srun fails without it.
        srun = self.folder / "bin" / "srun"
        real = shutil.which("srun", path=PATH)
        srun.write_text(
            f'#!/bin/sh\nexport SLURM_CONF={self.folder}/slurm.conf\nexec {real} "$@"\n'
        )
        srun.chmod(srun.stat().st_mode | stat.S_IXUSR)
        self.run(
            "munged",
            f"--key-file={key}",
            f"--socket={munge}/socket",
            f"--pid-file={self.folder}/munged.pid",
            f"--log-file={self.folder}/log/munged.log",
            f"--seed-file={munge}/seed",
            "--num-threads=4",
        )
        for daemon in ("slurmctld", "slurmd"):
            self.run(daemon, "-f", str(self.folder / "slurm.conf"))
        deadline = time.monotonic() + START_SECONDS
        while self.run("sinfo", "-h", "-o", "%T", check=False).stdout.strip() != "idle":
            if time.monotonic() > deadline:
                logs = "\n".join(
                    log.read_text()[-2000:] for log in (self.folder / "log").glob("*.log")
                )
                self.stop()
                raise RuntimeError(f"the cluster is not idle after {START_SECONDS} s:\n{logs}")
            time.sleep(0.2)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run a command of the cluster."""
        done = subprocess.run(
            command,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.folder,
        )
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
        return done

    def jobs(self) -> list[dict[str, str]]:
        """Return all jobs since the start: their id, state, comment (which names the rule) and
        cores.
        """
        listed = self.run("squeue", "--states=all", "-h", "-o", "%i|%T|%k|%C").stdout
        return [
            dict(zip(("id", "state", "comment", "cores"), line.split("|"), strict=True))
            for line in listed.split()
        ]

    def cancel_all(self) -> None:
        """Cancel all jobs of this user."""
        self.run("scancel", "--user", psutil.Process().username(), check=False)

    def stop(self) -> None:
        """Cancel all jobs, stop the daemons, remove the folder."""
        self.cancel_all()
        for name in ("slurmd", "slurmctld", "munged"):
            file = self.folder / f"{name}.pid"
            if file.exists():
                _terminate(int(file.read_text()))
        shutil.rmtree(self.folder, ignore_errors=True)


def _terminate(pid: int) -> None:
    try:
        process = psutil.Process(pid)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        process.kill()


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports

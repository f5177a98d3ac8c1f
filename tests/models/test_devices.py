"""The memory of this machine, and GPUs that jobs claim."""

import os
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from rosetta.config.devices import Devices
from rosetta.errors import ConfigError
from rosetta.models import devices
from rosetta.models.placement import (
    Room,
)


def test_the_room_of_a_machine_with_gpus(monkeypatch):
    """What is given, but no more than there is; of the GPUs that a job sees."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _n: SimpleNamespace(total_memory=50e9)
    )
    assert devices.room_here(Devices(n_gpus=4, cpu_memory_gb=3)) == Room((45e9, 45e9), 3e9, "cpu")
    assert devices.room_here(Devices(gpu_memory_gb=20)).gpus == (20e9,)
    with pytest.raises(
        ConfigError,
        match=r"devices\.gpu_memory_gb: 80 is given, and this machine has 50\. Lower it",
    ):
        devices.room_here(Devices(gpu_memory_gb=80))
    with pytest.raises(
        ConfigError, match=r"devices\.cpu_memory_gb: 99999 is given, and this machine has"
    ):
        devices.room_here(Devices(cpu_memory_gb=99_999))


@pytest.fixture
def claim(tmp_path, monkeypatch):
    """Claim GPUs as one more job would: locks of two open files exclude each other, be they of one
    process or two.
    """
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    held = []

    def start(n_visible, n, names=""):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_visible)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)
        monkeypatch.setattr(devices, "_claimed", {})
        held.append(devices._claimed)
        claimed = devices.claim_gpus(n)
        assert devices.claim_gpus(1) == claimed[:1], "a claim is kept"
        return claimed

    yield start
    for stream in (stream for job in held for stream in job.values()):
        stream.close()


def test_jobs_on_one_machine_spread_over_its_gpus(claim):
    found = [claim(3, 1) for _ in range(7)]
    assert sorted(Counter(number for (number,) in found).values()) == [2, 2, 3]
    assert {number for (number,) in found[:3]} == {0, 1, 2}
    assert len(set(claim(3, 2))) == 2
    assert sorted(claim(3, 9)) == [0, 1, 2], "no more than there are"
    assert claim(0, 1) == []


def test_a_folder_of_claims_that_is_another_users_is_rejected(tmp_path, claim):
    target = tmp_path / "elsewhere"
    target.mkdir()
    (tmp_path / f"rosetta-gpus-{os.getuid()}").symlink_to(target)
    with pytest.raises(ConfigError, match=r"is not yours.* Set TMPDIR"):
        claim(1, 1)
    assert not list(target.iterdir())


def test_gpus_are_known_by_their_name_on_the_machine(claim):
    """Two jobs that each see one GPU, under the number 0, do not get into each other's way."""
    assert claim(2, 1, "4,5") == [0]
    assert claim(1, 1, "5") == [0]
    assert claim(3, 1, "4,5,GPU-1a/2") == [2]


def test_a_claim_ends_with_its_process(tmp_path, claim):
    code = (
        "import torch; torch.cuda.device_count = lambda: 2; from rosetta.models.devices "
        "import *; print(claim_gpus(1))"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    running = subprocess.Popen(
        [sys.executable, "-c", f"{code}; input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert running.stdout.readline() == "[0]\n"
    assert claim(2, 1) == [1]
    running.kill()
    running.communicate()
    assert claim(2, 1) == [0]

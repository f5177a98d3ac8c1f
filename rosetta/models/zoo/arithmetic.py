"""Where zoo models are trained, and with what arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from rosetta.config.zoo import ZooOptimization
from rosetta.errors import ConfigError
from rosetta.models.devices import CPU, best_device


def training_device(training: ZooOptimization, key: str = "zoo.training") -> torch.device:
    """Return where zoo models are trained; `key` names their section of the configuration.

    Raises
    ------
    ConfigError
        If a GPU is asked for and there is none.
    """
    if training.device == "cpu":
        return CPU
    device = best_device()
    if training.device == "cuda" and device == CPU:
        raise ConfigError(f"{key}.device: cuda, but torch sees no GPU here. Give `cpu`, or `auto`.")
    return device


@contextmanager
def fast_and_repeatable(device: torch.device) -> Iterator[None]:
    """Take numbers below 1e-38 for zero: a processor adds them a hundred times slower.

    On a GPU, use algorithms that give the same sums every time. A mixture's router counts in one
    that has no such form, of which torch warns.
    """
    on_gpu = device != CPU
    before = torch.are_deterministic_algorithms_enabled()
    torch.set_flush_denormal(True)
    if on_gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which torch asks for
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(before)

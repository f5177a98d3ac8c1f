"""A forward pass whose activations are recorded: one at a time, with what is said if none fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from weakref import WeakKeyDictionary

import torch
from torch import nn

from rosetta.errors import ModelError

FEWER_IMAGES = "Lower activations.batch_size."  # the fix where images are too many at once
_LOCKS: WeakKeyDictionary[nn.Module, Lock] = WeakKeyDictionary()
_OF_LOCKS = Lock()


@contextmanager
def forward_pass(module: nn.Module, shown: str, fix: str, where: torch.device) -> Iterator[None]:
    """Keep a module to this thread for the block, in which it runs and its hooks record.

    Two sides of a pair may be one model, and two tiles that are computed side by side share theirs:
    the hooks of either would record the pass of the other.

    Parameters
    ----------
    module : nn.Module
        What the hooks are on, or a part of it that only such passes run.
    shown, fix : str
        For messages: what it is shown at once, by which model; and what to do if that is too much.
    where : torch.device
        Where activations are kept.

    Raises
    ------
    ModelError
        If the GPU does not hold the pass, and activations leave it. Where they stay, a smaller tile
        leaves more room: the error of torch is raised, for the caller to take one.
    """
    with _OF_LOCKS:
        lock = _LOCKS.setdefault(module, Lock())
    try:
        with lock:
            yield
    except torch.OutOfMemoryError as error:
        if where.type != "cpu":
            raise
        raise ModelError(f"{shown} at once do not fit the GPU ({error}). {fix}") from None

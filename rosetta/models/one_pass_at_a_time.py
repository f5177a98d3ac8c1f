"""One forward pass at a time through a module that several threads use."""

from __future__ import annotations

from threading import Lock
from weakref import WeakKeyDictionary

from torch import nn

_LOCKS: WeakKeyDictionary[nn.Module, Lock] = WeakKeyDictionary()
_OF_LOCKS = Lock()


def one_pass_at_a_time(module: nn.Module) -> Lock:
    """Return the lock to hold while hooks of a module record its forward pass.

    Two sides of a pair may be one model, and two tiles that are computed side by side share theirs:
    the hooks of either would record the pass of the other.
    """
    with _OF_LOCKS:
        return _LOCKS.setdefault(module, Lock())

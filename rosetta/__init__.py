"""Find the neurons that independently trained networks share.

The names in `__all__` are the public interface and follow semantic versioning. They take values
and return values; only `capture` writes, into the folder that it is given. Each is loaded when it
is first used, so that importing the package costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rosetta.api.ablation import ablate, ablate_images
    from rosetta.api.capture import capture
    from rosetta.api.matching import anchors, correlate, match
    from rosetta.api.run import Run, open_run
    from rosetta.api.scaling import fit_power_law, plot_scaling
    from rosetta.api.store import ModelStore
    from rosetta.api.vocabulary import vocabulary_kurtosis
    from rosetta.correlation.neighbor_tables import NeighborLists
    from rosetta.errors import RosettaError

    __version__: str

__all__ = [
    "ModelStore",
    "NeighborLists",
    "RosettaError",
    "Run",
    "__version__",
    "ablate",
    "ablate_images",
    "anchors",
    "capture",
    "correlate",
    "fit_power_law",
    "match",
    "open_run",
    "plot_scaling",
    "vocabulary_kurtosis",
]

_MODULE_OF = {
    "ModelStore": "rosetta.api.store",
    "NeighborLists": "rosetta.correlation.neighbor_tables",
    "RosettaError": "rosetta.errors",
    "Run": "rosetta.api.run",
    "ablate": "rosetta.api.ablation",
    "ablate_images": "rosetta.api.ablation",
    "anchors": "rosetta.api.matching",
    "capture": "rosetta.api.capture",
    "correlate": "rosetta.api.matching",
    "fit_power_law": "rosetta.api.scaling",
    "match": "rosetta.api.matching",
    "open_run": "rosetta.api.run",
    "plot_scaling": "rosetta.api.scaling",
    "vocabulary_kurtosis": "rosetta.api.vocabulary",
}


def __getattr__(name: str) -> Any:
    """Load a public name on its first use (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("rosetta-neurons")
    elif name in _MODULE_OF:
        value = getattr(import_module(_MODULE_OF[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # from now on it is found without a call
    return value


def __dir__() -> list[str]:
    """Return the public names, loaded or not, and what else the module has."""
    return sorted({*globals(), *__all__})

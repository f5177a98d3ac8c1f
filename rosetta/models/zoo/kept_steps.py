"""Steps of a training whose weights are kept, each as a model of its own."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rosetta.errors import StoreError
from rosetta.models.zoo.training_loop import mean_of_last
from rosetta.progress import say
from rosetta.storage.manifests import check_files, describe_files, read_manifest, write_manifest

RECORD = "kept-step"
# Writes a model that is at a step to a folder, and returns how well it has learnt.
Write = Callable[[Any, Path], dict[str, float]]


@dataclass(frozen=True)
class KeptSteps:
    """Which steps of a training are kept, where, and how.

    Attributes
    ----------
    folders : dict of int to Path
        Where the model at each step goes, in growing order.
    records : Path
        Folder of what was kept so far, for a killed training to go on: beside its checkpoint.
    write : callable
        From a model and its folder to how well it has learnt.
    """

    folders: dict[int, Path]
    records: Path
    write: Write

    @property
    def last(self) -> int:
        """The last step that is kept."""
        return max(self.folders)

    def keep(self, model: Any, step: int, losses: list[float], run: str) -> None:
        """Keep a model that has made a step, if it is one of those; then note it.

        Parameters
        ----------
        model : PreTrainedModel
            In training; it is left as it is.
        step : int
            Steps that it has made.
        losses : list of float
            Of all of these.
        run : str
            Digest of all that shapes the weights (`training_loop.Steps`).
        """
        if step not in self.folders:
            return
        folder = self.folders[step]
        facts = {"train_loss": mean_of_last(losses), **self.write(as_saved(model), folder)}
        files = describe_files(folder)
        kept = {"kind": RECORD, "run": run, "facts": facts, "files": files}
        write_manifest(self._record(step), kept)
        say(f"kept step {step}: {folder}")

    def missing(self, until: int, run: str) -> bool:
        """Tell whether a step up to `until` is lacking, damaged, or of another training."""
        return any(not self._has(step, run) for step in self.folders if step <= until)

    def facts(self) -> dict[str, dict[str, float]]:
        """Return how well the model had learnt at every step, once all are kept."""
        return {
            str(step): read_manifest(self._record(step), RECORD)["facts"] for step in self.folders
        }

    def _record(self, step: int) -> Path:
        return self.records / f"step-{step}.json"

    def _has(self, step: int, run: str) -> bool:
        try:
            record = read_manifest(self._record(step), RECORD)
            check_files(self.folders[step], record["files"], self._record(step))
        except StoreError:
            return False
        return bool(record["run"] == run)


def as_saved(model: Any) -> Any:
    """Return a copy of a model in training as it is saved and shown texts: on the processor, and
    of a mixture without its router's loss.
    """
    kept = copy.deepcopy(model).to("cpu").eval()
    if getattr(kept.config, "output_router_logits", False):
        kept.config.output_router_logits = False
    return kept

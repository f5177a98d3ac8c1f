"""The steps that look at a run's folder: what is in it, how far it is, and whether it is whole."""

from __future__ import annotations

from pathlib import Path

from rosetta.config import load_config
from rosetta.models.sources import check_model
from rosetta.run.documentation import results_reference
from rosetta.run.folders import run_config_in
from rosetta.run.paths import Paths
from rosetta.run.status import started_in, status_text
from rosetta.run.verify import verify


def status_step(results: Path) -> str:
    """Return what of the run in a results folder is done, running, missing or failed, as text.

    Raises
    ------
    ConfigError
        If the folder has no run.
    """
    config = load_config(run_config_in(results))
    return status_text(config, Paths(results), started_in(config, results))


def results_reference_step() -> str:
    """Return the documentation of all files that a run writes, docs/results.md."""
    return results_reference()


def verify_step(results: Path) -> str:
    """Compare every file below a results folder with its digest (`rosetta.run.verify.verify`).

    Raises
    ------
    ConfigError
        If the folder holds no run, and nothing that a command wrote.
    StoreError
        Naming all that are damaged, and what to type to recompute exactly these.
    """
    return verify(results, check_model)

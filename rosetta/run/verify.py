"""All files of a results folder, compared with the digests recorded when they were written."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rosetta.config import Config, load_config
from rosetta.config.training_ladders import step_models
from rosetta.errors import RosettaError, StoreError
from rosetta.progress import bar
from rosetta.run.folders import run_config_in, run_near
from rosetta.run.paths import OF_FEATURES, Paths
from rosetta.run.provenance import RESUMED
from rosetta.run.status import started_in
from rosetta.storage.damage import DamageError, how_to_recompute
from rosetta.storage.digests import check_digest
from rosetta.storage.manifests import check_files, read_manifest
from rosetta.storage.names import digest_path

Check = Callable[[], None]
CheckModel = Callable[[dict[str, Any], Path], None]
# Folders whose files no rule names: the rule's output is the file of this suffix beside them.
_OUTPUTS = {"selections": ".json", "viewer": ".html"}


def verify(root: Path, check_model: CheckModel) -> str:
    """Compare every file below a results folder, or a folder of `rosetta filter`, with its digest.

    Parameters
    ----------
    root : Path
        The folder.
    check_model : callable
        Takes a model's manifest and its path, and raises if the model is not the one described
        (`rosetta.models.sources.check_model`: this part does not know what models are made of).

    Returns
    -------
    str
        How many there are, if none is damaged.

    Raises
    ------
    ConfigError
        If the folder holds no run, and nothing that a command wrote with a digest.
    StoreError
        Naming all that are damaged, and what to type to make them, and nothing else, again.
    """
    config = _config(root)
    checks, damaged, pieces = list(_checks(root, config, check_model)), {}, set()
    for check in bar(checks, total=len(checks), label="verify", unit="file"):
        try:
            check()
        except DamageError as damage:
            damaged[damage.path.resolve()] = f"{damage.path}: {damage.what}."
            pieces.add(damage.piece.resolve())
        except RosettaError as error:  # of a model that the run did not make
            damaged[str(error)] = str(error)
    if not damaged:
        return f"{root}: {len(checks)} files are as they were written"
    elsewhere = config is not None and not Paths(Path(config.results)).run_config.exists()
    folder = started_in(config, root) if config and elsewhere else None
    told = [how_to_recompute(*_targets(pieces, root, config), folder=folder)] if pieces else []
    raise StoreError(
        "\n".join([f"{len(damaged)} of {len(checks)} files are damaged:", *damaged.values(), *told])
    )


def _config(root: Path) -> Config | None:
    """Return the configuration of the run in a folder; None in a folder of single commands."""
    path = Paths(root).run_config
    if not path.exists() and not run_near(root) and any(root.rglob(str(digest_path(Path("*"))))):
        return None
    path = run_config_in(root)
    check_digest(path)
    return load_config(path)


def _targets(pieces: set[Path], root: Path, config: Config | None) -> list[Path]:
    """Return outputs of rules by the names that the workflow knows them by, those made first
    first.
    """

    def made(piece: Path) -> float:  # damage may have changed the time of the file itself
        beside = digest_path(piece)
        return beside.stat().st_mtime if beside.exists() else 0.0

    named = Path(config.results if config else root)
    return [named / piece.relative_to(root.resolve()) for piece in sorted(pieces, key=made)]


def _checks(root: Path, config: Config | None, check_model: CheckModel) -> Iterator[Check]:
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(
            n for n in folders if not n.startswith(".") and n not in RESUMED and n[-5:] != ".zarr"
        )
        for name in sorted(names):
            path = Path(folder) / name
            if not name.startswith(".") and digest_path(path).exists():
                output = _OUTPUTS.get(path.parent.name)
                piece = path.parent.with_suffix(output) if output else path
                yield partial(check_digest, path, piece=piece)
            if path.suffix == ".json":
                yield from _listed(path, config, check_model)


def _listed(path: Path, config: Config | None, check_model: CheckModel) -> Iterator[Check]:
    """Yield the checks of the files that a manifest lists; a damaged manifest is told by its own
    digest.
    """
    try:
        kind = json.loads(path.read_text("utf-8")).get("kind")
        manifest = read_manifest(path, kind)
    except (StoreError, ValueError, AttributeError):
        return
    folder = path.parent / path.stem
    if kind == "model" and manifest.get("architecture") != OF_FEATURES:
        yield partial(check_model, manifest, path)
    elif kind == "filter-pool":
        for number, shard in enumerate(manifest["shards"]):
            yield partial(check_digest, folder / f"{number}.parquet", shard["digest"])
    elif kind == "filter-selections":  # those that are there are found beside their digests
        selections = (folder / f"{name}.parquet" for name in manifest["held"])
        yield from (
            partial(check_digest, file, piece=path) for file in selections if not file.exists()
        )
    elif kind in ("tokenizer", "filtered-corpus", "images", "sae"):
        yield from _files(folder, manifest, path)
    elif kind == "activations" and (folder.with_suffix(".zarr").exists() or _is_kept(path, config)):
        yield from _files(folder.with_suffix(".zarr"), manifest, path)


def _files(folder: Path, manifest: dict[str, Any], path: Path) -> Iterator[Check]:
    for name, facts in manifest["files"].items():
        yield partial(check_files, folder, {name: facts}, path)


def _is_kept(path: Path, config: Config | None) -> bool:
    """Tell whether a store is not deleted once it is used."""
    if config is None or config.store_mode != "kept":
        return False
    return path.parents[1].name in [*config.stores(), *step_models(config)]

"""The steps of the commands on atlases: write one of a run, of another project's files; compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from rosetta import __version__
from rosetta.atlas.diff import Diff
from rosetta.atlas.folder import Atlas, check_replaceable, is_atlas, read_atlas, write_atlas
from rosetta.atlas.imported import NamedModel
from rosetta.atlas.published import Published, published_rows
from rosetta.atlas.run_atlas import Texts, run_atlas
from rosetta.atlas.universal import universal_rows
from rosetta.config import Config, load_config
from rosetta.errors import ConfigError, StoreError
from rosetta.progress import say
from rosetta.run.folders import run_config_in
from rosetta.run.paths import Paths
from rosetta.storage.digests import check_digest
from rosetta.storage.tables import write_csv


def atlas_export_step(
    results: Path, out: Path, max_pages: int, *, texts: Texts, pictures: bool, licence: str
) -> None:
    """Write the atlas of a finished run.

    Parameters
    ----------
    results, out : Path
        The run's folder, and the folder to write.
    max_pages : int
        Neurons that get a page at most.
    texts, pictures, licence
        As in `run_atlas.run_atlas`.

    Raises
    ------
    ConfigError
        If the folder would replace what no atlas command wrote, or there is no run.
    StoreError
        If a result is missing or damaged.
    """
    if pictures and texts == "none":
        raise ConfigError("--pictures: needs --texts ids or all, which tell of images at all.")
    config, paths = _run_in(results)
    check_replaceable(out, results)
    _write(run_atlas(config, paths, texts, pictures, licence), out, max_pages)


def atlas_import_step(
    source: Path, out: Path, models: Sequence[str], *, k: int | None, max_pages: int
) -> None:
    """Write another project's files as an atlas.

    Parameters
    ----------
    source, out : Path
        A `universal.csv`, a `best_buddies.json` or a folder of the published code; the folder to
        write.
    models : sequence of str
        What the models are (`imported.NamedModel.parse`), the anchor first.
    k : int or None
        As in `published.published_rows`.
    max_pages : int
        Neurons that get a page at most.

    Raises
    ------
    ConfigError
        If models are missing, or the folder would replace what no atlas command wrote.
    StoreError
        If the source is missing or of another form.
    """
    named = [NamedModel.parse(text) for text in models]
    if not source.exists():
        raise StoreError(f"{source}: no such file or folder. Give a folder or file to import.")
    check_replaceable(out, source)
    if source.suffix == ".csv":
        if len(named) != 1 or k is not None:
            raise ConfigError(f"--model: {source} is of one model; give it once, and no --k.")
        rows, files = universal_rows(source, named[0])
        origin = "universal.csv of universal-neurons"
    else:
        rows, files = published_rows(Published.find(source, named), k)
        origin = "files of the published code of Rosetta Neurons"
    facts = {
        "origin": origin,
        "files": files,
        "k": k,
        "licence": "other",
        "texts": "imported",
        "pictures": False,
        "versions": {"rosetta": __version__, "pyarrow": version("pyarrow")},
    }
    _write(Atlas.of(rows, facts), out, max_pages)


def atlas_diff_step(a: Path, b: Path, told: Mapping[str, str], out: Path | None) -> list[str]:
    """Compare two atlases, or runs; write the table, if it has a path, and return the summary.

    Raises
    ------
    RosettaError
        If one is neither, an atlas of another version, damaged, or a run that is not finished.
    """
    found = Diff.of(_atlas_in(a), _atlas_in(b), told)
    if out is not None:
        write_csv(out, found.table)
    return list(found.lines())


def _run_in(results: Path) -> tuple[Config, Paths]:
    run_config = run_config_in(results)
    check_digest(run_config)
    return load_config(run_config), Paths(results)


def _atlas_in(folder: Path) -> Atlas:
    """Return the atlas in a folder, or that of the run in it."""
    if is_atlas(folder):
        return read_atlas(folder)
    if Paths(folder).run_config.is_file():
        return run_atlas(*_run_in(folder), texts="none")
    return read_atlas(folder)  # which says what is missing


def _write(atlas: Atlas, out: Path, max_pages: int) -> None:
    n_pages = write_atlas(atlas, out, max_pages)
    held = ", ".join(
        f"{table.num_rows:,} {name}" for name, table in atlas.tables.items() if table.num_rows
    )
    say(f"{out}: {held}; {n_pages:,} pages. Begin with {out / 'index.html'}")

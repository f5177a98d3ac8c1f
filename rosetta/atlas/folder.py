"""An atlas on the disk: tables, card and site in a folder, with a manifest that lists its files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.atlas.card import card
from rosetta.atlas.columns import TABLES, typed
from rosetta.atlas.site import Site
from rosetta.errors import ConfigError, StoreError
from rosetta.storage.atomic import replacing
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import digest_file
from rosetta.storage.manifests import check_files, describe_files, read_manifest, write_manifest
from rosetta.storage.names import digest_path

KIND = "atlas"
VERSION = 1  # raise when an atlas that was written before can no longer be read
MANIFEST = "atlas.json"


@dataclass(frozen=True)
class Atlas:
    """Neurons and what is known of them.

    Attributes
    ----------
    tables : dict of str to pyarrow.Table
        All of `columns.TABLES`, some without rows.
    facts : dict
        Where they come from, for the card: `origin`, `texts`, `pictures`, `licence`, `versions`;
        of a run its `configuration`, `seeds`, `samples`, `k` and `null_quantile`, of imported files
        their digests (`files`).
    """

    tables: dict[str, pa.Table]
    facts: dict[str, Any]

    @classmethod
    def of(cls, rows: dict[str, pd.DataFrame], facts: dict[str, Any]) -> Atlas:
        """Return the atlas of some rows per table; tables that are not named have none."""
        return cls({name: typed(name, rows.get(name, pd.DataFrame())) for name in TABLES}, facts)

    def frame(self, name: str) -> pd.DataFrame:
        """Return a table as a data frame."""
        frame: pd.DataFrame = self.tables[name].to_pandas()
        return frame


def table_file(name: str) -> str:
    """Return where a table lies in the folder."""
    return f"data/{name}.parquet"


def write_atlas(atlas: Atlas, out: Path, max_pages: int) -> int:
    """Write an atlas whole, in place of an earlier one; return how many neurons have a page.

    The same atlas gives the same bytes.

    Parameters
    ----------
    atlas : Atlas
        What to write.
    out : Path
        The folder, which `check_replaceable` admits.
    max_pages : int
        Neurons that get a page at most: those of highest r.
    """
    site = Site.of(atlas.tables, max_pages)
    with replacing(out) as folder:
        (folder / "data").mkdir(parents=True)
        for name, table in atlas.tables.items():
            pq.write_table(
                table, folder / table_file(name), compression="zstd", write_page_checksum=True
            )
        site.write(folder)
        sizes = {name: table.num_rows for name, table in atlas.tables.items()}
        (folder / "README.md").write_text(
            card(atlas.facts, sizes, atlas.frame("models"), site.sentence), encoding="utf-8"
        )
        content = {"kind": KIND, "version": VERSION, "facts": atlas.facts}
        write_manifest(folder / MANIFEST, {**content, "files": describe_files(folder)})
    return site.n_pages


def is_atlas(folder: Path) -> bool:
    """Tell whether a folder says that it is an atlas."""
    return (folder / MANIFEST).is_file()


def read_atlas(folder: Path) -> Atlas:
    """Return the atlas in a folder, once its tables were found to be as they were written.

    Raises
    ------
    StoreError
        If the folder holds no atlas, one of another version, or a damaged one.
    """
    manifest = _manifest(folder)
    if manifest.get("version") != VERSION:
        raise StoreError(
            f"{folder}: is an atlas of version {manifest.get('version')}, and this version of "
            f"rosetta reads version {VERSION}. Export it again."
        )
    files = {table_file(name): manifest["files"][table_file(name)] for name in TABLES}
    check_files(folder, files, folder / MANIFEST)
    tables = {name: _read(folder / table_file(name), TABLES[name].schema) for name in TABLES}
    return Atlas(tables, manifest["facts"])


def _manifest(folder: Path) -> dict[str, Any]:
    if not is_atlas(folder):
        raise StoreError(
            f"{folder}: has no {MANIFEST}, so it is no atlas. Give a folder that "
            "`rosetta atlas export` or `rosetta atlas import` wrote, or the results of a run."
        )
    return read_manifest(folder / MANIFEST, KIND)


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DamageError(path, f"damaged table ({' '.join(str(error).split())})") from None
    if missing := [name for name in schema.names if name not in table.column_names]:
        raise StoreError(f"{path}: lacks the columns {missing}; it has {table.column_names}.")
    return table.select(schema.names).cast(schema)


def check_replaceable(out: Path, sources: Path) -> None:
    """Check, before any work, that a folder may be written.

    Parameters
    ----------
    out : Path
        The folder.
    sources : Path
        What the atlas is made from.

    Raises
    ------
    ConfigError
        If the folder overlaps with the sources, is a file or a link, or holds anything that no
        atlas command wrote there.
    """
    given, asked = sources.resolve(), out.resolve()
    if given.is_relative_to(asked) or asked.is_relative_to(given):
        raise ConfigError(f"--out: {out} and {sources} overlap. Give a folder outside of it.")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ConfigError(f"--out: {out} is a file or a link. Give a folder.")
    if not out.exists() or not any(out.iterdir()):
        return
    if not is_atlas(out):
        raise ConfigError(
            f"--out: {out} is not empty, and not from this command: it would be replaced. Give "
            "another folder."
        )
    _check_untouched(out)


def _check_untouched(out: Path) -> None:
    """Reject a folder of an atlas with files that were added or changed since."""
    files = read_manifest(out / MANIFEST, KIND)["files"]
    own = {out / MANIFEST, digest_path(out / MANIFEST)}
    for path in sorted(path for path in out.rglob("*") if not path.is_dir() and path not in own):
        known = files.get(path.relative_to(out).as_posix())
        if known is None or path.is_symlink() or digest_file(path) != known["digest"]:
            raise ConfigError(
                f"--out: {path} was added or changed since the atlas was written, and would be "
                "lost. Move it away, or give another folder."
            )

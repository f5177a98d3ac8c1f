"""Parquet and CSV tables, written whole, with digests that readers compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rosetta.errors import StoreError
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import check_digest, digested, write_text
from rosetta.storage.names import digest_path

_METADATA_KEY = b"rosetta"
# Columns that hold what a user calls a thing: text, also where it looks like a number, a date or a
# missing value.
NAMES = ("ladder", "model", "models", "model_a", "model_b", "domain")


def write_parquet(path: Path, table: pd.DataFrame, metadata: dict[str, Any] | None = None) -> None:
    """Write a data frame as Parquet with page checksums, metadata and its digest."""
    arrow = pa.Table.from_pandas(table, preserve_index=False)
    if metadata is not None:
        kept = arrow.schema.metadata or {}
        arrow = arrow.replace_schema_metadata(
            {**kept, _METADATA_KEY: json.dumps(metadata).encode()}
        )
    encoded = (
        pa.BufferOutputStream()
    )  # its size is known before it is written: Arrow leaves nothing where it failed
    pq.write_table(arrow, encoded, write_page_checksum=True, compression="zstd")
    data = encoded.getvalue()
    with digested(path, data.size) as temporary:
        temporary.write_bytes(data)


def read_parquet(
    path: Path, columns: list[str] | None = None, piece: Path | None = None
) -> pd.DataFrame:
    """Read a Parquet table, verifying its digest and page checksums.

    `piece` is as in `rosetta.storage.damage.DamageError`.

    Raises
    ------
    StoreError
        If the file is missing, damaged, or lacks one of `columns`.
    """
    table: pd.DataFrame = _open(path, columns, piece).to_pandas()
    return table


def read_parquet_metadata(path: Path) -> dict[str, Any]:
    """Return the JSON metadata that `write_parquet` stored (empty if none)."""
    stored = _open(path, []).schema.metadata or {}
    metadata: dict[str, Any] = json.loads(stored.get(_METADATA_KEY, b"{}"))
    return metadata


def _open(path: Path, columns: list[str] | None, piece: Path | None = None) -> pa.Table:
    check_digest(path, piece=piece)
    try:
        there = pq.read_schema(path).names
        wanted = None if columns is None else [name for name in columns if name in there]
        table = pq.read_table(path, columns=wanted, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        told = " ".join(str(error).split())
        if piece is None and not digest_path(path).exists():  # a user's own
            raise StoreError(
                f"{path}: not a readable Parquet table ({told}). Give one, say a file of a run."
            ) from None
        raise DamageError(path, f"damaged table ({told})", piece) from None
    missing = [name for name in columns or [] if name not in table.column_names]
    if missing:
        raise StoreError(f"{path}: lacks the columns {missing}; it has {there}.")
    return table


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a data frame as CSV, and its digest."""
    write_text(path, table.to_csv(index=False))


def read_csv(
    path: Path, columns: list[str], numbers: tuple[str, ...] = (), *, some: bool = False
) -> pd.DataFrame:
    """Read a CSV table; check `columns`, finite `numbers` ≥ 0, and `some` row.

    The columns in `NAMES` are read as text, and an empty name is a name.

    Raises
    ------
    StoreError
        If the file is missing, damaged or not a table, lacks one of `columns`, holds something else
        than numbers, or no row.
    """
    check_digest(path)
    try:
        table = pd.read_csv(
            path, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(NAMES, str)
        )
    except (ValueError, OSError) as error:
        raise StoreError(
            f"{path}: not a readable CSV table ({' '.join(str(error).split())})."
        ) from None
    check_table(table, str(path), columns, numbers, some=some)
    named = [name for name in NAMES if name in table.columns]
    table[named] = table[named].fillna("")
    return table


def check_table(
    table: pd.DataFrame,
    place: str,
    columns: list[str],
    numbers: tuple[str, ...] = (),
    *,
    some: bool = False,
) -> None:
    """Check that a table has `columns`, finite numbers ≥ 0 in those in `numbers`, and `some` row.

    Raises
    ------
    StoreError
        If it has not; `place` is what the message names as the culprit.
    """
    if not isinstance(table, pd.DataFrame):
        raise StoreError(f"{place}: is a {type(table).__name__}, not a table. Give a DataFrame.")
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise StoreError(f"{place}: lacks the columns {missing}; it has {list(table.columns)}.")
    for name in numbers:
        values = pd.to_numeric(table[name], errors="coerce")
        wrong = ~((values >= 0) & (values < float("inf")))
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            raise StoreError(
                f"{place}: {name} in row {row + 1} is {str(table[name].iloc[row])!r}, not a "
                "number ≥ 0."
            )
    if some and not len(table):
        raise StoreError(f"{place}: holds no row. Give a table with some.")

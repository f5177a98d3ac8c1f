"""Image sets: 8-bit squares with ids, classes and captions, and a manifest (docs/images.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from zarr.codecs import Crc32cCodec

from rosetta.errors import StoreError
from rosetta.storage.arrays import is_checksummed, read_whole, write_rows
from rosetta.storage.atomic import replacing
from rosetta.storage.manifests import check_files, describe_files, read_manifest, write_manifest
from rosetta.storage.names import digest_path
from rosetta.storage.tables import read_parquet, write_parquet

KIND = "images"
FORMAT_VERSION = 1
# In the order of the table.
COLUMNS = {
    "id": "uint64",
    "label": "int64",
    "domain": "str",
    "caption": "str",
    "source": "str",
    "index": "int64",
}
TABLE, PIXELS = "table.parquet", "pixels.zarr"
DIMENSIONS = ("image", "row", "column", "channel")
CHUNK_BYTES = 2**20  # what reading one image reads at most, unless it is larger by itself
CHUNKS_PER_SHARD = 64


def image_ids(pixels: np.ndarray) -> np.ndarray:
    """Return the ids of images: 64-bit hashes (BLAKE2b) of their pixels.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n_images, size, size, 3)

    Returns
    -------
    ndarray of uint64, shape (n_images,)
    """
    hashes = b"".join(hashlib.blake2b(one.tobytes(), digest_size=8).digest() for one in pixels)
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


def set_folder(manifest_path: Path) -> Path:
    """Return the folder of an image set: of the name of its manifest, without `.json`."""
    return Path(manifest_path).with_suffix("")


def write_image_set(
    manifest_path: Path,
    table: pd.DataFrame,
    batches: Iterable[np.ndarray],
    *,
    made_by: dict[str, Any],
    facts: dict[str, Any] | None = None,
) -> None:
    """Write an image set, verify it, and write its manifest beside it.

    Parameters
    ----------
    manifest_path : Path
        Where the manifest goes, ending in `.json`; the images go into the folder of that name.
    table : DataFrame
        One row per image, with the columns of `COLUMNS`. Without `id`, the pixels tell it; a
        generator's images have ids of their own, because an untrained one makes one image again
        and again.
    batches : iterable of ndarray of uint8, each of shape (n, size, size, 3)
        The pixels of successive rows; one batch at least, which may hold no image.
    made_by : dict
        What the images depend on.
    facts : dict, optional
        What else the manifest tells of them.

    Raises
    ------
    StoreError
        If the table lacks a column, has an id twice, or does not fit the pixels.
    """
    place = str(manifest_path)
    missing = [name for name in COLUMNS if name not in table.columns and name != "id"]
    if missing:
        raise StoreError(f"{place}: the table of images lacks the columns {missing}.")
    folder = set_folder(manifest_path)
    manifest_path.unlink(missing_ok=True)  # it must never speak of images that are being replaced
    with replacing(folder) as temporary:
        temporary.mkdir()
        ids, size = _write_pixels(temporary / PIXELS, len(table), batches, place)
        whole = table if "id" in table.columns else table.assign(id=ids)
        if whole["id"].duplicated().any():
            raise StoreError(f"{place}: the table of images has an id twice.")
        whole = whole[list(COLUMNS)].astype(COLUMNS)
        write_parquet(temporary / TABLE, whole)
        digest_path(temporary / TABLE).unlink()  # the manifest tells it
        files = describe_files(temporary)
    manifest = {
        "kind": KIND,
        "format_version": FORMAT_VERSION,
        "made_by": made_by,
        "holds": {"n_images": len(table), "size": size},
        "facts": facts or {},
        "files": files,
    }
    write_manifest(manifest_path, manifest)


def _write_pixels(
    path: Path, n_images: int, batches: Iterable[np.ndarray], place: str
) -> tuple[np.ndarray, int]:
    """Write pixels shard by shard; return the ids and the side of the images."""
    array: zarr.Array[Any] | None = None
    ids, done = [], 0
    for batch in _blocks(batches, n_images, place):
        if array is None:
            array = _create(path, n_images, batch.shape[1])
        rows = slice(done, done + len(batch))
        if rows.stop > n_images:
            raise StoreError(f"{place}: more images than the {n_images} rows of their table.")
        if len(batch):
            write_rows(array, rows, batch)
            ids.append(image_ids(batch))
        done = rows.stop
    if array is None or done != n_images:
        raise StoreError(f"{place}: {done} images for the {n_images} rows of their table.")
    return np.concatenate([np.empty(0, np.uint64), *ids]), array.shape[1]


def _rows_of(n_images: int, size: int) -> tuple[int, int]:
    """Return how many images a chunk holds, and a shard, which is one file."""
    chunk = max(1, min(CHUNK_BYTES // (3 * size * size), n_images))
    return chunk, chunk * max(1, min(CHUNKS_PER_SHARD, -(-n_images // chunk)))


def _create(path: Path, n_images: int, size: int) -> zarr.Array[Any]:
    chunk, shard = _rows_of(n_images, size)
    return zarr.create_array(
        path,
        shape=(n_images, size, size, 3),
        dtype="uint8",
        chunks=(chunk, size, size, 3),
        shards=(shard, size, size, 3),
        compressors=[Crc32cCodec()],
        dimension_names=DIMENSIONS,
        zarr_format=3,
    )


def _blocks(batches: Iterable[np.ndarray], n_images: int, place: str) -> Iterator[np.ndarray]:
    """Regroup batches into whole shards, the last of which may be shorter.

    The sharding codec would otherwise read and write a file again for every batch.
    """
    pending: list[np.ndarray] = []
    for batch in batches:
        _check_batch(batch, pending[0] if pending else batch, place)
        pending.append(batch)
        _, rows = _rows_of(n_images, batch.shape[1])
        while sum(map(len, pending)) >= rows:
            joined = np.concatenate(pending)
            pending = [joined[rows:].copy()]  # a view would keep all of `joined`
            yield joined[:rows]
    if pending:
        yield np.concatenate(pending)


def _check_batch(batch: np.ndarray, first: np.ndarray, place: str) -> None:
    square = batch.ndim == 4 and batch.shape[1] == batch.shape[2] and batch.shape[3] == 3
    if batch.dtype != np.uint8 or not square or batch.shape[1:] != first.shape[1:]:
        raise StoreError(
            f"{place}: a batch of images is {batch.dtype} {batch.shape}; give uint8 of shape "
            f"(n, size, size, 3), all of one size."
        )


class ImageSet:
    """An image set opened for reading, checked against its manifest.

    Parameters
    ----------
    manifest_path : Path
        The JSON manifest; the images are in the folder of that name.

    Attributes
    ----------
    manifest : dict
        The manifest.
    table : DataFrame
        One row per image (`COLUMNS`).
    n_images : int
        Number of images.
    size : int
        Their side in pixels.

    Raises
    ------
    StoreError
        If the manifest or a file is missing, truncated or altered, or is not what the manifest
        tells.
    """

    def __init__(self, manifest_path: Path) -> None:
        self._manifest_path = Path(manifest_path)
        self.path = set_folder(self._manifest_path)
        self.manifest = read_manifest(self._manifest_path, KIND)
        version = self.manifest.get("format_version")
        if version != FORMAT_VERSION:
            raise StoreError(
                f"{manifest_path}: format_version is {version}; this version reads "
                f"{FORMAT_VERSION}. Make it again."
            )
        # Chunks of pixels have checksums of their own, which are checked when they are read.
        check_files(self.path, self.manifest["files"], self._manifest_path, content=_is_no_chunk)
        holds = self.manifest["holds"]
        self.n_images, self.size = int(holds["n_images"]), int(holds["size"])
        self.table = read_parquet(
            self.path / TABLE, columns=list(COLUMNS), piece=self._manifest_path
        ).astype(COLUMNS)
        self._pixels: zarr.Array[Any] = self._read(
            lambda: zarr.open_array(self.path / PIXELS, mode="r", zarr_format=3)
        )
        self._check()

    def pixels(self, low: int, high: int) -> np.ndarray:
        """Return the images [low, high), read now, uint8 of shape (high - low, size, size, 3).

        Raises
        ------
        StoreError
            If a chunk is damaged.
        """
        return np.asarray(self._read(lambda: self._pixels[low:high]))

    def _check(self) -> None:
        wanted = {
            "shape": (self.n_images, self.size, self.size, 3),
            "dtype": np.dtype("uint8"),
            "dimension names": DIMENSIONS,
            "checksums": True,
        }
        found = {
            "shape": self._pixels.shape,
            "dtype": self._pixels.dtype,
            "dimension names": getattr(self._pixels.metadata, "dimension_names", None),
            "checksums": is_checksummed(self._pixels),
        }
        for what, value in found.items():
            if value != wanted[what]:
                raise StoreError(
                    f"{self.path / PIXELS}: {what} {value}, but should be {wanted[what]}. "
                    "docs/images.md says what an image set holds."
                )
        if len(self.table) != self.n_images:
            raise StoreError(
                f"{self.path / TABLE}: has {len(self.table)} rows for {self.n_images} images. "
                "docs/images.md says what an image set holds."
            )

    def _read(self, read: Any) -> Any:
        return read_whole(read, self.path, PIXELS, self._manifest_path)


def _is_no_chunk(name: str) -> bool:
    """Tell whether a file of a set is not of pixels, which are almost all of it."""
    return not name.startswith(f"{PIXELS}/") or name.endswith("zarr.json")

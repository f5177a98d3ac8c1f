"""Ways to break a store, and how commands reject it."""

import re

import zarr
from zarr.codecs import Crc32cCodec

from rosetta.activations.layout import KIND
from rosetta.storage.manifests import describe_files, read_manifest, write_manifest


def in_manifest(path, keep_files=True, **holds):
    manifest = read_manifest(path, KIND)
    for key, value in holds.items():
        manifest["holds"].pop(key) if value is None else manifest["holds"].update({key: value})
    if not keep_files:
        manifest["files"] = describe_files(path.with_suffix(".zarr"))
    write_manifest(path, manifest)


def signed(change, shard=0):
    """Return a breakage that changes the group of a store and signs it again, as another program
    would write it.
    """

    def breakage(folder):
        change(zarr.open_group(folder / f"{shard}.zarr", mode="r+"))
        in_manifest(folder / f"{shard}.json", keep_files=False)

    return breakage


def held(**holds):
    return lambda folder: in_manifest(folder / "0.json", **holds)


def put(name, at, value, shard=0):
    def change(group):
        values = group[name][...]
        values[at] = value(values[at]) if callable(value) else value
        group[name][...] = values

    return signed(change, shard)


def replaced(name, values=None, **options):
    """Return a breakage that writes an array again with other metadata."""

    def change(group):
        array = group[name]
        data = array[...] if values is None else values(array[...])
        if options != {"delete": True}:
            kept = {
                "compressors": [Crc32cCodec()],
                "dimension_names": array.metadata.dimension_names,
            }
            group.create_array(
                name, data=data, overwrite=True, **(kept | {"chunks": array.chunks} | options)
            )
        else:
            del group[name]

    return signed(change)


def top_level(**keys):
    def breakage(folder):
        manifest = read_manifest(folder / "0.json", KIND)
        write_manifest(folder / "0.json", manifest | keys)

    return breakage


def chunk_of(folder, layer=1):
    return next(
        p for p in (folder / "0.zarr" / "activations" / str(layer) / "c").rglob("*") if p.is_file()
    )


def flipped(folder):
    path = chunk_of(folder)
    data = bytearray(path.read_bytes())
    data[7] ^= 1
    path.write_bytes(data)


def flipped_and_signed(folder):
    flipped(folder)
    in_manifest(folder / "0.json", keep_files=False)


def truncated(folder):
    path = chunk_of(folder)
    path.write_bytes(path.read_bytes()[:-5])


def rejected(done, message):
    code, _, error = done
    (said,) = [line for line in error.splitlines() if line.startswith("rosetta: ")]
    assert error.splitlines()[-1] == said, "nothing follows the message"
    assert "Traceback" not in error
    assert code == 2
    assert re.search(message, said), said

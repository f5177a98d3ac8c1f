"""A pool of short documents, and scores for it."""

from rosetta.filtering import pool_shards
from rosetta.filtering.pool_documents import Fresh
from rosetta.filtering.stored_scores import write_scores
from rosetta.inputs.text.documents import Text, document_name
from rosetta.storage.digests import hash64


def make_pool(where, n=200, n_shards=3):
    texts = [
        Text(f"document {i} " + "x" * (i % 17), ("js", "py", "")[i % 3], f"file-{i % 4}")
        for i in range(n)
    ]
    fresh = Fresh(known={document_name(hash64(texts[5].text))})
    again = [*texts[:40], Text("  \n", "py", "f"), Text("bad \ud800", "py", "f"), *texts]
    pool_shards.write_pool(fresh.documents(again), where, n_shards, {"v": 1}, fresh.counts)
    return [text for i, text in enumerate(texts) if i != 5], fresh.counts


def make_scores(where):
    for shard in range(pool_shards.n_shards(where)):
        documents = pool_shards.read_shard(where, shard)
        size = documents["text"].str.len().to_numpy()
        table = documents[["id", "domain"]].assign(tokens=size, rosetta=(size % 5).astype(float))
        others = {
            name: -table["rosetta"] for name in ("non_rosetta", "non_rosetta_best", "classifier")
        }
        write_scores(where, shard, table.assign(**others), {"v": 1})

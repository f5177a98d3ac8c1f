"""Time and memory of selecting from a pool of synthetic scores: 10 million documents in 100 shards.

python benchmarks/filter_select.py [documents] [shards]
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from rosetta.config.filtering import FilterSelection
from rosetta.filtering import pool_shards
from rosetta.filtering.assess import Filter, amount_of, apply, assess
from rosetta.filtering.select import Amount
from rosetta.filtering.stored_scores import write_all_scores, write_scores
from rosetta.run.paths import FilterPaths
from rosetta.storage.manifests import write_manifest


def peak_gb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def write(where, documents, shards):
    """Write scores that are a little higher in the target domain, 6% of the documents, and often
    tied.
    """
    held = []
    for shard in range(shards):
        rng = np.random.default_rng(shard)
        n = documents * (shard + 1) // shards - documents * shard // shards
        target = rng.random(n) < 0.06
        score = np.round(rng.normal(size=n) + 2 * target, 3)
        table = pd.DataFrame(
            {
                "id": rng.integers(0, 2**63, size=n, dtype=np.uint64) * np.uint64(2)
                + np.uint64(shard % 2),
                "domain": np.where(target, "target", "other"),
                "tokens": rng.integers(1, 1000, size=n),
                "rosetta": score,
            }
        )
        write_scores(where, shard, table, {})
        held.append({"documents": n, "digest": ""})
    write_manifest(where.pool_manifest, {"kind": pool_shards.KIND, "shards": held})


def main():
    documents, shards = (int(value) for value in [*sys.argv[1:3], "10000000", "100"][:2])
    with tempfile.TemporaryDirectory() as folder:
        where = FilterPaths(Path(folder))
        write(where, documents, shards)
        print(f"{documents:,} documents in {shards} shards; peak so far {peak_gb():.2f} GB")
        chosen = Filter("rosetta", "target")
        for label, step in {
            "budget: the target's tokens": lambda: apply(
                where, chosen, amount_of(where, FilterSelection(), "target")
            ),
            "percentile 94": lambda: apply(
                where, chosen, amount_of(where, FilterSelection(percentile=94.0), "target")
            ),
            "recovery": lambda: assess(
                where, chosen, apply(where, chosen, Amount(count=documents // 20))
            ),
            "all scores": lambda: write_all_scores(
                where, np.sort(apply(where, chosen, Amount(count=10)).id)
            ),
        }.items():
            start = time.perf_counter()
            step()
            print(
                f"{label}: {time.perf_counter() - start:.1f} s, peak so far {peak_gb():.2f} GB",
                flush=True,
            )


if __name__ == "__main__":
    main()

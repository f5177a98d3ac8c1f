"""The published algorithm, as it is described, against this package: the same two untrained models,
texts and cores.

OMP_NUM_THREADS=1 python benchmarks/published.py /tmp/published [--tokens 8192] [--sides …]

Each side runs in a process of its own, one after the other, so that its processor time, peak memory
and bytes written (Linux) are its own. All run float32 forward passes of the same weights; stores
are float32. What they find is compared with the matches of NumPy in float64 on the stored rows. One
untrained model has the shape of Pythia-160M, the other of GPT-2; the text is Python's own
documentation.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from published_method import Found, Parts, mutual, naive, published, spans
from transformers import AutoModelForCausalLM

from rosetta.activations.folders import open_stores
from rosetta.activations.reader import StoreReader
from rosetta.activations.steps import activations_step
from rosetta.activations.tokens import TokenizedDocument
from rosetta.config import Config, dump_config, group_name, parse_config
from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.steps import neighbors_step
from rosetta.inputs.text.build import build_corpus, read_split
from rosetta.matching.mutual import mutual_matches
from rosetta.models.steps import model_step
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.models.zoo.tokenizer_training import save_tokenizer, train_tokenizer
from rosetta.run.paths import Paths
from rosetta.run.stages import made_by
from rosetta.storage.digests import write_text

MODELS = ("gpt_neox", "gpt2")
BYTES_PER_TOKEN = 8  # enough text that every document has `--length` tokens
STRIP = 1024  # neurons of A per float64 product
STORED = "stored float32"  # whose rows the float64 matches are of
SIDES = ("published", "live", "live float32", "stored", STORED, "naive")


class Task(NamedTuple):
    """What every side works on."""

    folder: Path
    n_documents: int
    length: int
    batch: int
    memory_gb: float
    threads: int

    @property
    def models(self) -> tuple[Path, Path]:
        """Folders of the two models."""
        return self.folder / MODELS[0], self.folder / MODELS[1]

    def config(self, side: str) -> Config:
        """Return the configuration of a side that is this package's: `live` or `stored`, with a
        precision that is not `auto` after it.
        """
        kind, _, precision = side.partition(" ")
        return parse_config(
            {
                "results": str(self.results(side)),
                "corpus": {
                    "source": {"kind": "files", "path": str(self.folder / "corpus.jsonl")},
                    "splits": {"train": 0.0, "match": 1.0, "pool": 0.0, "heldout": 0.0},
                    "min_document_bytes": 1,
                },
                "models": {name: {"path": str(self.folder / name)} for name in MODELS},
                "ladders": {"untrained": [list(MODELS)]},
                "controls": {"permutation_seeds": []},
                "activations": {
                    "keep": kind == "stored",
                    "dtype": "float32",
                    "n_shards": 1,
                    "max_documents": self.n_documents,
                    "sequence_length": self.length,
                    "batch_size": self.batch,
                },
                "correlation": {
                    "max_k": 1,
                    "memory_gb": self.memory_gb,
                    "precision": precision or "auto",
                },
                "dask": {"threads_per_worker": self.threads},
            }
        )

    def results(self, side: str) -> Path:
        """Return a side's results folder."""
        return self.folder / f"results-{side.replace(' ', '-')}"

    def texts(self) -> list[str]:
        """Return the documents, in the order of the corpus that `prepare` built."""
        documents = read_split(Paths(self.results(STORED)), "match", self.n_documents)
        if len(documents) < self.n_documents:
            raise ValueError(f"the corpus has {len(documents)} of {self.n_documents} documents")
        return list(documents["text"])


class Measured(NamedTuple):
    """What a side found, and what it took."""

    found: Found
    seconds: float
    cpu: float
    peak_gb: float
    written_gb: float


def documents_of(length: int) -> list[str]:
    """Return the text in documents of at least `length` tokens."""
    text, n_bytes = "\n\n".join(topics[name] for name in sorted(topics)), BYTES_PER_TOKEN * length
    return [text[i : i + n_bytes] for i in range(0, len(text) - n_bytes, n_bytes)]


def make_models(task: Task, size: ZooSize) -> None:
    """Save the corpus, and two untrained models with a tokenizer each, trained on a sample of its
    own.
    """
    documents = documents_of(task.length)
    lines = [json.dumps({"text": document}) for document in documents]
    (task.folder / "corpus.jsonl").write_text("\n".join(lines))
    training = ZooTraining(sequence_length=task.length)
    for seed, (name, vocab_size) in enumerate(zip(MODELS, (4096, 3072), strict=True)):
        family = ZooFamily(architecture=name, vocab_size=vocab_size, seed=seed)
        torch.manual_seed(seed)
        config = zoo_model_config(family, size, training)
        AutoModelForCausalLM.from_config(config).save_pretrained(task.folder / name)
        save_tokenizer(train_tokenizer(family, documents, 200_000), task.folder / "tokenizer")
        for file in (task.folder / "tokenizer").iterdir():
            file.rename(task.folder / name / file.name)
        (task.folder / "tokenizer").rmdir()


def prepare(task: Task, sides: list[str]) -> None:
    """Build the corpus and describe the models, for sides that are this package's."""
    for side in dict.fromkeys(sides):
        config, paths = task.config(side), Paths(task.results(side))
        write_text(paths.run_config, dump_config(config))
        build_corpus(config.corpus, paths, made_by(config, "corpus"))
        for name in MODELS:
            model_step(config, paths, name)


def ours(task: Task, side: str) -> Found:
    """Match the models as a run does, up to its matches: stores, kept or live, and neighbours."""
    config, paths = task.config(side), Paths(task.results(side))
    pair, parts = group_name(MODELS), Parts()
    with parts("stores"):
        for name in MODELS:
            activations_step(config, paths, name, 0)
    with parts("correlation"):
        neighbors_step(config, paths, pair, 0)
    lists, facts = read_lists([paths.neighbors_part(pair, 0, 1)])
    table = mutual_matches(lists, facts, 1)
    u = table["layer_a"] * facts.d_mlp_a + table["unit_a"]
    v = table["layer_b"] * facts.d_mlp_b + table["unit_b"]
    return Found(np.stack([u, v], axis=1), facts.n_positions, dict(parts))


def run_side(task: Task, side: str) -> Found:
    """Match the models by one of `SIDES`, or by `float64`."""
    if side == "float64":
        return reference(task)
    if side not in ("published", "naive"):
        return ours(task, side)
    function = published if side == "published" else naive
    return function(task.models, task.texts(), task.length, task.batch)


def reference(task: Task) -> Found:
    """Return the matches of NumPy in float64, on the rows that the side `STORED` wrote."""
    folder = Paths(task.results(STORED))
    (store_a,), (store_b,) = (open_stores(folder.stores(name, 1)) for name in MODELS)
    tokens = []
    for (row_a, a), (row_b, b) in zip(_documents(store_a), _documents(store_b), strict=True):
        tokens += [np.add(span, (row_a, row_a, row_b, row_b)) for span in spans(a, b)]
    first_a, last_a, first_b, last_b = np.stack(tokens, axis=1)
    x, y = _standardised(store_a, first_a, last_a), _standardised(store_b, first_b, last_b)
    nearest_a, nearest_b = np.empty(x.shape[1], np.int64), np.empty(y.shape[1], np.int64)
    best_b = np.full(y.shape[1], -np.inf)
    for low in range(0, x.shape[1], STRIP):
        r = x[:, low : low + STRIP].T @ y
        nearest_a[low : low + STRIP] = r.argmax(axis=1)
        nearer = r.max(axis=0) > best_b
        best_b[nearer] = r.max(axis=0)[nearer]
        nearest_b[nearer] = low + r.argmax(axis=0)[nearer]
    found = mutual(torch.from_numpy(nearest_a), torch.from_numpy(nearest_b))
    return Found(found, len(x), {})


def _documents(store: StoreReader) -> list[tuple[int, TokenizedDocument]]:
    """Return the first row and the tokens of every document of a store."""
    token_ids, start, end, owner = map(
        store.read, ("token_ids", "byte_start", "byte_end", "document_index")
    )
    first = np.searchsorted(owner, np.arange(owner[-1] + 2))
    return [
        (low, TokenizedDocument(token_ids[low:high], start[low:high], end[low:high]))
        for low, high in pairwise(first.tolist())
    ]


def _standardised(store: StoreReader, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Return the means of rows over spans, centred and of norm 1, float64 (n_spans, neurons)."""
    rows = np.empty((store.n_positions, store.n_layers * store.d_mlp), np.float32)
    for start, parts in store.chunks(0, rows.shape[1]):
        for column, values in parts:
            rows[start : start + len(values), column : column + values.shape[1]] = values.numpy()
    tokens = zip(first, last, strict=True)
    means = np.stack([rows[i:j].mean(axis=0, dtype=np.float64) for i, j in tokens])
    means -= means.mean(axis=0)
    means /= np.linalg.norm(means, axis=0)
    return means


def measured(threads: int, function: Callable[..., Any], *arguments: Any) -> Measured:
    """Call a function, here, and measure it; run in a process of its own."""
    torch.set_num_threads(threads)
    written, start, cpu = _written(), time.perf_counter(), time.process_time()
    found = function(*arguments)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Measured(found, seconds, cpu, peak / 1e9, (_written() - written) / 1e9)


def _written() -> int:
    """Return how many bytes this process has given to the disk."""
    counts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counts["write_bytes"])


def alone(task: Task, function: Callable[..., Any], *arguments: Any) -> Measured:
    """Measure a function in a process of its own: a fork, so that libraries are loaded once."""
    with multiprocessing.get_context("fork").Pool(1) as pool:
        return pool.apply(measured, (task.threads, function, *arguments))


def row(side: str, one: Measured, base: Measured, true: set[tuple[int, int]]) -> dict[str, Any]:
    """Return a side's row of the table; `base` is the published side, for the ratios."""
    matches = _pairs(one)
    return {
        "side": side,
        "seconds": round(one.seconds, 1),
        "processor seconds": round(one.cpu, 1),
        "times faster": round(base.seconds / one.seconds, 2),
        "times less processor time": round(base.cpu / one.cpu, 2),
        "peak GB": round(one.peak_gb, 2),
        "GB written": round(one.written_gb, 2),
        "matches": len(matches),
        "of the float64 matches": f"{len(matches & true) / len(true):.2%}",
    }


def _pairs(one: Measured) -> set[tuple[int, int]]:
    return {(u, v) for u, v in one.found.matches.tolist()}


def compare(task: Task, sides: list[str]) -> pd.DataFrame:
    """Measure the sides; return their table, in which the first is what others are faster than."""
    alone(task, prepare, task, [STORED, *(s for s in sides if s.startswith(("live", "stored")))])
    results = {}
    for side in dict.fromkeys([sides[0], STORED, "float64", *sides]):
        results[side] = alone(task, run_side, task, side)
        _tell(side, results[side])
    positions = {one.found.n_positions for one in results.values()}
    assert len(positions) == 1, f"the sides disagree on aligned positions: {positions}"
    true = _pairs(results["float64"])
    print(f"{positions.pop()} aligned positions, {len(true)} matches in float64")
    return pd.DataFrame([row(side, results[side], results[sides[0]], true) for side in sides])


def _tell(side: str, one: Measured) -> None:
    """Print at once what a side took: a long comparison may be stopped."""
    parts = ", ".join(f"{kind} {cpu:.1f}" for kind, cpu in one.found.parts.items())
    print(f"{side}: {one.seconds:.0f} s, {one.cpu:.1f} of processor time ({parts})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where models, texts and stores go")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--tokens", type=int, default=8192, help="of each model")
    parser.add_argument("--length", type=int, default=256, help="tokens of a document")
    parser.add_argument("--batch", type=int, default=4, help="documents per forward pass")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--d-model", type=int, default=768)
    parser.add_argument("--d-mlp", type=int, default=3072)
    parser.add_argument("--memory-gb", type=float, default=9.0, help="`correlation.memory_gb`")
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="of every side; where other load takes cores, threads that wait for each other spin, "
        "and count as processor time",
    )
    args = parser.parse_args()
    n_documents = -(-args.tokens // args.length)
    if n_documents > (most := len(documents_of(args.length))):
        parser.error(f"--tokens: the text has about {most * args.length}")
    args.folder.mkdir(parents=True, exist_ok=True)
    task = Task(
        folder=args.folder,
        n_documents=n_documents,
        length=args.length,
        batch=args.batch,
        memory_gb=args.memory_gb,
        threads=args.threads,
    )
    size = ZooSize(
        n_layers=args.layers,
        d_model=args.d_model,
        d_mlp=args.d_mlp,
        n_heads=max(1, args.d_model // 64),
    )
    with tempfile.TemporaryDirectory(dir=args.folder) as scratch:
        alone(task, make_models, task._replace(folder=Path(scratch)), size)
        table = compare(task._replace(folder=Path(scratch)), args.sides)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()

"""Every path under the results folder, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rosetta.storage.names import RUN_CONFIG


@dataclass(frozen=True)
class Paths:
    """Where the outputs of a run lie.

    The strings returned for Snakemake patterns are obtained by passing its wildcards, such as
    ``"{model}"``, as arguments.
    """

    root: Path

    @property
    def run_config(self) -> Path:
        """The validated, complete configuration."""
        return self.root / RUN_CONFIG

    @property
    def corpus_manifest(self) -> Path:
        """Manifest of the corpus, beside its splits."""
        return self.root / "corpus" / "manifest.json"

    def split(self, split: str) -> Path:
        """Documents of one split."""
        return self.root / "corpus" / f"{split}.parquet"

    def tokenizer(self, family: str) -> Path:
        """Folder of a zoo family's tokenizer."""
        return self.root / "tokenizers" / family

    def tokenizer_manifest(self, family: str) -> Path:
        """Manifest of a zoo family's tokenizer."""
        return self.root / "tokenizers" / f"{family}.json"

    def model(self, model: str) -> Path:
        """Folder of a zoo model in Hugging Face format."""
        return self.root / "models" / model

    def model_manifest(self, model: str) -> Path:
        """Manifest of any model."""
        return self.root / "models" / f"{model}.json"

    def checkpoints(self, model: str) -> Path:
        """Training checkpoints of a zoo model."""
        return self.root / "checkpoints" / model

    def stores(self, model: str, n_shards: int | str) -> Path:
        """Folder of a model's shard stores, for one way of sharding."""
        return self.root / "activations" / model / f"{n_shards}-shards"

    def store_manifest(self, model: str, n_shards: int | str, shard: int | str) -> Path:
        """Manifest of one activation store."""
        return self.stores(model, n_shards) / f"{shard}.json"

    def neighbors(self, pair: str) -> Path:
        """Folder of the partial neighbour lists of a pair."""
        return self.root / "neighbors" / pair

    def neighbors_part(self, pair: str, job: int | str, n_jobs: int | str) -> Path:
        """Neighbour lists made by one of the jobs that share a pair's tiles."""
        return self.neighbors(pair) / f"{job}-of-{n_jobs}.parquet"

    def null_matches(self, control: str, pair: str) -> Path:
        """Matches of a pair under a null model, all seeds."""
        return self.root / "nulls" / control / f"{pair}.parquet"

    def intervals(self, pair: str) -> Path:
        """Confidence intervals of the correlations of a pair's matches."""
        return self.root / "intervals" / f"{pair}.parquet"

    def replicates(self, pair: str) -> Path:
        """Matches of a pair on half-samples of the documents."""
        return self.root / "intervals" / f"{pair}.replicates.parquet"

    def sweeps(self, pair: str) -> Path:
        """Matches of a pair under the settings of the sweeps that correlate anew."""
        return self.root / "sweeps" / f"{pair}.parquet"

    def matches(self, pair: str) -> Path:
        """Matches of a pair."""
        return self.root / "matches" / f"{pair}.parquet"

    def rosetta(self, group: str) -> Path:
        """Rosetta Neurons of a group of models."""
        return self.root / "rosetta" / f"{group}.parquet"

    def vocabulary(self, model: str) -> Path:
        """Selectivity in vocabulary space of a model's neurons."""
        return self.root / "vocabulary" / f"{model}.parquet"

    def neurons(self, model: str) -> Path:
        """Statistics of a model's neurons."""
        return self.root / "neurons" / f"{model}.parquet"

    def contexts(self, model: str) -> Path:
        """Top contexts of a model's neurons."""
        return self.root / "contexts" / f"{model}.parquet"

    def shared_contexts(self, group: str) -> Path:
        """Top contexts of a group's Rosetta Neurons with their partners' values."""
        return self.root / "shared_contexts" / f"{group}.parquet"

    def excerpts(self, group: str) -> Path:
        """What the viewer shows of a group."""
        return self.root / "excerpts" / f"{group}.json"

    def filtering(self, name: str) -> FilterPaths:
        """What a filter makes."""
        return FilterPaths(self.root / "filtering" / name)

    @property
    def theory(self) -> Path:
        """Folder of what the theory's tables are made from."""
        return self.root / "theory"

    def theory_simulation(self, beta: float | str) -> Path:
        """Simulations of one decay of importance."""
        return self.theory / "simulation" / f"beta-{beta}.csv"

    def theory_sweep(self, parameter: str, value: float | str) -> Path:
        """Simulations at one value of a swept parameter."""
        return self.theory / "sweep" / f"{parameter}-{value}.csv"

    @property
    def ngrams(self) -> Path:
        """What the corpus's n-grams save, by rank."""
        return self.theory / "ngrams.parquet"

    def table(self, name: str) -> Path:
        """A CSV table."""
        return self.root / "tables" / f"{name}.csv"

    def figure(self, name: str, extension: str) -> Path:
        """A figure."""
        return self.root / "figures" / f"{name}.{extension}"

    def log(self, rule: str, job: str) -> Path:
        """What a job said."""
        return self.root / "logs" / rule / f"{job}.log"

    def benchmark(self, rule: str, job: str) -> Path:
        """Time and memory of a job, as Snakemake measured them."""
        return self.root / "benchmarks" / rule / f"{job}.tsv"

    @property
    def annotations(self) -> Path:
        """What a language model says of neurons."""
        return self.root / "annotations" / "annotations.parquet"

    @property
    def answers(self) -> Path:
        """Folder of the language model's answers, by the hash of what it was asked."""
        return self.root / "annotations" / "answers"

    @property
    def viewer(self) -> Path:
        """The neuron viewer."""
        return self.root / "viewer.html"

    @property
    def report(self) -> Path:
        """The report."""
        return self.root / "report.html"


@dataclass(frozen=True)
class FilterPaths:
    """Where what a filter makes lies: under `results/filtering/{name}` of a run, or in a folder of its own."""

    root: Path

    @property
    def candidates(self) -> Path:
        """All neurons that the filter was chosen from, with their numbers."""
        return self.root / "candidates.parquet"

    @property
    def choice(self) -> Path:
        """Manifest of the chosen neurons."""
        return self.root / "choice.json"

    @property
    def classifier(self) -> Path:
        """Weights of the bag-of-tokens classifier."""
        return self.root / "classifier.parquet"

    @property
    def mark(self) -> Path:
        """Says that `rosetta filter` made the folder, so that it may replace what lies there."""
        return self.root / "filter.json"

    @property
    def pool(self) -> Path:
        """Folder of the pool's shards."""
        return self.root / "pool"

    @property
    def pool_manifest(self) -> Path:
        """Manifest of the pool."""
        return self.root / "pool.json"

    def pool_shard(self, shard: int | str) -> Path:
        """Documents of one shard of the pool."""
        return self.pool / f"{shard}.parquet"

    def shard_scores(self, shard: int | str) -> Path:
        """Scores of one shard of the pool."""
        return self.root / "scores" / f"{shard}.parquet"

    def shard_scores_manifest(self, shard: int | str) -> Path:
        """Manifest of the scores of one shard."""
        return self.root / "scores" / f"{shard}.json"

    @property
    def scores(self) -> Path:
        """Scores of all documents of the pool."""
        return self.root / "scores.parquet"

    def selection(self, name: str) -> Path:
        """What one filter selected: ids and scores of documents, best first."""
        return self.root / "selections" / f"{name}.parquet"

    @property
    def selections_manifest(self) -> Path:
        """Manifest of what all filters selected."""
        return self.root / "selections.json"

    @property
    def recovery(self) -> Path:
        """How well each filter recovers the target domain."""
        return self.root / "recovery.csv"

    @property
    def shares(self) -> Path:
        """What of each domain each filter selects."""
        return self.root / "shares.csv"

    @property
    def corpus(self) -> Path:
        """Folder of the filtered corpus, a data set that `datasets` opens."""
        return self.root / "corpus"

    @property
    def corpus_manifest(self) -> Path:
        """Manifest of the filtered corpus."""
        return self.root / "corpus.json"

    def training(self, name: str) -> Path:
        """Manifest of a model trained on a selection, by the job's name."""
        return self.root / "trainings" / f"{name}.json"

    def checkpoints(self, name: str) -> Path:
        """Checkpoints of a model trained on a selection."""
        return self.root / "checkpoints" / name

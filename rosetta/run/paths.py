"""Every path under the results folder: a table of names, patterns and meanings.

`rosetta results-reference` prints the table (docs/results.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, Protocol, Self, overload

from rosetta.storage.names import RUN_CONFIG


class Rooted(Protocol):
    """What has a folder that patterns are relative to."""

    @property
    def root(self) -> Path:
        """The folder."""


@dataclass(frozen=True)
class Place:
    """A row of the table: where something lies below the folder, and what it is."""

    pattern: str
    meaning: str


class File(Place):
    """A file or folder of one name: the attribute is its path."""

    @overload
    def __get__(self, paths: None, owner: type) -> Self: ...

    @overload
    def __get__(self, paths: Rooted, owner: type) -> Path: ...

    def __get__(self, paths: Rooted | None, owner: type) -> Self | Path:
        """Return the path in a folder, or the row itself for the class."""
        return self if paths is None else paths.root / self.pattern


class Files(Place):
    """Files or folders whose names depend on values: the attribute is a function of those.

    The values are given in the order of the pattern's names, such as ``paths.split("match")``. They
    may be Snakemake's wildcards, such as ``"{model}"``.
    """

    @property
    def names(self) -> list[str]:
        """Names of the values, in order."""
        return [name for _, name, _, _ in Formatter().parse(self.pattern) if name]

    @overload
    def __get__(self, paths: None, owner: type) -> Self: ...

    @overload
    def __get__(self, paths: Rooted, owner: type) -> Callable[..., Path]: ...

    def __get__(self, paths: Rooted | None, owner: type) -> Self | Callable[..., Path]:
        """Return the function for a folder, or the row itself for the class."""
        if paths is None:
            return self

        def path(*values: Any) -> Path:
            if len(values) != len(self.names):
                raise TypeError(f"{self.pattern}: needs {len(self.names)} values, got {values}")
            return paths.root / self.pattern.format(**dict(zip(self.names, values, strict=True)))

        return path


@dataclass(frozen=True)
class FilterPaths:
    """Where a filter's results lie: `filtering/{name}` of a run, or a folder of its own."""

    root: Path

    corpus = File("corpus", "the filtered corpus, a data set that `datasets` opens, with a card")
    corpus_manifest = File("corpus.json", "its manifest")
    scores = File("scores.parquet", "scores of all documents of the pool")
    recovery = File("recovery.csv", "how well each filter finds the target domain")
    shares = File("shares.csv", "what each filter selects of each domain")
    percentiles = File("percentiles.csv", "what the gate would select at other percentiles")
    selection = Files(
        "selections/{filter}.parquet",
        "ids and scores of the documents of one filter, best first",
    )
    selections_manifest = File("selections.json", "manifest of all selections")
    choice = File("choice.json", "manifest of the chosen neurons")
    candidates = File(
        "candidates.parquet",
        "all neurons that the filter was chosen from, with their numbers",
    )
    classifier = File("classifier.parquet", "weights of the bag-of-tokens classifier")
    pool = File("pool", "documents of the pool, in shards")
    pool_shard = Files("pool/{shard}.parquet", "documents of one shard")
    pool_manifest = File("pool.json", "manifest of the pool")
    shard_scores = Files("scores/{shard}.parquet", "scores of one shard of the pool")
    shard_scores_manifest = Files("scores/{shard}.json", "their manifest")
    training = Files("trainings/{training}.json", "manifest of a model trained on a selection")
    checkpoints = Files("checkpoints/{training}", "checkpoints of that training")
    mark = File("filter.json", "says that `rosetta filter` made the folder, and may replace it")


@dataclass(frozen=True)
class Paths:
    """Where the results of a run lie."""

    root: Path

    report = File("report.html", "the results in one self-contained page")
    viewer = File(
        "viewer.html",
        "every Rosetta Neuron with its partners, numbers and top contexts, shaded token by token",
    )
    viewer_part = Files(
        "viewer/{part}.js",
        "texts of the viewer, where they are too large for its page; keep them beside it",
    )
    figure = Files("figures/{name}.{extension}", "figures, as `png` and `pdf`")
    table = Files("tables/{name}.csv", "tables")
    matches = Files(
        "matches/{pair}.parquet",
        "one row per match: both neurons, r with its 95% interval, both ranks, the margins to the "
        "runners-up, p under each null model",
    )
    rosetta = Files(
        "rosetta/{group}.parquet",
        "Rosetta Neurons of a group: anchor neurons matched with every other model",
    )
    neurons = Files(
        "neurons/{model}.parquet",
        "activation statistics of every neuron; of images by the name of its stores",
    )
    vocabulary = Files(
        "vocabulary/{model}.parquet",
        "vocabulary kurtosis of every neuron, and the tokens that it promotes and suppresses",
    )
    attribution = Files(
        "attribution/{pair}.parquet",
        "whether the partners of a match promote the same strings: one row per match",
    )
    ablation = Files(
        "ablation/{group}.parquet",
        "what held-out documents or images cost a rung's models, with neurons ablated",
    )
    contexts = Files("contexts/{model}.parquet", "top contexts of every neuron")
    top_images = Files(
        "top_images/{model}.parquet",
        "top images of every neuron with its map on each, by the name of its stores",
    )
    partner_images = Files(
        "partner_images/{pair}.parquet",
        "what matched neurons do on the top images of their partners",
    )
    image_excerpts = Files(
        "image_excerpts/{group}.json",
        "what the viewer shows of a group of models that see images",
    )
    place = Files(
        "place/{pair}.parquet",
        "what place alone makes of every match of a pair, and a map of where",
    )
    monosemanticity = Files(
        "monosemanticity/{model}.parquet",
        "how alike every neuron's images are to other models of the run",
    )
    factors = Files(
        "factors/{model}.parquet",
        "which factors of drawn images explain every neuron best, and by chance",
    )
    shared_contexts = Files(
        "shared_contexts/{group}.parquet",
        "top contexts of Rosetta Neurons, with their partners' values on the same bytes",
    )
    excerpts = Files("excerpts/{group}.json", "what the viewer shows of a group")
    annotations = File(
        "annotations/annotations.parquet",
        "names and verdicts of a language model (optional)",
    )
    answers = File("annotations/answers", "its answers, by the hash of the question")
    verdicts = File(
        "judge/verdicts.parquet", "whether neurons are monosemantic, asked of a judge (optional)"
    )
    predictions = File(
        "judge/predictions.parquet",
        "which images the judge predicts to activate neurons (optional)",
    )
    judge_replies = File("judge/replies", "its replies as they came, by the hash of the question")
    run_config = File(RUN_CONFIG, "the complete configuration of the run")
    corpus_manifest = File("corpus/manifest.json", "manifest of the corpus")
    split = Files(
        "corpus/{split}.parquet",
        "documents of a split (`train`, `match`, `pool`, `heldout`), with ids and domains",
    )
    image_set = Files(
        "images/{split}.json", "manifest of the images of a split (`train`, `match`, `heldout`)"
    )
    image_set_folder = Files("images/{split}", "the images: pixels, classes and captions")
    generated = Files(
        "images/generated/{model}/{n_shards}-shards/{shard}.json",
        "manifest of the images that a generator made, beside their folder",
    )
    captured = Files(
        "captured/{model}.json",
        "what the stores of a model that sees images hold, also those of its further trainings",
    )
    contact_sheet = Files(
        "contact_sheets/{pair}.png", "best matches of a pair: images, and both neurons' maps"
    )
    tokenizer = Files("tokenizers/{family}", "tokenizer of a zoo family")
    tokenizer_manifest = Files("tokenizers/{family}.json", "its manifest")
    model = Files("models/{model}", "a zoo model in Hugging Face format")
    model_manifest = Files("models/{model}.json", "manifest of any model")
    checkpoints = Files("checkpoints/{model}", "checkpoints of a training")
    training_steps = Files(
        "training_steps/{model}.json",
        "how well a zoo model had learnt at the steps that are kept, each a model of its own",
    )
    seed_matches = Files(
        "seeds/{model}.parquet",
        "matches of the trainings of a model with one another; with `seed` 0 or more, of exchanged "
        "samples",
    )
    own_past = Files(
        "past/own/{pair}.parquet",
        "all units of both models at a step of their training: r with their own final selves, and "
        "how their activations are distributed",
    )
    final_pairs = Files(
        "past/final/{pair}.parquet",
        "r, at a step of the training, of the pairs of neurons that match at its end",
    )
    stores = Files(
        "activations/{model}/{n_shards}-shards",
        "activations of a model: one Zarr store per shard, for one way of sharding",
    )
    store_manifest = Files(
        "activations/{model}/{n_shards}-shards/{shard}.json",
        "manifest of one store",
    )
    neighbors = Files("neighbors/{pair}", "each neuron's nearest neighbours")
    neighbors_part = Files(
        "neighbors/{pair}/{job}-of-{n_jobs}.parquet",
        "those found by one of a pair's jobs",
    )
    null_matches = Files(
        "nulls/{control}/{pair}.parquet",
        "matches under a null model, of all seeds",
    )
    intervals = Files("intervals/{pair}.parquet", "intervals of the correlations of matches")
    replicates = Files(
        "intervals/{pair}.replicates.parquet",
        "matches on half-samples of the documents",
    )
    sweeps = Files(
        "sweeps/{pair}.parquet",
        "matches under the settings of the sweeps that correlate again",
    )
    instruments = Files(
        "instruments/{pair}.parquet",
        "matches by other instruments on halves of the samples, and under a null model",
    )
    autoencoders = Files("sae/{model}", "sparse autoencoders of a model, in the format of SAELens")
    autoencoder_manifest = Files("sae/{model}.json", "their manifest, with how much they explain")
    autoencoder_neurons = Files(
        "sae_neurons/{model}.parquet", "what they say of every neuron of the model"
    )
    autoencoder_samples = Files(
        "sae_samples/{model}.parquet", "what they leave unexplained of every held-out sample"
    )
    autoencoder_checkpoints = Files("checkpoints/{model}~sae", "checkpoints of their training")
    theory = File("theory", "what the theory's tables are made from")
    theory_simulation = Files("theory/simulation/beta-{beta}.csv", "simulations of one decay β")
    theory_sweep = Files(
        "theory/sweep/{parameter}-{value}.csv",
        "simulations at one value of a swept parameter",
    )
    ngrams = File("theory/ngrams.parquet", "what the corpus's n-grams save, by rank")
    log = Files("logs/{stage}/{job}.log", "what a job said")
    benchmark = Files(
        "benchmarks/{stage}/{job}.tsv",
        "time and memory of a job, as Snakemake measured them",
    )

    def filtering(self, name: str) -> FilterPaths:
        """Return where a filter's results lie."""
        return FilterPaths(self.root / "filtering" / name)

    @property
    def features(self) -> FeaturePaths:
        """Where the same results of features of sparse autoencoders lie."""
        return FeaturePaths(self.root / FEATURES)


FEATURES = "features"  # the folder of what is of features, as the run's is of neurons
OF_FEATURES = "sae"  # what manifests there say for the architecture: no model stands behind them


@dataclass(frozen=True)
class FeaturePaths(Paths):
    """Where results lie that are of features in place of neurons: `features` of a run."""

    def split(self, split: str) -> Path:
        """Return the documents of a split, which are the run's own."""
        return Paths(self.root.parent).split(split)


def places(paths: type[Paths] | type[FilterPaths]) -> dict[str, Place]:
    """Return the table of a class: its rows by the name of the attribute."""
    return {name: row for name, row in vars(paths).items() if isinstance(row, Place)}

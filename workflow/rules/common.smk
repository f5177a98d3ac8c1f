"""The validated configuration `run`, the `paths`, and the functions that rules share."""

import json
import os
import re
import shlex
import sys
from pathlib import Path

from rosetta.plan.checks import check_config
from rosetta.config import (
    PAIR_SEPARATOR,
    SPLITS,
    FilesSource,
    dump_config,
    group_name,
    group_pairs,
    parse_config,
    twin_name,
)
from rosetta.config.controls import NULLS
from rosetta.config.read import read_yaml
from rosetta.errors import RosettaError, naming_files, without_secrets
from rosetta.storage.digests import write_text
from rosetta.run.jobs import CONTROL_TABLES, FILTER_TABLES, SCALING_TABLES, control_figures, part_name, training_name
from rosetta.config.ladders import cautions
from rosetta.models.folders import model_files
from rosetta.run.paths import Paths
from rosetta.storage.locks import hold, is_held
from rosetta.run.provenance import BEGINNING, date_back, stamp
from rosetta.plan.resources import needs_of_filter, needs_of_group, needs_of_model, needs_of_pair

# Rules call `rosetta`; it lies beside this Snakemake also when their environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))

try:
    for file in map(Path, workflow.configfiles):  # Snakemake has read them, and is silent about a key given twice
        if file.suffix in (".yaml", ".yml"):
            read_yaml(file)
    run = parse_config(config)
    with naming_files():
        check_config(run)
except RosettaError as error:
    sys.exit(
        f"rosetta: {without_secrets(str(error))}"
    )  # the message alone: a WorkflowError would add lines of this file

paths = Paths(Path(run.results))

# Snakemake's records lie in another folder than the results, and may be of others; what another configuration made is
# dated back to before this file, which rules without an input of their own have for one. Not so under a live run, whose
# files would be dated by what a second Snakemake was given, be it for a dry run or to be refused.
beginning = Path(".snakemake/beginning")
if workflow.is_main_process:
    with naming_files():
        beginning.parent.mkdir(exist_ok=True)
        beginning.touch()
        os.utime(beginning, (BEGINNING, BEGINNING))
        if is_held(Path.cwd()):
            print("warning: another run is at work here; its files stay as they are", file=sys.stderr)
        else:
            date_back(run, paths.root)

n_shards = run.activations.n_shards
n_jobs = run.correlation.n_jobs
twin_seeds = run.controls.untrained_seeds
pair_names = [group_name(pair) for pair in run.pairs()]
correlation_threads = run.dask.n_workers * run.dask.threads_per_worker if run.dask.local else 1


def one_of(names):
    """Return a wildcard constraint that admits these names only."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def models_of_kind(*kinds):
    return [name for name, entry in run.models.items() if entry.kind in kinds]


wildcard_constraints:
    family=one_of(run.zoo.families),
    model=one_of(run.models),
    pair=one_of(map(group_name, run.pairs())),
    group=one_of(map(group_name, run.groups())),
    shard=r"\d+",
    job=r"\d+",


def log_of(rule, name="{rule}"):
    return paths.log(rule, name)


def benchmark_of(rule, name="all"):
    return paths.benchmark(rule, name)


def stage(name, wildcard=None):
    """Return the parameter that reruns a rule when its slice of the configuration changes, and stamps its results."""
    return lambda wildcards: stamp(run, name, wildcards[wildcard] if wildcard else "")


def asked(needs, what):
    """Return the input function of a resource: `mb` and `minutes`, more with every attempt, or `gpu`."""
    return lambda wildcards, attempt: getattr(needs(wildcards), what) * (1 if what == "gpu" else attempt)


def model_needs(rule, what):
    """Return a resource of a job on one model."""
    return asked(lambda wildcards: needs_of_model(run, paths, rule, wildcards.model), what)


def pair_needs(rule, what):
    """Return a resource of a job on a pair."""

    def needs(wildcards):
        pair = tuple(wildcards.pair.split(PAIR_SEPARATOR))
        return needs_of_pair(run, paths, rule, pair, wildcards.get("control", ""))

    return asked(needs, what)


def group_needs(rule, what):
    """Return a resource of a job on a group."""
    return asked(lambda wildcards: needs_of_group(run, paths, rule, tuple(models_of(wildcards))), what)


def filter_needs(rule, what):
    """Return a resource of a job of the filter."""
    return asked(lambda wildcards: needs_of_filter(run, paths, rule), what)


def growing(mb):
    """Return memory that grows with every attempt."""
    return lambda wildcards, attempt: attempt * mb


def tokenizer_of(wildcards):
    return paths.tokenizer_manifest(run.models[wildcards.model].zoo.family)


def n_neurons(model):
    return run.zoo.sizes[run.models[model].zoo.size].n_neurons


zoo_models = sorted(models_of_kind("zoo"), key=n_neurons)
large_models = zoo_models[len(zoo_models) // 2 :]


def model_files_of(wildcards):
    """The files of a local model, so that replacing its weights reruns what depends on them."""
    path = run.models[wildcards.model].path
    return model_files(Path(path)) if path else []


def files_of(source):
    """The files of a local source, so that editing them rebuilds what is made of it."""
    if not isinstance(source, FilesSource):
        return []
    from rosetta.inputs.text.records import source_files  # needs pyarrow

    return source_files(source.path)


def base_of(wildcards):
    """An untrained twin takes configuration and tokenizer from its base model."""
    twin = run.models[wildcards.model].untrained
    return [paths.model_manifest(twin.of)] if twin else []


def temporary_stores(model, shards):
    """Stores as files of the workflow: only those that Snakemake is to delete once they are used."""
    if run.store_mode != "temporary":
        return []
    return [paths.store_manifest(model, n_shards, shard).with_suffix(".zarr") for shard in shards]


def model_stores(model):
    """All shards of a model: their manifests, and the stores themselves where Snakemake is to delete them."""
    manifests = [paths.store_manifest(model, n_shards, shard) for shard in range(n_shards)]
    return manifests + temporary_stores(model, range(n_shards))


def stores_of(side):
    """Return an input function: the shards of one model of a pair."""
    return lambda wildcards: model_stores(wildcards.pair.split(PAIR_SEPARATOR)[side])


def store_folder(side):
    return lambda wildcards: paths.stores(wildcards.pair.split(PAIR_SEPARATOR)[side], n_shards)


def matches_of_group(wildcards):
    return [paths.matches(group_name(pair)) for pair in group_pairs(tuple(wildcards.group.split(PAIR_SEPARATOR)))]


def models_of(wildcards):
    """The models of a group, anchor first."""
    return wildcards.group.split(PAIR_SEPARATOR)


def twin_stores(model):
    """The stores of a model's untrained twins: manifests, and stores, which are deleted once they are used."""
    twins = [twin_name(model, seed) for seed in twin_seeds]
    manifests = [paths.store_manifest(twin, n_shards, shard) for twin in twins for shard in range(n_shards)]
    # They would take several times the disk of the models' own stores, and only null models need them.
    written = [] if run.store_mode == "live" else manifests
    return manifests, [manifest.with_suffix(".zarr") for manifest in written]


def null_stores(wildcards):
    if wildcards.control != "untrained":
        corpus = [paths.corpus_manifest] if wildcards.control == "documents" else []
        return [*corpus, *stores_of(0)(wildcards), *stores_of(1)(wildcards)]
    return [file for model in wildcards.pair.split(PAIR_SEPARATOR) for files in twin_stores(model) for file in files]

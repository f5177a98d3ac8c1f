"""The validated configuration `run`, the `paths`, and the functions that rules share."""

import os
import re
import sys
from functools import partial
from pathlib import Path

import snakemake.utils

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
from rosetta.config.ladders import cautions
from rosetta.models.folders import model_files
from rosetta.run.paths import Paths
from rosetta.storage.locks import hold, is_held
from rosetta.run.provenance import BEGINNING, date_back, stamp
from rosetta.run.stages import (
    STAGES,
    check_rules,
    figure_names,
    find_stage,
    table_names,
    training_name,
)
from rosetta.plan.resources import needs_of_job

# Rules call `rosetta`; it lies beside this Snakemake also when their environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))

try:
    # Snakemake has read these files, and is silent about a key given twice.
    for file in map(Path, workflow.configfiles):
        if file.suffix in (".yaml", ".yml"):
            read_yaml(file)
    run = parse_config(config)
    with naming_files():
        check_config(run)
except RosettaError as error:
    # The message alone: a WorkflowError would add lines of this file.
    sys.exit(f"rosetta: {without_secrets(str(error))}")

paths = Paths(Path(run.results))

# Snakemake's records lie in another folder than the results, and may be of others; what another configuration made is
# dated back to before this file, which rules without an input of their own have for one. Not so under a live run, whose
# files would be dated by what a second Snakemake was given, also for a dry run or one that stops at the lock.
beginning = Path(".snakemake/beginning")
if workflow.is_main_process:
    with naming_files():
        beginning.parent.mkdir(exist_ok=True)
        beginning.touch()
        os.utime(beginning, (BEGINNING, BEGINNING))
        if is_held(Path.cwd()):
            said = "warning: another run is at work here; its files stay as they are"
            print(said, file=sys.stderr)
        else:
            date_back(run, paths.root)

n_shards = run.activations.n_shards
n_jobs = run.correlation.n_jobs
twin_seeds = run.controls.untrained_seeds
pair_names = [group_name(pair) for pair in run.pairs()]
nulls_of_pairs = [
    paths.null_matches(control, pair) for control in run.controls.names for pair in pair_names
]
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


def of_models(path):
    """Return one path per model of a ladder."""
    return [path(model) for model in run.used_models()]


def of_pairs(path):
    """Return one path per pair of models."""
    return [path(pair) for pair in pair_names]


def of_groups(path):
    """Return one path per group of models."""
    return [path(group_name(group)) for group in run.groups()]


def neighbors_of(pair):
    """Return the neighbour lists of a pair, one per job that shares its tiles."""
    return [paths.neighbors_part(pair, part, n_jobs) for part in range(n_jobs)]


def profiles_of_models():
    """Return what is known of every model's neurons."""
    return [of_models(path) for path in (paths.vocabulary, paths.neurons, paths.contexts)]


def tables(*names):
    return [paths.table(name) for name in names]


def figures(extension, *names):
    return [paths.figure(name, extension) for name in names]


def shown_table(name, category):
    """Return a table that Snakemake's report shows, with the caption of its name."""
    return report(paths.table(name), caption=f"../report/{name}.rst", category=category)


def shown_figure(name, category):
    """Return a figure that Snakemake's report shows, with the caption of its name."""
    figure = paths.figure(name, "png")
    return report(figure, caption=f"../report/{name}_figure.rst", category=category)


def job_of(name):
    """Return the names under which the base rule keeps the log and benchmark of a stage's job."""
    return {"stage": name, "job": find_stage(name).job_pattern(run)}


def command(name, line, **values):
    """Return the parameters of a stage's rule.

    `stage` stamps the results, and reruns the rule when its slice of the configuration changes.
    `command` is `line`, in which names in braces stand for wildcards, `config` (the file),
    `input`, `output` and `values`; it reruns nothing. Snakemake remembers `values`, so that a
    change of one reruns the rule.
    """
    slice_by = find_stage(name).slice_by

    def stamped(wildcards):
        return stamp(run, name, wildcards[slice_by] if slice_by else "")

    def filled(wildcards, input, output):
        given = {"config": paths.run_config, "input": input, "output": output, **wildcards}
        for name, value in values.items():
            given[name] = value(wildcards) if callable(value) else value
        return snakemake.utils.format(line, **given)

    return {"stage": stamped, "command": filled, **values}


def needs(name):
    """Return the resources of a stage's jobs; memory and time grow with every attempt."""
    needed = partial(needs_of_job, run, paths, name)
    asked = {
        "mem_mb": lambda wildcards, attempt: attempt * needed(wildcards).mb,
        "runtime": lambda wildcards, attempt: attempt * needed(wildcards).minutes,
    }
    gpu = {"gpu": lambda wildcards: needed(wildcards).gpu}
    return asked if find_stage(name).resources.gpu == "never" else asked | gpu


def tokenizer_of(wildcards):
    return paths.tokenizer_manifest(run.models[wildcards.model].zoo.family)


def n_neurons(model):
    return run.zoo.sizes[run.models[model].zoo.size].n_neurons


zoo_models = sorted(models_of_kind("zoo"), key=n_neurons)
small_models, large_models = zoo_models[: len(zoo_models) // 2], zoo_models[len(zoo_models) // 2 :]


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


def twinned_manifest(wildcards):
    """The model that untrained twins are made of: a twin's own base, or the model itself."""
    return base_of(wildcards) or [paths.model_manifest(wildcards.model)]


def temporary_stores(model, shards):
    """Stores as files of the workflow: only those that Snakemake is to delete once they are used."""
    if run.store_mode != "temporary":
        return []
    return [paths.store_manifest(model, n_shards, shard).with_suffix(".zarr") for shard in shards]


def model_stores(model):
    """All shards of a model: their manifests, and the stores themselves where Snakemake is to delete them."""
    manifests = [paths.store_manifest(model, n_shards, shard) for shard in range(n_shards)]
    return manifests + temporary_stores(model, range(n_shards))


def stores_of_pair(wildcards):
    """The shards of both models of a pair."""
    return [file for model in wildcards.pair.split(PAIR_SEPARATOR) for file in model_stores(model)]


def matches_of_group(wildcards):
    return [
        paths.matches(group_name(pair))
        for pair in group_pairs(tuple(wildcards.group.split(PAIR_SEPARATOR)))
    ]


def models_of(wildcards):
    """The models of a group, anchor first."""
    return wildcards.group.split(PAIR_SEPARATOR)


def profiles_of_group(wildcards):
    """The top contexts and the stores of a group's models."""
    models = models_of(wildcards)
    return [paths.contexts(model) for model in models] + [
        file for model in models for file in model_stores(model)
    ]


def training_options(wildcards):
    """The filter and the seed of a training on a selection."""
    return "--filter {} --seed {}".format(*wildcards.training.rsplit("-", 1))


def twin_stores(model):
    """The stores of a model's untrained twins: manifests, and stores, which are deleted once they are used."""
    twins = [twin_name(model, seed) for seed in twin_seeds]
    manifests = [
        paths.store_manifest(twin, n_shards, shard) for twin in twins for shard in range(n_shards)
    ]
    # They would take several times the disk of the models' own stores, and only null models need them.
    written = [] if run.store_mode == "live" else manifests
    return manifests, [manifest.with_suffix(".zarr") for manifest in written]


def null_stores(wildcards):
    if wildcards.control != "untrained":
        corpus = [paths.corpus_manifest] if wildcards.control == "documents" else []
        return [*corpus, *stores_of_pair(wildcards)]
    return [
        file
        for model in wildcards.pair.split(PAIR_SEPARATOR)
        for files in twin_stores(model)
        for file in files
    ]

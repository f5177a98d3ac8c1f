"""The validated configuration `run`, the `paths`, and the functions that rules share."""

import os
import re
import sys
from functools import cache
from pathlib import Path
from string import Formatter

import snakemake.utils
from snakemake.persistence import FileBackupMixin

from rosetta.plan.checks import check_config
from rosetta.config import FilesSource, dump_config, group_name, parse_config
from rosetta.config.images import ImageFiles, ImageFolder
from rosetta.config.read import read_yaml
from rosetta.errors import RosettaError, naming_files, without_secrets
from rosetta.storage.digests import write_text
from rosetta.config.ladders import cautions
from rosetta.models.folders import model_files
from rosetta.run.cores import job_cores
from rosetta.run.paths import Paths
from rosetta.run.user_files import Reader, date_back_replaced, remember
from rosetta.storage.locks import hold, is_held
from rosetta.run.pieces import recall_jobs
from rosetta.run.provenance import BEGINNING, STALE, date_back, job_stamp
from rosetta.run.stages.record import FIGURE_KINDS
from rosetta.run.stages import (
    RULES,
    STAGES,
    check_rules,
    declared_files,
    figure_names,
    find_rule,
    needed_files,
    pieces_of_job,
    rule_jobs,
    table_names,
    undeclared_files,
)
from rosetta.plan.resources import needs_of_job
from rosetta.sae.folders import weight_files

# Rules call `rosetta`; it lies beside this Snakemake also when their environment is not activated.
os.environ.update(PATH=os.pathsep.join([str(Path(sys.executable).parent), *os.get_exec_path()]))
# Libraries of linear algebra would otherwise take every core in every job, and get in each other's way: laws of small
# tables took three times the processor time. Steps that are given more cores ask for them themselves.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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

# When a job fails, Snakemake puts the old outputs that it was updating back. A bundle's job writes whole files, each right
# by itself, and goes on after them.
FileBackupMixin.backup_output = lambda self, path: None
FileBackupMixin.restore_output = lambda self, path: False

paths = Paths(Path(run.results))


def files_of(source):
    """The files of a local source, so that editing them rebuilds what is made of it."""
    if isinstance(source, (ImageFiles, ImageFolder)):
        from rosetta.inputs.images.inspection import local_files

        return local_files(source)
    if not isinstance(source, FilesSource):
        return []
    from rosetta.inputs.text.records import source_files  # needs pyarrow

    return source_files(source.path)


def user_files():
    """The user's own files, by who reads them."""
    found = {Reader("corpus"): files_of(run.corpus.source)} if "text" in run.modalities else {}
    if "images" in run.modalities:
        found[Reader("images")] = files_of(run.images.source)
    if run.filtering:
        found[Reader("filter_pool")] = files_of(run.filtering.pool.source)
    if run.sae:
        found[Reader("sae")] = autoencoder_files(run.sae)
    models = [job["model"] for job in STAGES["model"].jobs(run)]
    local = {name: Path(run.entry(name).path or "") for name in models}
    found |= {
        Reader("model", name): model_files(path)
        for name, path in local.items()
        if path.name and path.is_dir()
    }
    return {reader: files for reader, files in found.items() if files}


def autoencoder_files(settings):
    """The files of autoencoders that are read, so that replacing one reruns what reads it."""
    return [path for folder in settings.path.values() for path in weight_files(Path(folder))]


# Snakemake's records lie in another folder than the results, and may be of others; what another configuration made is
# dated back to before this file, which rules without an input of their own have for one. Not so under a live run, whose
# files would be dated by what a second Snakemake was given, also for a dry run or one that stops at the lock.
beginning = Path(".snakemake/beginning")
if workflow.is_main_process:
    with naming_files():
        beginning.parent.mkdir(exist_ok=True)
        beginning.write_text("\n")  # Snakemake compares empty files by content, not by time
        os.utime(beginning, (BEGINNING, BEGINNING))
        if is_held(Path.cwd()):
            said = "warning: another run is at work here; its files stay as they are"
            print(said, file=sys.stderr)
        else:
            date_back(run, paths.root)
            date_back_replaced(user_files(), run, paths)
            recall_jobs(run, paths)

jobs = rule_jobs(run)
undeclared = {
    path for rule in jobs for job in jobs[rule] for path in undeclared_files(run, paths, rule, job)
}
# The stages whose tables and figures Snakemake's report shows, by the heading they stand under.
SHOWN = {
    "Scaling": ("counts", "fit", "figures"),
    "Controls": ("control_tables", "control_figures"),
    "Instruments": ("instrument_tables", "instrument_figures"),
    "Emergence": ("emergence", "emergence_figures"),
    "Across seeds": ("across_seeds", "across_seeds_figures"),
    "Neurons": ("describe", "neuron_figures"),
    "Autoencoders": ("sae_tables", "sae_figures"),
    "Images": ("place_maps",),
    "Outputs": ("attribution_tables", "attribution_figures", "ablation_tables", "ablation_figures"),
    "Theory": ("theory_beta", "theory_exponents", "theory_compare", "theory_figures"),
    "Filtering": ("filter_tables", "filter_figure"),
}
CAPTIONS = Path(workflow.basedir, "workflow", "report")


def find_captions():
    """Return the caption and the heading of each table and figure that is shown.

    A caption is of one table or figure, or (`_all`) of each that a stage makes.
    """
    found = {}
    for heading, stages in SHOWN.items():
        for stage in stages:
            tables = {paths.table(name): name for name in STAGES[stage].tables}
            figures = {
                paths.figure(name, "png"): f"{name}_figure" for name in figure_names(run, stage)
            }
            for path, name in (tables | figures).items():
                for file in (CAPTIONS / f"{name}.rst", CAPTIONS / f"{stage}_all.rst"):
                    if file.exists():
                        found.setdefault(path, (f"../report/{file.name}", heading))
    return found


captions = find_captions()


def one_of(names):
    """Return a wildcard constraint that admits these names only."""
    return "|".join(re.escape(str(name)) for name in names) or "(?!)"


def results_of(*stages):
    """Return the results of stages that only models of one modality have."""
    return [
        path
        for stage in stages
        for job in STAGES[stage].jobs(run)
        for path in STAGES[stage].outputs(run, paths, job)
    ]


def of_pairs(path):
    """Return one path per pair of models."""
    return [path(group_name(pair)) for pair in run.pairs()]


def of_groups(path):
    """Return one path per group of models."""
    return [path(group_name(group)) for group in run.groups()]


def filter_results():
    """Return the filtered corpus, if there is a filter, and its scores."""
    filtered = paths.filtering(run.filtering.name) if run.filtering else None
    return [filtered.corpus_manifest, filtered.scores] if filtered else []


def job_of(name):
    """Return the names under which the base rule keeps the log and benchmark of a rule's job."""
    return {"stage": name, "job": find_rule(name).job_pattern(run)}


def wildcards_of(name):
    """Return the names of the wildcards of a rule's jobs."""
    pattern = find_rule(name).job_pattern(run)
    return [field for _, field, _, _ in Formatter().parse(pattern) if field]


def only(name):
    """Return the constraints that admit a rule's own jobs.

    Where models are small, a bundle does what the rules of its stages would.
    """
    return {field: one_of({job[field] for job in jobs[name]}) for field in wildcards_of(name)}


def inputs_of(name):
    """Return the inputs of a rule's jobs, as the registry has them."""

    def needed(wildcards):
        tell_forced_stages()
        found = needed_files(run, paths, name, dict(wildcards.items()), undeclared)
        return found or [beginning]

    return needed


def outputs_of(name):
    """Return the outputs of a rule, as the registry has them.

    What a bundle wrote is left in place when it runs again, because it computes only what is
    outdated. Stores are outputs where Snakemake is to delete them once they are used.
    """
    if not (jobs[name] or wildcards_of(name)):
        return []  # another rule does this work
    pattern = {wildcard: f"{{{wildcard}}}" for wildcard in wildcards_of(name)}
    found = declared_files(run, paths, name, pattern)
    stores = [path for path in found if path.suffix == ".zarr"]
    deleted = stores if name in ("twins", "image_twins") or run.store_mode == "temporary" else []
    files = [shown(path) for path in found if path not in stores]
    kept = files if name in STAGES else [update(path) for path in files]
    return [*kept, *(temp(directory(path)) for path in deleted)]


def shown(path):
    """Return a result, with its caption where Snakemake's report shows it."""
    if path not in captions:
        return path
    caption, heading = captions[path]
    return report(path, caption=caption, category=heading)


def command(name, line=None, **values):
    """Return the parameters of a rule.

    `stage` stamps the results, and reruns the rule when a slice of the configuration changes.
    `command` is `line`, in which names in braces stand for wildcards, `config` (the file),
    `input`, `output`, `threads` and `values`; it reruns nothing. A bundle needs no line. Snakemake remembers
    `values`, so that a change of one reruns the rule.
    """
    line = line or " ".join(
        ["job", name, *(f"{{{field}}}" for field in wildcards_of(name)), "--config {config:q}"]
    )

    def stamped(wildcards):
        return job_stamp(run, name, dict(wildcards.items()))

    def filled(wildcards, input, output, threads):
        given = {"config": paths.run_config, "input": input, "output": output, **wildcards}
        given["threads"] = threads
        for key, value in values.items():
            given[key] = value(wildcards) if callable(value) else value
        return snakemake.utils.format(line, **given)

    return {"stage": stamped, "command": filled, **values}


def cores_of(name):
    """Return how many cores a rule's jobs compute on, as a function: `--cores` is known later.

    On a cluster the jobs do not share them. Neither there nor in the process of such a job may the
    number follow from the machine that asks: it is what the job was given.
    """

    def cores(wildcards):
        here = workflow.local_exec and not workflow.remote_exec
        given = workflow.resource_settings.cores if here else None
        return job_cores(run, name, len(jobs[name]), given)

    return cores


def needs(name):
    """Return the resources of a rule's jobs; memory and time grow with every attempt."""

    def needed(wildcards, threads):
        return needs_of_job(run, paths, name, dict(wildcards.items()), threads)

    asked = {
        "mem_mb": lambda wildcards, attempt, threads: attempt * needed(wildcards, threads).mb,
        "runtime": lambda wildcards, attempt, threads: attempt * needed(wildcards, threads).minutes,
    }
    gpu = {"gpu": lambda wildcards, threads: needed(wildcards, threads).gpu}
    return asked if find_rule(name).resources.gpu == "never" else asked | gpu


def model_files_of(wildcards):
    """The files of a local model, so that replacing its weights reruns what depends on them, and
    that with the names of the classes which it makes images of.
    """
    entry = run.entry(wildcards.model)
    named = entry.pipeline.class_names if entry.pipeline else None
    names = [Path(named)] if isinstance(named, str) else []
    return names + (model_files(Path(entry.path)) if entry.path else [])


def training_options(wildcards):
    """The filter and the seed of a training on a selection."""
    return "--filter {} --seed {}".format(*wildcards.training.rsplit("-", 1))


@cache
def tell_forced_stages():
    """Tell which jobs do the work of rules that are forced and have no jobs of their own here.

    Snakemake passes such a rule over in silence, or runs it although the configuration lacks what it needs; one
    that nothing asks for is an error. Snakemake has read its options when it asks for inputs.
    """
    for stage in sorted(set(map(str, workflow.dag_settings.forcerun)) & set(STAGES)):
        if jobs[stage]:
            continue
        doing = [
            name
            for name, its_jobs in jobs.items()
            for job in its_jobs
            if any(piece.stage == stage for piece in pieces_of_job(run, name, job))
        ]
        if not doing:
            sys.exit(
                f"rosetta: -R {stage}: nothing in this configuration asks for it. Leave it out."
            )
        by = ", ".join(dict.fromkeys(doing))
        told = f"the jobs of {by} do its work; force those, or single files"
        print(f"warning: {stage} has no jobs of its own here: {told}", file=sys.stderr)


def forced_files():
    """Yield what the user forces to be made again: a bundle's job cannot tell it otherwise."""
    asked = workflow.dag_settings
    named = {str(name) for name in asked.forcerun}
    named |= set(map(str, asked.targets)) if asked.forcetargets else set()
    for name, its_jobs in jobs.items():
        whole = asked.forceall or name in named
        for job in its_jobs:
            files = declared_files(run, paths, name, job)
            files = files + undeclared_files(run, paths, name, job) if whole else files
            yield from (path for path in files if whole or str(path) in named)

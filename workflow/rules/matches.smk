"""Correlations, matches, Rosetta Neurons.

Needs: the activation stores of both models of a pair; matches under null models and intervals (controls.smk).
Makes: results/neighbors/{pair}, results/matches/{pair}.parquet, results/rosetta/{group}.parquet.
"""

jobqueue = json.dumps(run.dask.jobqueue)
null_options = [f"--null {control}={{input.{control}:q}}" for control in run.controls.names]


# How the work is cut and where it runs do not change its result: what the command takes from `run`
# and `jobqueue` is not remembered, and reruns nothing.
use rule step as correlate with:
    input:
        stores_of_pair,
    output:
        paths.neighbors_part("{pair}", "{job}", n_jobs),
    pathvars:
        **job_of("correlate"),
    threads: correlation_threads
    resources:
        **needs("correlate"),
    params:
        **command(
            "correlate",
            "correlate --a {a:q} --b {b:q} --out {output:q} --pooling {pooling} --method {method}"
            " --screening {screening:q} --max-k {max_k} --precision {precision}"
            " --memory-gb {run.correlation.memory_gb} --scheduler {run.dask.scheduler:q}"
            " --n-workers {run.dask.n_workers} --threads {run.dask.threads_per_worker}"
            " --jobqueue {jobqueue:q} --n-jobs {n_jobs} --job {job} --exclusions {exclusions:q}",
            a=store_folder(0),
            b=store_folder(1),
            pooling=run.alignment.pooling,
            method=run.correlation.method,
            max_k=run.correlation.max_k,
            precision=run.correlation.precision,
            screening=run.correlation.screening.model_dump_json(),
            n_jobs=n_jobs,
            exclusions=run.exclusions.model_dump_json(),
        ),
    message:
        "Correlating {wildcards.pair}"


use rule step as match with:
    input:
        **{control: paths.null_matches(control, "{pair}") for control in run.controls.names},
        neighbors=neighbors_of("{pair}"),
        intervals=paths.intervals("{pair}"),
    output:
        paths.matches("{pair}"),
    pathvars:
        **job_of("match"),
    params:
        **command(
            "match",
            " ".join(["match {input.neighbors:q} --k {k}", *null_options])
            + " --intervals {input.intervals:q} --out {output:q}",
            k=run.matching.k,
        ),
    message:
        "Matching {wildcards.pair}"


use rule step as anchors with:
    input:
        matches_of_group,
    output:
        paths.rosetta("{group}"),
    pathvars:
        **job_of("anchors"),
    params:
        **command("anchors", "anchors {input:q} --out {output:q}"),
    message:
        "Rosetta Neurons of {wildcards.group}"

"""Correlations, matches, Rosetta Neurons.

Needs: the activation stores of both models of a pair; matches under null models and intervals (controls.smk).
Makes: results/neighbors/{pair}, results/matches/{pair}.parquet, results/rosetta/{group}.parquet.
"""


rule correlate:
    input:
        a=stores_of(0),
        b=stores_of(1),
    output:
        paths.neighbors_part("{pair}", "{job}", n_jobs),
    log:
        log_of("correlate", part_name("{pair}", "{job}", n_jobs)),
    benchmark:
        benchmark_of("correlate", part_name("{pair}", "{job}", n_jobs))
    conda:
        "../../envs/rosetta.yaml"
    threads: correlation_threads
    resources:
        # How the work is cut and where it runs do not change its result: as resources, not parameters, these rerun nothing.
        mem_mb=pair_needs("correlate", "mb"),
        runtime=pair_needs("correlate", "minutes"),
        gpu=pair_needs("correlate", "gpu"),
        memory_gb=str(run.correlation.memory_gb),
        scheduler=run.dask.scheduler,
        n_workers=run.dask.n_workers,
        threads_per_worker=run.dask.threads_per_worker,
        jobqueue=json.dumps(run.dask.jobqueue),
    params:
        stage=stage("correlate"),
        a=store_folder(0),
        b=store_folder(1),
        pooling=run.alignment.pooling,
        method=run.correlation.method,
        max_k=run.correlation.max_k,
        precision=run.correlation.precision,
        screening=run.correlation.screening.model_dump_json(),
        n_jobs=n_jobs,
        exclusions=run.exclusions.model_dump_json(),
    message:
        "Correlating {wildcards.pair}"
    shell:
        "rosetta --made-by {params.stage:q} correlate --a {params.a:q} --b {params.b:q} --out {output:q} --pooling {params.pooling}"
        " --method {params.method} --screening {params.screening:q} --max-k {params.max_k}"
        " --precision {params.precision} --memory-gb {resources.memory_gb} --scheduler {resources.scheduler:q}"
        " --n-workers {resources.n_workers} --threads {resources.threads_per_worker}"
        " --jobqueue {resources.jobqueue:q} --n-jobs {params.n_jobs} --job {wildcards.job}"
        " --exclusions {params.exclusions:q} 2> {log:q}"


rule match:
    input:
        neighbors=[paths.neighbors_part("{pair}", job, n_jobs) for job in range(n_jobs)],
        nulls=[paths.null_matches(control, "{pair}") for control in run.controls.names],
        intervals=paths.intervals("{pair}"),
    output:
        paths.matches("{pair}"),
    log:
        log_of("match", "{pair}"),
    benchmark:
        benchmark_of("match", "{pair}")
    conda:
        "../../envs/rosetta.yaml"
    params:
        stage=stage("match"),
        k=run.matching.k,
        nulls=lambda wildcards, input: [
            f"--null {name}={shlex.quote(path)}" for name, path in zip(run.controls.names, input.nulls, strict=True)
        ],
    message:
        "Matching {wildcards.pair}"
    shell:
        "rosetta --made-by {params.stage:q} match {input.neighbors:q} --k {params.k} {params.nulls} --intervals {input.intervals:q}"
        " --out {output:q} 2> {log:q}"


rule anchors:
    input:
        matches_of_group,
    output:
        paths.rosetta("{group}"),
    log:
        log_of("anchors", "{group}"),
    benchmark:
        benchmark_of("anchors", "{group}")
    conda:
        "../../envs/rosetta.yaml"
    params:
        stage=stage("anchors"),
    message:
        "Rosetta Neurons of {wildcards.group}"
    shell:
        "rosetta --made-by {params.stage:q} anchors {input:q} --out {output:q} 2> {log:q}"

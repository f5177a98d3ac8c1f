"""Controls and uncertainty: null models, intervals, sweeps, their tables and figures.

Needs: the corpus and the models; activation stores and neighbour lists of all pairs.
Makes: stores of untrained twins, results/nulls/{control}/{pair}.parquet, results/intervals/, results/sweeps/,
results/tables/{controls,null_summary,k_sweep,threshold_sweep,stability,exclusions}.csv and their figures.
"""


wildcard_constraints:
    control=one_of(NULLS),


if twin_seeds:

    # One job makes the twins of all seeds: they are small work, and starting a job costs seconds.
    rule twins:
        input:
            corpus=paths.corpus_manifest,
            base=lambda wildcards: paths.model_manifest(
                twin.of if (twin := run.models[wildcards.model].untrained) else wildcards.model
            ),
        output:
            [paths.model_manifest(twin_name("{model}", seed)) for seed in twin_seeds],
            twin_stores("{model}")[0],
            [temp(directory(store)) for store in twin_stores("{model}")[1]],
        log:
            log_of("twins", "{model}"),
        benchmark:
            benchmark_of("twins", "{model}")
        conda:
            "../../envs/rosetta.yaml"
        resources:
            mem_mb=model_needs("twins", "mb"),
            runtime=model_needs("twins", "minutes"),
            gpu=model_needs("twins", "gpu"),
        params:
            config=paths.run_config,
            stage=stage("twins", "model"),
        message:
            "Untrained twins of {wildcards.model}"
        shell:
            "rosetta --made-by {params.stage:q} twins --config {params.config:q} --model {wildcards.model} 2> {log:q}"


rule nulls:
    input:
        null_stores,
    output:
        paths.null_matches("{control}", "{pair}"),
    log:
        log_of("nulls", "{control}.{pair}"),
    benchmark:
        benchmark_of("nulls", "{control}.{pair}")
    priority: 5  # before more twins take disk
    conda:
        "../../envs/rosetta.yaml"
    threads: correlation_threads
    resources:
        mem_mb=pair_needs("nulls", "mb"),
        runtime=pair_needs("nulls", "minutes"),
        gpu=pair_needs("nulls", "gpu"),
    params:
        config=paths.run_config,
        stage=stage("nulls", "control"),
    message:
        "Matching {wildcards.pair} under the null model `{wildcards.control}`"
    shell:
        "rosetta --made-by {params.stage:q} nulls --config {params.config:q} --control {wildcards.control} --pair {wildcards.pair} 2> {log:q}"


rule intervals:
    input:
        corpus=paths.corpus_manifest,
        a=stores_of(0),
        b=stores_of(1),
        neighbors=[paths.neighbors_part("{pair}", job, n_jobs) for job in range(n_jobs)],
    output:
        paths.intervals("{pair}"),
        paths.replicates("{pair}"),
    log:
        log_of("intervals", "{pair}"),
    benchmark:
        benchmark_of("intervals", "{pair}")
    conda:
        "../../envs/rosetta.yaml"
    threads: run.dask.threads_per_worker
    resources:
        mem_mb=pair_needs("intervals", "mb"),
        runtime=pair_needs("intervals", "minutes"),
        gpu=pair_needs("intervals", "gpu"),
    params:
        config=paths.run_config,
        stage=stage("intervals"),
    message:
        "Intervals of {wildcards.pair}"
    shell:
        "rosetta --made-by {params.stage:q} intervals --config {params.config:q} --pair {wildcards.pair} 2> {log:q}"


rule sweeps:
    input:
        corpus=paths.corpus_manifest,
        a=stores_of(0),
        b=stores_of(1),
    output:
        paths.sweeps("{pair}"),
    log:
        log_of("sweeps", "{pair}"),
    benchmark:
        benchmark_of("sweeps", "{pair}")
    conda:
        "../../envs/rosetta.yaml"
    threads: correlation_threads
    resources:
        mem_mb=pair_needs("sweeps", "mb"),
        runtime=pair_needs("sweeps", "minutes"),
        gpu=pair_needs("sweeps", "gpu"),
    params:
        config=paths.run_config,
        stage=stage("sweeps"),
    message:
        "Sweeps of {wildcards.pair}"
    shell:
        "rosetta --made-by {params.stage:q} sweeps --config {params.config:q} --pair {wildcards.pair} 2> {log:q}"


rule control_tables:
    input:
        nulls=[paths.null_matches(control, pair) for control in run.controls.names for pair in pair_names],
        sweeps=[paths.sweeps(pair) for pair in pair_names if run.swept_anew],
        neighbors=[paths.neighbors_part(pair, job, n_jobs) for pair in pair_names for job in range(n_jobs)],
        matches=[paths.matches(pair) for pair in pair_names],
        models=[paths.model_manifest(model) for model in run.used_models()],
    output:
        report(
            [paths.table(name) for name in CONTROL_TABLES], caption="../report/control_tables.rst", category="Controls"
        ),
    log:
        log_of("control_tables", "all"),
    benchmark:
        benchmark_of("control_tables")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("control_tables"),
    message:
        "Tables of controls and sweeps"
    shell:
        "rosetta --made-by {params.stage:q} control-tables --config {params.config:q} 2> {log:q}"


rule control_figures:
    input:
        counts=paths.table("counts"),
        nulls=[paths.null_matches(control, pair) for control in run.controls.names for pair in pair_names],
        matches=[paths.matches(pair) for pair in pair_names],
        tables=[paths.table(name) for name in CONTROL_TABLES],
    output:
        png=report(
            [paths.figure(name, "png") for name in control_figures(run)],
            caption="../report/control_figures.rst",
            category="Controls",
        ),
        pdf=[paths.figure(name, "pdf") for name in control_figures(run)],
    log:
        log_of("control_figures", "all"),
    benchmark:
        benchmark_of("control_figures")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("control_figures"),
    message:
        "Drawing controls and sweeps"
    shell:
        "rosetta --made-by {params.stage:q} control-figures --config {params.config:q} 2> {log:q}"

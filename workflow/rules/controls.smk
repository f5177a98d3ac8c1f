"""Controls and uncertainty: null models, intervals, sweeps, their tables and figures.

Needs: the corpus and the models; activation stores and neighbour lists of all pairs.
Makes: stores of untrained twins, results/nulls/{control}/{pair}.parquet, results/intervals/, results/sweeps/,
results/tables/{controls,null_summary,k_sweep,threshold_sweep,stability,exclusions}.csv and their figures.
"""


wildcard_constraints:
    control=one_of(NULLS),


if twin_seeds:

    # One job makes the twins of all seeds: they are small work, and starting a job costs seconds.
    use rule step as twins with:
        input:
            corpus=paths.corpus_manifest,
            base=twinned_manifest,
        output:
            [paths.model_manifest(twin_name("{model}", seed)) for seed in twin_seeds],
            twin_stores("{model}")[0],
            [temp(directory(store)) for store in twin_stores("{model}")[1]],
        pathvars:
            **job_of("twins"),
        resources:
            **needs("twins"),
        params:
            **command("twins", "twins --config {config:q} --model {model}"),
        message:
            "Untrained twins of {wildcards.model}"


use rule step as nulls with:
    input:
        null_stores,
    output:
        paths.null_matches("{control}", "{pair}"),
    pathvars:
        **job_of("nulls"),
    priority: 5  # before more twins take disk
    threads: correlation_threads
    resources:
        **needs("nulls"),
    params:
        **command("nulls", "nulls --config {config:q} --control {control} --pair {pair}"),
    message:
        "Matching {wildcards.pair} under the null model `{wildcards.control}`"


use rule step as intervals with:
    input:
        paths.corpus_manifest,
        stores_of_pair,
        neighbors_of("{pair}"),
    output:
        paths.intervals("{pair}"),
        paths.replicates("{pair}"),
    pathvars:
        **job_of("intervals"),
    threads: run.dask.threads_per_worker
    resources:
        **needs("intervals"),
    params:
        **command("intervals", "intervals --config {config:q} --pair {pair}"),
    message:
        "Intervals of {wildcards.pair}"


use rule step as sweeps with:
    input:
        paths.corpus_manifest,
        stores_of_pair,
    output:
        paths.sweeps("{pair}"),
    pathvars:
        **job_of("sweeps"),
    threads: correlation_threads
    resources:
        **needs("sweeps"),
    params:
        **command("sweeps", "sweeps --config {config:q} --pair {pair}"),
    message:
        "Sweeps of {wildcards.pair}"


use rule step as control_tables with:
    input:
        nulls_of_pairs,
        [paths.sweeps(pair) for pair in pair_names if run.sweeps_recorrelate],
        [neighbors_of(pair) for pair in pair_names],
        of_pairs(paths.matches),
        of_models(paths.model_manifest),
    output:
        report(
            tables(*table_names(run, "control_tables")),
            caption="../report/control_tables.rst",
            category="Controls",
        ),
    pathvars:
        **job_of("control_tables"),
    params:
        **command("control_tables", "control-tables --config {config:q}"),
    message:
        "Tables of controls and sweeps"


use rule step as control_figures with:
    input:
        nulls_of_pairs,
        of_pairs(paths.matches),
        tables("counts", *table_names(run, "control_tables")),
    output:
        report(
            figures("png", *figure_names(run, "control_figures")),
            caption="../report/control_figures.rst",
            category="Controls",
        ),
        figures("pdf", *figure_names(run, "control_figures")),
    pathvars:
        **job_of("control_figures"),
    params:
        **command("control_figures", "control-figures --config {config:q}"),
    message:
        "Drawing controls and sweeps"

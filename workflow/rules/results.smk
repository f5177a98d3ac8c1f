"""Counts, scaling laws and the report.

Needs: Rosetta Neurons of all groups, matches of all pairs, model manifests, what is known of single neurons.
Makes: results/tables/{counts,scaling,scaling_pooled,null_scaling}.csv, results/figures/scaling, results/report.html.
"""


rule counts:
    input:
        replicates=[paths.replicates(pair) for pair in pair_names],
        nulls=[paths.null_matches(control, pair) for control in run.controls.names for pair in pair_names],
        matches=[paths.matches(pair) for pair in pair_names],
        models=[paths.model_manifest(model) for model in run.used_models()],
    output:
        report(paths.table("counts"), caption="../report/counts.rst", category="Scaling"),
        paths.table("replicates"),
    log:
        log_of("counts", "all"),
    benchmark:
        benchmark_of("counts")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("counts"),
    message:
        "Counting Rosetta Neurons"
    shell:
        "rosetta --made-by {params.stage:q} counts --config {params.config:q} 2> {log:q}"


rule fit:
    input:
        counts=paths.table("counts"),
        replicates=paths.table("replicates"),
        controls=paths.table("controls"),
    output:
        scaling=report(paths.table("scaling"), caption="../report/scaling.rst", category="Scaling"),
        pooled=report(paths.table("scaling_pooled"), caption="../report/scaling_pooled.rst", category="Scaling"),
        nulls=report(paths.table("null_scaling"), caption="../report/null_scaling.rst", category="Scaling"),
    log:
        log_of("fit", "all"),
    benchmark:
        benchmark_of("fit")
    conda:
        "../../envs/rosetta.yaml"
    params:
        stage=stage("fit"),
    message:
        "Fitting scaling laws"
    shell:
        "rosetta --made-by {params.stage:q} fit {input.counts:q} --replicates {input.replicates:q} --controls {input.controls:q}"
        " --out {output.scaling:q} --pooled {output.pooled:q} --nulls {output.nulls:q} 2> {log:q}"


rule figures:
    input:
        counts=paths.table("counts"),
        scaling=paths.table("scaling"),
        nulls=paths.table("null_summary"),
        null_scaling=paths.table("null_scaling"),
        thresholds=paths.table("threshold_sweep"),
    output:
        png=report(paths.figure("scaling", "png"), caption="../report/scaling_figure.rst", category="Scaling"),
        pdf=paths.figure("scaling", "pdf"),
    log:
        log_of("figures", "scaling"),
    benchmark:
        benchmark_of("figures", "scaling")
    conda:
        "../../envs/rosetta.yaml"
    params:
        stage=stage("figures"),
        out=lambda wildcards, output: Path(output.png).with_suffix(""),
    message:
        "Drawing the scaling law"
    shell:
        "rosetta --made-by {params.stage:q} figures --counts {input.counts:q} --scaling {input.scaling:q} --nulls {input.nulls:q}"
        " --null-scaling {input.null_scaling:q} --thresholds {input.thresholds:q} --out {params.out:q} 2> {log:q}"


rule report:
    input:
        corpus=paths.corpus_manifest,
        models=[paths.model_manifest(model) for model in run.used_models()],
        tables=[
            paths.table(name)
            for name in [
                "counts",
                *SCALING_TABLES,
                *CONTROL_TABLES,
                "polarization_by_model",
                "depth_agreement",
                "findings",
                *theory_tables,
                *filter_tables,
            ]
        ],
        figures=[
            paths.figure(name, "png")
            for name in ["scaling", *control_figures(run), *NEURON_FIGURES, *theory_figures, *filter_figures]
        ],
        matches=[paths.matches(pair) for pair in pair_names],
        contexts=[paths.contexts(model) for model in run.used_models()],
    output:
        paths.report,
    log:
        log_of("report", "all"),
    benchmark:
        benchmark_of("report")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("report"),
    message:
        "Writing {output}"
    shell:
        "rosetta --made-by {params.stage:q} report --config {params.config:q} 2> {log:q}"

"""Counts, scaling laws and the report.

Needs: Rosetta Neurons of all groups, matches of all pairs, model manifests, what is known of single neurons.
Makes: results/tables/{counts,replicates,trainings,scaling,scaling_pooled,null_scaling}.csv, results/figures/scaling, results/report.html.
"""


use rule step as counts with:
    input:
        of_pairs(paths.replicates),
        nulls_of_pairs,
        of_pairs(paths.matches),
        of_models(paths.model_manifest),
    output:
        shown_table("counts", "Scaling"),
        tables("replicates", "trainings"),
    pathvars:
        **job_of("counts"),
    params:
        **command("counts", "counts --config {config:q}"),
    message:
        "Counting Rosetta Neurons"


use rule step as fit with:
    input:
        counts=paths.table("counts"),
        replicates=paths.table("replicates"),
        controls=paths.table("controls"),
    output:
        scaling=shown_table("scaling", "Scaling"),
        pooled=shown_table("scaling_pooled", "Scaling"),
        nulls=shown_table("null_scaling", "Scaling"),
    pathvars:
        **job_of("fit"),
    params:
        **command(
            "fit",
            "fit {input.counts:q} --replicates {input.replicates:q} --controls {input.controls:q}"
            " --out {output.scaling:q} --pooled {output.pooled:q} --nulls {output.nulls:q}",
        ),
    message:
        "Fitting scaling laws"


use rule step as figures with:
    input:
        counts=paths.table("counts"),
        scaling=paths.table("scaling"),
        nulls=paths.table("null_summary"),
        null_scaling=paths.table("null_scaling"),
        thresholds=paths.table("threshold_sweep"),
    output:
        shown_figure("scaling", "Scaling"),
        paths.figure("scaling", "pdf"),
    pathvars:
        **job_of("figures"),
    params:
        **command(
            "figures",
            "figures --counts {input.counts:q} --scaling {input.scaling:q} --nulls {input.nulls:q}"
            " --null-scaling {input.null_scaling:q} --thresholds {input.thresholds:q} --out {out:q}",
            out=paths.figure("scaling", "png").with_suffix(""),
        ),
    message:
        "Drawing the scaling law"


use rule step as report with:
    input:
        paths.corpus_manifest,
        of_models(paths.model_manifest),
        tables("counts", "polarization_by_model", "depth_agreement", "findings"),
        tables(*table_names(run, "fit", "control_tables", *theory_stages, *filter_stages)),
        figures("png", *figure_names(run)),
        of_pairs(paths.matches),
        of_models(paths.contexts),
    output:
        paths.report,
    pathvars:
        **job_of("report"),
    params:
        **command("report", "report --config {config:q}"),
    message:
        "Writing {output}"

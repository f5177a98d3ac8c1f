"""The analytical model: allocation, simulation, β by routes that see no match, prediction against measurement.

Needs: the corpus and model manifests (β); counts, scaling laws, Rosetta Neurons and their
selectivity (comparison only).
Makes: results/tables/theory_*.csv, results/figures/theory_*; parts under results/theory/.
"""

theory = run.theory
theory_figures = ["theory_frontiers", "theory_exponents", "theory_beta", "theory_prediction", "theory_identifiability"]
compared_tables = ["theory_vs_measured", "theory_leave_one_out", "theory_matched_r", "theory_identifiability"]
simulated_tables = ["theory_simulation", "theory_exponents", "theory_finite_size"]
swept_tables = ["theory_sweep", "theory_sweep_exponents"] if theory.sweep.points() else []
predicted_tables = ["theory_predictions"] if theory.predict_sizes else []
theory_tables = [
    *simulated_tables,
    "theory_frontiers",
    "theory_sensitivity",
    "theory_ngrams",
    "theory_beta",
    *compared_tables,
    *predicted_tables,
    *swept_tables,
]


wildcard_constraints:
    beta=r"[0-9.e+-]+",
    parameter="kappa|gamma|n_inputs",
    value=r"[0-9.e+-]+",


rule theory_simulate:
    input:
        beginning,
    output:
        paths.theory_simulation("{beta}"),
    log:
        log_of("theory_simulate", "beta-{beta}"),
    benchmark:
        benchmark_of("theory_simulate", "beta-{beta}")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=growing(int(run.correlation.memory_gb * 1000)),
    params:
        config=paths.run_config,
        stage=stage("theory_simulate"),
    message:
        "Simulating the allocation model at beta {wildcards.beta}"
    shell:
        "rosetta --made-by {params.stage:q} theory simulate --config {params.config:q} --beta {wildcards.beta} --out {output:q} 2> {log:q}"


rule theory_exponents:
    input:
        [paths.theory_simulation(beta) for beta in theory.simulation.betas],
    output:
        [paths.table(name) for name in simulated_tables if name != "theory_exponents"],
        report(paths.table("theory_exponents"), caption="../report/theory_exponents.rst", category="Theory"),
    log:
        log_of("theory_exponents", "all"),
    benchmark:
        benchmark_of("theory_exponents")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("theory_exponents"),
    message:
        "Fitting the simulated exponents"
    shell:
        "rosetta --made-by {params.stage:q} theory exponents --config {params.config:q} {input:q} 2> {log:q}"


rule theory_sweep:
    input:
        beginning,
    output:
        paths.theory_sweep("{parameter}", "{value}"),
    log:
        log_of("theory_sweep", "{parameter}-{value}"),
    benchmark:
        benchmark_of("theory_sweep", "{parameter}-{value}")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=growing(int(run.correlation.memory_gb * 1000)),
    params:
        config=paths.run_config,
        stage=stage("theory_sweep"),
    message:
        "Simulating the allocation model at {wildcards.parameter} = {wildcards.value}"
    shell:
        "rosetta --made-by {params.stage:q} theory sweep --config {params.config:q} --parameter {wildcards.parameter} --value {wildcards.value}"
        " --out {output:q} 2> {log:q}"


rule theory_sweep_table:
    input:
        [paths.theory_sweep(parameter, value) for parameter, value in theory.sweep.points()],
    output:
        simulation=paths.table("theory_sweep"),
        exponents=paths.table("theory_sweep_exponents"),
    log:
        log_of("theory_sweep_table", "all"),
    benchmark:
        benchmark_of("theory_sweep_table")
    conda:
        "../../envs/rosetta.yaml"
    params:
        stage=stage("theory_sweep_table"),
    message:
        "Fitting the exponents of the sweep"
    shell:
        "rosetta --made-by {params.stage:q} theory sweep-table {input:q} --out {output.simulation:q} --exponents {output.exponents:q} 2> {log:q}"


rule theory_frontiers:
    input:
        beginning,
    output:
        paths.table("theory_frontiers"),
        paths.table("theory_sensitivity"),
    log:
        log_of("theory_frontiers", "all"),
    benchmark:
        benchmark_of("theory_frontiers")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("theory_frontiers"),
    message:
        "Solving the allocation model"
    shell:
        "rosetta --made-by {params.stage:q} theory frontiers --config {params.config:q} 2> {log:q}"


rule theory_ngrams:
    input:
        paths.corpus_manifest,
    output:
        curves=paths.ngrams,
        orders=paths.table("theory_ngrams"),
    log:
        log_of("theory_ngrams", "all"),
    benchmark:
        benchmark_of("theory_ngrams")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=growing(4000),
    params:
        config=paths.run_config,
        stage=stage("theory_ngrams"),
    message:
        "What the corpus's n-grams save"
    shell:
        "rosetta --made-by {params.stage:q} theory ngrams --config {params.config:q} --out {output.curves:q} 2> {log:q}"


# The prediction: nothing made from a match is among its inputs.
rule theory_beta:
    input:
        ngrams=paths.table("theory_ngrams"),
        models=[paths.model_manifest(model) for model in run.used_models()],
    output:
        report(paths.table("theory_beta"), caption="../report/theory_beta.rst", category="Theory"),
    log:
        log_of("theory_beta", "all"),
    benchmark:
        benchmark_of("theory_beta")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("theory_beta"),
    message:
        "Estimating beta without the counts"
    shell:
        "rosetta --made-by {params.stage:q} theory beta --config {params.config:q} --out {output:q} 2> {log:q}"


rule theory_compare:
    input:
        betas=paths.table("theory_beta"),
        counts=paths.table("counts"),
        scaling=paths.table("scaling"),
        polarization=paths.table("polarization"),
        rosetta=[paths.rosetta(group_name(group)) for group in run.groups()],
    output:
        [paths.table(name) for name in compared_tables if name != "theory_vs_measured"],
        report(paths.table("theory_vs_measured"), caption="../report/theory_vs_measured.rst", category="Theory"),
    log:
        log_of("theory_compare", "all"),
    benchmark:
        benchmark_of("theory_compare")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("theory_compare"),
    message:
        "Comparing predictions with measurements"
    shell:
        "rosetta --made-by {params.stage:q} theory compare --config {params.config:q} --polarization {input.polarization:q} 2> {log:q}"


rule theory_predict:
    input:
        betas=paths.table("theory_beta"),
        counts=paths.table("counts"),
        polarization=paths.table("polarization"),
    output:
        paths.table("theory_predictions"),
    log:
        log_of("theory_predict", "all"),
    benchmark:
        benchmark_of("theory_predict")
    conda:
        "../../envs/rosetta.yaml"
    params:
        stage=stage("theory_predict"),
        sizes=" ".join(f"--to-size {size}" for size in theory.predict_sizes),
    message:
        "Predicting beyond the ladders"
    shell:
        "rosetta --made-by {params.stage:q} theory predict {params.sizes} --betas {input.betas:q} --counts {input.counts:q}"
        " --polarization {input.polarization:q} --out {output:q} 2> {log:q}"


rule theory_figures:
    input:
        tables=[paths.table(name) for name in [*simulated_tables, *compared_tables, "theory_frontiers", "theory_beta"]],
        rosetta=[paths.rosetta(group_name(group)) for group in run.groups()],
        models=[paths.model_manifest(model) for model in run.used_models()],
        ngrams=paths.ngrams,
    output:
        [paths.figure(name, "pdf") for name in theory_figures],
        report(
            [paths.figure(name, "png") for name in theory_figures],
            caption="../report/theory_figure.rst",
            category="Theory",
        ),
    log:
        log_of("theory_figures", "all"),
    benchmark:
        benchmark_of("theory_figures")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("theory_figures"),
    message:
        "Drawing the theory"
    shell:
        "rosetta --made-by {params.stage:q} theory figures --config {params.config:q} 2> {log:q}"


# The simulations alone, whatever the zoo: snakemake --cores N --configfile workflow/presets/theory.yaml -- theory_simulations
rule theory_simulations:
    input:
        [paths.table(name) for name in [*simulated_tables, *swept_tables]],

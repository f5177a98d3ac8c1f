"""What single neurons are like, and how Rosetta Neurons differ from the others.

Needs: the models, their activation stores, the corpus, matches and Rosetta Neurons, the fitted laws.
Makes: per model results/{vocabulary,neurons,contexts}, per group results/{shared_contexts,excerpts}, tables of
selectivity, polarization, specialization, depth and findings, their figures, and results/viewer.html.
"""

NEURON_FIGURES = ("polarization", "statistics", "specialization", "depth", "layer_pairs")
NEURON_TABLES = (
    "selectivity",
    "polarization",
    "polarization_by_model",
    "specialization",
    "specialization_by_rung",
    "depth",
    "layer_pairs",
    "depth_agreement",
    "findings",
)


rule vocabulary:
    input:
        paths.model_manifest("{model}"),
    output:
        paths.vocabulary("{model}"),
    log:
        log_of("vocabulary", "{model}"),
    benchmark:
        benchmark_of("vocabulary", "{model}")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=model_needs("vocabulary", "mb"),
        runtime=model_needs("vocabulary", "minutes"),
    params:
        config=paths.run_config,
        stage=stage("vocabulary"),
    message:
        "Vocabulary kurtosis of {wildcards.model}"
    shell:
        "rosetta --made-by {params.stage:q} vocabulary --config {params.config:q} --model {wildcards.model} 2> {log:q}"


rule neurons:
    input:
        corpus=paths.corpus_manifest,
        stores=lambda wildcards: model_stores(wildcards.model),
    output:
        neurons=paths.neurons("{model}"),
        contexts=paths.contexts("{model}"),
    log:
        log_of("neurons", "{model}"),
    benchmark:
        benchmark_of("neurons", "{model}")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=model_needs("neurons", "mb"),
        runtime=model_needs("neurons", "minutes"),
        gpu=model_needs("neurons", "gpu"),
    params:
        config=paths.run_config,
        stage=stage("neurons"),
    message:
        "Profiling the neurons of {wildcards.model}"
    shell:
        "rosetta --made-by {params.stage:q} neurons --config {params.config:q} --model {wildcards.model} 2> {log:q}"


rule contexts:
    input:
        corpus=paths.corpus_manifest,
        rosetta=paths.rosetta("{group}"),
        matches=matches_of_group,
        contexts=lambda wildcards: [paths.contexts(model) for model in models_of(wildcards)],
        stores=lambda wildcards: [file for model in models_of(wildcards) for file in model_stores(model)],
    output:
        shared=paths.shared_contexts("{group}"),
        excerpts=paths.excerpts("{group}"),
    log:
        log_of("contexts", "{group}"),
    benchmark:
        benchmark_of("contexts", "{group}")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=group_needs("contexts", "mb"),
        runtime=group_needs("contexts", "minutes"),
        gpu=group_needs("contexts", "gpu"),
    params:
        config=paths.run_config,
        stage=stage("contexts"),
    message:
        "Top contexts of {wildcards.group}"
    shell:
        "rosetta --made-by {params.stage:q} contexts --config {params.config:q} --group {wildcards.group} 2> {log:q}"


rule describe:
    input:
        vocabulary=[paths.vocabulary(model) for model in run.used_models()],
        neurons=[paths.neurons(model) for model in run.used_models()],
        contexts=[paths.contexts(model) for model in run.used_models()],
        rosetta=[paths.rosetta(group_name(group)) for group in run.groups()],
        matches=[paths.matches(pair) for pair in pair_names],
        nulls=[paths.null_matches(control, pair) for control in run.controls.names for pair in pair_names],
        counts=[paths.table(name) for name in ("counts", "replicates", "scaling")],
    output:
        [paths.table(name) for name in NEURON_TABLES if name != "findings"],
        report(paths.table("findings"), caption="../report/findings.rst", category="Neurons"),
    log:
        log_of("describe", "all"),
    benchmark:
        benchmark_of("describe")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("describe"),
    message:
        "Comparing Rosetta Neurons with the others"
    shell:
        "rosetta --made-by {params.stage:q} describe --config {params.config:q} 2> {log:q}"


rule neuron_figures:
    input:
        [
            paths.table(name)
            for name in (
                "polarization",
                "polarization_by_model",
                "specialization_by_rung",
                "depth",
                "layer_pairs",
            )
        ],
    output:
        png=[
            report(paths.figure(name, "png"), caption=f"../report/{name}_figure.rst", category="Neurons")
            for name in NEURON_FIGURES
        ],
        pdf=[paths.figure(name, "pdf") for name in NEURON_FIGURES],
    log:
        log_of("neuron_figures", "all"),
    benchmark:
        benchmark_of("neuron_figures")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("neuron_figures"),
    message:
        "Drawing what Rosetta Neurons are like"
    shell:
        "rosetta --made-by {params.stage:q} neuron-figures --config {params.config:q} 2> {log:q}"


# Only if the configuration has an endpoint. One job asks for all groups, so that its rate limit is the run's.
rule annotate:
    input:
        corpus=paths.corpus_manifest,
        excerpts=[paths.excerpts(group_name(group)) for group in run.groups()],
        contexts=[paths.contexts(model) for model in run.used_models()],
    output:
        paths.annotations,
    log:
        log_of("annotate", "all"),
    benchmark:
        benchmark_of("annotate")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("annotate"),
    message:
        "Annotating neurons"
    shell:
        "rosetta --made-by {params.stage:q} annotate --config {params.config:q} 2> {log:q}"


rule viewer:
    input:
        annotations=paths.annotations if run.annotation else [],
        matches=[paths.matches(pair) for pair in pair_names],
        nulls=[paths.null_matches(control, pair) for control in run.controls.names for pair in pair_names],
        excerpts=[paths.excerpts(group_name(group)) for group in run.groups()],
        neurons=[paths.neurons(model) for model in run.used_models()],
        contexts=[paths.contexts(model) for model in run.used_models()],
        vocabulary=[paths.vocabulary(model) for model in run.used_models()],
    output:
        paths.viewer,
    log:
        log_of("viewer", "all"),
    benchmark:
        benchmark_of("viewer")
    conda:
        "../../envs/rosetta.yaml"
    params:
        config=paths.run_config,
        stage=stage("viewer"),
    message:
        "Writing {output}"
    shell:
        "rosetta --made-by {params.stage:q} viewer --config {params.config:q} 2> {log:q}"

"""Models: trained here, or found and checked.

Needs: the corpus (zoo models), model folders or the hub.
Makes: results/tokenizers/{family}, results/models/{model} and a manifest for every model.
"""


rule tokenizer:
    input:
        corpus=paths.corpus_manifest,
    output:
        paths.tokenizer_manifest("{family}"),
    log:
        log_of("tokenizer", "{family}"),
    benchmark:
        benchmark_of("tokenizer", "{family}")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=growing(2000),
    params:
        config=paths.run_config,
        stage=stage("tokenizer", "family"),
    message:
        "Training the tokenizer of {wildcards.family}"
    shell:
        "rosetta --made-by {params.stage:q} tokenizer --config {params.config:q} --family {wildcards.family} 2> {log:q}"


rule train:
    input:
        corpus=paths.corpus_manifest,
        tokenizer=tokenizer_of,
    output:
        paths.model_manifest("{model}"),
    log:
        log_of("train", "{model}"),
    benchmark:
        benchmark_of("train", "{model}")
    wildcard_constraints:
        model=one_of(set(zoo_models) - set(large_models)),
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=model_needs("train", "mb"),
        runtime=model_needs("train", "minutes"),
    params:
        config=paths.run_config,
        stage=stage("train", "model"),
    message:
        "Training {wildcards.model}"
    shell:
        "rosetta --made-by {params.stage:q} train --config {params.config:q} --model {wildcards.model} 2> {log:q}"


# Long trainings first, so that none is left over when the cores run out of other work.
use rule train as train_large with:
    wildcard_constraints:
        model=one_of(large_models),
    priority: 10


rule model:
    input:
        beginning,
        base=base_of,
        files=model_files_of,
    output:
        paths.model_manifest("{model}"),
    log:
        log_of("model", "{model}"),
    benchmark:
        benchmark_of("model", "{model}")
    wildcard_constraints:
        model=one_of(models_of_kind("path", "hub", "untrained")),
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=model_needs("model", "mb"),
        runtime=model_needs("model", "minutes"),
    params:
        config=paths.run_config,
        stage=stage("model", "model"),
    message:
        "Checking {wildcards.model}"
    shell:
        "rosetta --made-by {params.stage:q} model --config {params.config:q} --model {wildcards.model} 2> {log:q}"

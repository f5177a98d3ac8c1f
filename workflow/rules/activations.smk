"""Activation stores.

Needs: the corpus and the models.
Makes: results/activations/{model}/{n}-shards/{shard}.zarr; rules depend on the manifest {shard}.json beside it. With
activations.keep: false the stores are deleted once they are used, or never written (method screened).
"""


rule activations:
    input:
        corpus=paths.corpus_manifest,
        model=paths.model_manifest("{model}"),
    output:
        paths.store_manifest("{model}", n_shards, "{shard}"),
        [temp(directory(store)) for store in temporary_stores("{model}", ["{shard}"])],
    log:
        log_of("activations", part_name("{model}", "{shard}", n_shards)),
    benchmark:
        benchmark_of("activations", part_name("{model}", "{shard}", n_shards))
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=model_needs("activations", "mb"),
        runtime=model_needs("activations", "minutes"),
        gpu=model_needs("activations", "gpu"),
    params:
        config=paths.run_config,
        stage=stage("activations", "model"),
    message:
        "Capturing {wildcards.model}, shard {wildcards.shard}"
    shell:
        "rosetta --made-by {params.stage:q} activations --config {params.config:q} --model {wildcards.model} --shard {wildcards.shard} 2> {log:q}"

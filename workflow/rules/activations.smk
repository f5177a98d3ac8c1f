"""Activation stores.

Needs: the corpus and the models.
Makes: results/activations/{model}/{n}-shards/{shard}.zarr; rules depend on the manifest {shard}.json beside it. With
activations.keep: false the stores are deleted once they are used, or never written (method screened).
"""


use rule step as activations with:
    input:
        corpus=paths.corpus_manifest,
        model=paths.model_manifest("{model}"),
    output:
        paths.store_manifest("{model}", n_shards, "{shard}"),
        [temp(directory(store)) for store in temporary_stores("{model}", ["{shard}"])],
    pathvars:
        **job_of("activations"),
    resources:
        **needs("activations"),
    params:
        **command("activations", "activations --config {config:q} --model {model} --shard {shard}"),
    message:
        "Capturing {wildcards.model}, shard {wildcards.shard}"

"""Activation stores, and all that one model needs of its stores.

Needs: the corpus and the models.
Makes: results/activations/{model}/{n}-shards/{shard}.zarr; rules depend on the manifest {shard}.json beside it. By
activations.keep the stores stay, are deleted once they are used, or are never written. For small models
also results/{vocabulary,neurons,contexts}, and manifests of untrained twins (neurons.smk, controls.smk).
"""


use rule step as profile with:
    input:
        inputs_of("profile"),
    output:
        outputs_of("profile"),
    pathvars:
        **job_of("profile"),
    wildcard_constraints:
        **only("profile"),
    resources:
        **needs("profile"),
    params:
        **command("profile"),
    message:
        "Capturing and profiling {wildcards.model}"


use rule step as activations with:
    input:
        inputs_of("activations"),
    output:
        outputs_of("activations"),
    pathvars:
        **job_of("activations"),
    wildcard_constraints:
        **only("activations"),
    threads: cores_of("activations")
    resources:
        **needs("activations"),
    params:
        **command(
            "activations",
            "activations --config {config:q} --model {model} --shard {shard} --threads {threads}",
        ),
    message:
        "Capturing {wildcards.model}, shard {wildcards.shard}"

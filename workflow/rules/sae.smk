"""Sparse autoencoders, and the features that match. Only if the configuration has `sae`.

Needs: the activation stores of all models.
Makes: per model results/sae/, per pair results/features/: their features as stores, neighbours, nulls, intervals and
matches. Tables and the figure are made with the others (results.smk).
"""


# Small models' autoencoders, and all pairs of their features.
use rule step as autoencoders with:
    input:
        inputs_of("autoencoders"),
    output:
        outputs_of("autoencoders"),
    pathvars:
        **job_of("autoencoders"),
    resources:
        **needs("autoencoders"),
    params:
        **command("autoencoders"),
    message:
        "Training sparse autoencoders, and matching their features"


use rule step as sae with:
    input:
        inputs_of("sae"),
    output:
        outputs_of("sae"),
    pathvars:
        **job_of("sae"),
    wildcard_constraints:
        **only("sae"),
    resources:
        **needs("sae"),
    params:
        **command("sae", "sae --config {config:q} --model {model}"),
    message:
        "Training the sparse autoencoders of {wildcards.model}"


use rule step as sae_encode with:
    input:
        inputs_of("sae_encode"),
    output:
        outputs_of("sae_encode"),
    pathvars:
        **job_of("sae_encode"),
    wildcard_constraints:
        **only("sae_encode"),
    resources:
        **needs("sae_encode"),
    params:
        **command("sae_encode", "sae-encode --config {config:q} --model {model}"),
    message:
        "Features of {wildcards.model}"


use rule step as sae_match with:
    input:
        inputs_of("sae_match"),
    output:
        outputs_of("sae_match"),
    pathvars:
        **job_of("sae_match"),
    wildcard_constraints:
        **only("sae_match"),
    threads: cores_of("sae_match")
    resources:
        **needs("sae_match"),
    params:
        **command("sae_match", "sae-match --config {config:q} --pair {pair} --threads {threads}"),
    message:
        "Matching the features of {wildcards.pair}"

"""Models: trained here, or found and checked.

Needs: the corpus (zoo models), model folders or the hub.
Makes: results/tokenizers/{family}, results/models/{model} and a manifest for every model.
"""


use rule step as tokenizers with:
    input:
        inputs_of("tokenizers"),
    output:
        outputs_of("tokenizers"),
    pathvars:
        **job_of("tokenizers"),
    resources:
        **needs("tokenizers"),
    params:
        **command("tokenizers"),
    message:
        "Training the tokenizers"


use rule step as train with:
    input:
        inputs_of("train"),
    output:
        outputs_of("train"),
    pathvars:
        **job_of("train"),
    wildcard_constraints:
        **only("train"),
    resources:
        **needs("train"),
    params:
        **command("train", "train --config {config:q} --model {model}"),
    message:
        "Training {wildcards.model}"


# A small model is captured and profiled where it is trained.
use rule step as train_and_profile with:
    input:
        inputs_of("train_and_profile"),
    output:
        outputs_of("train_and_profile"),
    pathvars:
        **job_of("train_and_profile"),
    wildcard_constraints:
        **only("train_and_profile"),
    resources:
        **needs("train_and_profile"),
    params:
        **command("train_and_profile"),
    message:
        "Training and profiling {wildcards.model}"


use rule step as model with:
    input:
        beginning,
        model_files_of,
        inputs_of("model"),
    output:
        outputs_of("model"),
    pathvars:
        **job_of("model"),
    wildcard_constraints:
        **only("model"),
    resources:
        **needs("model"),
    params:
        **command("model", "model --config {config:q} --model {model}"),
    message:
        "Checking {wildcards.model}"

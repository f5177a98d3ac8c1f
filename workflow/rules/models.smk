"""Models: trained here, or found and checked.

Needs: the corpus (zoo models), model folders or the hub.
Makes: results/tokenizers/{family}, results/models/{model} and a manifest for every model.
"""


use rule step as tokenizer with:
    input:
        paths.corpus_manifest,
    output:
        paths.tokenizer_manifest("{family}"),
    pathvars:
        **job_of("tokenizer"),
    resources:
        **needs("tokenizer"),
    params:
        **command("tokenizer", "tokenizer --config {config:q} --family {family}"),
    message:
        "Training the tokenizer of {wildcards.family}"


use rule step as train with:
    input:
        corpus=paths.corpus_manifest,
        tokenizer=tokenizer_of,
    output:
        paths.model_manifest("{model}"),
    pathvars:
        **job_of("train"),
    wildcard_constraints:
        model=one_of(small_models),
    resources:
        **needs("train"),
    params:
        **command("train", "train --config {config:q} --model {model}"),
    message:
        "Training {wildcards.model}"


# Long trainings first, so that none is left over when the cores run out of other work.
use rule train as train_large with:
    wildcard_constraints:
        model=one_of(large_models),
    priority: 10


use rule step as model with:
    input:
        beginning,
        base=base_of,
        files=model_files_of,
    output:
        paths.model_manifest("{model}"),
    pathvars:
        **job_of("model"),
    wildcard_constraints:
        model=one_of(models_of_kind("path", "hub", "untrained")),
    resources:
        **needs("model"),
    params:
        **command("model", "model --config {config:q} --model {model}"),
    message:
        "Checking {wildcards.model}"

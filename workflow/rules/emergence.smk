"""Training ladders: the same pair of models at growing steps of their training.

Needs: the corpus or images; stores, matches and null models of the pairs at the end of their training (matches.smk).
Makes: results/training_steps/{model}.json with models, stores, neighbour lists, nulls, intervals and matches of every
step, whose names are those of models and pairs at a step (`pythia-512~step-32`), and results/past/. Small models have
all of it from one job; large ones from the rules that other models have, and these.
"""


use rule step as train_with_steps with:
    input:
        inputs_of("train_with_steps"),
    output:
        outputs_of("train_with_steps"),
    pathvars:
        **job_of("train_with_steps"),
    wildcard_constraints:
        **only("train_with_steps"),
    resources:
        **needs("train_with_steps"),
    params:
        **command("train_with_steps"),
    message:
        "Training {wildcards.model}, keeping steps"


use rule step as past with:
    input:
        inputs_of("past"),
    output:
        outputs_of("past"),
    pathvars:
        **job_of("past"),
    wildcard_constraints:
        **only("past"),
    resources:
        **needs("past"),
    params:
        **command("past", "past --config {config:q} --pair {pair}"),
    message:
        "Comparing {wildcards.pair} with the end of its training"


use rule step as seed_matches with:
    input:
        inputs_of("seed_matches"),
    output:
        outputs_of("seed_matches"),
    pathvars:
        **job_of("seed_matches"),
    wildcard_constraints:
        **only("seed_matches"),
    resources:
        **needs("seed_matches"),
    params:
        **command("seed_matches", "seed-matches --config {config:q} --model {model}"),
    message:
        "Matching the trainings of {wildcards.model} with one another"


use rule step as over_training with:
    input:
        inputs_of("over_training"),
    output:
        outputs_of("over_training"),
    pathvars:
        **job_of("over_training"),
    threads: cores_of("over_training")
    resources:
        **needs("over_training"),
    params:
        **command("over_training"),
    message:
        "Matching pairs at all steps of their training"

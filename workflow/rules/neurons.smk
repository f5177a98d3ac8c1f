"""What single neurons are like, the viewer, and a model's names and verdicts.

Needs: the models, their activation stores, the corpus or images, matches and Rosetta Neurons.
Makes: per model results/{vocabulary,neurons,contexts}, per group results/{shared_contexts,excerpts};
results/annotations/ if the configuration has an endpoint, results/judge/ and results/tables/judge*.csv if it has a judge,
and results/viewer.html.
"""


use rule step as vocabulary with:
    input:
        inputs_of("vocabulary"),
    output:
        outputs_of("vocabulary"),
    pathvars:
        **job_of("vocabulary"),
    wildcard_constraints:
        **only("vocabulary"),
    resources:
        **needs("vocabulary"),
    params:
        **command("vocabulary", "vocabulary --config {config:q} --model {model}"),
    message:
        "Vocabulary kurtosis of {wildcards.model}"


use rule step as neurons with:
    input:
        inputs_of("neurons"),
    output:
        outputs_of("neurons"),
    pathvars:
        **job_of("neurons"),
    wildcard_constraints:
        **only("neurons"),
    resources:
        **needs("neurons"),
    params:
        **command("neurons", "neurons --config {config:q} --model {model}"),
    message:
        "Profiling the neurons of {wildcards.model}"


use rule step as contexts with:
    input:
        inputs_of("contexts"),
    output:
        outputs_of("contexts"),
    pathvars:
        **job_of("contexts"),
    wildcard_constraints:
        **only("contexts"),
    resources:
        **needs("contexts"),
    params:
        **command("contexts", "contexts --config {config:q} --group {group}"),
    message:
        "Top contexts of {wildcards.group}"


# Only if the configuration has an endpoint. One job asks for all groups, so that its rate limit is the run's.
use rule step as annotate with:
    input:
        inputs_of("annotate"),
    output:
        outputs_of("annotate"),
    pathvars:
        **job_of("annotate"),
    params:
        **command("annotate", "annotate --config {config:q}"),
    message:
        "Annotating neurons"


# Only if the configuration has a judge. It goes on where a job before stopped: replies are kept.
use rule step as judge with:
    input:
        inputs_of("judge"),
    output:
        outputs_of("judge"),
    pathvars:
        **job_of("judge"),
    resources:
        **needs("judge"),
    params:
        **command("judge", "judge --config {config:q}"),
    message:
        "Judging neurons"


use rule step as viewer with:
    input:
        inputs_of("viewer"),
    output:
        outputs_of("viewer"),
    pathvars:
        **job_of("viewer"),
    params:
        **command("viewer", "viewer --config {config:q}"),
    message:
        "Writing {output}"

"""What neurons do to a model's output: whether partners of matches promote the same strings, and what ablating costs.

Needs: the models, matches, Rosetta Neurons, what is known of single neurons, the held-out split.
Makes: results/attribution/{pair}.parquet, and results/ablation/{group}.parquet if the configuration has an ablation.
"""


# Where models are small, all of it.
use rule step as effects with:
    input:
        inputs_of("effects"),
    output:
        outputs_of("effects"),
    pathvars:
        **job_of("effects"),
    resources:
        **needs("effects"),
    params:
        **command("effects"),
    message:
        "What neurons do to the output of their models"


use rule step as attribution with:
    input:
        inputs_of("attribution"),
    output:
        outputs_of("attribution"),
    pathvars:
        **job_of("attribution"),
    wildcard_constraints:
        **only("attribution"),
    resources:
        **needs("attribution"),
    params:
        **command("attribution", "attribution --config {config:q} --pair {pair}"),
    message:
        "What partners of {wildcards.pair} promote"


use rule step as ablate with:
    input:
        inputs_of("ablate"),
    output:
        outputs_of("ablate"),
    pathvars:
        **job_of("ablate"),
    wildcard_constraints:
        **only("ablate"),
    resources:
        **needs("ablate"),
    params:
        **command("ablate", "ablation group --config {config:q} --group {group}"),
    message:
        "Ablating Rosetta Neurons of {wildcards.group}"

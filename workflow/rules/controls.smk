"""Controls and uncertainty: untrained twins, null models, intervals, sweeps.

Needs: the corpus and the models; activation stores and neighbour lists of all pairs.
Makes: stores of untrained twins, results/nulls/{control}/{pair}.parquet, results/intervals/, results/sweeps/. Small
models have none of these rules: their pairs' jobs do it all (matches.smk).
"""


# One job makes the twins of all seeds: they are small work, and starting a job costs seconds.
use rule step as twins with:
    input:
        inputs_of("twins"),
    output:
        outputs_of("twins"),
    pathvars:
        **job_of("twins"),
    wildcard_constraints:
        **only("twins"),
    threads: cores_of("twins")
    resources:
        **needs("twins"),
    params:
        **command("twins", "twins --config {config:q} --model {model} --threads {threads}"),
    message:
        "Untrained twins of {wildcards.model}"


use rule step as nulls with:
    input:
        inputs_of("nulls"),
    output:
        outputs_of("nulls"),
    pathvars:
        **job_of("nulls"),
    wildcard_constraints:
        **only("nulls"),
    priority: 5  # before more twins take disk
    threads: cores_of("nulls")
    resources:
        **needs("nulls"),
    params:
        **command(
            "nulls",
            "nulls --config {config:q} --control {control} --pair {pair} --threads {threads}",
        ),
    message:
        "Matching {wildcards.pair} under the null model `{wildcards.control}`"


use rule step as intervals with:
    input:
        inputs_of("intervals"),
    output:
        outputs_of("intervals"),
    pathvars:
        **job_of("intervals"),
    wildcard_constraints:
        **only("intervals"),
    threads: cores_of("intervals")
    resources:
        **needs("intervals"),
    params:
        **command("intervals", "intervals --config {config:q} --pair {pair} --threads {threads}"),
    message:
        "Intervals of {wildcards.pair}"


use rule step as sweeps with:
    input:
        inputs_of("sweeps"),
    output:
        outputs_of("sweeps"),
    pathvars:
        **job_of("sweeps"),
    wildcard_constraints:
        **only("sweeps"),
    threads: cores_of("sweeps")
    resources:
        **needs("sweeps"),
    params:
        **command("sweeps", "sweeps --config {config:q} --pair {pair} --threads {threads}"),
    message:
        "Sweeps of {wildcards.pair}"

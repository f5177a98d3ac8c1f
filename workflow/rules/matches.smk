"""Correlations, matches, Rosetta Neurons.

Needs: the activation stores of both models of a pair; matches under null models and intervals (controls.smk).
Makes: results/neighbors/{pair}, results/matches/{pair}.parquet, results/instruments/{pair}.parquet,
results/rosetta/{group}.parquet. For small models also
what controls.smk and neurons.smk make of a pair or a group.
"""


use rule step as pair with:
    input:
        inputs_of("pair"),
    output:
        outputs_of("pair"),
    pathvars:
        **job_of("pair"),
    wildcard_constraints:
        **only("pair"),
    threads: cores_of("pair")
    resources:
        **needs("pair"),
    params:
        **command("pair"),
    message:
        "Matching {wildcards.pair}, with nulls, intervals and sweeps"


# Pairs that no ladder has as a rung: their Rosetta Neurons are those of a larger group.
use rule step as part_of_rung with:
    input:
        inputs_of("part_of_rung"),
    output:
        outputs_of("part_of_rung"),
    pathvars:
        **job_of("part_of_rung"),
    wildcard_constraints:
        **only("part_of_rung"),
    threads: cores_of("part_of_rung")
    resources:
        **needs("part_of_rung"),
    params:
        **command("part_of_rung"),
    message:
        "Matching {wildcards.pair}, with nulls, intervals and sweeps"


use rule step as groups with:
    input:
        inputs_of("groups"),
    output:
        outputs_of("groups"),
    pathvars:
        **job_of("groups"),
    resources:
        **needs("groups"),
    params:
        **command("groups"),
    message:
        "Rosetta Neurons of three and more models"


use rule step as correlate with:
    input:
        inputs_of("correlate"),
    output:
        outputs_of("correlate"),
    pathvars:
        **job_of("correlate"),
    wildcard_constraints:
        **only("correlate"),
    threads: cores_of("correlate")
    resources:
        **needs("correlate"),
    params:
        **command(
            "correlate",
            "neighbors --config {config:q} --pair {pair} --job {job} --threads {threads}",
        ),
    message:
        "Correlating {wildcards.pair}"


use rule step as match with:
    input:
        inputs_of("match"),
    output:
        outputs_of("match"),
    pathvars:
        **job_of("match"),
    wildcard_constraints:
        **only("match"),
    params:
        **command("match", "matches --config {config:q} --pair {pair}"),
    message:
        "Matching {wildcards.pair}"


use rule step as instruments with:
    input:
        inputs_of("instruments"),
    output:
        outputs_of("instruments"),
    pathvars:
        **job_of("instruments"),
    wildcard_constraints:
        **only("instruments"),
    threads: cores_of("instruments")
    resources:
        **needs("instruments"),
    params:
        **command(
            "instruments", "instruments --config {config:q} --pair {pair} --threads {threads}"
        ),
    message:
        "Matching {wildcards.pair} by other instruments"


use rule step as anchors with:
    input:
        inputs_of("anchors"),
    output:
        outputs_of("anchors"),
    pathvars:
        **job_of("anchors"),
    wildcard_constraints:
        **only("anchors"),
    params:
        **command("anchors", "anchors {input:q} --out {output:q}"),
    message:
        "Rosetta Neurons of {wildcards.group}"

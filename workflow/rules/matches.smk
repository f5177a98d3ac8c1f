"""Correlations, matches, Rosetta Neurons.

Needs: the activation stores of both models of a pair; matches under null models and intervals (controls.smk).
Makes: results/neighbors/{pair}, results/matches/{pair}.parquet, results/rosetta/{group}.parquet.
"""

null_options = [f"--null {control}={{input.{control}:q}}" for control in run.controls.names]


use rule step as correlate with:
    input:
        stores_of_pair,
    output:
        paths.neighbors_part("{pair}", "{job}", n_jobs),
    pathvars:
        **job_of("correlate"),
    threads: correlation_threads
    resources:
        **needs("correlate"),
    params:
        **command("correlate", "neighbors --config {config:q} --pair {pair} --job {job}"),
    message:
        "Correlating {wildcards.pair}"


use rule step as match with:
    input:
        **{control: paths.null_matches(control, "{pair}") for control in run.controls.names},
        neighbors=neighbors_of("{pair}"),
        intervals=paths.intervals("{pair}"),
    output:
        paths.matches("{pair}"),
    pathvars:
        **job_of("match"),
    params:
        **command(
            "match",
            " ".join(["match {input.neighbors:q} --k {k}", *null_options])
            + " --intervals {input.intervals:q} --out {output:q}",
            k=run.matching.k,
        ),
    message:
        "Matching {wildcards.pair}"


use rule step as anchors with:
    input:
        matches_of_group,
    output:
        paths.rosetta("{group}"),
    pathvars:
        **job_of("anchors"),
    params:
        **command("anchors", "anchors {input:q} --out {output:q}"),
    message:
        "Rosetta Neurons of {wildcards.group}"

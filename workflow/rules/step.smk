"""What all rules share: `use rule step as x with:` adds what differs.

Needs: a stage's record in rosetta/run/stages/, from which `job_of`, `needs` and `command` (common.smk) fill in the
log, the benchmark, the resources and the command line.
Makes: nothing by itself.
"""


rule step:
    input:
        beginning,
    log:
        paths.log("<stage>", "<job>"),
    benchmark:
        paths.benchmark("<stage>", "<job>")
    pathvars:
        stage="step",
        job="all",
    conda:
        "../../envs/rosetta.yaml"
    shell:
        "rosetta --made-by {params.stage:q} {params.command} 2> {log:q}"

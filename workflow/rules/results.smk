"""Counts, scaling laws, all that is told of groups of neurons, figures and the report.

Needs: matches of all pairs, also under null models, Rosetta Neurons of all groups, what is known of single neurons.
Makes: results/tables/*.csv, results/figures/, results/report.html.
"""


use rule step as tables with:
    input:
        inputs_of("tables"),
    output:
        outputs_of("tables"),
    pathvars:
        **job_of("tables"),
    resources:
        **needs("tables"),
    params:
        **command("tables"),
    message:
        "Counting Rosetta Neurons, fitting laws, describing neurons"


use rule step as drawings with:
    input:
        inputs_of("drawings"),
    output:
        outputs_of("drawings"),
    pathvars:
        **job_of("drawings"),
    params:
        **command("drawings"),
    message:
        "Drawing the figures"


use rule step as report with:
    input:
        inputs_of("report"),
    output:
        outputs_of("report"),
    pathvars:
        **job_of("report"),
    params:
        **command("report", "report --config {config:q}"),
    message:
        "Writing {output}"

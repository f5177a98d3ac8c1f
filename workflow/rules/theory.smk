"""The analytical model: allocation, simulation, β by routes that see no match.

Needs: the corpus and model manifests (β). Predictions are compared with measurements by the rule `tables`.
Makes: results/tables/theory_*.csv; parts under results/theory/.
"""


# The prediction: nothing made from a match is among its inputs.
use rule step as routes with:
    input:
        inputs_of("routes"),
    output:
        outputs_of("routes"),
    pathvars:
        **job_of("routes"),
    resources:
        **needs("routes"),
    params:
        **command("routes"),
    message:
        "Estimating beta without the counts"


use rule step as simulations with:
    input:
        inputs_of("simulations"),
    output:
        outputs_of("simulations"),
    pathvars:
        **job_of("simulations"),
    resources:
        **needs("simulations"),
    params:
        **command("simulations"),
    message:
        "Simulating the allocation model"


use rule step as theory_simulate with:
    input:
        inputs_of("theory_simulate"),
    output:
        outputs_of("theory_simulate"),
    pathvars:
        **job_of("theory_simulate"),
    wildcard_constraints:
        **only("theory_simulate"),
    resources:
        **needs("theory_simulate"),
    params:
        **command(
            "theory_simulate", "theory simulate --config {config:q} --beta {beta} --out {output:q}"
        ),
    message:
        "Simulating the allocation model at beta {wildcards.beta}"


use rule step as theory_exponents with:
    input:
        inputs_of("theory_exponents"),
    output:
        outputs_of("theory_exponents"),
    pathvars:
        **job_of("theory_exponents"),
    params:
        **command("theory_exponents", "theory exponents --config {config:q} {input:q}"),
    message:
        "Fitting the simulated exponents"


use rule step as theory_sweep with:
    input:
        inputs_of("theory_sweep"),
    output:
        outputs_of("theory_sweep"),
    pathvars:
        **job_of("theory_sweep"),
    wildcard_constraints:
        **only("theory_sweep"),
    resources:
        **needs("theory_sweep"),
    params:
        **command(
            "theory_sweep",
            "theory sweep --config {config:q} --parameter {parameter}"
            " --value {value} --out {output:q}",
        ),
    message:
        "Simulating the allocation model at {wildcards.parameter} = {wildcards.value}"


use rule step as theory_sweep_table with:
    input:
        inputs_of("theory_sweep_table"),
    output:
        outputs_of("theory_sweep_table"),
    pathvars:
        **job_of("theory_sweep_table"),
    params:
        **command(
            "theory_sweep_table",
            "theory sweep-table {input:q} --out {output[0]:q} --exponents {output[1]:q}",
        ),
    message:
        "Fitting the exponents of the sweep"


use rule step as theory_frontiers with:
    input:
        inputs_of("theory_frontiers"),
    output:
        outputs_of("theory_frontiers"),
    pathvars:
        **job_of("theory_frontiers"),
    params:
        **command("theory_frontiers", "theory frontiers --config {config:q}"),
    message:
        "Solving the allocation model"


# The simulations alone, whatever the zoo: snakemake --cores N --configfile workflow/presets/theory.yaml -- theory_simulations
rule theory_simulations:
    input:
        [paths.table(name) for name in table_names(run, "theory_exponents", "theory_sweep_table")],

"""The analytical model: allocation, simulation, β by routes that see no match, prediction against measurement.

Needs: the corpus and model manifests (β); counts, scaling laws, Rosetta Neurons and their
selectivity (comparison only).
Makes: results/tables/theory_*.csv, results/figures/theory_*; parts under results/theory/.
"""

theory_stages = [name for name in STAGES if name.startswith("theory_")]
predicted_sizes = " ".join(f"--to-size {size}" for size in run.theory.predict_sizes)


wildcard_constraints:
    beta=r"[0-9.e+-]+",
    parameter="kappa|gamma|n_inputs",
    value=r"[0-9.e+-]+",


use rule step as theory_simulate with:
    output:
        paths.theory_simulation("{beta}"),
    pathvars:
        **job_of("theory_simulate"),
    resources:
        **needs("theory_simulate"),
    params:
        **command(
            "theory_simulate",
            "theory simulate --config {config:q} --beta {beta} --out {output:q}",
        ),
    message:
        "Simulating the allocation model at beta {wildcards.beta}"


use rule step as theory_exponents with:
    input:
        [paths.theory_simulation(beta) for beta in run.theory.simulation.betas],
    output:
        tables("theory_simulation", "theory_finite_size"),
        shown_table("theory_exponents", "Theory"),
    pathvars:
        **job_of("theory_exponents"),
    params:
        **command("theory_exponents", "theory exponents --config {config:q} {input:q}"),
    message:
        "Fitting the simulated exponents"


use rule step as theory_sweep with:
    output:
        paths.theory_sweep("{parameter}", "{value}"),
    pathvars:
        **job_of("theory_sweep"),
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
        [paths.theory_sweep(parameter, value) for parameter, value in run.theory.sweep.points()],
    output:
        simulation=paths.table("theory_sweep"),
        exponents=paths.table("theory_sweep_exponents"),
    pathvars:
        **job_of("theory_sweep_table"),
    params:
        **command(
            "theory_sweep_table",
            "theory sweep-table {input:q} --out {output.simulation:q} --exponents {output.exponents:q}",
        ),
    message:
        "Fitting the exponents of the sweep"


use rule step as theory_frontiers with:
    output:
        tables(*table_names(run, "theory_frontiers")),
    pathvars:
        **job_of("theory_frontiers"),
    params:
        **command("theory_frontiers", "theory frontiers --config {config:q}"),
    message:
        "Solving the allocation model"


use rule step as theory_ngrams with:
    input:
        paths.corpus_manifest,
    output:
        curves=paths.ngrams,
        orders=paths.table("theory_ngrams"),
    pathvars:
        **job_of("theory_ngrams"),
    resources:
        **needs("theory_ngrams"),
    params:
        **command("theory_ngrams", "theory ngrams --config {config:q} --out {output.curves:q}"),
    message:
        "What the corpus's n-grams save"


# The prediction: nothing made from a match is among its inputs.
use rule step as theory_beta with:
    input:
        paths.table("theory_ngrams"),
        of_models(paths.model_manifest),
    output:
        shown_table("theory_beta", "Theory"),
    pathvars:
        **job_of("theory_beta"),
    params:
        **command("theory_beta", "theory beta --config {config:q} --out {output:q}"),
    message:
        "Estimating beta without the counts"


use rule step as theory_compare with:
    input:
        tables("theory_beta", "counts", "scaling"),
        of_groups(paths.rosetta),
        polarization=paths.table("polarization"),
    output:
        tables("theory_leave_one_out", "theory_matched_r", "theory_identifiability"),
        shown_table("theory_vs_measured", "Theory"),
    pathvars:
        **job_of("theory_compare"),
    params:
        **command(
            "theory_compare",
            "theory compare --config {config:q} --polarization {input.polarization:q}",
        ),
    message:
        "Comparing predictions with measurements"


use rule step as theory_predict with:
    input:
        betas=paths.table("theory_beta"),
        counts=paths.table("counts"),
        polarization=paths.table("polarization"),
    output:
        paths.table("theory_predictions"),
    pathvars:
        **job_of("theory_predict"),
    params:
        **command(
            "theory_predict",
            "theory predict {sizes} --betas {input.betas:q} --counts {input.counts:q}"
            " --polarization {input.polarization:q} --out {output:q}",
            sizes=predicted_sizes,
        ),
    message:
        "Predicting beyond the ladders"


use rule step as theory_figures with:
    input:
        tables("theory_frontiers", "theory_beta"),
        tables(*table_names(run, "theory_exponents", "theory_compare")),
        of_groups(paths.rosetta),
        of_models(paths.model_manifest),
        paths.ngrams,
    output:
        figures("pdf", *figure_names(run, "theory_figures")),
        report(
            figures("png", *figure_names(run, "theory_figures")),
            caption="../report/theory_figure.rst",
            category="Theory",
        ),
    pathvars:
        **job_of("theory_figures"),
    params:
        **command("theory_figures", "theory figures --config {config:q}"),
    message:
        "Drawing the theory"


# The simulations alone, whatever the zoo: snakemake --cores N --configfile workflow/presets/theory.yaml -- theory_simulations
rule theory_simulations:
    input:
        tables(*table_names(run, "theory_exponents", "theory_sweep_table")),

"""What single neurons are like, and how Rosetta Neurons differ from the others.

Needs: the models, their activation stores, the corpus, matches and Rosetta Neurons, the fitted laws.
Makes: per model results/{vocabulary,neurons,contexts}, per group results/{shared_contexts,excerpts}, tables of
selectivity, polarization, specialization, depth and findings, their figures, and results/viewer.html.
"""


use rule step as vocabulary with:
    input:
        paths.model_manifest("{model}"),
    output:
        paths.vocabulary("{model}"),
    pathvars:
        **job_of("vocabulary"),
    resources:
        **needs("vocabulary"),
    params:
        **command("vocabulary", "vocabulary --config {config:q} --model {model}"),
    message:
        "Vocabulary kurtosis of {wildcards.model}"


use rule step as neurons with:
    input:
        paths.corpus_manifest,
        lambda wildcards: model_stores(wildcards.model),
    output:
        paths.neurons("{model}"),
        paths.contexts("{model}"),
    pathvars:
        **job_of("neurons"),
    resources:
        **needs("neurons"),
    params:
        **command("neurons", "neurons --config {config:q} --model {model}"),
    message:
        "Profiling the neurons of {wildcards.model}"


use rule step as contexts with:
    input:
        paths.corpus_manifest,
        paths.rosetta("{group}"),
        matches_of_group,
        profiles_of_group,
    output:
        paths.shared_contexts("{group}"),
        paths.excerpts("{group}"),
    pathvars:
        **job_of("contexts"),
    resources:
        **needs("contexts"),
    params:
        **command("contexts", "contexts --config {config:q} --group {group}"),
    message:
        "Top contexts of {wildcards.group}"


use rule step as describe with:
    input:
        profiles_of_models(),
        of_groups(paths.rosetta),
        of_pairs(paths.matches),
        nulls_of_pairs,
        tables("counts", "replicates", "scaling"),
    output:
        [path for path in tables(*table_names(run, "describe")) if path != paths.table("findings")],
        shown_table("findings", "Neurons"),
    pathvars:
        **job_of("describe"),
    params:
        **command("describe", "describe --config {config:q}"),
    message:
        "Comparing Rosetta Neurons with the others"


use rule step as neuron_figures with:
    input:
        tables(
            "polarization",
            "polarization_by_model",
            "specialization_by_rung",
            "depth",
            "layer_pairs",
        ),
    output:
        [shown_figure(name, "Neurons") for name in figure_names(run, "neuron_figures")],
        figures("pdf", *figure_names(run, "neuron_figures")),
    pathvars:
        **job_of("neuron_figures"),
    params:
        **command("neuron_figures", "neuron-figures --config {config:q}"),
    message:
        "Drawing what Rosetta Neurons are like"


# Only if the configuration has an endpoint. One job asks for all groups, so that its rate limit is the run's.
use rule step as annotate with:
    input:
        paths.corpus_manifest,
        of_groups(paths.excerpts),
        of_models(paths.contexts),
    output:
        paths.annotations,
    pathvars:
        **job_of("annotate"),
    params:
        **command("annotate", "annotate --config {config:q}"),
    message:
        "Annotating neurons"


use rule step as viewer with:
    input:
        paths.annotations if run.annotation else [],
        of_pairs(paths.matches),
        nulls_of_pairs,
        of_groups(paths.excerpts),
        profiles_of_models(),
    output:
        paths.viewer,
    pathvars:
        **job_of("viewer"),
    params:
        **command("viewer", "viewer --config {config:q}"),
    message:
        "Writing {output}"

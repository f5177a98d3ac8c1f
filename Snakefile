# The main job: from a configuration to a scaling law, its figure and a report.
#
#   snakemake --cores N                                             runs config.yaml
#   snakemake --cores N --configfile workflow/presets/tiny.yaml     runs a preset in its place
#
# Presets stand alone: nothing of config.yaml is merged into them, unless it is named before them.

if not workflow.configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/matches.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/neurons.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/filtering.smk"
include: "workflow/rules/results.smk"


# On a cluster, what takes less than a job's start runs beside Snakemake itself.
localrules:
    all,
    anchors,
    match,
    counts,
    fit,
    figures,
    control_figures,
    neuron_figures,
    theory_exponents,
    theory_frontiers,
    theory_beta,
    theory_compare,
    theory_predict,
    theory_figures,
    report,


# Every step reads this file. It is no rule's output: Snakemake does not look for changed parameters downstream of a job
# that is going to run, so a rule that wrote it would hide which steps an edit concerns.
onstart:
    try:
        hold(Path.cwd())  # Snakemake's own lock may be a stale one that the other run has removed by mistake
    except RosettaError as error:
        sys.exit(f"rosetta: {error}")
    for caution in cautions(run):
        print(f"warning: {caution}", file=sys.stderr)
    write_text(paths.run_config, dump_config(run))


# Every result is named, also those that the report has read: one that was deleted since is made again.
rule all:
    default_target: True
    input:
        paths.report,
        paths.viewer,
        [
            paths.figure(name, extension)
            for name in ("scaling", *control_figures(run), *NEURON_FIGURES, *theory_figures, *filter_figures)
            for extension in ("png", "pdf")
        ],
        [
            paths.table(name)
            for name in ("counts", *SCALING_TABLES, *CONTROL_TABLES, *NEURON_TABLES, *theory_tables, *filter_tables)
        ],
        [filtered.corpus_manifest, filtered.scores] if run.filtering else [],
        [paths.rosetta(group_name(group)) for group in run.groups()],
        [paths.matches(pair) for pair in pair_names],
        [path(model) for path in (paths.vocabulary, paths.neurons, paths.contexts) for model in run.used_models()],
        [path(group_name(group)) for path in (paths.shared_contexts, paths.excerpts) for group in run.groups()],

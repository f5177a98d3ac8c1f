# The main job: from a configuration to a scaling law, its figure and a report.
#
#   snakemake --cores N                                             runs config.yaml
#   snakemake --cores N --configfile workflow/presets/tiny.yaml     runs a preset in its place
#
# Presets stand alone: nothing of config.yaml is merged into them, unless it is named before them.

if not workflow.configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/step.smk"
include: "workflow/rules/corpus.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/matches.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/neurons.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/filtering.smk"
include: "workflow/rules/results.smk"


# Each rule runs the stage of its name, except the targets, the base and the second rule of `train`.
others = {"all", "theory_simulations", "step", "train_large"}
check_rules(run, {rule.name for rule in workflow.rules} - others)
# On a cluster, what takes less than a job's start runs beside Snakemake itself: `localrules:` with
# names from the registry.
workflow.localrules("all", *(name for name, stage in STAGES.items() if stage.local))


# Every step reads this file. It is no rule's output: Snakemake does not look for changed parameters downstream of a job
# that is going to run, so a rule that wrote it would hide which steps an edit concerns.
onstart:
    try:
        # Snakemake's own lock may be a stale one, which the other run has removed by mistake.
        hold(Path.cwd())
    except RosettaError as error:
        sys.exit(f"rosetta: {error}")
    for caution in cautions(run):
        print(f"warning: {caution}", file=sys.stderr)
    write_text(paths.run_config, dump_config(run))


# Every result is named, also those that the report has read: one that was deleted since is made
# again. `replicates` is none: it is on the way to the fits.
rule all:
    default_target: True
    input:
        paths.report,
        paths.viewer,
        figures("png", *figure_names(run)),
        figures("pdf", *figure_names(run)),
        tables(*(name for name in table_names(run) if name != "replicates")),
        [filtered.corpus_manifest, filtered.scores] if run.filtering else [],
        of_groups(paths.rosetta),
        of_pairs(paths.matches),
        profiles_of_models(),
        [of_groups(path) for path in (paths.shared_contexts, paths.excerpts)],

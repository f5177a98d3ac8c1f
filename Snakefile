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
include: "workflow/rules/images.smk"
include: "workflow/rules/models.smk"
include: "workflow/rules/activations.smk"
include: "workflow/rules/matches.smk"
include: "workflow/rules/controls.smk"
include: "workflow/rules/emergence.smk"
include: "workflow/rules/neurons.smk"
include: "workflow/rules/ablation.smk"
include: "workflow/rules/sae.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/filtering.smk"
include: "workflow/rules/results.smk"


# Each rule runs the stage or the bundle of its name, except targets and the base.
check_rules(run, {rule.name for rule in workflow.rules} - {"all", "theory_simulations", "step"})
# On a cluster, what takes less than a job's start runs beside Snakemake itself: `localrules:` with
# names from the registry.
local = {name for name, rule in RULES.items() if rule.local}
workflow.localrules("all", *(rule.name for rule in workflow.rules if rule.name in local))


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
    remember(user_files(), paths)
    for path in filter(Path.is_file, forced_files()):
        os.utime(path, (STALE, STALE))


# Every result is named, also those that the report has read: one that was deleted since is made
# again. `replicates` is none: it is on the way to the fits.
rule all:
    default_target: True
    input:
        paths.report,
        [paths.viewer for _ in jobs["viewer"]],
        [paths.figure(name, kind) for name in figure_names(run) for kind in FIGURE_KINDS],
        [paths.table(name) for name in table_names(run) if name != "replicates"],
        filter_results(),
        of_pairs(paths.matches),
        of_groups(paths.rosetta),
        results_of("vocabulary", "neurons", "contexts", "contact_sheet", "attribution", "ablate"),

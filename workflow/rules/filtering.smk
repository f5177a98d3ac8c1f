"""The data-filtering corpus: one neuron as a filter, and what it is worth.

Needs: the corpus; top contexts, statistics and Rosetta Neurons of one model; the model that is trained on.
Makes: results/filtering/{name}: the choice of the neuron, pool, scores, selections, the corpus, trainings;
results/tables/filtering*.csv and their figure.
"""

if run.filtering:
    pool_files = files_of(run.filtering.pool.source)

    use rule step as filtering with:
        input:
            pool_files,
            inputs_of("filtering"),
        output:
            outputs_of("filtering"),
        pathvars:
            **job_of("filtering"),
        resources:
            **needs("filtering"),
        params:
            **command("filtering"),
        message:
            "Filtering by a neuron, and training on the selections"

    use rule step as filter_choose with:
        input:
            inputs_of("filter_choose"),
        output:
            outputs_of("filter_choose"),
        pathvars:
            **job_of("filter_choose"),
        resources:
            **needs("filter_choose"),
        params:
            **command("filter_choose", "filtering choose --config {config:q}"),
        message:
            "Choosing the neuron that filters"

    use rule step as filter_pool with:
        input:
            pool_files,
            inputs_of("filter_pool"),
        output:
            outputs_of("filter_pool"),
        pathvars:
            **job_of("filter_pool"),
        resources:
            **needs("filter_pool"),
        params:
            **command("filter_pool", "filtering pool --config {config:q}"),
        message:
            "Writing the pool"

    use rule step as filter_score with:
        input:
            inputs_of("filter_score"),
        output:
            outputs_of("filter_score"),
        pathvars:
            **job_of("filter_score"),
        wildcard_constraints:
            **only("filter_score"),
        resources:
            **needs("filter_score"),
        params:
            **command("filter_score", "filtering score --config {config:q} --shard {shard}"),
        message:
            "Scoring the pool, shard {wildcards.shard}"

    use rule step as filter_select with:
        input:
            inputs_of("filter_select"),
        output:
            outputs_of("filter_select"),
        pathvars:
            **job_of("filter_select"),
        resources:
            **needs("filter_select"),
        params:
            **command("filter_select", "filtering select --config {config:q}"),
        message:
            "Selecting documents"

    # Each of them finds its own checkpoint again.
    use rule step as filter_pretrain with:
        input:
            inputs_of("filter_pretrain"),
        output:
            outputs_of("filter_pretrain"),
        pathvars:
            **job_of("filter_pretrain"),
        wildcard_constraints:
            **only("filter_pretrain"),
        resources:
            **needs("filter_pretrain"),
        params:
            **command(
                "filter_pretrain",
                "filtering pretrain --config {config:q} {options}",
                options=training_options,
            ),
        message:
            "Training on a selection: {wildcards.training}"

    use rule step as filter_tables with:
        input:
            inputs_of("filter_tables"),
        output:
            outputs_of("filter_tables"),
        pathvars:
            **job_of("filter_tables"),
        params:
            **command("filter_tables", "filtering tables --config {config:q}"),
        message:
            "Tables of the filters"

    use rule step as filter_figure with:
        input:
            inputs_of("filter_figure"),
        output:
            outputs_of("filter_figure"),
        pathvars:
            **job_of("filter_figure"),
        params:
            **command("filter_figure", "filtering figure --config {config:q}"),
        message:
            "Drawing the filters"

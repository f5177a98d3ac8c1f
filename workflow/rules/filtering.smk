"""The data-filtering corpus: one neuron as a filter, and what it is worth.

Needs: the corpus; top contexts, statistics and Rosetta Neurons of one model; the model that is trained on.
Makes: results/filtering/{name}: the choice of the neuron, pool, scores, selections, the corpus, trainings;
results/tables/filtering*.csv and their figure.
"""

filter_stages = [name for name in STAGES if name.startswith("filter_")]
filtered = paths.filtering(run.filtering.name if run.filtering else "none")
filter_models = [run.filter_model()] if run.filtering else []
if run.filtering and run.filtering.pretraining:
    filter_models.append(
        run.filtering.pretraining.model
    )  # its tokenizer tells the size of documents
pool_shards = range(run.filtering.pool.n_shards if run.filtering else 0)
trainings = [
    training_name(*training) for training in (run.filtering.trainings() if run.filtering else [])
]


wildcard_constraints:
    training=one_of(trainings),


if run.filtering:

    use rule step as filter_choose with:
        input:
            paths.corpus_manifest,
            paths.model_manifest(run.filter_model()),
            paths.neurons(run.filter_model()),
            paths.contexts(run.filter_model()),
            paths.rosetta(group_name(run.filter_group())),
        output:
            filtered.choice,
            filtered.candidates,
            filtered.classifier,
            paths.table("filtering_candidates"),
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
            paths.corpus_manifest,
            files_of(run.filtering.pool.source),
        output:
            filtered.pool_manifest,
            [filtered.pool_shard(shard) for shard in pool_shards],
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
            filtered.choice,
            filtered.classifier,
            filtered.pool_manifest,
            filtered.pool_shard("{shard}"),
            [paths.model_manifest(model) for model in filter_models],
        output:
            filtered.shard_scores("{shard}"),
            filtered.shard_scores_manifest("{shard}"),
        pathvars:
            **job_of("filter_score"),
        resources:
            **needs("filter_score"),
        params:
            **command("filter_score", "filtering score --config {config:q} --shard {shard}"),
        message:
            "Scoring the pool, shard {wildcards.shard}"

    use rule step as filter_select with:
        input:
            filtered.choice,
            filtered.candidates,
            filtered.pool_manifest,
            [filtered.pool_shard(shard) for shard in pool_shards],
            [filtered.shard_scores_manifest(shard) for shard in pool_shards],
        output:
            filtered.corpus_manifest,
            filtered.selections_manifest,
            filtered.scores,
            filtered.recovery,
            filtered.shares,
        pathvars:
            **job_of("filter_select"),
        resources:
            **needs("filter_select"),
        params:
            **command("filter_select", "filtering select --config {config:q}"),
        message:
            "Selecting documents"

    use rule step as filter_tables with:
        input:
            filtered.recovery,
            filtered.shares,
            [filtered.training(training) for training in trainings],
        output:
            shown_table("filtering", "Filtering"),
            tables("filtering_summary", "filtering_domains"),
        pathvars:
            **job_of("filter_tables"),
        params:
            **command("filter_tables", "filtering tables --config {config:q}"),
        message:
            "Tables of the filters"

    use rule step as filter_figure with:
        input:
            tables("filtering_summary", "filtering_domains"),
        output:
            shown_figure("filtering", "Filtering"),
            paths.figure("filtering", "pdf"),
        pathvars:
            **job_of("filter_figure"),
        params:
            **command("filter_figure", "filtering figure --config {config:q}"),
        message:
            "Drawing the filters"


if run.filtering and run.filtering.pretraining:

    # Each of them finds its own checkpoint again.
    use rule step as filter_pretrain with:
        input:
            paths.corpus_manifest,
            filtered.selections_manifest,
            filtered.pool_manifest,
            paths.model_manifest(run.filtering.pretraining.model),
        output:
            filtered.training("{training}"),
        pathvars:
            **job_of("filter_pretrain"),
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

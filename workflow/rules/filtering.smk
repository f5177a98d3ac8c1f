"""The data-filtering corpus: one neuron as a filter, and what it is worth.

Needs: the corpus; top contexts, statistics and Rosetta Neurons of one model; the model that is trained on.
Makes: results/filtering/{name}: the choice of the neuron, pool, scores, selections, the corpus, trainings;
results/tables/filtering*.csv and their figure.
"""

filtered = paths.filtering(run.filtering.name if run.filtering else "none")
filter_models = [run.filter_model()] if run.filtering else []
if run.filtering and run.filtering.pretraining:
    filter_models.append(run.filtering.pretraining.model)  # its tokenizer tells the size of documents
filter_tables = list(FILTER_TABLES) if run.filtering else []
filter_figures = ["filtering"] if run.filtering else []


wildcard_constraints:
    training=one_of(training_name(*job) for job in (run.filtering.trainings() if run.filtering else [])),


if run.filtering:

    rule filter_choose:
        input:
            corpus=paths.corpus_manifest,
            model=paths.model_manifest(run.filter_model()),
            neurons=paths.neurons(run.filter_model()),
            contexts=paths.contexts(run.filter_model()),
            rosetta=paths.rosetta(group_name(run.filter_group())),
        output:
            filtered.choice,
            filtered.candidates,
            filtered.classifier,
            paths.table("filtering_candidates"),
        log:
            log_of("filter_choose", "all"),
        benchmark:
            benchmark_of("filter_choose")
        conda:
            "../../envs/rosetta.yaml"
        resources:
            mem_mb=growing(2000),
        params:
            config=paths.run_config,
            stage=stage("filter_choose"),
        message:
            "Choosing the neuron that filters"
        shell:
            "rosetta --made-by {params.stage:q} filtering choose --config {params.config:q} 2> {log:q}"

    rule filter_pool:
        input:
            corpus=paths.corpus_manifest,
            files=files_of(run.filtering.pool.source),
        output:
            filtered.pool_manifest,
            [filtered.pool_shard(shard) for shard in range(run.filtering.pool.n_shards)],
        log:
            log_of("filter_pool", "all"),
        benchmark:
            benchmark_of("filter_pool")
        conda:
            "../../envs/rosetta.yaml"
        resources:
            mem_mb=growing(4000),
        params:
            config=paths.run_config,
            stage=stage("filter_pool"),
        message:
            "Writing the pool"
        shell:
            "rosetta --made-by {params.stage:q} filtering pool --config {params.config:q} 2> {log:q}"

    rule filter_score:
        input:
            choice=filtered.choice,
            classifier=filtered.classifier,
            manifest=filtered.pool_manifest,
            shard=filtered.pool_shard("{shard}"),
            models=[paths.model_manifest(model) for model in filter_models],
        output:
            filtered.shard_scores("{shard}"),
            filtered.shard_scores_manifest("{shard}"),
        log:
            log_of("filter_score", part_name("pool", "{shard}", run.filtering.pool.n_shards)),
        benchmark:
            benchmark_of("filter_score", part_name("pool", "{shard}", run.filtering.pool.n_shards))
        conda:
            "../../envs/rosetta.yaml"
        resources:
            mem_mb=filter_needs("filter_score", "mb"),
            runtime=filter_needs("filter_score", "minutes"),
            gpu=filter_needs("filter_score", "gpu"),
        params:
            config=paths.run_config,
            stage=stage("filter_score"),
        message:
            "Scoring the pool, shard {wildcards.shard}"
        shell:
            "rosetta --made-by {params.stage:q} filtering score --config {params.config:q} --shard {wildcards.shard} 2> {log:q}"

    rule filter_select:
        input:
            choice=filtered.choice,
            candidates=filtered.candidates,
            manifest=filtered.pool_manifest,
            shards=[filtered.pool_shard(shard) for shard in range(run.filtering.pool.n_shards)],
            scores=[filtered.shard_scores_manifest(shard) for shard in range(run.filtering.pool.n_shards)],
        output:
            filtered.corpus_manifest,
            filtered.selections_manifest,
            filtered.scores,
            filtered.recovery,
            filtered.shares,
        log:
            log_of("filter_select", "all"),
        benchmark:
            benchmark_of("filter_select")
        conda:
            "../../envs/rosetta.yaml"
        resources:
            mem_mb=growing(4000),
        params:
            config=paths.run_config,
            stage=stage("filter_select"),
        message:
            "Selecting documents"
        shell:
            "rosetta --made-by {params.stage:q} filtering select --config {params.config:q} 2> {log:q}"

    rule filter_tables:
        input:
            recovery=filtered.recovery,
            shares=filtered.shares,
            trainings=[filtered.training(training_name(*job)) for job in run.filtering.trainings()],
        output:
            report(paths.table("filtering"), caption="../report/filtering.rst", category="Filtering"),
            paths.table("filtering_summary"),
            paths.table("filtering_domains"),
        log:
            log_of("filter_tables", "all"),
        benchmark:
            benchmark_of("filter_tables")
        conda:
            "../../envs/rosetta.yaml"
        params:
            config=paths.run_config,
            stage=stage("filter_tables"),
        message:
            "Tables of the filters"
        shell:
            "rosetta --made-by {params.stage:q} filtering tables --config {params.config:q} 2> {log:q}"

    rule filter_figure:
        input:
            summary=paths.table("filtering_summary"),
            domains=paths.table("filtering_domains"),
        output:
            png=report(paths.figure("filtering", "png"), caption="../report/filtering_figure.rst", category="Filtering"),
            pdf=paths.figure("filtering", "pdf"),
        log:
            log_of("filter_figure", "all"),
        benchmark:
            benchmark_of("filter_figure")
        conda:
            "../../envs/rosetta.yaml"
        params:
            config=paths.run_config,
            stage=stage("filter_figure"),
        message:
            "Drawing the filters"
        shell:
            "rosetta --made-by {params.stage:q} filtering figure --config {params.config:q} 2> {log:q}"


if run.filtering and run.filtering.pretraining:

    # Each of them finds its own checkpoint again.
    rule filter_pretrain:
        input:
            corpus=paths.corpus_manifest,
            selections=filtered.selections_manifest,
            pool=filtered.pool_manifest,
            model=paths.model_manifest(run.filtering.pretraining.model),
        output:
            filtered.training("{training}"),
        log:
            log_of("filter_pretrain", "{training}"),
        benchmark:
            benchmark_of("filter_pretrain", "{training}")
        conda:
            "../../envs/rosetta.yaml"
        resources:
            mem_mb=filter_needs("filter_pretrain", "mb"),
            runtime=filter_needs("filter_pretrain", "minutes"),
            gpu=filter_needs("filter_pretrain", "gpu"),
        params:
            config=paths.run_config,
            stage=stage("filter_pretrain"),
            job=lambda wildcards: "--filter {} --seed {}".format(*wildcards.training.rsplit("-", 1)),
        message:
            "Training on a selection: {wildcards.training}"
        shell:
            "rosetta --made-by {params.stage:q} filtering pretrain --config {params.config:q} {params.job} 2> {log:q}"

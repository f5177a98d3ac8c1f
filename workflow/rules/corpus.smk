"""The corpus.

Needs: the installed packages, local files or a hub dataset, as the configuration says.
Makes: results/corpus/{train,match,pool,heldout}.parquet and manifest.json.
"""


rule corpus:
    input:
        beginning,
        files_of(run.corpus.source),
    output:
        manifest=paths.corpus_manifest,
        splits=[paths.split(split) for split in SPLITS],
    log:
        log_of("corpus", "all"),
    benchmark:
        benchmark_of("corpus")
    conda:
        "../../envs/rosetta.yaml"
    resources:
        mem_mb=growing(4000),
    params:
        config=paths.run_config,
        stage=stage("corpus"),
    message:
        "Building the corpus"
    shell:
        "rosetta --made-by {params.stage:q} corpus --config {params.config:q} 2> {log:q}"

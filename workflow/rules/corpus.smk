"""The corpus.

Needs: the installed packages, local files or a hub dataset, as the configuration says.
Makes: results/corpus/{train,match,pool,heldout}.parquet and manifest.json.
"""


use rule step as corpus with:
    input:
        beginning,
        files_of(run.corpus.source),
        inputs_of("corpus"),
    output:
        outputs_of("corpus"),
    pathvars:
        **job_of("corpus"),
    resources:
        **needs("corpus"),
    params:
        **command("corpus", "corpus --config {config:q}"),
    message:
        "Building the corpus"

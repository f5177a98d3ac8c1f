"""Models that see images: what they are shown, their stores, and their best matches.

Needs: local files or a hub dataset of images, or nothing where images are drawn, as the configuration says; the models.
Makes: results/images/{train,match,heldout}.json and results/images/generated/, manifests beside folders of images;
results/captured/{model}.json once all stores of a model are there; results/neurons/, top_images/, monosemanticity/ and
factors/{model}.parquet, results/partner_images/ and place/{pair}.parquet, results/image_excerpts/{group}.json and
results/contact_sheets/{pair}.png. For small models also what matches.smk and controls.smk make of a pair.
"""


use rule step as images with:
    input:
        beginning,
        files_of(run.images.source),
        inputs_of("images"),
    output:
        outputs_of("images"),
    pathvars:
        **job_of("images"),
    resources:
        **needs("images"),
    params:
        **command("images", "images --config {config:q}"),
    message:
        "Making the sets of images"


use rule step as train_and_capture with:
    input:
        inputs_of("train_and_capture"),
    output:
        outputs_of("train_and_capture"),
    pathvars:
        **job_of("train_and_capture"),
    wildcard_constraints:
        **only("train_and_capture"),
    resources:
        **needs("train_and_capture"),
    params:
        **command("train_and_capture"),
    message:
        "Training and capturing {wildcards.model}"


use rule step as capture with:
    input:
        inputs_of("capture"),
    output:
        outputs_of("capture"),
    pathvars:
        **job_of("capture"),
    wildcard_constraints:
        **only("capture"),
    resources:
        **needs("capture"),
    params:
        **command("capture"),
    message:
        "Capturing {wildcards.model}"


use rule step as image_twins with:
    input:
        inputs_of("image_twins"),
    output:
        outputs_of("image_twins"),
    pathvars:
        **job_of("image_twins"),
    wildcard_constraints:
        **only("image_twins"),
    threads: cores_of("image_twins")
    resources:
        **needs("image_twins"),
    params:
        **command(
            "image_twins",
            "activations --config {config:q} --model {model} --shard {shard} --threads {threads}",
        ),
    message:
        "Capturing {wildcards.model}, shard {wildcards.shard}"


use rule step as generate with:
    input:
        inputs_of("generate"),
    output:
        outputs_of("generate"),
    pathvars:
        **job_of("generate"),
    wildcard_constraints:
        **only("generate"),
    threads: cores_of("generate")
    resources:
        **needs("generate"),
    params:
        **command(
            "generate",
            "activations --config {config:q} --model {model} --shard {shard} --threads {threads}",
        ),
    message:
        "Making images with {wildcards.model}, shard {wildcards.shard}"


use rule step as captured with:
    input:
        inputs_of("captured"),
    output:
        outputs_of("captured"),
    pathvars:
        **job_of("captured"),
    wildcard_constraints:
        **only("captured"),
    params:
        **command("captured", "captured --config {config:q} --model {model}"),
    message:
        "Looking over the stores of {wildcards.model}"


use rule step as image_pair with:
    input:
        inputs_of("image_pair"),
    output:
        outputs_of("image_pair"),
    pathvars:
        **job_of("image_pair"),
    wildcard_constraints:
        **only("image_pair"),
    threads: cores_of("image_pair")
    resources:
        **needs("image_pair"),
    params:
        **command("image_pair"),
    message:
        "Matching {wildcards.pair}, with nulls, intervals and sweeps"


use rule step as image_part_of_rung with:
    input:
        inputs_of("image_part_of_rung"),
    output:
        outputs_of("image_part_of_rung"),
    pathvars:
        **job_of("image_part_of_rung"),
    wildcard_constraints:
        **only("image_part_of_rung"),
    threads: cores_of("image_part_of_rung")
    resources:
        **needs("image_part_of_rung"),
    params:
        **command("image_part_of_rung"),
    message:
        "Matching {wildcards.pair}, with nulls, intervals and sweeps"


use rule step as image_profiles with:
    input:
        inputs_of("image_profiles"),
    output:
        outputs_of("image_profiles"),
    pathvars:
        **job_of("image_profiles"),
    resources:
        **needs("image_profiles"),
    params:
        **command("image_profiles"),
    message:
        "Profiling neurons on images"


use rule step as image_neurons with:
    input:
        inputs_of("image_neurons"),
    output:
        outputs_of("image_neurons"),
    pathvars:
        **job_of("image_neurons"),
    wildcard_constraints:
        **only("image_neurons"),
    resources:
        **needs("image_neurons"),
    params:
        **command("image_neurons", "image-neurons --config {config:q} --model {model}"),
    message:
        "Profiling the neurons of {wildcards.model} on images"


use rule step as partner_images with:
    input:
        inputs_of("partner_images"),
    output:
        outputs_of("partner_images"),
    pathvars:
        **job_of("partner_images"),
    wildcard_constraints:
        **only("partner_images"),
    resources:
        **needs("partner_images"),
    params:
        **command("partner_images", "partner-images --config {config:q} --pair {pair}"),
    message:
        "Partners of {wildcards.pair} on top images"


use rule step as contact_sheet with:
    input:
        inputs_of("contact_sheet"),
    output:
        outputs_of("contact_sheet"),
    pathvars:
        **job_of("contact_sheet"),
    wildcard_constraints:
        **only("contact_sheet"),
    resources:
        **needs("contact_sheet"),
    params:
        **command("contact_sheet", "contact-sheet --config {config:q} --pair {pair}"),
    message:
        "Drawing the best matches of {wildcards.pair}"


use rule step as image_excerpts with:
    input:
        inputs_of("image_excerpts"),
    output:
        outputs_of("image_excerpts"),
    pathvars:
        **job_of("image_excerpts"),
    wildcard_constraints:
        **only("image_excerpts"),
    resources:
        **needs("image_excerpts"),
    params:
        **command("image_excerpts", "image-excerpts --config {config:q} --group {group}"),
    message:
        "What the viewer shows of {wildcards.group}"


use rule step as place with:
    input:
        inputs_of("place"),
    output:
        outputs_of("place"),
    pathvars:
        **job_of("place"),
    wildcard_constraints:
        **only("place"),
    resources:
        **needs("place"),
    params:
        **command("place", "place --config {config:q} --pair {pair}"),
    message:
        "What place makes of the matches of {wildcards.pair}"


use rule step as place_maps with:
    input:
        inputs_of("place_maps"),
    output:
        outputs_of("place_maps"),
    pathvars:
        **job_of("place_maps"),
    params:
        **command("place_maps", "place-maps --config {config:q}"),
    message:
        "Drawing where place alone correlates neurons"


use rule step as generated_images with:
    input:
        inputs_of("generated_images"),
    output:
        outputs_of("generated_images"),
    pathvars:
        **job_of("generated_images"),
    params:
        **command("generated_images", "generated-images --config {config:q}"),
    message:
        "Judging generated images"

"""The configuration of a run with ladders of images and of text."""

from workflow_runs import TINY, VISION

IMAGE_LADDERS = {**VISION["ladders"], "vit-mae": [["vit-m", "mae-m"]]}
# The ladders of images of vision-tiny.yaml, but for a rung, and one of language models.
MIXED = {
    **VISION,
    "results": "results",
    "corpus": {**TINY["corpus"], "source": {**TINY["corpus"]["source"], "bytes_per_domain": 20000}},
    "zoo": {
        "families": {**VISION["zoo"]["families"], **TINY["zoo"]["families"]},
        "sizes": {**VISION["zoo"]["sizes"], "t": {**TINY["zoo"]["sizes"]["s"], "replicates": 1}},
        "training": {**TINY["zoo"]["training"], "steps": 4},
        "image_training": {**VISION["zoo"]["image_training"], "checkpoint_every": 3},
    },
    "models": {
        **{name: model for name, model in VISION["models"].items() if name != "mae-s"},
        "pythia-t": {"zoo": {"family": "pythia", "size": "t"}},
        "opt-t": {"zoo": {"family": "opt", "size": "t"}},
    },
    "ladders": {**IMAGE_LADDERS, "pythia-opt": [["pythia-t", "opt-t"]]},
    "activations": {**TINY["activations"], "max_documents": 40},
    "controls": {**VISION["controls"], "document_seeds": [0], "untrained_seeds": [0]},
    "sweeps": {**VISION["sweeps"], "thresholds": [0.0]},
    "theory": TINY["theory"],
    "report": {"n_matches": 2, "n_contexts": 1},
}

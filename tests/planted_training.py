"""A run of two models at steps of their training, in whose stores shared neurons come and go.

The k-th unit of either model has the same signal at the steps that `SHARED` says, and is noise of
its own at the others. All other units are noise, another one at every step.
"""

import numpy as np
from helpers import save_image_stores

from rosetta.config import group_name, parse_config, twin_name
from rosetta.config.names import step_name
from rosetta.run.paths import Paths
from rosetta.storage.manifests import write_manifest

MODELS, STEPS, END = ("v-s", "w-s"), (1, 2, 4), 8
EVERY = (*STEPS, END)
N_LAYERS, D_MLP, N_IMAGES, GRID = 2, 14, 60, (4, 5)
# By the number of a unit through both layers: the steps at which both models share its signal.
SHARED = {
    0: (1, 2, 4, 8),
    1: (2, 4, 8),
    2: (2, 4, 8),
    15: (2, 4, 8),
    3: (4, 8),
    4: (1, 2),
    16: (8,),
    5: (2,),
    17: (2, 8),
}
SEEDS = list(range(10))


def config_of(results, **changes):
    family = {"architecture": "vit", "image": {"image_size": 20, "patch_size": 4}}
    content = {
        "results": str(results),
        "images": {"source": {"kind": "procedural", "n_images": 600}, "size": 16},
        "zoo": {
            "families": {name[0]: {**family, "seed": seed} for seed, name in enumerate(MODELS)},
            "sizes": {"s": {"n_layers": N_LAYERS, "d_model": 16, "d_mlp": D_MLP, "n_heads": 2}},
            "image_training": {"steps": {"classifier": END}, "batch_size": 2},
        },
        "models": {name: {"zoo": {"family": name[0], "size": "s"}} for name in MODELS},
        "ladders": {"vw": [list(MODELS)]},
        "training_ladders": {"early": {"models": list(MODELS), "steps": list(STEPS)}},
        "activations": {"n_shards": 1},
        "controls": {"permutation_seeds": [], "document_seeds": SEEDS, "untrained_seeds": SEEDS},
        "intervals": {"n_blocks": 4},
        "correlation": {"max_k": 1, "precision": "float32"},
    }
    return parse_config({**content, **changes})


def name_at(model, step):
    """A model at a step, as the run calls it; the end has the model's own name."""
    return model if step == END else step_name(model, step)


def pair_at(step):
    return group_name(tuple(name_at(model, step) for model in MODELS))


def activations(side, step):
    """Values of a model at a step, (n_layers, n_images, cells, d_mlp)."""
    cells = (N_IMAGES, GRID[0] * GRID[1])
    noise = np.random.default_rng([99, side, step]).normal(size=(N_LAYERS * D_MLP, *cells))
    for unit, steps in SHARED.items():
        signal = np.random.default_rng([7, unit]).normal(size=cells)
        if step in steps:
            noise[unit] = signal + 0.4 * noise[unit]
    by_layer = noise.reshape(N_LAYERS, D_MLP, *cells)
    return np.moveaxis(by_layer, 1, -1).astype(np.float32)


def plant(folder, **changes):
    """Write stores of all steps and of untrained twins, and the manifests of the models."""
    config = config_of(folder / "results", **changes)
    paths = Paths(folder / "results")
    for side, model in enumerate(MODELS):
        for step in EVERY:
            name = name_at(model, step)
            save_image_stores(paths.stores(name, 1), activations(side, step), GRID)
            learnt = {"train_loss": 10.0 / step + side}
            manifest = {"kind": "model", "n_layers": N_LAYERS, "d_mlp": D_MLP, "training": learnt}
            write_manifest(paths.model_manifest(name), manifest)
        for seed in SEEDS:
            twin = twin_name(model, seed)
            save_image_stores(paths.stores(twin, 1), activations(side, 1000 + seed), GRID)
    return config, paths

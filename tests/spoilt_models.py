"""Ways to spoil the folder of a tiny GPT-NeoX model."""

import json

import torch
from safetensors.torch import load_file, save_file

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def edit_config(model, **changes):
    content = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**content, **changes}))


def configured(**changes):
    return lambda model: edit_config(model, **changes)


def edit_weights(model, change):
    weights = load_file(model / WEIGHTS)
    change(weights)
    save_file(weights, model / WEIGHTS, {"format": "pt"})


def write(name, text):
    return lambda model: (model / name).write_text(text)


def truncate(model):
    (model / WEIGHTS).write_bytes((model / WEIGHTS).read_bytes()[:-100])


def add(name):
    return lambda model: edit_weights(model, lambda weights: weights.update({name: torch.ones(24)}))

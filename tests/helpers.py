"""Builders for tests: stores with chosen activations, tiny models and tokenizers in Hugging Face
format.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from tokenizers import processors
from transformers import AutoModelForCausalLM

from rosetta.activations.folders import open_stores
from rosetta.activations.inputs import ShardInputs
from rosetta.activations.store import write_store
from rosetta.activations.variables import StoreCells, StoreDescription, StoreTokens
from rosetta.config.zoo import ZooFamily, ZooSize, ZooTraining
from rosetta.models.loading import load_config_of
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.neurons import NeuronShape
from rosetta.models.placement import Demand, Room
from rosetta.models.tokenizers import load_tokenizer
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.models.zoo.tokenizer_training import save_tokenizer, train_tokenizer

ARCHITECTURES = ("gpt_neox", "gpt2", "opt", "qwen2", "llama", "mistral", "gemma")


def random_ranges(rng, document_bytes, *, max_token=5, special=False, truncate=True):
    """Tokenize documents of the given byte lengths at random: (token_ids, start, end,
    document_index).
    """
    starts, ends, owner = [], [], []
    for document, n_bytes in enumerate(document_bytes):
        cuts = [0]
        while cuts[-1] < n_bytes:
            cuts.append(min(n_bytes, cuts[-1] + int(rng.integers(1, max_token + 1))))
        low, high = cuts[:-1], cuts[1:]
        if truncate and len(low) > 1:
            kept = int(rng.integers(1, len(low) + 1))
            low, high = low[:kept], high[:kept]
        if special:
            low, high = [0, *low], [0, *high]
        starts += low
        ends += high
        owner += [document] * len(low)
    as_int = [np.array(values, dtype=np.int32) for values in (starts, ends, owner)]
    return (np.arange(len(starts), dtype=np.int32), *as_int)


def save_stores(
    folder: Path, activations, ranges, n_documents, *, n_shards=1, dtype="float32", made_by=None
):
    """Write shard stores from activations (n_layers, n_positions, d_mlp) and `random_ranges`."""
    token_ids, start, end, owner = ranges
    n_layers, _, d_mlp = activations.shape
    for shard in range(n_shards):
        low, high = n_documents * shard // n_shards, n_documents * (shard + 1) // n_shards
        rows = (owner >= low) & (owner < high)
        # Documents go on far beyond what was read of them, so that models may have read different
        # prefixes.
        documents = np.arange(low, high, dtype=np.uint64), np.full(high - low, 10**9)
        tokens = StoreTokens(token_ids[rows], start[rows], end[rows], owner[rows] - low, *documents)
        # Three batches, so that blocks are joined from several.
        batches = torch.from_numpy(activations[:, rows]).tensor_split(3, dim=1)
        write_store(
            folder / f"{shard}.json",
            batches,
            tokens,
            StoreDescription(
                shape=NeuronShape(n_layers, d_mlp),
                dtype=dtype,
                shard=shard,
                n_shards=n_shards,
                made_by=made_by or {"model": folder.name},
                place=folder.name,
            ),
        )
    return open_stores(folder)


def save_image_stores(folder: Path, values, grid, ids=None, *, n_shards=1, dtype="float32"):
    """Write shard stores of images from values (n_layers, n_images, H·W, d_mlp)."""
    n_layers, n_images, _, d_mlp = values.shape
    ids = np.arange(n_images, dtype=np.uint64) if ids is None else ids
    for shard in range(n_shards):
        low, high = n_images * shard // n_shards, n_images * (shard + 1) // n_shards
        rows = np.ascontiguousarray(values[:, low:high]).reshape(n_layers, -1, d_mlp)
        write_store(
            folder / f"{shard}.json",
            torch.from_numpy(rows).tensor_split(3, dim=1),
            StoreCells(ids[low:high], grid, 32, "last" if folder.name == "a" else None),
            StoreDescription(
                shape=NeuronShape(n_layers, d_mlp),
                dtype=dtype,
                shard=shard,
                n_shards=n_shards,
                made_by={"model": folder.name},
                place=folder.name,
            ),
        )
    return open_stores(folder)


def tiny_sizes():
    experts = {"n_experts": 4, "per_token": 2, "d_shared": 8}
    size = ZooSize(n_layers=2, d_model=16, d_mlp=24, n_heads=2, experts=experts)
    return size, ZooTraining(steps=2, batch_size=2, sequence_length=32)


def tiny_tokenizer(texts, *, seed=0, bos=False, vocab_size=300, architecture="gpt2"):
    """Train a tokenizer of the zoo; without `bos` it puts nothing before a text, like many that are
    not of the zoo.
    """
    family = ZooFamily(architecture=architecture, vocab_size=vocab_size, seed=seed)
    tokenizer = train_tokenizer(family, texts, 20_000)
    if not bos:
        tokenizer.backend_tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return tokenizer


def save_tiny_model(folder: Path, texts, architecture, *, seed=0, bos=False) -> Path:
    """Save a random tiny model and its tokenizer in Hugging Face format."""
    size, training = tiny_sizes()
    family = ZooFamily(architecture=architecture, vocab_size=300, seed=seed)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(zoo_model_config(family, size, training))
    tokenizer = tiny_tokenizer(texts, seed=seed, bos=bos, architecture=architecture)
    model.save_pretrained(folder)
    save_tokenizer(tokenizer, folder / "tok")
    for file in (folder / "tok").iterdir():
        file.rename(folder / file.name)
    (folder / "tok").rmdir()
    return folder


def shard_inputs(source, documents, *, batch_size=16, sequence_length=32):
    """Return the inputs of a capture of a model's folder, without a run."""
    config = load_config_of(source)
    n_parameters = count_parameters(config)
    demand = Demand.of(
        neuron_shape(config, "m"), n_parameters, source.dtype, sequence_length, stored="float32"
    )
    room = Room((), math.inf, "none")
    return ShardInputs(
        source, demand, room, batch_size, config, load_tokenizer(source), documents, {}
    )

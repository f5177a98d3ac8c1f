"""What a capture takes of the main memory that it is given, with a batch that is found:
`devices.cpu_memory_gb`.

python benchmarks/capture_memory.py [--gb 3 5] [--dtype float32]

For each architecture and amount, a process of its own captures 64 documents of 512 tokens of an
untrained model (16 layers of 2,048 or 2,560 neurons) into a float16 store. The ratio is its peak
resident memory over what was given.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPTNeoXConfig, PreTrainedTokenizerFast, Qwen2Config

from rosetta.activations.capture import capture_shard
from rosetta.activations.inputs import ShardInputs
from rosetta.config import Activations
from rosetta.models.model_manifest import count_parameters
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.placement import GB, Demand, Room
from rosetta.models.sources import ModelSource

LENGTH = 512
ARCHITECTURES = {
    "gpt_neox": GPTNeoXConfig(
        vocab_size=256,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=16,
        num_attention_heads=8,
    ),
    "qwen2": Qwen2Config(
        vocab_size=256,
        hidden_size=512,
        intermediate_size=2560,
        num_hidden_layers=16,
        num_attention_heads=8,
        num_key_value_heads=4,
    ),
}


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer whose tokens are bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(
        models.BPE(vocab={symbol: i for i, symbol in enumerate(alphabet)}, merges=[])
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def capture(kind: str, gb: float, dtype: str) -> tuple[int, float]:
    """Capture in this process; return the batch that was found, and the process's peak of memory in
    bytes.
    """
    torch.set_num_threads(1)
    config = ARCHITECTURES[kind]
    demand = Demand.of(
        neuron_shape(config, kind), count_parameters(config), dtype, LENGTH, stored="float16"
    )
    documents = [(number, f"document {number} " * 64) for number in range(64)]
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        source = ModelSource(kind, folder, untrained_seed=0, dtype=dtype)
        room = Room((), gb * GB, "none")
        inputs = ShardInputs(source, demand, room, "auto", config, byte_tokenizer(), documents, {})
        capture_shard(
            inputs, Activations(n_shards=1, sequence_length=LENGTH), Path(folder) / "0.json", 0
        )
        return inputs.batch_size, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Print a line per architecture and amount of memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gb", type=float, nargs="+", default=[3.0, 5.0])
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"])
    arguments = parser.parse_args()
    for kind in ARCHITECTURES:
        for gb in arguments.gb:
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # a peak of its own
                batch_size, peak = pool.apply(capture, (kind, gb, arguments.dtype))
            found = f"{batch_size:>3} documents, ratio {peak / gb / GB:.2f}"
            print(f"{kind:<10}{arguments.dtype:<10}{gb:>5.1f} GB given, {found}")


if __name__ == "__main__":
    main()

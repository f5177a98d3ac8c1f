"""Training the tokenizer of a zoo family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from rosetta.config.zoo import ZooFamily
from rosetta.models.tokenizers import wrapped
from rosetta.models.zoo.recipes import END_OF_TEXT, END_OF_TEXT_ID
from rosetta.models.zoo.token_stream import check_training_texts
from rosetta.storage.atomic import replacing


def train_tokenizer(
    family: ZooFamily, texts: list[str], sample_bytes: int
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on a family's own random sample of the training texts.

    It puts END_OF_TEXT before every text.

    Raises
    ------
    CorpusError
        If the training split is empty.
    """
    check_training_texts(texts)
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=family.vocab_size,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(_sample(texts, family.seed, sample_bytes), trainer)
    # As in training, where it sets documents apart: whoever reads a text with this tokenizer shows
    # a model the same.
    backend.post_processor = processors.TemplateProcessing(
        single=f"{END_OF_TEXT} $A", special_tokens=[(END_OF_TEXT, END_OF_TEXT_ID)]
    )
    return wrapped(backend, END_OF_TEXT, END_OF_TEXT)


def _sample(texts: list[str], seed: int, n_bytes: int) -> list[str]:
    chosen, used = [], 0
    for index in np.random.default_rng([seed, 1]).permutation(len(texts)):
        if used >= n_bytes:
            break
        chosen.append(texts[index])
        used += len(texts[index].encode("utf-8"))
    return chosen


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a tokenizer in Hugging Face format, whole or not at all."""
    with replacing(folder) as temporary:
        tokenizer.save_pretrained(temporary)

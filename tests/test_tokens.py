"""Byte ranges must rebuild the text, for every kind of tokenizer that is supported, on any Unicode."""

import json

import numpy as np
import pytest
from helpers import tiny_tokenizer
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from rosetta.activations.tokens import ByteTokenizer
from rosetta.errors import ModelError

SCRIPTS = [
    "def f(x):\n    return x",
    "Der Fluß fließt",
    "東京は大きい",
    "привет мир",
    "naïve café 🙂🙃",
    "  two  spaces ",
]
MIXED = SCRIPTS * 20
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


def sentencepiece_style():
    """A BPE with metaspace and byte fallback, as Llama and Mistral have."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    backend.train_from_iterator(MIXED, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False))
    # Byte tokens are ordinary vocabulary: rebuild without marking them as added tokens.
    state = json.loads(backend.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"] in ("<unk>", "<s>", "</s>")]
    backend = Tokenizer.from_str(json.dumps(state))
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", backend.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")


TOKENIZERS = {
    "byte_level": lambda: tiny_tokenizer(MIXED),
    "byte_level_bos": lambda: tiny_tokenizer(MIXED, bos=True),
    "sentencepiece": sentencepiece_style,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def byte_tokenizer(request):
    return ByteTokenizer(TOKENIZERS[request.param](), request.param)


def check(byte_tokenizer, text):
    tokenized = byte_tokenizer(text)
    data = text.encode("utf-8")
    real = tokenized.byte_end > tokenized.byte_start
    # Empty: a BOS token, and a first token that is nothing but the space that was added before the text.
    may_be_empty = {"byte_level": 0, "byte_level_bos": 1, "sentencepiece": 2}[byte_tokenizer.place]
    assert not real[:may_be_empty][:1].any()
    assert real[may_be_empty:].all()
    starts, ends = tokenized.byte_start[real], tokenized.byte_end[real]
    assert b"".join(data[s:e] for s, e in zip(starts, ends, strict=True)) == data
    assert starts.tolist() == [0, *ends[:-1].tolist()][: len(starts)]


@pytest.mark.parametrize("text", SCRIPTS)
def test_byte_ranges_rebuild_mixed_scripts(byte_tokenizer, text):
    check(byte_tokenizer, text)


@given(text=TEXT)
@example(text="🙂")
@example(text=" \n\x00\t")
@example(text="<|endoftext|> inside")
def test_byte_ranges_rebuild_any_text(byte_tokenizer, text):
    if "▁" in text or (byte_tokenizer.place == "sentencepiece" and not text):
        return
    check(byte_tokenizer, text)


def handmade_byte_level():
    """A byte-level BPE of five merges, two of which cut characters: é is C3 A9, 東 is E6 9D B1."""
    merges = [("n", "Ã"), ("Ŀ", "±"), ("Ġ", "x")]  # n C3, 9D B1, space x
    tokens = ["<s>", *"nxÃ©æĿ±Ġ", *map("".join, merges)]
    backend = Tokenizer(models.BPE({token: id_ for id_, token in enumerate(tokens)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return backend


def handmade_sentencepiece():
    """A BPE with metaspace that knows a, b and 東, and falls back to bytes for é."""
    merges = [("▁", "a"), ("▁", "b")]
    tokens = ["<s>", "<unk>", "<0xC3>", "<0xA9>", *"▁ab東", *map("".join, merges)]
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return backend


@pytest.mark.parametrize(
    ("make", "text", "expected"),
    [
        (
            handmade_byte_level, "né東 x",
            [("<s>", 0, 0), ("nÃ", 0, 2), ("©", 2, 3), ("æ", 3, 4), ("Ŀ±", 4, 6), ("Ġx", 6, 8)],
        ),
        (handmade_byte_level, "x<s> n", [("<s>", 0, 0), ("x", 0, 1), ("<s>", 1, 4), ("Ġ", 4, 5), ("n", 5, 6)]),
        (handmade_byte_level, "", [("<s>", 0, 0)]),
        (
            handmade_sentencepiece, "a bé",
            [("<s>", 0, 0), ("▁a", 0, 1), ("▁b", 1, 3), ("<0xC3>", 3, 4), ("<0xA9>", 4, 5)],
        ),
        # The added space is a token of its own here, and none of the text's.
        (handmade_sentencepiece, "東 a", [("<s>", 0, 0), ("▁", 0, 0), ("東", 0, 3), ("▁a", 3, 5)]),
    ],
)  # fmt: skip
def test_every_token_covers_its_own_bytes(make, text, expected):
    """Token by token: ranges that only rebuild the text together could still be shifted against the tokens."""
    backend = make()
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>")
    found = ByteTokenizer(tokenizer, "m")(text)
    tokens = tokenizer.convert_ids_to_tokens(found.token_ids.tolist())
    assert list(zip(tokens, found.byte_start.tolist(), found.byte_end.tolist(), strict=True)) == expected


def test_truncation_keeps_the_first_tokens(byte_tokenizer):
    whole = byte_tokenizer("return naïve 東京")
    assert np.array_equal(whole.head(3).byte_end, whole.byte_end[:3])


def test_a_tokenizer_that_changes_the_text_is_refused():
    tokenizer = tiny_tokenizer(MIXED)
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(ModelError, match=r"models\.x.*do not rebuild the text: from byte 4"):
        ByteTokenizer(tokenizer, "models.x")("the Text")


def test_an_unknown_decoder_is_refused():
    backend = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(ModelError, match="decoder"):
        ByteTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend), "models.x")

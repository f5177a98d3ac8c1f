"""A beginning of a text has the tokens and byte ranges of the whole, for every tokenizer that is
read by words.
"""

import json

import numpy as np
import pytest
from helpers import save_tiny_model, shard_inputs
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizer_kinds import TOKENIZERS, byte_level, fast
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from rosetta.activations import prefixes
from rosetta.activations.capture import tokenize_shard
from rosetta.activations.prefixes import beginnings, reads_by_words
from rosetta.activations.tokens import ByteTokenizer
from rosetta.config import Activations
from rosetta.models.sources import ModelSource

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| "
    r"?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
    r"\s+(?!\S)|\s+"
)
# Much of what tokenizers, their normalisers and this code treat in some way of their own.
PIECES = st.lists(
    st.sampled_from(
        [
            "a",
            "the ",
            "x y",
            "ab ab",
            "don't ",
            "é",
            "e\u0301",
            " \u0301",
            "東京",
            "ﬁn ",
            "🙂",
            "  ",
            "    ",
            "\n",
            " \n",
            "\r\n",
            "\t",
            "1234",
            " 5",
            ".",
            " ,",
            "▁",
            "Ġ",
            "[X] ",
            " [X]",
            "word",
            "<s>",
            "</s> ",
            "##a",
            "\u0600a",
            "İ ",
        ]
    ),
    max_size=60,
).map("".join)


def split(pattern, *first, normalizer=None, behavior="isolated"):
    tokenizer = byte_level(normalizer)
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    parts = [*first, pre_tokenizers.Split(pattern, behavior), last]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    return tokenizer


def ends_with_a_token():
    tokenizer = byte_level(added=[AddedToken("[X]", special=False, rstrip=True, lstrip=True)])
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    ends = [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}]
    template = {
        "type": "TemplateProcessing",
        "single": [*ends, {"Sequence": {"id": "A", "type_id": 0}}, *ends, *ends],
    }
    ids = {"<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}}
    pair = [{"Sequence": {"id": name, "type_id": 0}} for name in "AB"]
    state["post_processor"] = {**template, "pair": pair, "special_tokens": ids}
    return fast(Tokenizer.from_str(json.dumps(state)), bos=None)


def whole_text(crossing=False):
    """A BPE whose word is the whole text, as Gemma's; it may have merges that cross the beginning
    of a word.
    """
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    letters = list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ▁")
    merges = [
        ("▁", "a"),
        ("t", "h"),
        ("▁", "▁"),
        ("a", "b"),
        ("▁", "th"),
        ("▁▁", "▁▁"),
        ("▁th", "e"),
    ]
    merges += [("b", "▁a")] if crossing else []
    tokens = [
        "<unk>",
        "<s>",
        *(f"<0x{i:02X}>" for i in range(256)),
        *letters,
        *map("".join, merges),
    ]
    model = models.BPE(
        {token: id_ for id_, token in enumerate(tokens)},
        merges,
        byte_fallback=True,
        unk_token="<unk>",
        fuse_unk=True,
    )
    backend.model = model
    return fast(backend)


BY_WORDS = {
    **{
        name: TOKENIZERS[name]
        for name in TOKENIZERS
        if name not in ("byte_level_squeeze", "sentencepiece_bpe")
    },
    "llama 3": lambda: split(Regex(LLAMA_3)),
    "digits": lambda: split(Regex(LLAMA_3), pre_tokenizers.Digits(individual_digits=True)),
    "ends with a token": ends_with_a_token,
    "whole text": whole_text,
}
WHOLE = {
    "a pattern that looks ahead": lambda: split(Regex(r"a(?=.*z)|\s+|\S")),
    "another behaviour": lambda: split(Regex(LLAMA_3), behavior="merged_with_next"),
    "a normaliser that looks ahead": lambda: byte_level(normalizers.Replace(Regex(r"a( b)+"), "c")),
    "a normaliser that writes letters": lambda: byte_level(normalizers.Replace("a b", "c")),
    "merges across a space": lambda: whole_text(crossing=True),
    "an added token of two words": lambda: byte_level(
        added=[AddedToken("the river", special=False)]
    ),
    "runs of white space": TOKENIZERS["byte_level_squeeze"],
    "trained without words": TOKENIZERS["sentencepiece_bpe"],
}


@pytest.fixture(scope="module", params=BY_WORDS)
def reader(request):
    return ByteTokenizer(BY_WORDS[request.param](), "m")


def state_of(tokenizer):
    return json.loads(tokenizer.backend_tokenizer.to_str())


def test_these_are_read_by_words(reader):
    assert reader._beyond is not None


@pytest.mark.parametrize("make", WHOLE.values(), ids=WHOLE)
def test_these_are_read_whole(make):
    assert not reads_by_words(state_of(make()))


def same(found, expected):
    return all(
        np.array_equal(getattr(found, name), getattr(expected, name))
        for name in ("token_ids", "byte_start", "byte_end")
    )


@given(text=PIECES, n_tokens=st.integers(1, 9), n_characters=st.integers(1, 3))
@example(text="a [X] " * 9, n_tokens=2, n_characters=1)
@example(text="word word" + " " * 40 + "word the x y", n_tokens=3, n_characters=1)
def test_the_first_tokens_are_those_of_the_whole(reader, text, n_tokens, n_characters):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "_FIRST_CHARACTERS", n_characters)
        assert same(reader.first(text, n_tokens), reader(text).head(n_tokens))


@given(text=PIECES, n_tokens=st.integers(1, 9))
def test_every_beginning_has_them(reader, text, n_tokens):
    """Not only the one that is long enough for the tokens that are asked for."""
    whole = reader(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "_FIRST_CHARACTERS", 1)
        for beginning in beginnings(text, n_tokens):
            found = reader(beginning)
            n = len(found.token_ids) - reader._beyond
            assert n < 1 or same(found.head(n), whole.head(n))


def test_a_beginning_would_be_wrong_if_merges_cross_a_space():
    """The reason for that condition."""
    reader = ByteTokenizer(whole_text(crossing=True), "m")
    assert reader("b a").token_ids[1] != reader("b").token_ids[1]


def test_a_capture_reads_little_of_a_long_document(tmp_path, texts, monkeypatch):
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "gpt_neox", bos=True)))
    text, read, call = (
        "The river is wide, and the cat sat on 12 mats. " * 20_000,
        [],
        ByteTokenizer.__call__,
    )
    monkeypatch.setattr(
        ByteTokenizer, "__call__", lambda self, text: read.append(len(text)) or call(self, text)
    )
    _, tokens = tokenize_shard(shard_inputs(source, [(7, text)]), Activations(sequence_length=32))
    reference = Tokenizer.from_file(str(tmp_path / "m" / "tokenizer.json")).encode(text[:5000])
    assert tokens.token_ids.tolist() == reference.ids[:32]
    assert tokens.byte_end.tolist()[-1] == reference.offsets[31][1]
    assert tokens.document_bytes.tolist() == [len(text)]
    assert sum(read) < 20_000


def test_of_a_long_document_little_is_read(reader):
    read = []
    backend, text = reader._backend, "The river is wide, and the cat sat on 12 mats. " * 20_000

    class Watched:
        def encode(self, text):
            read.append(len(text))
            return backend.encode(text)

    reader._backend = Watched()
    try:
        found = reader.first(text, 64)
    finally:
        reader._backend = backend
    assert len(found.token_ids) == 64
    assert sum(read) < 20_000
    assert same(found, reader(text[:50_000]).head(64))

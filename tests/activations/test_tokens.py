"""Byte ranges must rebuild the text, for every kind of tokenizer that is supported, on any
Unicode.
"""

import unicodedata
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizer_kinds import SCRIPTS, TOKENIZERS, byte_level, fast
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
)
from transformers import PreTrainedTokenizerFast

from rosetta.activations.canonical import Canonical, UntracedText
from rosetta.activations.tokens import ByteTokenizer
from rosetta.errors import ModelError

TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40)


# Texts that normalisers change more often than chance would have it.
ODD = st.lists(
    st.sampled_from(
        [
            "e\u0301",
            "\u0301",
            "A\u030a",
            "\u1112\u1161\u11ab",
            "ﬁ",
            "İ",
            "ς",
            "²",
            "\u00a0",
            " ",
            "\n",
            "▁",
            "x",
            "東",
            "\x00",
            "🙂",
            "אָ",
            "\u0344",
            "\u2126",
            ">\u0338",
            "q\u0323\u0307",
            "<s>",
            "<0x41>",
            "<|endoftext|>",
            "##a",
        ]
    ),
    max_size=12,
).map("".join)


@pytest.fixture(scope="module", params=TOKENIZERS)
def tokenizer(request):
    tokenizer = TOKENIZERS[request.param]()
    tokenizer.kind = request.param
    return tokenizer


def check(tokenizer, text):
    """What holds for every tokenizer: ranges without gaps, none for special tokens, all text that
    is not dropped.
    """
    found = ByteTokenizer(tokenizer, "m")(text)
    data = text.encode("utf-8")
    real = found.byte_end > found.byte_start
    starts, ends = found.byte_start[real], found.byte_end[real]
    assert starts.tolist() == [0, *ends[:-1].tolist()][: len(starts)]
    mask = np.array(tokenizer.backend_tokenizer.encode(text).special_tokens_mask, dtype=bool)
    assert not real[mask].any()
    if tokenizer.kind in ("byte_level", "byte_level_bos"):
        assert real[~mask].all(), "a byte-level token is never without bytes"
    rest = data[ends[-1] if len(ends) else 0 :].decode("utf-8")
    assert dropped(tokenizer, rest), f"{rest!r} is covered by no token"
    return found


def dropped(tokenizer, rest):
    """Whether the normaliser, or the pre-tokenizer of words, leaves nothing of a text."""
    normalizer = tokenizer.backend_tokenizer.normalizer
    left = normalizer.normalize_str(rest) if normalizer and rest else rest
    return not ("".join(left.split()) if tokenizer.kind.startswith("wordpiece") else left)


@pytest.mark.parametrize(
    "text", [*SCRIPTS, "".join(SCRIPTS) * 50, "e\u0301" * 3000], ids=range(len(SCRIPTS) + 2)
)
def test_byte_ranges_rebuild_mixed_scripts(tokenizer, text):
    check(tokenizer, text)


@given(text=TEXT | ODD)
@example(text="🙂")
@example(text=" \n\x00\t")
@example(text="\u0301 lone")
@example(text="▁ block ▂")
@example(text="<0x41><0x0A>")
@example(text="##a a##")
def test_byte_ranges_rebuild_any_text(tokenizer, text):
    check(tokenizer, text)


NORMALISED = ("byte_level_nfc", "byte_level_lowercase", "byte_level_accents", "byte_level_squeeze")


@pytest.mark.parametrize("tokenizer", NORMALISED, indirect=True)
@given(text=TEXT | ODD)
def test_tokens_spell_what_the_normaliser_makes_of_their_bytes(tokenizer, text):
    """An independent look at every boundary: cut the text there, normalise both halves, and compare
    with the tokens.
    """
    backend = tokenizer.backend_tokenizer
    normalise = backend.normalizer.normalize_str
    found, data = check(tokenizer, text), text.encode("utf-8")
    spelled = [
        backend.decoder.decode([token])
        for token in tokenizer.convert_ids_to_tokens(found.token_ids)
    ]
    for i, end in enumerate(found.byte_end.tolist()):
        try:
            head, tail = data[:end].decode("utf-8"), data[end:].decode("utf-8")
        except UnicodeDecodeError:
            continue
        before = "".join(spelled[: i + 1])
        if "\ufffd" in before or normalise(head) + normalise(tail) != normalise(text):
            continue  # within a character, or within what is normalised as one
        assert before.startswith(normalise(head))
        if found.byte_end[i] > found.byte_start[i] and len(before) > len(normalise(head)):
            assert normalise(tail) != tail, (
                "the token goes on into something that was changed, and does not end it"
            )


OFFSETS = {
    "empty": lambda text, found: [(0, 0)] * len(found),
    "wrong": lambda text, found: found[1:] + found[:1],
    "bytes": lambda text, found: [tuple(len(text[:at].encode()) for at in pair) for pair in found],
}


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS)
@pytest.mark.parametrize("text", ["def f(x):", *SCRIPTS], ids=range(len(SCRIPTS) + 1))
def test_offset_mappings_cannot_shift_a_range(tokenizer, text, offsets):
    """Ranges are the same without them; only a text with unknown tokens, which nothing else tells,
    is rejected.
    """
    reader, right = ByteTokenizer(tokenizer, "m"), ByteTokenizer(tokenizer, "m")(text)
    encode = reader._backend.encode

    def misled(text):
        found = encode(text)
        shown = {name: getattr(found, name) for name in ("ids", "tokens", "special_tokens_mask")}
        return SimpleNamespace(**shown, offsets=offsets(text, found.offsets))

    reader._backend = SimpleNamespace(encode=misled)
    unknown = tokenizer.backend_tokenizer.token_to_id("[UNK]")
    try:
        found = reader(text)
    except UntracedText:
        assert unknown in right.token_ids
        return
    if unknown not in right.token_ids:
        assert np.array_equal(
            [found.byte_start, found.byte_end], [right.byte_start, right.byte_end]
        )


def handmade_byte_level():
    """A byte-level BPE of five merges, two of which cut characters: é is C3 A9, 東 is E6 9D B1."""
    merges = [("n", "Ã"), ("Ŀ", "±"), ("Ġ", "x")]  # n C3, 9D B1, space x
    tokens = ["<s>", *"nxÃ©æĿ±Ġ<s>", *map("".join, merges)]
    backend = Tokenizer(
        models.BPE({token: id_ for id_, token in enumerate(dict.fromkeys(tokens))}, merges)
    )
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>"])
    return backend


def handmade_nfc():
    backend = handmade_byte_level()
    backend.normalizer = normalizers.NFC()
    return backend


def handmade_sentencepiece():
    """A BPE with metaspace that knows a, b and 東, and falls back to bytes for é."""
    merges = [("▁", "a"), ("▁", "b")]
    tokens = ["<s>", "<unk>", "<0xC3>", "<0xA9>", *"▁ab東", *map("".join, merges)]
    vocabulary = {token: id_ for id_, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return backend


def handmade_wordpiece():
    vocabulary = {
        token: id_ for id_, token in enumerate(["<s>", "[UNK]", "un", "##do", "do", ".", "東"])
    }
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    return backend


@pytest.mark.parametrize(
    ("make", "text", "expected"),
    [
        (
            handmade_byte_level,
            "né東 x",
            [("<s>", 0, 0), ("nÃ", 0, 2), ("©", 2, 3), ("æ", 3, 4), ("Ŀ±", 4, 6), ("Ġx", 6, 8)],
        ),
        # The name of a special token in a text is text.
        (
            handmade_byte_level,
            "x<s> n",
            [
                ("<s>", 0, 0),
                ("x", 0, 1),
                ("<", 1, 2),
                ("s", 2, 3),
                (">", 3, 4),
                ("Ġ", 4, 5),
                ("n", 5, 6),
            ],
        ),
        (handmade_byte_level, "", [("<s>", 0, 0)]),
        # é as two characters, 65 CC 81, which NFC makes one, C3 A9: all of it belongs to the token
        # that ends it.
        (handmade_nfc, "ne\u0301 x", [("<s>", 0, 0), ("nÃ", 0, 1), ("©", 1, 4), ("Ġx", 4, 6)]),
        (handmade_nfc, "e\u0301n", [("<s>", 0, 0), ("Ã", 0, 0), ("©", 0, 3), ("n", 3, 4)]),
        (
            handmade_sentencepiece,
            "a bé",
            [("<s>", 0, 0), ("▁a", 0, 1), ("▁b", 1, 3), ("<0xC3>", 3, 4), ("<0xA9>", 4, 5)],
        ),
        # The added space is a token of its own here, and none of the text's.
        (handmade_sentencepiece, "東 a", [("<s>", 0, 0), ("▁", 0, 0), ("東", 0, 3), ("▁a", 3, 5)]),
        # ▁ in the text is three bytes, and the same to this tokenizer as a space.
        (handmade_sentencepiece, "a▁b", [("<s>", 0, 0), ("▁a", 0, 1), ("▁b", 1, 5)]),
        # Dropped white space belongs to the token after it, as with byte-level BPE; at the end to
        # none.
        (
            handmade_wordpiece,
            " UNDO  xyz. 東 ",
            [
                ("<s>", 0, 0),
                ("un", 0, 3),
                ("##do", 3, 5),
                ("[UNK]", 5, 10),
                (".", 10, 11),
                ("東", 11, 15),
            ],
        ),
        (
            handmade_wordpiece,
            "q do w q",
            [("<s>", 0, 0), ("[UNK]", 0, 1), ("do", 1, 4), ("[UNK]", 4, 6), ("[UNK]", 6, 8)],
        ),
    ],
)
def test_every_token_covers_its_own_bytes(make, text, expected):
    """Token by token: ranges that only rebuild the text together could still be shifted against the
    tokens.
    """
    tokenizer = fast(make())
    found = ByteTokenizer(tokenizer, "m")(text)
    tokens = tokenizer.convert_ids_to_tokens(found.token_ids.tolist())
    assert (
        list(zip(tokens, found.byte_start.tolist(), found.byte_end.tolist(), strict=True))
        == expected
    )


def test_an_added_space_may_follow_an_added_token():
    backend = byte_level(add_prefix_space=True, added=[AddedToken("[X]", special=False)])
    text = "the[X]the [X] "
    found = ByteTokenizer(backend, "m")(text)
    data = text.encode()
    assert (
        b"".join(data[s:e] for s, e in zip(found.byte_start, found.byte_end, strict=True)) == data
    )
    at = found.token_ids.tolist().index(backend.convert_tokens_to_ids("[X]"))
    assert (found.byte_start[at], found.byte_end[at]) == (3, 6)


def test_an_added_token_that_swallows_space_has_it():
    backend = byte_level(added=[AddedToken("[X]", special=False, rstrip=True, lstrip=True)])
    found = ByteTokenizer(backend, "m")("a  [X]  b")
    at = found.token_ids.tolist().index(backend.convert_tokens_to_ids("[X]"))
    assert (found.byte_start[at], found.byte_end[at]) == (1, 8)


def test_nfc_text_is_not_touched_and_other_text_is_followed_back():
    canonical = Canonical(byte_level(normalizers.NFC()).backend_tokenizer, "kept", "m")
    composed = unicodedata.normalize("NFC", "".join(SCRIPTS))
    assert canonical.text(composed).origin is None
    text = canonical.text("xe\u0301y")
    assert text.data == "xéy".encode()
    assert text.origin.tolist() == [0, 1, 1, 4, 5]


def test_truncation_keeps_the_first_tokens(tokenizer):
    whole = ByteTokenizer(tokenizer, "m")("return naïve 東京")
    assert np.array_equal(whole.head(3).byte_end, whole.byte_end[:3])


def test_a_normaliser_that_cannot_be_followed_back_is_rejected_with_the_place():
    tokenizer = byte_level(normalizers.Replace(Regex(r"a\s+b"), "c"))
    with pytest.raises(
        UntracedText, match=r"models\.x: .*normaliser changes 'a bb' \(byte 3\).*Normalise"
    ):
        ByteTokenizer(tokenizer, "models.x")("é a bb")


def test_a_tokenizer_that_drops_text_is_rejected_with_the_place():
    backend = Tokenizer(models.BPE({"x": 0}, []))
    backend.pre_tokenizer, backend.decoder = (
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        decoders.ByteLevel(),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    with pytest.raises(
        UntracedText, match=r"models\.x.*do not rebuild the text: from byte 1 .*another model"
    ):
        ByteTokenizer(tokenizer, "models.x")("xyx")


def test_an_unknown_decoder_is_rejected():
    backend = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(
        ModelError, match=r"models\.x: tokenizer decoder None is not supported.*WordPiece"
    ):
        ByteTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend), "models.x")

"""One small tokenizer of each kind that is supported."""

import json

from helpers import tiny_tokenizer
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

SCRIPTS = [
    "def f(x):\n    return x",
    "Der Fluß fließt",
    "東京は大きい",
    "привет мир",
    "naïve café 🙂🙃",
    "  two  spaces ",
    "שלום עולם مرحبا",
    "cafe\u0301 한국어 \u1112\u1161\u11ab ﬁn",
]
MIXED = SCRIPTS * 20
BYTE_TOKENS = [f"<0x{i:02X}>" for i in range(256)]
SPECIAL = ["<unk>", "<s>", "</s>"]


def fast(backend: Tokenizer, bos: str | None = "<s>") -> PreTrainedTokenizerFast:
    """Wrap a tokenizer that puts a BOS token before every text."""
    if bos:
        pair = (bos, backend.token_to_id(bos))
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[pair]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos)


def without_added_bytes(backend: Tokenizer) -> Tokenizer:
    """Rebuild a tokenizer with byte tokens as ordinary vocabulary, which trainers mark as added
    tokens.
    """
    state = json.loads(backend.to_str())
    state["added_tokens"] = [
        token for token in state["added_tokens"] if token["content"] in SPECIAL
    ]
    return Tokenizer.from_str(json.dumps(state))


def sentencepiece_bpe():
    """A BPE with metaspace and byte fallback, as Llama and Mistral have."""
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = [*SPECIAL, *BYTE_TOKENS]
    backend.train_from_iterator(
        MIXED, trainers.BpeTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    )
    return fast(without_added_bytes(backend))


def unigram(normalizer=None, prepend="first"):
    """A Unigram with byte fallback whose spaces are marked by the pre-tokenizer."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    backend.decoder = decoders.Sequence(
        [decoders.ByteFallback(), decoders.Metaspace(prepend_scheme=prepend)]
    )
    trainer = trainers.UnigramTrainer(
        vocab_size=400,
        special_tokens=[*SPECIAL, *BYTE_TOKENS],
        unk_token="<unk>",
        show_progress=False,
    )
    backend.train_from_iterator(MIXED, trainer)
    state = json.loads(backend.to_str())
    state["model"]["byte_fallback"] = True
    return fast(without_added_bytes(Tokenizer.from_str(json.dumps(state))))


def wordpiece(*, lowercase):
    """A WordPiece as BERT has: white space is dropped, unknown words are one token."""
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    special = ["[UNK]", "[CLS]"]
    trainer = trainers.WordPieceTrainer(vocab_size=200, special_tokens=special, show_progress=False)
    backend.train_from_iterator(MIXED, trainer)
    return fast(backend, "[CLS]")


def byte_level(normalizer=None, *, bos=False, add_prefix_space=False, added=()):
    tokenizer = tiny_tokenizer(MIXED, bos=bos)
    backend = tokenizer.backend_tokenizer
    if normalizer:
        backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    backend.add_tokens(list(added))
    return tokenizer


SPACES = [AddedToken(" " * n, normalized=True) for n in (2, 4)]  # as GPT-NeoX has
TOKENIZERS = {
    "byte_level": byte_level,
    "byte_level_bos": lambda: byte_level(bos=True),
    "byte_level_prefix": lambda: byte_level(add_prefix_space=True),
    "byte_level_nfc": lambda: byte_level(normalizers.NFC(), added=SPACES),
    "byte_level_lowercase": lambda: byte_level(
        normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    ),
    "byte_level_accents": lambda: byte_level(
        normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    ),
    "byte_level_squeeze": lambda: byte_level(normalizers.Replace(Regex(" {2,}"), " ")),
    "sentencepiece_bpe": sentencepiece_bpe,
    "unigram": unigram,
    "unigram_always": lambda: unigram(prepend="always"),
    "unigram_nfkc": lambda: unigram(normalizers.NFKC()),
    "wordpiece": lambda: wordpiece(lowercase=False),
    "wordpiece_lowercase": lambda: wordpiece(lowercase=True),
}

"""What is run is what tokenizer.json says, whatever class of transformers a folder names; and what
training showed.
"""

import itertools
import json
from types import SimpleNamespace

import huggingface_hub
import pytest
import tokenizer_kinds
from helpers import ARCHITECTURES, save_tiny_model, shard_inputs
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
from transformers import AutoTokenizer, GPT2Tokenizer

from rosetta.activations.capture import capture_shard, tokenize_shard
from rosetta.activations.folders import open_stores
from rosetta.activations.inputs import ShardInputs
from rosetta.config import Activations
from rosetta.errors import ModelError
from rosetta.filtering.pretrain import separator_of
from rosetta.models.model_manifest import write_model_manifest
from rosetta.models.placement import Room
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import (
    checked_tokenizer,
    load_tokenizer,
    token_texts,
    tokenizer_digest,
    tokenizer_facts,
)
from rosetta.models.zoo.recipes import END_OF_TEXT, END_OF_TEXT_ID
from rosetta.models.zoo.token_stream import packed_tokens
from rosetta.storage.digests import digest_bytes

DOCUMENTS = [
    "def f(x1):\n    return x + 1234567 * 89\n",
    "  Naïve café, nai\u0308ve cafe\u0301; ﬁne Ångström",
    "It's 10,000.50 m, isn't it?\n\n\n  \tTHE END",
    "東京は大きい 🙂 привет",
    "a <|endoftext|> b </s><s> <unk> [CLS]c",
    " ".join(f"word{i}" for i in range(60)),
    "x",
]
SPECIAL = ["<unk>", "<s>", "</s>"]
SPLIT = r"\p{N}{1,3}|[^\s\p{L}\p{N}]+|\p{L}+|\s+"  # a pattern of its own


def trained(backend, special=SPECIAL, alphabet=True, **options):
    """Train a byte-level BPE around the parts that a backend has."""
    backend.decoder = decoders.ByteLevel()
    letters = sorted(pre_tokenizers.ByteLevel.alphabet()) if alphabet else []
    trainer = trainers.BpeTrainer(
        vocab_size=340,
        special_tokens=special,
        initial_alphabet=letters,
        show_progress=False,
        **options,
    )
    backend.train_from_iterator(DOCUMENTS * 5, trainer)
    return backend


def byte_level(pre=None, normalizer=None):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre or pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.normalizer = normalizer
    return trained(backend)


def without_regex(*first):
    return pre_tokenizers.Sequence(
        [*first, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


def metaspace():
    """As Llama's: spaces are marked by the normaliser, bytes stand for what is unknown, a template
    adds BOS.
    """
    backend = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    backend.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokens = [*SPECIAL, *(f"<0x{i:02X}>" for i in range(256))]
    backend = trained(backend, tokens, alphabet=False, limit_alphabet=60)
    state = json.loads(backend.to_str())
    state["added_tokens"] = [
        token for token in state["added_tokens"] if token["content"] in SPECIAL
    ]
    backend = Tokenizer.from_str(json.dumps(state))
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return backend


def wordpiece():
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=200, special_tokens=["[UNK]", "[CLS]"], show_progress=False
    )
    backend.train_from_iterator(DOCUMENTS * 5, trainer)
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A", special_tokens=[("[CLS]", 1)]
    )
    return backend


def both_ends():
    backend = byte_level()
    pairs = [("<s>", 1), ("</s>", 2)]
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=pairs
    )
    return backend


def added():
    backend = byte_level()
    backend.add_tokens(
        [AddedToken("word1", lstrip=True), AddedToken("  ", normalized=True), "isn't"]
    )
    backend.add_special_tokens(["<image>"])
    return backend


def truncating():
    backend = byte_level()
    backend.enable_truncation(4)
    backend.enable_padding(length=9)
    return backend


def dropping():
    backend = byte_level()
    backend.model.dropout = 0.3
    return backend


FILES = {
    "byte level": byte_level,
    "prefix space": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=True)),
    "digits one by one": lambda: byte_level(
        without_regex(pre_tokenizers.Digits(individual_digits=True))
    ),
    "own pattern": lambda: byte_level(
        without_regex(pre_tokenizers.Split(Regex(SPLIT), "isolated"))
    ),
    "NFC": lambda: byte_level(normalizer=normalizers.NFC()),
    "metaspace": metaspace,
    "words": wordpiece,
    "both ends": both_ends,
    "added tokens": added,
    "truncation and padding": truncating,
    "dropout": dropping,
}
# What a folder declares: a model_type, and a class.
DECLARED = [
    ("qwen2", None),
    ("starcoder2", None),
    ("llama", None),
    ("gpt_neox", None),
    ("gemma", None),
    ("mistral", None),
    ("gpt2", "GPT2Tokenizer"),
    ("gpt_neox", "GPTNeoXTokenizerFast"),
    ("llama", "LlamaTokenizer"),
    ("qwen2", "Qwen2Tokenizer"),
    ("qwen2", "PreTrainedTokenizerFast"),
    ("starcoder2", "GPT2Tokenizer"),
    ("falcon", "NoSuchTokenizer"),
]


def declare(folder, backend, model_type, name=None, **more):
    """Write the files of a tokenizer into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    backend.save(str(folder / "tokenizer.json"))
    told = {} if name is None else {"tokenizer_class": name}
    (folder / "tokenizer_config.json").write_text(json.dumps({**told, **more}))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, "vocab_size": 400}))
    return ModelSource("m", str(folder))


def inputs_of(source, documents, n_embedded=400, tokenizer=None):
    """Return what a capture needs for its tokens."""
    config = SimpleNamespace(vocab_size=n_embedded)
    tokenizer = tokenizer or load_tokenizer(source)
    return ShardInputs(source, None, Room((), 1.0, "none"), 1, config, tokenizer, documents, {})


def stored_ids(source, texts, length):
    settings = Activations(sequence_length=length, max_left_out=0.0)
    _, tokens = tokenize_shard(inputs_of(source, list(enumerate(texts))), settings)
    return [tokens.token_ids[tokens.document_index == i].tolist() for i in range(len(texts))]


def ids_of_the_file(folder, text):
    """The reference: the file alone, in the library that the format is of, reading all of a text as
    text.
    """
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    if hasattr(backend.model, "dropout"):
        backend.model.dropout = None
    return backend.encode(text).ids


@pytest.fixture(scope="module")
def files():
    return {name: make() for name, make in FILES.items()}


@pytest.mark.parametrize(("name", "declared"), list(itertools.product(FILES, DECLARED)), ids=str)
def test_the_file_is_what_runs_whatever_class_is_declared(tmp_path, files, name, declared):
    source = declare(tmp_path / "m", files[name], *declared)
    expected = [ids_of_the_file(tmp_path / "m", text)[:50] for text in DOCUMENTS]
    assert stored_ids(source, DOCUMENTS, 50) == expected
    assert max(map(len, expected)) == 50, "one document is cut"


def test_the_log_and_the_manifest_say_where_a_class_builds_another(tmp_path, files, capsys):
    source = declare(tmp_path / "m", files["digits one by one"], "qwen2")
    facts = tokenizer_facts(source, load_tokenizer(source))
    assert (facts["tokenizer_from"], facts["tokenizer_class"]) == (
        "tokenizer.json",
        "Qwen2Tokenizer",
    )
    assert {"normalizer", "pre_tokenizer"} <= set(facts["tokenizer_class_differs"])
    assert (
        "models.m: tokenizer.json is what runs; the class Qwen2Tokenizer, which"
        in capsys.readouterr().err
    )
    same = declare(
        tmp_path / "n", files["digits one by one"], "gpt_neox", "PreTrainedTokenizerFast"
    )
    assert tokenizer_facts(same, load_tokenizer(same))["tokenizer_class_differs"] == []
    assert not capsys.readouterr().err
    assert tokenizer_facts(same, load_tokenizer(same))["tokenizer"] == facts["tokenizer"]


def test_a_models_manifest_tells_which_tokenizer_runs(tmp_path, texts):
    source = ModelSource("m", str(save_tiny_model(tmp_path / "m", texts, "qwen2", bos=True)))
    write_model_manifest(source, tmp_path / "m.json", {})
    manifest = json.loads((tmp_path / "m.json").read_text())
    backend = Tokenizer.from_file(str(tmp_path / "m" / "tokenizer.json"))
    assert manifest["tokenizer"] == digest_bytes(backend.to_str().encode())
    assert manifest["vocab_size"] == backend.get_vocab_size()
    assert (manifest["tokenizer_from"], manifest["tokenizer_class"]) == (
        "tokenizer.json",
        "Qwen2Tokenizer",
    )
    assert "pre_tokenizer" in manifest["tokenizer_class_differs"]


def test_bpe_dropout_is_off_and_said(tmp_path, files, capsys):
    source = declare(tmp_path / "m", files["dropout"], "gpt_neox")
    reading = [load_tokenizer(source)(DOCUMENTS[5])["input_ids"] for _ in range(3)]
    assert reading[0] == reading[1] == reading[2]
    assert (
        "models.m: tokenizer.json asks for BPE dropout (0.3), which is off here"
        in capsys.readouterr().err
    )
    facts = tokenizer_facts(source, load_tokenizer(source))
    plain = declare(tmp_path / "n", files["byte level"], "gpt_neox")
    assert facts["tokenizer_dropout"] == pytest.approx(0.3)
    assert facts["tokenizer"] == tokenizer_digest(load_tokenizer(plain)), (
        "the digest is of what runs"
    )


def test_a_folder_without_the_file_is_read_by_its_class(tmp_path):
    backend = byte_level()
    state = json.loads(backend.to_str())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(state["vocab"]))
    (tmp_path / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in state["merges"])
    )
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "vocab_size": 400}))
    source = ModelSource("m", str(tmp_path))
    reference = GPT2Tokenizer.from_pretrained(tmp_path)
    assert stored_ids(source, DOCUMENTS[:4], 50) == [
        reference(text)["input_ids"][:50] for text in DOCUMENTS[:4]
    ]
    assert tokenizer_facts(source, load_tokenizer(source))["tokenizer_from"] == "GPT2Tokenizer"


def test_a_hub_model_is_read_from_the_file_of_its_revision(tmp_path, files, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    held = tmp_path / "models--org--name"
    (held / "refs").mkdir(parents=True)
    for revision, name in (("a" * 40, "digits one by one"), ("b" * 40, "own pattern")):
        declare(held / "snapshots" / revision, files[name], "qwen2")
        source = ModelSource("m", "org/name", revision)
        text = DOCUMENTS[0]
        assert stored_ids(source, [text], 99) == [
            ids_of_the_file(held / "snapshots" / revision, text)
        ]
    (held / "refs" / "main").write_text("a" * 40)
    main = load_tokenizer(ModelSource("m", "org/name", "main"))
    assert tokenizer_digest(main) == tokenizer_digest(
        load_tokenizer(ModelSource("m", "org/name", "a" * 40))
    )


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>"}}, ("<s>", "</s>")),
        (
            {"tokenizer_config.json": {"bos_token": {"content": "<s>"}, "eos_token": None}},
            ("<s>", None),
        ),
        (
            {
                "special_tokens_map.json": {"bos_token": "<s>"},
                "config.json": {"eos_token_id": [2, 1]},
            },
            ("<s>", "</s>"),
        ),
        ({"config.json": {"bos_token_id": 2, "eos_token_id": 2}}, ("</s>", "</s>")),
        ({"tokenizer_config.json": {"bos_token": "<nowhere>"}}, (None, None)),
    ],
)
def test_special_tokens_are_named_by_the_files_of_the_folder(tmp_path, files, told, expected):
    source = declare(tmp_path, files["byte level"], "gpt2")
    for name, content in told.items():
        (tmp_path / name).write_text(json.dumps({"model_type": "gpt2", **content}))
    tokenizer = load_tokenizer(source)
    assert (tokenizer.bos_token, tokenizer.eos_token) == expected
    assert len(tokenizer) == files["byte level"].get_vocab_size(), "none is added"
    if any(expected):
        assert separator_of(tokenizer, "m") == files["byte level"].token_to_id(expected[0])


def test_another_tokenizer_than_the_manifests_is_rejected(tmp_path, files):
    source = declare(tmp_path / "m", files["byte level"], "gpt2")
    manifest = tokenizer_facts(source, load_tokenizer(source))
    checked_tokenizer(source, manifest)
    declare(tmp_path / "m", files["NFC"], "gpt2")
    with pytest.raises(
        ModelError, match=r"models\.m: the tokenizer of .* is not the one that the model's manifest"
    ):
        checked_tokenizer(source, manifest)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "qwen2_moe"])
def test_a_zoo_model_is_captured_as_it_was_trained(tmp_path, texts, architecture):
    """The ids in the store, separator and all, are those that the training packs."""
    documents = [*texts[:20], "naïve nai\u0308ve 1234567", f"a {END_OF_TEXT} b"]
    folder = save_tiny_model(tmp_path / "m", texts, architecture, bos=True)
    source = ModelSource("m", str(folder))
    settings = Activations(n_shards=1, sequence_length=32, dtype="float32")
    capture_shard(
        shard_inputs(source, list(enumerate(documents))), settings, tmp_path / "s" / "0.json", 0
    )
    (store,) = open_stores(tmp_path / "s")
    ids, owner = store.read("token_ids"), store.read("document_index")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for number, text in enumerate(documents):
        (separator, *packed) = packed_tokens(load_tokenizer(source), [text], 1000, seed=0)
        packed = packed[: packed.index(END_OF_TEXT_ID)]
        assert ids[owner == number].tolist() == [separator, *packed][:32]
        assert tokenizer.decode(packed) == text
    empty = store.read("byte_end") == store.read("byte_start")
    assert (ids[empty] == END_OF_TEXT_ID).all()
    assert empty.sum() == len(documents), "the separators are excluded"
    plain = AutoTokenizer.from_pretrained(folder)
    if architecture != "qwen2":  # whose class of transformers is another tokenizer
        assert plain(texts[0])["input_ids"][:32] == ids[owner == 0].tolist()


def test_tokens_are_told_as_text_with_their_spaces():
    pieces = tokenizer_kinds.sentencepiece_bpe()
    names = ["▁two", "two", "<0xE6>", "<s>"]
    known = pieces.backend_tokenizer.get_vocab()
    names = [name for name in names if name in known]
    told = token_texts(pieces, [known[name] for name in names])
    expected = {"▁two": " two", "two": "two", "<0xE6>": "<0xE6>", "<s>": "<s>"}
    assert {"<0xE6>", "<s>"} <= set(names)
    assert told == [expected[name] for name in names]
    bytes_ = tokenizer_kinds.byte_level()
    known = bytes_.backend_tokenizer.get_vocab()
    spaced = next(
        name for name in known if name.startswith("Ġ") and name[1:].isascii() and name[1:]
    )
    # Ã is the byte 0xC3, which begins a character and is none.
    assert token_texts(bytes_, [known[spaced], known["Ã"]]) == [f" {spaced[1:]}", "Ã"]

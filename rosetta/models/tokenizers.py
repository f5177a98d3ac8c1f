"""Tokenizers of models: `tokenizer.json` is what runs, whatever class is named.

Many of those classes rebuild some parts of a tokenizer (the pre-tokenizer, the normaliser, the
template of special tokens) and so make other tokens than the file says, which are not those that
the model was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from rosetta.errors import ModelError, brief
from rosetta.models.architectures.text import text_config
from rosetta.models.source_files import source_file, source_json
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizer_files import FILE
from rosetta.progress import say
from rosetta.storage.digests import digest_bytes

# Where the names, or in the last one the ids, of special tokens are looked up; the first that has
# the key decides.
_NAMES, _IDS = ("tokenizer_config.json", "special_tokens_map.json"), "config.json"
_PARTS = ("added_tokens", "normalizer", "pre_tokenizer", "model", "post_processor", "decoder")


def load_tokenizer(source: ModelSource) -> PreTrainedTokenizerFast:
    """Return a model's tokenizer: its `tokenizer.json`, or else what its class builds.

    It reads all of a text, and as text: names of special tokens in it, like `<|endoftext|>`, too.
    It draws nothing at random: merges that are left out at random in training (BPE dropout) are
    made.

    Raises
    ------
    ModelError
        If it cannot be loaded or is not a fast tokenizer.
    """
    try:
        path = source_file(source, FILE)
        if path is None:
            tokenizer = _of_class(source)
            if tokenizer.is_fast:
                plain_backend(tokenizer)
        else:
            backend = Tokenizer.from_file(path)
            _say_dropout(backend, source.place)
            tokenizer = wrapped(
                backend, *(_special_token(source, backend, which) for which in ("bos", "eos"))
            )
    except (
        Exception
    ) as error:  # transformers and tokenizers raise many kinds, plain ones among them
        raise ModelError(f"{source.place}: cannot load the tokenizer ({brief(error)}).") from None
    if not tokenizer.is_fast:
        raise ModelError(
            f"{source.place}: its tokenizer has no fast version (tokenizer.json). Convert it."
        )
    return tokenizer


def wrapped(backend: Tokenizer, bos: str | None, eos: str | None) -> PreTrainedTokenizerFast:
    """Return a backend as transformers has it, reading all of a text and as text, with these
    special tokens' names.
    """
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=bos, eos_token=eos, split_special_tokens=True
    )
    plain_backend(tokenizer)
    return tokenizer


def plain_backend(tokenizer: Any) -> Tokenizer:
    """Return a fast tokenizer's backend, set to read all of a text, as text, every time.

    The name of a special token in a text, like `<|endoftext|>`, is text too: only the tokenizer
    itself adds special tokens.
    """
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    backend.encode_special_tokens = True
    tokenizer.split_special_tokens = True  # which transformers sets the former to, at every call
    if _dropout(backend):
        backend.model.dropout = None
    return backend


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the digest of a tokenizer as it is run."""
    return digest_bytes(tokenizer.backend_tokenizer.to_str().encode())


def tokenizer_facts(source: ModelSource, tokenizer: Any) -> dict[str, Any]:
    """Return a manifest's facts of a tokenizer; warn where its class would differ.

    Returns
    -------
    dict
        `tokenizer`: digest of what is run. `tokenizer_from`: the file, or the class, that it is
        from. `tokenizer_class`: what transformers would have built, None if it cannot.
        `tokenizer_class_differs`: in which parts that is another tokenizer. `tokenizer_dropout`:
        what the file says of BPE dropout, which is off. `vocab_size`: number of tokens.
    """
    path = source_file(source, FILE)
    name, differs = (
        _class_and_difference(source, tokenizer) if path else (type(tokenizer).__name__, [])
    )
    if differs:
        say(
            f"{source.place}: {FILE} is what runs; the class {name}, which transformers would "
            "use, has another "
            f"{', '.join(differs)}"
        )
    return {
        "tokenizer": tokenizer_digest(tokenizer),
        "tokenizer_from": FILE if path else name,
        "tokenizer_class": name,
        "tokenizer_class_differs": differs,
        "tokenizer_dropout": _dropout(Tokenizer.from_file(path)) if path else None,
        "vocab_size": len(tokenizer),
    }


def checked_tokenizer(source: ModelSource, manifest: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Return a model's tokenizer once it matches the model's manifest.

    Raises
    ------
    ModelError
        If it cannot be loaded, or is another.
    """
    tokenizer = load_tokenizer(source)
    if tokenizer_digest(tokenizer) != manifest["tokenizer"]:
        raise ModelError(
            f"{source.place}: the tokenizer of {source.location} is not the one that the "
            "model's manifest describes. "
            "Bring its files back, or delete the manifest and run the workflow again."
        )
    return tokenizer


def n_embedded(config: Any) -> int:
    """Return how many tokens a model of a transformers configuration embeds."""
    return text_config(config).vocab_size


def check_vocabulary(tokenizer: Any, config: Any, place: str) -> None:
    """Check that a model embeds the vocabulary of its tokenizer.

    Tokens that were added to it may lack an embedding, if no text gives them (the image token of
    Gemma 3); if one does, `check_embedded` says so.

    Raises
    ------
    ModelError
        If it embeds fewer, as with the tokenizer of another model.
    """
    backend = tokenizer.backend_tokenizer
    learnt = set(backend.get_vocab(with_added_tokens=False).values()) - set(
        backend.get_added_tokens_decoder()
    )
    highest, n = max(learnt, default=-1), n_embedded(config)
    if highest >= n:
        raise ModelError(
            f"{place}: its tokenizer has token {highest}, and the model embeds {n} tokens only. "
            "Put the tokenizer of this model there."
        )


def check_embedded(ids: Any, document: str, tokenizer: Any, config: Any, place: str) -> None:
    """Check that a model embeds every token of the document named `document`.

    Raises
    ------
    ModelError
        If one has none.
    """
    n = n_embedded(config)
    missing = [int(id_) for id_ in ids if id_ >= n] if len(ids) and np.max(ids) >= n else []
    if missing:
        token = tokenizer.backend_tokenizer.id_to_token(missing[0])
        raise ModelError(
            f"{place}: document {document} has the token {token!r} ({missing[0]}), of which the "
            "model has no "
            f"embedding: it embeds {n} tokens. Leave the document out, or put the tokenizer of "
            "this model there."
        )


def token_ids(tokenizer: Any) -> list[int]:
    """Return the ids that belong to a token, in order. There may be holes between them."""
    return sorted(set(tokenizer.get_vocab().values()))


def token_strings(tokenizer: Any, ids: Iterable[int]) -> list[str | None]:
    """Return what tokens say, each by itself; None where that is no text: some bytes of a
    character, a special token.

    A space at the beginning is kept, also where a decoder removes that of a text.
    """
    backend = tokenizer.backend_tokenizer
    found: list[str | None] = []
    for id_ in ids:
        name, text = backend.id_to_token(id_), backend.decode([id_], skip_special_tokens=True)
        if not text or "\ufffd" in text:
            found.append(None)
        elif name.startswith("▁") and not text.startswith(" "):
            found.append(f" {text}")
        else:
            found.append(text)
    return found


def token_texts(tokenizer: Any, ids: Iterable[int]) -> list[str]:
    """Return what tokens say (`token_strings`), for people to read: one that is no text by itself
    has its name in the vocabulary.
    """
    numbers, backend = list(ids), tokenizer.backend_tokenizer
    strings = token_strings(tokenizer, numbers)
    return [
        backend.id_to_token(id_) if string is None else string
        for id_, string in zip(numbers, strings, strict=True)
    ]


def texts_to_ids(tokenizer: Any, texts: Iterable[str]) -> list[list[int]]:
    """Return the token ids of texts, without what the tokenizer adds to them."""
    found = plain_backend(tokenizer).encode_batch(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in found]


def _of_class(source: ModelSource) -> Any:
    return AutoTokenizer.from_pretrained(
        source.location, revision=source.revision, trust_remote_code=False
    )


def _special_token(source: ModelSource, backend: Tokenizer, which: str) -> str | None:
    """Return the name of a special token, `bos` or `eos`, that a model's files tell; None if they
    or it are not.
    """
    for file in _NAMES:
        told = source_json(source, file)
        if f"{which}_token" in told:
            named = told[f"{which}_token"]
            name = named.get("content") if isinstance(named, dict) else named
            return name if name is not None and backend.token_to_id(name) is not None else None
    id_ = source_json(source, _IDS).get(f"{which}_token_id")
    first = id_[0] if isinstance(id_, list) and id_ else id_
    return backend.id_to_token(first) if isinstance(first, int) else None


def _class_and_difference(source: ModelSource, tokenizer: Any) -> tuple[str | None, list[str]]:
    """Return the class that transformers would use, and the parts in which what it builds differs
    from what is run.
    """
    try:
        other = _of_class(source)
        theirs = json.loads(plain_backend(other).to_str())
    except Exception:  # as above; it is not needed
        return None, []
    ours = json.loads(tokenizer.backend_tokenizer.to_str())
    return type(other).__name__, [part for part in _PARTS if ours.get(part) != theirs.get(part)]


def _dropout(backend: Tokenizer) -> float | None:
    """Return the share of merges that a BPE leaves out at random."""
    return getattr(backend.model, "dropout", None) or None


def _say_dropout(backend: Tokenizer, place: str) -> None:
    if _dropout(backend):
        say(
            f"{place}: {FILE} asks for BPE dropout ({_dropout(backend):g}), which is off here: "
            "a text is read one way"
        )

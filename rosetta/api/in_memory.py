"""A model and a tokenizer in memory, in the form in which a capture reads those of a run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from accelerate.utils import align_module_device, has_offloaded_params
from tokenizers import Tokenizer

from rosetta.api.arguments import wrong
from rosetta.errors import CorpusError, ModelError
from rosetta.models.batches import check_length_limits
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.tokenizers import check_vocabulary, wrapped
from rosetta.storage.digests import hash64


@dataclass(frozen=True)
class ModelInMemory:
    """What `rosetta.activations.capture` asks of a model and the documents that it reads.

    Attributes
    ----------
    model : PreTrainedModel
        A causal language model of transformers.
    tokenizer : PreTrainedTokenizerFast
        A copy of the caller's, which reads all of a text, and as text.
    place : str
        The model's name.
    batch_size : int
        Documents per forward pass.
    documents : list of (id, text)
        What the model reads.
    made_by : dict
        What the activations depend on, the same for all shards.
    """

    model: Any
    tokenizer: Any
    place: str
    batch_size: int
    documents: list[tuple[int, str]]
    made_by: dict[str, Any]

    @property
    def model_config(self) -> Any:
        """The model's configuration."""
        return self.model.config


def check_model(model: Any, tokenizer: Any, place: str) -> None:
    """Check that a model's neurons are known, and that it embeds what its tokenizer makes.

    Raises
    ------
    ModelError
        If it is not a causal language model with weights, its neurons are not known, or the
        tokenizer is another model's.
    """
    check_causal(place, model)
    neuron_shape(model.config, place)
    check_length_limits(model.config, place)
    check_vocabulary(tokenizer, model.config, place)


def check_causal(place: str, model: Any) -> None:
    """Check that an object is a causal language model of transformers whose weights are loaded.

    Raises
    ------
    ModelError
        If it is not; `place` is what the message names as the culprit.
    """
    check_loaded(place, model, "a causal language model", "AutoModelForCausalLM")


def check_loaded(place: str, model: Any, what: str, maker: str) -> None:
    """Check that an object is a model of transformers with a head, whose weights are loaded.

    Parameters
    ----------
    place : str
        What messages name as the culprit.
    model : object
        What was given.
    what, maker : str
        What it should be, and the class of transformers that loads it.

    Raises
    ------
    ModelError
        If it is not.
    """
    of_transformers = isinstance(model, torch.nn.Module) and hasattr(model, "base_model")
    if not of_transformers or model.base_model is model:
        given = repr(model) if isinstance(model, str) else type(model).__name__
        raise ModelError(
            f"{place}: {given} is not {what} of transformers. "
            f"Give one, as {maker}.from_pretrained makes it."
        )
    for path, module in model.named_modules():
        # The weights of an off-loaded module are on the meta device until it runs.
        empty = any(weight.is_meta for weight in module.parameters(recurse=False))
        if empty and not has_offloaded_params(module):
            raise ModelError(
                f"{place}: {path} has no weights: it is on the meta device. Load the model with "
                f"{maker}.from_pretrained."
            )


def documents_of(texts: Iterable[str]) -> list[tuple[int, str]]:
    """Return texts with the ids that the corpus of a run gives them: a hash of the text.

    Raises
    ------
    ConfigError
        If `texts` is no list.
    CorpusError
        If there is none, or one is not a string, has no UTF-8 form, or is there twice.
    """
    if isinstance(texts, str):
        raise CorpusError("texts: one string is given. Give a list of texts.")
    # A data frame or mapping would give the names of its columns or keys.
    if not isinstance(texts, Iterable) or isinstance(texts, pd.DataFrame | Mapping | bytes):
        raise wrong("texts", texts, "a list of texts", "Give strings, say a column of a table")
    found: dict[int, str] = {}
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise CorpusError(
                f"texts[{number}]: {type(text).__name__} is not a text. Give strings."
            )
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"texts[{number}]: has no UTF-8 form ({error.reason}). Leave it out."
            ) from None
        id_ = hash64(text)
        if id_ in found:
            raise CorpusError(f"texts[{number}]: is there twice. Give each text once.")
        found[id_] = text
    if not found:
        raise CorpusError("texts: there is none. Give one at least.")
    return list(found.items())


def own_tokenizer(tokenizer: Any, place: str) -> Any:
    """Return a copy of a fast tokenizer that reads all of a text, as text, as those of a run do.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerFast or tokenizers.Tokenizer
        It is left as it is.
    place : str
        What messages name as the culprit.

    Raises
    ------
    ModelError
        If it is not a fast tokenizer.
    """
    backend = (
        tokenizer
        if isinstance(tokenizer, Tokenizer)
        else getattr(tokenizer, "backend_tokenizer", None)
    )
    if not isinstance(backend, Tokenizer):
        raise ModelError(
            f"{place}: {type(tokenizer).__name__} is not a fast tokenizer. Give a "
            "PreTrainedTokenizerFast or a tokenizers.Tokenizer."
        )
    special = (getattr(tokenizer, f"{which}_token", None) for which in ("bos", "eos"))
    return wrapped(Tokenizer.from_str(backend.to_str()), *special)


def weights_digest(model: Any) -> str:
    """Return a digest of all parameters of a model, also of those that are off-loaded."""
    found = hashlib.blake2b(digest_size=16)
    for path, module in model.named_modules():
        with align_module_device(module):
            for name, weight in module.named_parameters(recurse=False):
                found.update(f"{path}.{name} {weight.dtype} {tuple(weight.shape)}".encode())
                found.update(weight.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Have a model in evaluation mode for the duration of the block: without dropout."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training

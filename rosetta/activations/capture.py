"""Capturing activations: one forward pass per (model, shard) fills the arrays of all layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rosetta.activations.canonical import UntracedText
from rosetta.activations.inputs import CaptureInputs
from rosetta.activations.recorder import NeuronRecorder
from rosetta.activations.store import write_store
from rosetta.activations.tokens import NOTHING, ByteTokenizer, TokenizedDocument
from rosetta.activations.variables import StoreDescription, StoreTokens
from rosetta.config import Activations
from rosetta.errors import ModelError
from rosetta.inputs.text.documents import document_name
from rosetta.models.architectures.text import text_config
from rosetta.models.batches import batches
from rosetta.models.devices import CPU
from rosetta.models.forward_pass import forward_pass
from rosetta.models.loading_within_memory import input_device
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.sites import neuron_sites
from rosetta.models.tokenizers import check_embedded
from rosetta.progress import bar, say


@dataclass(frozen=True)
class TokenRows:
    """The rows of a store of text (`rosetta.activations.rows.ShardRows`).

    Attributes
    ----------
    inputs : CaptureInputs
        The model and the shard's documents.
    settings : Activations
        Sequence length, dtype, number of shards.
    shard : int
        Number of the shard.
    """

    inputs: CaptureInputs
    settings: Activations
    shard: int

    @property
    def description(self) -> StoreDescription:
        """What the store is of."""
        return StoreDescription(
            shape=neuron_shape(self.inputs.model_config, self.inputs.place),
            dtype=self.settings.dtype,
            shard=self.shard,
            n_shards=self.settings.n_shards,
            made_by=self.inputs.made_by,
            place=self.inputs.place,
        )

    def positions(self) -> StoreTokens:
        """Return the tokens.

        Raises
        ------
        ModelError
            As `tokenize_shard`.
        """
        return self._tokenized[1]

    def batches(
        self, first_row: int = 0, where: torch.device = CPU
    ) -> tuple[int, Iterator[torch.Tensor]]:
        """Run the model over the documents, from the batch with a row on."""
        inputs, (tokenized, tokens) = self.inputs, self._tokenized
        document, size = tokens.document_index, inputs.batch_size
        first = int(document[first_row]) // size * size if first_row else 0
        start = int(np.searchsorted(document, first))
        return start, forward(inputs.model, tokenized[first:], size, inputs.place, where)

    @cached_property
    def _tokenized(self) -> tuple[list[TokenizedDocument], StoreTokens]:
        return tokenize_shard(self.inputs, self.settings)


def capture_shard(
    inputs: CaptureInputs, settings: Activations, manifest_path: Path, shard: int
) -> None:
    """Capture one shard of documents and write its store and manifest.

    Parameters
    ----------
    inputs, settings, shard
        As in `TokenRows`.
    manifest_path : Path
        Where the manifest goes; the store is written beside it.

    Raises
    ------
    ModelError
        If the tokens of too many texts do not rebuild them, or the sequences are longer than the
        model's context.
    StoreError
        If an activation is not finite in the stored dtype.
    """
    rows = TokenRows(inputs, settings, shard)
    positions = rows.positions()
    write_store(manifest_path, rows.batches()[1], positions, rows.description)


def tokenize_shard(
    inputs: CaptureInputs, settings: Activations
) -> tuple[list[TokenizedDocument], StoreTokens]:
    """Tokenize a shard's documents, each cut to its first `sequence_length` tokens.

    A document whose tokens do not rebuild its text is left out: it has no token, so no aligned
    span with any model.

    Returns
    -------
    tokenized : list of TokenizedDocument
        By document.
    tokens : StoreTokens
        The same as the variables of a store.

    Raises
    ------
    ModelError
        If more than `max_left_out` of the documents are left out, a token has no embedding, or the
        sequences are longer than the model's context.
    """
    limit = getattr(text_config(inputs.model_config), "max_position_embeddings", None)
    if limit and settings.sequence_length > limit:
        raise ModelError(
            f"{inputs.place}: activations.sequence_length {settings.sequence_length} is above "
            f"its context of {limit}."
        )
    texts = [text for _, text in inputs.documents]
    tokenized = _tokenize(inputs, settings)
    for (id_, _), document in zip(inputs.documents, tokenized, strict=True):
        check_embedded(
            document.token_ids,
            document_name(id_),
            inputs.tokenizer,
            inputs.model_config,
            inputs.place,
        )
    lengths = [len(document.token_ids) for document in tokenized]
    return tokenized, StoreTokens(
        token_ids=_joined(document.token_ids for document in tokenized),
        byte_start=_joined(document.byte_start for document in tokenized),
        byte_end=_joined(document.byte_end for document in tokenized),
        document_index=np.repeat(np.arange(len(tokenized), dtype=np.int32), lengths),
        document_ids=np.array([id_ for id_, _ in inputs.documents], dtype=np.uint64),
        document_bytes=np.array([len(text.encode("utf-8")) for text in texts], dtype=np.int64),
    )


def _joined(arrays: Iterable[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int32), *arrays]).astype(np.int32)


def _tokenize(inputs: CaptureInputs, settings: Activations) -> list[TokenizedDocument]:
    to_bytes = ByteTokenizer(inputs.tokenizer, inputs.place)
    tokenized, reasons = [], []
    for id_, text in inputs.documents:
        try:
            tokenized.append(to_bytes.first(text, settings.sequence_length))
        except UntracedText as error:
            tokenized.append(NOTHING)
            reasons.append(f"The first is {document_name(id_)}: {error}")
    if reasons:
        found = (
            f"{inputs.place}: {len(reasons)} of {len(tokenized)} documents cannot be traced "
            "back from its tokens"
        )
        if len(reasons) > settings.max_left_out * len(tokenized):
            raise ModelError(
                f"{found}, more than activations.max_left_out ({settings.max_left_out:g}). "
                f"{reasons[0]}"
            )
        say(f"{found} and are left out. {reasons[0]}")
    return tokenized


def padded(rows: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return token ids padded on the right, and the mask, both int64 (n_rows, longest row)."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = torch.from_numpy(row)
        mask[i, : len(row)] = 1
    return ids, mask


_TOO_MANY = (
    "Lower activations.batch_size, or devices.gpu_memory_gb where it is auto; or give "
    "devices.n_gpus."
)


@torch.inference_mode()
def forward(
    model: Any,
    tokenized: list[TokenizedDocument],
    batch_size: int,
    place: str,
    where: torch.device = CPU,
) -> Iterator[torch.Tensor]:
    """Yield the activations of successive batches, (n_layers, n_positions, d_mlp) on `where`.

    Raises
    ------
    ModelError
        If the GPU's memory does not hold a batch, in spite of the arithmetic of
        `rosetta.models.placement`.
    """
    recorder = NeuronRecorder(neuron_sites(model, place), where)
    device = input_device(model)
    total = sum(len(document.token_ids) for document in tokenized)
    with bar(total=total, label=place, unit="tok") as shown:
        for batch in batches(
            [len(document.token_ids) for document in tokenized], batch_size, model.config
        ):
            rows = [document.token_ids for document in tokenized[batch] if len(document.token_ids)]
            if not rows:
                continue
            ids, mask = padded(rows)
            documents = f"{place}: {len(rows)} document(s)"
            with forward_pass(model, documents, _TOO_MANY, where), recorder.recording():
                # The language-model head is not needed for neurons, so only the backbone runs.
                model.base_model(
                    input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False
                )
                recorded = recorder.take()
            kept = mask.bool().view(-1)
            here = kept.to(where)
            yield torch.stack([values[here] for values in recorded])
            shown.update(int(kept.sum()))

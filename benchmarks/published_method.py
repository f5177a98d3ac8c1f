"""The published algorithm as it is described, and a naive one, in plain torch: what
benchmarks/published.py compares.

Nothing here is anybody's code. The description: a first pass over all data finds the mean and
standard deviation of every neuron. Then, for every two layers of model B, both models run over all
data again; the tokens of each batch are matched to spans in Python loops; products of standardised
neurons, those of all layers of A and of the two of B, are added up in bfloat16.

Where the description leaves a choice, the faster one is taken: texts are tokenized once, heads of
vocabularies do not run, only the layers that a pass needs are pooled, pooling and products are one
call per batch, and means and deviations are exact.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rosetta.activations.tokens import ByteTokenizer, TokenizedDocument

DOWN_PROJECTIONS = {
    "gpt_neox": "gpt_neox.layers.{}.mlp.dense_4h_to_h",
    "gpt2": "transformer.h.{}.mlp.c_proj",
}
B_LAYERS = 2  # of model B, correlated in one pass


class Span(NamedTuple):
    """Half-open ranges of the tokens of A and of B that one aligned span has."""

    first_a: int
    last_a: int
    first_b: int
    last_b: int


class Found(NamedTuple):
    """What an algorithm finds.

    Attributes
    ----------
    matches : ndarray of int, shape (n_matches, 2)
        Mutual nearest neighbours, as layer · d_mlp + unit.
    n_positions : int
        Aligned positions.
    parts : dict of str to float
        Processor seconds by kind of work.
    """

    matches: np.ndarray
    n_positions: int
    parts: dict[str, float]


class Parts(defaultdict[str, float]):
    """Processor seconds by kind of work."""

    def __init__(self) -> None:
        super().__init__(float)

    @contextmanager
    def __call__(self, kind: str) -> Iterator[None]:
        """Count the block's time as of a kind of work."""
        start = time.process_time()
        yield
        self[kind] += time.process_time() - start


class Side:
    """A model, its tokenized documents, and hooks that keep its neurons during a forward pass."""

    def __init__(self, folder: Path, texts: Sequence[str], length: int) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder).eval()
        tokenizer = ByteTokenizer(AutoTokenizer.from_pretrained(folder), str(folder))
        self.documents = [tokenizer.first(text, length) for text in texts]
        self.n_layers = self.model.config.num_hidden_layers
        self._kept: dict[int, torch.Tensor] = {}
        name = DOWN_PROJECTIONS[self.model.config.model_type]
        for layer in range(self.n_layers):
            module = self.model.get_submodule(name.format(layer))
            module.register_forward_pre_hook(partial(self._keep, layer))
        self.d_mlp = module.weight.numel() // self.model.config.hidden_size

    def _keep(self, layer: int, _module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        self._kept[layer] = inputs[0]

    def forward(self, batch: slice) -> int:
        """Run the model on documents; return to how many tokens each is padded."""
        rows = [document.token_ids for document in self.documents[batch]]
        width = max(map(len, rows))
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.from_numpy(row)
            mask[i, : len(row)] = 1
        self.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False)
        return width

    def pooled(
        self, layers: range, tokens: list[int], owners: list[int], n_spans: int
    ) -> torch.Tensor:
        """Return the means of tokens over spans, (n_spans, layers × d_mlp); `owners` has the span
        of each token.
        """
        owner = torch.tensor(owners)
        out = torch.zeros((n_spans, len(layers) * self.d_mlp))
        for i, layer in enumerate(layers):
            values = self._kept[layer].flatten(0, 1)[torch.tensor(tokens)]
            out[:, i * self.d_mlp : (i + 1) * self.d_mlp].index_add_(0, owner, values)
        return out.div_(torch.bincount(owner, minlength=n_spans)[:, None])


def spans(a: TokenizedDocument, b: TokenizedDocument) -> list[Span]:
    """Return the aligned spans of a document under two tokenizations, in a loop over tokens.

    Both share the boundaries of a span; the last one ends where the shorter tokenization does.
    """
    end_a, end_b = a.byte_end.tolist(), b.byte_end.tolist()
    i, j = _first_content(a), _first_content(b)
    first_a, first_b, found = i, j, []
    while i < len(end_a) and j < len(end_b):
        if end_a[i] == end_b[j]:
            found.append(Span(first_a, i + 1, first_b, j + 1))
            i, j = i + 1, j + 1
            first_a, first_b = i, j
        elif end_a[i] < end_b[j]:
            i += 1
        else:
            j += 1
    if first_a < i and j < len(end_b):
        found.append(Span(first_a, i, first_b, j + 1))
    elif first_b < j and i < len(end_a):
        found.append(Span(first_a, i + 1, first_b, j))
    return found


def _first_content(document: TokenizedDocument) -> int:
    """Return the number of the first token that stands for bytes."""
    return next(i for i, end in enumerate(document.byte_end.tolist()) if end > 0)


class Passes:
    """Two models on the same texts, and passes of both over all of them.

    Parameters
    ----------
    folders : (Path, Path)
        The models, in Hugging Face format.
    texts : sequence of str
        The documents.
    length : int
        Tokens read of each.
    batch : int
        Documents per forward pass.
    """

    def __init__(
        self, folders: tuple[Path, Path], texts: Sequence[str], length: int, batch: int
    ) -> None:
        self.parts = Parts()
        with self.parts("loading"):
            self.a, self.b = (Side(folder, texts, length) for folder in folders)
        self._batches = [slice(i, i + batch) for i in range(0, len(texts), batch)]

    def run(self, layers_a: range, layers_b: range) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Run both models over all texts; yield the pooled neurons of some layers, per batch."""
        for batch in self._batches:
            with self.parts("forward passes"):
                width_a, width_b = self.a.forward(batch), self.b.forward(batch)
            with self.parts("spans"):
                *tokens, n_spans = self._tokens(batch, width_a, width_b)
            with self.parts("pooling"):
                (token_a, owner_a), (token_b, owner_b) = tokens
                x = self.a.pooled(layers_a, token_a, owner_a, n_spans)
                y = self.b.pooled(layers_b, token_b, owner_b, n_spans)
            yield x, y

    def _tokens(self, batch: slice, width_a: int, width_b: int) -> tuple[Any, Any, int]:
        """Return the tokens of the batch's spans in either model, the span of each, and the number
        of spans, in loops.
        """
        token_a, owner_a, token_b, owner_b, n_spans = [], [], [], [], 0
        both = zip(self.a.documents[batch], self.b.documents[batch], strict=True)
        for row, (a, b) in enumerate(both):
            for span in spans(a, b):
                for token in range(span.first_a, span.last_a):
                    token_a.append(row * width_a + token)
                    owner_a.append(n_spans)
                for token in range(span.first_b, span.last_b):
                    token_b.append(row * width_b + token)
                    owner_b.append(n_spans)
                n_spans += 1
        return (token_a, owner_a), (token_b, owner_b), n_spans


class Best:
    """The nearest neighbour of every neuron so far, and its r."""

    def __init__(self, n: int) -> None:
        self.r, self.index = torch.full((n,), -torch.inf), torch.full((n,), -1)

    def see(self, r: torch.Tensor, index: torch.Tensor) -> None:
        """Take nearer neighbours, one per neuron."""
        nearer = r.float() > self.r
        self.r[nearer], self.index[nearer] = r[nearer].float(), index[nearer]


def mutual(a: torch.Tensor, b: torch.Tensor) -> np.ndarray:
    """Return the neurons (u, v) that are each other's nearest, from the nearest of either side."""
    u = torch.arange(len(a))
    return torch.stack([u, a], dim=1)[b[a] == u].numpy()


@torch.inference_mode()
def published(folders: tuple[Path, Path], texts: Sequence[str], length: int, batch: int) -> Found:
    """Match two models as the published algorithm is described to; parameters as of `Passes`."""
    passes = Passes(folders, texts, length, batch)
    a, b, parts = passes.a, passes.b, passes.parts
    all_a, all_b = range(a.n_layers), range(b.n_layers)
    totals = [torch.zeros((2, side.n_layers * side.d_mlp), dtype=torch.float64) for side in (a, b)]
    n_positions = 0
    for blocks in passes.run(all_a, all_b):
        n_positions += len(blocks[0])
        with parts("means and deviations"):
            for total, block in zip(totals, blocks, strict=True):
                total[0] += block.sum(dim=0, dtype=torch.float64)
                total[1] += block.double().square_().sum(dim=0)
    (mean_a, std_a), (mean_b, std_b) = (_moments(total / n_positions) for total in totals)
    best_a, best_b = Best(len(mean_a)), Best(len(mean_b))
    for low in range(0, b.n_layers, B_LAYERS):
        layers = range(low, min(low + B_LAYERS, b.n_layers))
        some = slice(layers.start * b.d_mlp, layers.stop * b.d_mlp)
        sums = torch.zeros((len(mean_a), some.stop - some.start), dtype=torch.bfloat16)
        for x, y in passes.run(all_a, layers):
            with parts("standardising"):
                x = x.sub_(mean_a).div_(std_a).bfloat16()
                y = y.sub_(mean_b[some]).div_(std_b[some]).bfloat16()
            with parts("products"):
                sums.addmm_(x.T, y)
        with parts("neighbours"):
            sums /= n_positions
            r, index = sums.max(dim=1)
            best_a.see(r, index + some.start)
            best_b.r[some], best_b.index[some] = sums.max(dim=0)
    return Found(mutual(best_a.index, best_b.index), n_positions, dict(parts))


def _moments(means: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation, float32, from the means of values and of squares."""
    mean, square = means
    return mean.float(), (square - mean.square()).sqrt().float()


@torch.inference_mode()
def naive(folders: tuple[Path, Path], texts: Sequence[str], length: int, batch: int) -> Found:
    """Match two models with all neurons and all correlations in memory, in float32, as
    `numpy.corrcoef` would; parameters as of `Passes`.
    """
    passes = Passes(folders, texts, length, batch)
    parts = passes.parts
    blocks = list(passes.run(range(passes.a.n_layers), range(passes.b.n_layers)))
    with parts("standardising"):
        x, y = (torch.cat(side) for side in zip(*blocks, strict=True))
        del blocks
        for values in (x, y):
            values -= values.mean(dim=0)
            values /= torch.linalg.vector_norm(values, dim=0)
    with parts("products"):
        r = x.T @ y
    with parts("neighbours"):
        found = mutual(r.argmax(dim=1), r.argmax(dim=0))
    return Found(found, len(x), dict(parts))

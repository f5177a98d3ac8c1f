from itertools import pairwise

import numpy as np
import pytest
import torch
from helpers import random_ranges
from hypothesis import given
from hypothesis import strategies as st

import rosetta.alignment.pooling
from rosetta.alignment.pooling import pool_into
from rosetta.alignment.spans import TokenRanges, aligned_spans


def brute_force_spans(tokenizations, n_documents):
    """Aligned spans by the definition, one document and one byte at a time."""
    spans = []
    for document in range(n_documents):
        per_model = [
            [
                (s, e)
                for s, e, d in zip(t.byte_start, t.byte_end, t.document_index, strict=True)
                if d == document
            ]
            for t in tokenizations
        ]
        prefix = min(max((e for _, e in tokens), default=0) for tokens in per_model)
        shared = set.intersection(*[{b for token in tokens for b in token} for tokens in per_model])
        if not prefix:
            continue
        cuts = sorted({0, prefix} | {b for b in shared if b <= prefix})
        for low, high in pairwise(cuts):
            members = [
                [i for i, (s, e) in enumerate(tokens) if s < high and e > low]
                for tokens in per_model
            ]
            spans.append((document, low, high, members))
    return spans


def ranges_of(tokens):
    _, start, end, owner = tokens
    kept = end > start
    return TokenRanges(owner[kept], start[kept], end[kept])


@given(
    seed=st.integers(0, 10**6),
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    n_models=st.integers(2, 4),
)
def test_spans_match_the_definition(seed, lengths, n_models):
    rng = np.random.default_rng(seed)
    tokenizations = [
        ranges_of(
            random_ranges(
                rng, lengths, max_token=int(rng.integers(1, 9)), special=bool(rng.integers(2))
            )
        )
        for _ in range(n_models)
    ]
    spans = aligned_spans(tokenizations, len(lengths))
    expected = brute_force_spans(tokenizations, len(lengths))
    assert list(zip(spans.document_index, spans.byte_start, spans.byte_end, strict=True)) == [
        e[:3] for e in expected
    ]
    for model, ranges in enumerate(tokenizations):
        first_of_document = np.searchsorted(ranges.document_index, spans.document_index)
        for number, (*_, members) in enumerate(expected):
            got = (
                np.arange(spans.first[model][number], spans.last[model][number])
                - first_of_document[number]
            )
            assert got.tolist() == members[model]


def test_a_token_that_crosses_the_common_prefix_belongs_to_the_last_span():
    a = TokenRanges(np.array([0, 0]), np.array([0, 2]), np.array([2, 4]))
    b = TokenRanges(np.array([0, 0]), np.array([0, 2]), np.array([2, 9]))
    spans = aligned_spans([a, b], 1)
    assert spans.byte_start.tolist() == [0, 2]
    assert spans.byte_end.tolist() == [2, 4]
    assert spans.last[1].tolist() == [1, 2]


def test_documents_that_one_model_does_not_cover_give_no_span():
    a = TokenRanges(np.array([0, 1]), np.array([0, 0]), np.array([3, 3]))
    b = TokenRanges(np.array([1]), np.array([0]), np.array([3]))
    spans = aligned_spans([a, b], 2)
    assert spans.document_index.tolist() == [1]


@pytest.mark.parametrize("pooling", ["mean", "max", "median"])
@given(seed=st.integers(0, 10**6), lengths=st.lists(st.integers(1, 7), min_size=1, max_size=14))
def test_pooling_matches_numpy(pooling, seed, lengths):
    rng = np.random.default_rng(seed)
    last = np.cumsum(lengths)
    first = last - lengths
    values = rng.normal(size=(last[-1], 5))
    expected = [
        getattr(np, pooling)(values[low:high], axis=0)
        for low, high in zip(first, last, strict=True)
    ]
    rows = np.sort(rng.choice(100, size=last[-1], replace=False))  # other rows lie between
    stored = torch.full((100, 5), torch.nan, dtype=torch.float64)
    stored[torch.from_numpy(rows)] = torch.from_numpy(values)
    got = torch.empty((len(lengths), 5), dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rosetta.alignment.pooling, "STRIP", 8)
        pool_into(got, stored, rows, first, last, pooling)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-12, atol=1e-12)

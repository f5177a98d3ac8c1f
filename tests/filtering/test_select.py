"""Selection of documents by score, against brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rosetta.filtering import select as selecting
from rosetta.filtering.select import Amount, Scored, membership, percentile_of, select

# Few distinct scores, so that ties are the rule.
POOLS = st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 20)), min_size=1, max_size=60)


def scored(pairs, rng):
    ids = rng.choice(np.arange(1, 10**6, dtype=np.uint64), size=len(pairs), replace=False)
    return Scored(
        ids, np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs], np.int64)
    )


def brute_force(found, amount):
    taken, tokens = [], 0
    for row in sorted(range(len(found.id)), key=lambda i: (-found.score[i], found.id[i])):
        if amount.above is not None and not found.score[row] > amount.above:
            continue
        if (amount.count is not None and len(taken) >= amount.count) or (
            amount.tokens is not None and tokens >= amount.tokens
        ):
            break
        taken.append(int(found.id[row]))
        tokens += int(found.tokens[row])
    return taken


@given(
    POOLS,
    st.integers(0, 2**32),
    st.integers(1, 7),
    st.sampled_from(["tokens", "count", "above"]),
    st.integers(1, 90),
)
def test_a_selection_is_exact_whatever_the_blocks(pairs, seed, n_blocks, rule, limit):
    rng = np.random.default_rng(seed)
    found = scored(pairs, rng)
    amount = Amount(**{rule: limit if rule != "above" else limit % 5 - 2.0})
    order = rng.permutation(len(pairs))
    blocks = [found.take(rows) for rows in np.array_split(order, n_blocks)]
    original, selecting.BUFFERED = selecting.BUFFERED, int(rng.integers(1, 20))
    try:
        selected = select(blocks, amount)
    finally:
        selecting.BUFFERED = original
    assert selected.id.tolist() == brute_force(found, amount)
    at = {int(i): row for row, i in enumerate(found.id)}
    rows = [at[int(i)] for i in selected.id]
    assert selected.score.tolist() == found.score[rows].tolist()
    assert selected.tokens.tolist() == found.tokens[rows].tolist()


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=50), st.integers(0, 99))
def test_the_percentile_gate_keeps_what_exceeds_it(values, percentile):
    scores = np.array(values, float)
    threshold = percentile_of(np.array_split(scores, 3), percentile)
    at_most = [
        v for v in sorted(values) if sum(w <= v for w in values) >= percentile / 100 * len(values)
    ]
    assert threshold == at_most[0]
    assert (scores > threshold).mean() <= 1 - percentile / 100 + 1e-12


@pytest.mark.parametrize("percentile", [7, 14.0, 28, 29, 55, 57, 58, 99.0])
def test_the_gate_is_where_the_percentile_says(percentile):
    """Where the product with n is off by a rounding, one document more or less would pass."""
    assert percentile_of([np.arange(100.0)], percentile) == percentile - 1


def test_membership_of_nothing_is_false():
    assert not membership(np.arange(3, dtype=np.uint64), np.empty(0, np.uint64)).any()
    ids = np.array([7, 1, 9, 3], np.uint64)
    assert membership(ids, np.array([3, 9], np.uint64)).tolist() == [False, False, True, True]

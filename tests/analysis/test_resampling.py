"""Half-samples of clustered documents: balance, the usual variances, coverage where documents are
not independent.
"""

import numpy as np
import pytest
from scipy import stats

from rosetta.alignment.samples import deal
from rosetta.analysis.intervals import correlation_interval, half_sample_error, half_sample_interval
from rosetta.correlation.resample import MIN_CLUSTERS, half_samples
from rosetta.hadamard import hadamard, is_order, largest_order

ORDERS = [4, 8, 12, 16, 20, 24, 32, 40, 44, 48, 60, 64, 68, 72, 80, 84, 88, 96]


def test_hadamard_matrices_have_orthogonal_rows():
    assert [order for order in range(3, 100) if is_order(order)] == ORDERS
    for order in [1, 2, *ORDERS, 1000]:
        matrix = np.array(hadamard(order))
        assert (np.abs(matrix) == 1).all()
        assert (matrix[0] == 1).all()
        assert (matrix @ matrix.T == order * np.eye(order)).all()
    assert [largest_order(limit) for limit in (1, 3, 19, 20, 31, 1000)] == [1, 2, 16, 20, 24, 1000]
    for order in (0, -4, 3, 28):
        with pytest.raises(ValueError, match="no Hadamard matrix"):
            hadamard(order)


@pytest.mark.parametrize("n_blocks", [4, 12, 20, 24])
def test_half_samples_are_balanced_halves_with_their_complements(n_blocks):
    halves = half_samples(n_blocks)
    assert halves.shape == (2 * (n_blocks - 1), n_blocks)
    assert (halves.sum(axis=1) == n_blocks // 2).all()
    assert (halves[::2] ^ halves[1::2]).all()
    together = halves.T.astype(int) @ halves
    assert len(set(together[~np.eye(n_blocks, dtype=bool)])) == 1, (
        "any two blocks are together equally often"
    )
    assert half_samples(0).shape == (0, 0)


@pytest.mark.parametrize("n_blocks", [4, 20, 44])
def test_the_error_of_a_mean_is_the_textbook_standard_error(n_blocks):
    values = np.random.default_rng(0).gamma(1.0, size=n_blocks)
    on_halves = np.array([values[half].mean() for half in half_samples(n_blocks)])
    expected = values.std(ddof=1) / np.sqrt(n_blocks)
    assert half_sample_error(on_halves) == pytest.approx(expected, rel=1e-12)
    low, high = half_sample_interval(values.mean(), on_halves)
    assert (low, high) == pytest.approx(
        stats.t.interval(0.95, n_blocks - 1, values.mean(), expected), rel=1e-10
    )


@pytest.mark.parametrize("n_blocks", [8, 20])
def test_blocks_of_unequal_size_give_the_variance_of_a_ratio(n_blocks):
    """g/(g − 1) · Σ n²(x − x̄)²/N² (Cochran 1977, section 6.3), whatever the shares of the
    halves.
    """
    rng = np.random.default_rng(1)
    values, sizes = rng.normal(size=n_blocks), rng.integers(1, 60, n_blocks)
    mean, halves = np.average(values, weights=sizes), half_samples(n_blocks)
    on_halves = np.array([np.average(values[half], weights=sizes[half]) for half in halves])
    shares = halves @ sizes / sizes.sum()
    variance = (
        n_blocks / (n_blocks - 1) * (sizes**2 * (values - mean) ** 2).sum() / sizes.sum() ** 2
    )
    assert np.ptp(shares) > 0.2
    assert half_sample_error(on_halves, shares) == pytest.approx(np.sqrt(variance), rel=1e-12)
    unweighted = half_sample_error(on_halves)
    assert 1 < unweighted / np.sqrt(variance) < 1.2, "taken for equal, they are on the safe side"


def test_what_moves_all_halves_alike_is_no_error():
    values = np.random.default_rng(0).normal(size=20)
    on_halves = np.array([values[half].mean() for half in half_samples(20)])
    assert half_sample_error(on_halves + 0.3) == pytest.approx(half_sample_error(on_halves))


def test_without_replicates_there_is_no_interval():
    assert np.isnan(half_sample_error(np.empty((3, 0)))).all()
    low, high = half_sample_interval(5.0, np.empty(0))
    assert np.isnan([low, high]).all()
    low, high = correlation_interval(np.array([0.5, 0.1]), np.empty((2, 0)), np.empty(0))
    assert np.isnan([low, high]).all()


def test_clusters_are_dealt_whole_and_evenly():
    rng = np.random.default_rng(2)
    sizes = [30, 9, 9, 8, *rng.integers(1, 6, 60).tolist()]
    clusters = rng.permutation(np.repeat([f"file-{i}" for i in range(len(sizes))], sizes))
    part = deal(clusters, 20)
    for cluster in np.unique(clusters):
        assert len(set(part[clusters == cluster])) == 1
    held = np.bincount(part, minlength=20)
    assert held.max() == 30, "one cluster is larger than a fair share"
    others = np.sort(held)[:-1]
    assert others[-1] - others[0] <= 1
    assert (deal(clusters[::-1], 20)[::-1] == part).all(), "whatever the order of the documents"
    names = np.array([f"{i:016x}" for i in range(400)])
    single = deal(names, 20)
    assert (np.bincount(single) == 20).all()
    assert np.abs(np.corrcoef(single, np.arange(400))[0, 1]) < 0.15, "in the order of a hash"


# ---- coverage, by simulation
# -----------------------------------------------------------------------------------

N_RUNS, N_BLOCKS = 1000, 20


def documents(rng, n_files):
    """The file of every document, in the order of a hash: files have 1 to 40 pieces, most of them
    few.
    """
    sizes = np.minimum(rng.geometric(0.12, n_files), 40)
    return rng.permutation(np.repeat([f"file-{i}" for i in range(n_files)], sizes))


def simulated(rng, clusters):
    """Sums of (x, y, x², y², xy) over the ten positions of every document, shape (N_RUNS,
    n_documents, 5); the true r.

    Of the variance, 0.3 is common to a file, with correlation 0.7 between x and y; the rest is of
    single positions, with correlation 0.4.
    """
    _, member = np.unique(clusters, return_inverse=True)

    def correlated(shape, r):
        x, z = rng.standard_normal((2, *shape), dtype=np.float32)
        return np.stack([x, r * x + np.sqrt(1 - r**2) * z])

    of_file = correlated((N_RUNS, member.max() + 1), 0.7)[:, :, member, None]
    x, y = np.sqrt(0.3) * of_file + np.sqrt(0.7) * correlated((N_RUNS, len(member), 10), 0.4)
    return np.stack(
        [v.sum(axis=-1) for v in (x, y, x * x, y * y, x * y)], axis=-1
    ), 0.3 * 0.7 + 0.7 * 0.4


def estimates(sums, n):
    """The mean of x, and r of x and y, of sums (..., 5) over n positions."""
    x, y, xx, yy, xy = np.moveaxis(sums, -1, 0) / n
    return x, (xy - x * y) / np.sqrt((xx - x * x) * (yy - y * y))


def coverage(sums, part, truth):
    """Share of the runs whose intervals hold the true mean and the true r, with documents dealt
    into parts.
    """
    lengths = 10 * np.bincount(part, minlength=N_BLOCKS)
    of_blocks = np.stack([sums[:, part == block].sum(axis=1) for block in range(N_BLOCKS)])
    halves = half_samples(N_BLOCKS)
    of_halves = np.moveaxis(np.tensordot(halves.astype(float), of_blocks, 1), 0, 1)
    mean, r = estimates(sums.sum(axis=1), lengths.sum())
    means, rs = estimates(of_halves, halves @ lengths)
    shares = halves @ lengths / lengths.sum()
    low, high = half_sample_interval(mean, means, shares)
    r_low, r_high = correlation_interval(r, rs, shares)
    return np.mean((low < 0) & (high > 0)), np.mean((r_low < truth) & (r_high > truth))


def test_blocks_of_clusters_cover_the_truth_where_blocks_of_documents_do_not():
    rng = np.random.default_rng(3)
    clusters = documents(rng, 150)
    sums, truth = simulated(rng, clusters)
    tolerance = 4 * np.sqrt(0.95 * 0.05 / N_RUNS)
    single = deal(np.array([f"document-{i}" for i in range(len(clusters))]), N_BLOCKS)
    for covered, alone in zip(
        coverage(sums, deal(clusters, N_BLOCKS), truth), coverage(sums, single, truth), strict=True
    ):
        assert abs(covered - 0.95) < tolerance
        assert alone < 0.8, "documents taken for independent"


def test_the_fewest_clusters_that_have_intervals_are_covered_almost_as_often(monkeypatch):
    """On average over draws of files."""
    monkeypatch.setattr("test_resampling.N_RUNS", 200)
    found = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        clusters = documents(rng, MIN_CLUSTERS)
        sums, truth = simulated(rng, clusters)
        found.append(coverage(sums, deal(clusters, N_BLOCKS), truth))
    assert 0.87 < np.mean(found) < 0.97

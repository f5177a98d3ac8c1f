"""What ablations cost: planted differences, their intervals, and the trend with size."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress, t

from rosetta.ablation.columns import ACCURACY, BITS_PER_BYTE, LOSS, WHOLE
from rosetta.ablation.effects import draw_probability, effect_table, loss_table, verdict
from rosetta.ablation.populations import NeuronFacts, matched_draws
from rosetta.ablation.trend import trend, trend_table
from rosetta.config import Bootstrap
from rosetta.config.ablation import AblationSettings

QUICK = Bootstrap(n_resamples=999)
N_DRAWS = 20
TREATED = [
    ("none", "none", 0),
    ("ablate", "rosetta", 0),
    *(("ablate", "matched", n) for n in range(N_DRAWS)),
    ("keep", "rosetta", 0),
]


def planted(rng, n_clusters=40, per_cluster=3, cost=0.5, draw_std=0.05):
    """Losses of documents in clusters: bits per byte go up by `cost`, for draws by 0.2 on average.

    Documents of a cluster share what their ablation costs. Draws differ, and the Rosetta Neurons
    differ from `cost` as much.
    """
    n = n_clusters * per_cluster
    cluster = np.repeat(np.arange(n_clusters), per_cluster)
    size = rng.integers(50, 150, n).astype(float)
    intact = rng.normal(4, 0.5, n) * size
    moved = {
        0: np.zeros(n),
        1: cost + rng.normal(0, 0.3, n_clusters)[cluster] + rng.normal(0, 0.1, n),
        2 + N_DRAWS: 2 * cost + rng.normal(0, 0.1, n),
    }
    moved[1] = moved[1] + rng.normal(0, draw_std)
    levels = rng.normal(0.2, draw_std, N_DRAWS)
    for number, level in enumerate(levels):
        moved[2 + number] = level + rng.normal(0, 0.1, n)
    bits = np.stack([intact + moved[i] * size for i in range(len(TREATED))])
    samples = pd.DataFrame({"sample": np.arange(n, dtype=np.uint64), "size": size})
    samples = samples.assign(domain=np.where(cluster % 2, "a", "b"), cluster=cluster.astype(str))
    return loss_table(samples, TREATED, bits, None, "m"), bits, size, samples


def test_values_and_differences_are_ratios_of_sums():
    losses, bits, size, samples = planted(np.random.default_rng(0))
    table = effect_table(losses, QUICK, "m").set_index(["treatment", "population", "domain"])
    assert set(table["measure"]) == {BITS_PER_BYTE}
    for domain in (WHOLE, "a", "b"):
        own = np.ones(len(size), bool) if domain == WHOLE else samples["domain"] == domain
        value = bits[:, own].sum(axis=1) / size[own].sum()
        rosetta, draws = value[1], value[2 : 2 + N_DRAWS]
        row = table.loc[("ablate", "rosetta", domain)]
        assert row["value"] == pytest.approx(rosetta)
        assert row["difference"] == pytest.approx(rosetta - value[0])
        assert row["n_samples"] == own.sum()
        assert row["n_draws"] == 1
        assert np.isnan(row["rosetta_excess"])
        row = table.loc[("ablate", "matched", domain)]
        assert row["difference"] == pytest.approx(draws.mean() - value[0])
        assert row["rosetta_excess"] == pytest.approx(rosetta - draws.mean())
        low, high = np.quantile(draws - value[0], [0.025, 0.975])
        assert (row["draws_low"], row["draws_high"]) == pytest.approx((low, high))
        assert row["p_draws"] == pytest.approx(2 / (N_DRAWS + 1))
    assert np.isnan(table.loc[("none", "none", WHOLE), "difference"])


@pytest.mark.parametrize("overlap", [0.0, 0.5])
def test_intervals_are_about_as_wide_as_the_errors_of_samples_and_of_one_more_set(overlap):
    """Normal theory: clusters' ratio, and a further set beside the mean of draws, whose squared
    errors add.
    """
    losses, bits, size, samples = planted(np.random.default_rng(1), draw_std=0.3)
    table = effect_table(losses, Bootstrap(), "m", overlap)
    row = table.set_index(["treatment", "population", "domain"]).loc[("ablate", "matched", WHOLE)]
    moved = bits[1] - bits[2 : 2 + N_DRAWS].mean(axis=0)
    cluster = samples["cluster"].astype(int).to_numpy()
    sums, weights = np.bincount(cluster, moved), np.bincount(cluster, size)
    ratio = sums.sum() / weights.sum()
    n = len(sums)
    of_samples = n / (n - 1) * np.square(sums - ratio * weights).sum() / weights.sum() ** 2
    draws = bits[2 : 2 + N_DRAWS].sum(axis=1) / size.sum()
    of_set = draws.var(ddof=1) * ((1 + overlap) / (1 - overlap) + 1 / N_DRAWS)
    half = (row["rosetta_excess_ci_high"] - row["rosetta_excess_ci_low"]) / 2
    assert half == pytest.approx(t.ppf(0.975, 20) * np.sqrt(of_samples + of_set), rel=0.15)
    # The mean over draws, above the intact model, is known as well as n draws tell it.
    half = (row["difference_ci_high"] - row["difference_ci_low"]) / 2
    assert half < 1.2 * t.ppf(0.975, 19) * np.sqrt(draws.var(ddof=1) / N_DRAWS + of_samples)


def verdicts(n_trials, cost):
    """Verdicts of trials in which draws cost 0.2 on average, and the Rosetta Neurons `cost`."""
    found = []
    for seed in range(n_trials):
        losses, *_ = planted(np.random.default_rng(seed), per_cluster=1, cost=cost, draw_std=0.3)
        settings = Bootstrap(n_resamples=399)
        table = effect_table(losses.assign(domain=""), settings, f"m{seed}")
        rows = table[(table["population"] == "matched") & (table["treatment"] == "ablate")]
        found.append(verdict(rows.iloc[0]))
    return np.array(found)


def test_sets_that_are_another_draw_get_no_verdict():
    """21 exchangeable sets that differ: at most 8% are told to cost more or less."""
    found = verdicts(200, cost=0.2)
    assert np.count_nonzero(found) <= 16
    assert (verdicts(25, cost=0.2 + 4 * 0.3) == 1).mean() > 0.8
    assert (verdicts(25, cost=0.2 - 4 * 0.3) == -1).mean() > 0.8


def neuron_verdict(rng, n_targets, more, name):
    """The verdict on random targets of one layer, each of whose neurons has a cost of its own."""
    shape, n = (1, 100), 30
    facts = NeuronFacts(*(rng.gamma(1.0, size=shape) for _ in range(4)))
    targets = np.zeros(shape, bool)
    targets[0, rng.permutation(shape[1])[:n_targets]] = True
    draws = matched_draws(targets, facts, AblationSettings(), name)
    cost = rng.gamma(1.0, size=shape[1]) + more * targets[0]
    held = np.concatenate([np.zeros(shape, bool), targets, draws.masks[:, 0]])
    bits = held @ (cost + rng.normal(size=(n, shape[1]))).T
    samples = pd.DataFrame({"sample": np.arange(n, dtype=np.uint64), "size": 1.0})
    samples = samples.assign(domain="", cluster=samples["sample"].astype(str))
    losses = loss_table(samples, TREATED[:-1], bits, None, name)
    table = effect_table(losses, Bootstrap(n_resamples=199), name, draws.overlap)
    return verdict(table[table["population"] == "matched"].iloc[0])


@pytest.mark.parametrize("n_targets", [10, 40])
def test_random_targets_get_no_verdict_though_draws_overlap(n_targets):
    """Of 40 targets beside 60 others, draws are much alike, and the targets are not like them."""
    rng = np.random.default_rng(n_targets)
    found = [neuron_verdict(rng, n_targets, 0.0, f"s{n}") for n in range(100)]
    assert np.count_nonzero(found) <= 8
    assert np.mean([neuron_verdict(rng, n_targets, 2.0, f"s{n}") for n in range(20)]) > 0.8


def test_draws_that_are_all_the_same_tell_nothing_of_other_sets():
    losses, *_ = planted(np.random.default_rng(5))
    one = losses[losses["draw"] == 0]
    drawn = one[one["population"] == "matched"]
    same = pd.concat(
        [one[one["population"] != "matched"], *(drawn.assign(draw=n) for n in range(N_DRAWS))]
    )
    row = effect_table(same, QUICK, "m", 1.0).set_index(["treatment", "population", "domain"])
    row = row.loc[("ablate", "matched", WHOLE)]
    assert row[["rosetta_excess", "difference", "difference_ci_low"]].notna().all()
    assert row[["rosetta_excess_ci_low", "p_draws"]].isna().all()
    assert verdict(pd.concat([row, pd.Series({"population": "matched"})])) == 0


def test_a_verdict_needs_the_interval_and_the_rank():
    row = {"population": "matched", "n_draws": 20, "p_draws": 2 / 21}
    row |= {"rosetta_excess_ci_low": 0.1, "rosetta_excess_ci_high": 0.2}
    assert verdict(pd.Series(row)) == 1
    assert verdict(pd.Series({**row, "p_draws": 4 / 21})) == 0
    assert verdict(pd.Series({**row, "n_draws": 100})) == 0  # of these, p can be less than 2/21
    assert verdict(pd.Series({**row, "n_draws": 100, "p_draws": 0.04})) == 1
    assert verdict(pd.Series({**row, "rosetta_excess_ci_low": -0.1})) == 0
    less = {"rosetta_excess_ci_low": -0.2, "rosetta_excess_ci_high": -0.1}
    assert verdict(pd.Series({**row, **less})) == -1
    assert verdict(pd.Series({**row, "population": "all", "p_draws": np.nan})) == 1


def test_intervals_cover_what_was_planted():
    """19 times in 20, of 100 data sets: 0.5 less 0.2, over documents and draws."""
    inside = 0
    for seed in range(100):
        losses, *_ = planted(np.random.default_rng(seed + 100), per_cluster=1)
        settings = Bootstrap(n_resamples=399)
        rows = effect_table(losses.assign(domain=""), settings, f"m{seed}")
        rows = rows.set_index(["treatment", "population", "domain"])
        row = rows.loc[("ablate", "matched", WHOLE)]
        inside += row["rosetta_excess_ci_low"] <= 0.3 <= row["rosetta_excess_ci_high"]
    assert 89 <= inside <= 100


def test_few_clusters_leave_no_interval():
    losses, *_ = planted(np.random.default_rng(2), n_clusters=10)
    table = effect_table(losses, QUICK, "m")
    assert table["difference_ci_low"].isna().all()
    assert table.loc[table["population"] != "none", "difference"].notna().all()


def test_images_have_a_loss_and_an_accuracy():
    rng = np.random.default_rng(3)
    n, treated = 60, TREATED[:2]
    bits, right = rng.gamma(2.0, size=(2, n)), (rng.random((2, n)) < 0.6).astype(float)
    samples = pd.DataFrame({"sample": np.arange(n, dtype=np.uint64), "size": 1.0})
    samples = samples.assign(domain="", cluster=samples["sample"].astype(str))
    found = effect_table(loss_table(samples, treated, bits, right, "m"), QUICK, "m")
    rows = found.set_index(["measure", "population"])
    assert rows.loc[(LOSS, "rosetta"), "value"] == pytest.approx(bits[1].mean())
    assert rows.loc[(ACCURACY, "rosetta"), "value"] == pytest.approx(right[1].mean())
    moved = right[1].mean() - right[0].mean()
    assert rows.loc[(ACCURACY, "rosetta"), "difference"] == pytest.approx(moved)
    assert set(found["domain"]) == {WHOLE}


def test_the_probability_among_draws_is_a_two_sided_rank():
    draws = np.arange(19.0)
    assert draw_probability(99.0, draws) == pytest.approx(0.1)
    assert draw_probability(-1.0, draws) == pytest.approx(0.1)
    assert draw_probability(17.5, draws) == pytest.approx(2 * 2 / 20)
    assert draw_probability(9.0, draws) == 1.0


def test_the_trend_of_one_family_is_a_regression():
    rng = np.random.default_rng(4)
    sizes = np.array([64, 128, 512, 1024, 2048])
    values = 0.3 * np.log10(sizes) + rng.normal(0, 0.1, 5)
    expected = linregress(np.log10(sizes), values)
    found = trend(sizes, values, np.array(["f"] * 5))
    half = t.ppf(0.975, 3) * expected.stderr
    assert found["slope"] == pytest.approx(expected.slope)
    assert found["slope_ci_low"] == pytest.approx(expected.slope - half)
    assert found["slope_ci_high"] == pytest.approx(expected.slope + half)


def test_families_have_levels_of_their_own():
    sizes = np.array([64, 640, 6400] * 2)
    families = np.repeat(["f", "g"], 3)
    values = 0.5 * np.log10(sizes) + np.where(families == "g", 7.0, 0.0)
    found = trend(sizes, values + np.tile([0.01, -0.02, 0.01], 2), families)
    assert found["slope"] == pytest.approx(0.5, abs=1e-9)
    assert found["n_families"] == 2
    assert trend(sizes[[0, 3]], values[[0, 3]], families[[0, 3]])["reason"]
    assert trend(sizes[:2], values[:2], families[:2])["reason"] == "too few models for an interval"
    assert trend(sizes[:0], values[:0], families[:0])["reason"]


def test_a_trend_table_has_a_row_per_treatment_and_quantity():
    rows = [
        {
            "ladder": "l",
            "treatment": treatment,
            "measure": BITS_PER_BYTE,
            "population": population,
            "domain": WHOLE,
            "overlap": 1.0,
            "model": f"f-{size}",
            "n_neurons": size,
            "difference": slope * np.log10(size) + wiggle,
            "rosetta_excess": (0.2 if population == "matched" else np.nan),
        }
        for treatment in ("ablate", "keep")
        for population, slope in (("rosetta", 0.4), ("matched", 0.1))
        for size, wiggle in ((64, 0.0), (512, 0.01), (4096, 0.0))
    ]
    rows += [{**row, "difference": 9.0, "overlap": np.nan, "model": "f-0"} for row in rows]
    families = {row["model"]: "f" for row in rows}
    found = trend_table(pd.DataFrame(rows), families).set_index(["treatment", "quantity"])
    assert len(found) == 6
    assert found.loc[("ablate", "rosetta"), "slope"] == pytest.approx(0.4)
    assert found.loc[("keep", "matched"), "slope"] == pytest.approx(0.1)
    assert found.loc[("ablate", "rosetta less matched"), "slope"] == pytest.approx(0, abs=1e-9)

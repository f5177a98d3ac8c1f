"""Neurons that a known number of trainings share, from stores to tables, figure and words."""

import numpy as np
import pandas as pd
import pytest
from helpers import save_image_stores
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from rosetta.analysis.null_counts import mean_interval
from rosetta.config import group_name, parse_config
from rosetta.config.across_seeds import other_families, seed_pairs
from rosetta.correlation.steps import neighbors_step
from rosetta.emergence.columns import ACROSS_SEEDS_COLUMNS, SEED_FAMILY_COLUMNS
from rosetta.emergence.sharing import Shared, by_chance, family_counts, summary, unit_counts
from rosetta.emergence.steps import across_seeds_step, seed_matches_step
from rosetta.errors import ConfigError
from rosetta.matching.steps import intervals_step, matches_step, nulls_step
from rosetta.report.across_seeds_figure import draw_across_seeds
from rosetta.report.across_seeds_section import across_seeds_section, shared_sentences
from rosetta.run.paths import Paths
from rosetta.storage.digests import digested
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import read_csv, read_parquet

N_TRAININGS, N_LAYERS, D_MLP, N_IMAGES, GRID = 4, 2, 12, 60, (4, 5)
SEEDS = list(range(10))
# By the number of a unit through both layers: the trainings of `v-s` that share its signal, and
# whether the other family has it. Unit 3 has partners in two of the three other trainings.
SHARED = {
    0: ((0, 1, 2, 3), True),
    1: ((0, 1, 2, 3), True),
    13: ((0, 1, 2, 3), True),
    3: ((0, 1, 2), True),
    4: ((0, 1), False),
    14: ((2, 3), False),
}


def signals(seed, shared):
    """Activations of a training: planted units have their signal, all others noise of its own."""
    cells = (N_IMAGES, GRID[0] * GRID[1])
    values = np.random.default_rng([99, seed]).normal(size=(N_LAYERS * D_MLP, *cells))
    for unit in shared:
        signal = np.random.default_rng([7, unit]).normal(size=cells)
        values[unit] = signal + 0.4 * values[unit]
    by_layer = values.reshape(N_LAYERS, D_MLP, *cells)
    return np.moveaxis(by_layer, 1, -1).astype(np.float32)


def content(results):
    family = {"architecture": "vit", "image": {"image_size": 20, "patch_size": 4}}
    size = {"n_layers": N_LAYERS, "d_model": 16, "d_mlp": D_MLP, "n_heads": 2}
    sizes = {"s": {**size, "replicates": N_TRAININGS}, "t": size}
    return {
        "results": str(results),
        "images": {"source": {"kind": "procedural", "n_images": 600}, "size": 16},
        "zoo": {
            "families": {name: {**family, "seed": seed} for seed, name in enumerate("vw")},
            "sizes": sizes,
        },
        "models": {
            "v-s": {"zoo": {"family": "v", "size": "s"}},
            "w-s": {"zoo": {"family": "w", "size": "t"}},
        },
        "ladders": {"vw": [["w-s", "v-s"]]},  # so that the model is the second of its pair
        "across_seeds": {"models": ["v-s"]},
        "activations": {"n_shards": 1},
        "controls": {"permutation_seeds": [], "document_seeds": SEEDS, "untrained_seeds": []},
        "intervals": {"n_blocks": 4},
        "correlation": {"max_k": 1, "precision": "float32"},
    }


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    results = tmp_path_factory.mktemp("seeds") / "results"
    config, paths = parse_config(content(results)), Paths(results)
    for number, name in enumerate(config.replicates("v-s")):
        mine = [unit for unit, (trainings, _) in SHARED.items() if number in trainings]
        save_image_stores(paths.stores(name, 1), signals(number, mine), GRID)
    theirs = [unit for unit, (_, elsewhere) in SHARED.items() if elsewhere]
    save_image_stores(paths.stores("w-s", 1), signals(100, theirs), GRID)
    for name in ("v-s", "w-s"):
        manifest = {"kind": "model", "n_layers": N_LAYERS, "d_mlp": D_MLP}
        write_manifest(paths.model_manifest(name), manifest)
    for pair in map(group_name, config.all_pairs()):
        neighbors_step(config, paths, pair, 0)
        for control in config.controls_of(pair):
            nulls_step(config, paths, control, pair)
        if config.is_resampled(pair):
            intervals_step(config, paths, pair, 1)
        matches_step(config, paths, pair)
    seed_matches_step(config, paths, "v-s")
    across_seeds_step(config, paths)
    return config, paths


def table(run, name):
    return read_csv(run[1].table(name), [])


def test_every_pair_of_trainings_is_matched_once_and_once_per_seed(run):
    config, paths = run
    assert len(seed_pairs(config, "v-s")) == 6
    found = read_parquet(paths.seed_matches("v-s"))
    pairs = set(map(tuple, found[["training_a", "training_b"]].to_numpy()))
    assert pairs == set(seed_pairs(config, "v-s"))
    assert set(found["seed"]) == {-1, *SEEDS}


def test_neurons_have_partners_where_they_were_planted(run):
    rows = table(run, "across_seeds_neurons").set_index(["training", "layer", "unit"])
    assert len(rows) == N_TRAININGS * N_LAYERS * D_MLP
    names = run[0].replicates("v-s")
    for unit, (trainings, _) in SHARED.items():
        for number in trainings:
            row = rows.loc[(names[number], *divmod(unit, D_MLP))]
            assert row["n_partners"] == len(trainings) - 1
            assert row["share"] == pytest.approx((len(trainings) - 1) / 3)
            low, high = stats.binomtest(len(trainings) - 1, 3).proportion_ci(method="wilson")
            assert (row["share_ci_low"], row["share_ci_high"]) == pytest.approx((low, high))
    # By the quantile, one in twenty matches of noise exceeds the threshold.
    planted = sum(len(trainings) for trainings, _ in SHARED.values())
    assert planted <= (rows["n_partners"] > 0).sum() <= planted + 8


def test_what_trainings_share_is_told_beside_chance_and_the_other_family(run):
    row = table(run, "across_seeds").iloc[0]
    assert list(row.index) == ACROSS_SEEDS_COLUMNS
    assert row["in_all"] == pytest.approx(3 / (N_LAYERS * D_MLP))
    assert row["in_all_by_chance"] < 0.1 * row["in_all"]
    assert row["dispersion_ci_low"] > 1
    assert row["matches_exchanged"] < 0.2 * row["matches"]
    assert row["in_all_exchanged"] == row["n_dead"] == 0
    units = table(run, "across_seeds_units")
    assert units["neurons"].sum() == pytest.approx(N_LAYERS * D_MLP)
    assert units["by_chance"].sum() == pytest.approx(N_LAYERS * D_MLP)
    families = table(run, "across_seeds_families").set_index("n_partners")
    assert families["elsewhere"][3] == 1
    assert families["elsewhere"][0] < 0.1
    assert families["rank_correlation_ci_low"][0] > 0.3
    assert other_families(run[0], "v-s") == {"w-s": "vw"}


def test_the_figure_and_the_words_tell_it(run):
    config, paths = run
    figure = draw_across_seeds(paths)
    assert [len(axes.patches) for axes in figure.axes] == [N_TRAININGS, 0]
    path = paths.figure("across_seeds", "png")
    path.parent.mkdir(parents=True, exist_ok=True)
    with digested(path) as temporary:
        figure.savefig(temporary, format="png", dpi=40)
    said = across_seeds_section(config, paths)
    assert "being shared is a property of a neuron" in said["told"]
    assert "Being shared by more trainings correlates with being shared by w-s" in said["told"]
    none = parse_config({**content(paths.root), "across_seeds": {"models": []}})
    assert across_seeds_section(none, paths) is None


def test_words_claim_nothing_that_intervals_do_not_show():
    row = dict.fromkeys(ACROSS_SEEDS_COLUMNS, 0.5)
    row |= {"model": "m", "n_trainings": 2, "reason": "its exchanged samples are few"}
    row |= {"dispersion": 1.4, "dispersion_ci_low": 1.2, "dispersion_ci_high": 1.6}
    row |= {"dispersion_exchanged": 1.3}  # hubs make as much
    family = dict.fromkeys(SEED_FAMILY_COLUMNS, 0.1) | {"other": "o"}
    family |= {"rank_correlation_ci_low": np.nan, "rank_correlation_ci_high": np.nan}
    said = shared_sentences(pd.Series(row), pd.DataFrame([family]))
    assert "does not tell whether being shared is a property" in said
    assert "is not shown to go with it" in said
    assert said.endswith("Here its exchanged samples are few.")


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_chance_is_a_sum_of_independent_draws(rates):
    found = by_chance(np.array(rates))
    outcomes = np.zeros(len(rates) + 1)
    for drawn in np.ndindex(*[2] * len(rates)):
        p = np.prod([r if hit else 1 - r for r, hit in zip(rates, drawn, strict=True)])
        outcomes[sum(drawn)] += p
    np.testing.assert_allclose(found, outcomes, atol=1e-12)


@given(st.integers(2, 5), st.integers(1, 30), st.floats(0, 1), st.integers(0, 2**32 - 1))
def test_tables_are_what_counting_gives(n, n_neurons, rate, seed):
    rng = np.random.default_rng(seed)
    own = rng.random((n, n, n_neurons)) < rate
    own[np.arange(n), np.arange(n)] = False
    there = rng.random((n, 3, n_neurons)) < rate
    alive = rng.random((n, n_neurons)) < 0.9
    for i, living in enumerate(alive):
        own[i][:, ~living] = False
        there[i][:, ~living] = False
    shared = Shared(own, alive, {"o": there})
    if not alive.any(axis=1).all():
        return
    told, counted, families = summary(shared), unit_counts(shared), family_counts(shared)
    units = [np.flatnonzero(living) for living in alive]
    partners = [{u: sum(own[i, :, u]) for u in units[i]} for i in range(n)]
    shares = pd.Series([np.mean(list(one.values())) / (n - 1) for one in partners])
    mean, half = mean_interval(shares)
    assert told["share"] == pytest.approx(mean)
    assert told["share_ci_high"] == pytest.approx(min(mean + half, 1))
    for k in range(n):
        counts = [sum(p == k for p in one.values()) for one in partners]
        assert counted.loc[k, "neurons"] == pytest.approx(np.mean(counts))
        means = [
            np.mean([there[i, :, u].mean() for u in units[i] if partners[i][u] == k])
            for i in range(n)
            if counts[i]
        ]
        found = families.loc[k, "elsewhere"]
        assert found == pytest.approx(np.mean(means)) if means else np.isnan(found)
    assert counted["by_chance"].sum() == pytest.approx(alive.sum() / n)


def test_matches_at_random_have_dispersion_1():
    rng, n, n_neurons = np.random.default_rng(0), 5, 20_000
    own = rng.random((n, n, n_neurons)) < 0.3
    own[np.arange(n), np.arange(n)] = False
    alive = rng.random((n, n_neurons)) < 0.8
    own &= alive[:, None]
    assert summary(Shared(own, alive, {}))["dispersion"] == pytest.approx(1, abs=0.03)


def test_only_named_models_are_compared(run):
    config, paths = run
    with pytest.raises(ConfigError, match=r"--model: w-s is not among across_seeds.models"):
        seed_matches_step(config, paths, "w-s")

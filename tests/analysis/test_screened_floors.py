"""Counts above a null model from matches that were screened for, and from all of them."""

import numpy as np
import pytest
from screened_sides import planted_pair
from small_configs import changed

from rosetta.analysis.counts import training_table
from rosetta.analysis.replicates import (
    counted_thresholds,
    null_floor,
    read_all_nulls,
    screened_floors,
)
from rosetta.config import Correlation, Dask, Screening, parse_config, twin_name
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.steps import correlate_step, neighbors_step
from rosetta.errors import ConfigError
from rosetta.matching.steps import match_step, nulls_step
from rosetta.run.paths import Paths
from rosetta.run.stages import STAGES, files, made_by
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import read_parquet, read_parquet_metadata

SEEDS, N = [0, 1, 2], 200
PAIR = "f-s--g-s"


def configured(method, *, controls=None, **screening):
    return parse_config(
        changed(
            activations={"sequence_length": 64, "n_shards": 2},
            correlation={
                "method": method,
                "max_k": 1,
                "precision": "float32",
                "screening": {"sketch_rows": 1024, **screening},
            },
            matching={"k": 1},
            controls=controls
            or {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": SEEDS},
            sweeps={"k": [1]},
        )
    )


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """Models of which 60 of 200 neurons have a partner, and twins that share weak features."""
    paths, models = Paths(tmp_path_factory.mktemp("run")), ("f-s", "g-s")

    def planted(seed, names, **options):
        places = [str(paths.stores(name, 2).relative_to(paths.root)) for name in names]
        planted_pair(paths.root, seed, n=N, names=places, **options)

    planted(2, models, n_shared=60)
    for seed in SEEDS:
        planted(10 + seed, [twin_name(model, seed) for model in models], noise=(2.0, 4.0))
    for model in models:
        write_manifest(paths.model_manifest(model), {"kind": "model", "n_layers": 1, "d_mlp": N})
    nulls_step(configured("exact"), paths, "untrained", PAIR)
    return paths


def counted(config, paths):
    """Match the pair as a run does; return its counts, the thresholds and all r."""
    neighbors_step(config, paths, PAIR, 0)
    match_step(files.neighbors(config, paths, {"pair": PAIR}), paths.matches(PAIR), 1)
    limits = counted_thresholds(config, paths, read_all_nulls(config, paths))
    (row,) = training_table(config, paths, limits).to_dict("records")
    return row, limits["fg"], read_parquet(paths.matches(PAIR), ["r"])["r"].to_numpy()


@pytest.fixture(scope="module")
def exact(paths):
    return counted(configured("exact"), paths)


def test_screened_counts_above_a_null_are_the_exact_ones(paths, exact):
    row, limits, r = exact
    assert 40 < row["above_untrained"] < row["matches"] - 10
    config = configured("screened", min_r="auto")
    found, screened_limits, kept = counted(config, paths)
    facts = read_parquet_metadata(paths.matches(PAIR))
    floor = facts["min_r"]
    assert 0.1 < floor <= limits["above_untrained"] == screened_limits["above_untrained"]
    assert floor == null_floor(config, paths, PAIR) == screened_floors(config, paths)["fg"]
    assert found["above_untrained"] == row["above_untrained"]
    assert found["matches"] == (r > floor).sum() < row["matches"]
    np.testing.assert_allclose(np.sort(kept), np.sort(r[r >= floor]), atol=1e-5)
    lists, read = read_lists(files.neighbors(config, paths, {"pair": PAIR}))
    assert read.method == "screened", "no exact fallback"
    assert lists.a.r[~np.isnan(lists.a.r)].min() >= floor


def test_a_floor_above_a_null_counts_nothing_above_it(paths, exact):
    row, limits, r = exact
    high = float(limits["above_untrained"]) + 0.05
    found, screened_limits, _ = counted(configured("screened", min_r=high), paths)
    assert np.isnan(screened_limits["above_untrained"])
    assert np.isnan(found["above_untrained"])
    assert found["matches"] == (r > high).sum()
    assert found["matches_above_0.6"] == row["matches_above_0.6"]


def test_the_floor_is_the_lowest_threshold_of_the_ladders_of_a_pair(paths):
    config = configured("screened", min_r="auto")
    null = read_all_nulls(config, paths)["fg"]["above_untrained"]
    drawn = null.redrawn(0.99, config.intervals.n_blocks - 1, "above_untrained")
    assert null_floor(config, paths, PAIR) == min(null.threshold(0.99), *drawn)


def test_null_models_are_matched_before_what_is_screened_for_is_known(paths):
    auto, given = configured("screened", min_r="auto"), configured("screened", min_r=0.3)
    read = [STAGES["correlate"].inputs(one, paths, {"pair": PAIR}) for one in (auto, given)]
    assert set(read[0]) - set(read[1]) == {paths.null_matches("untrained", PAIR)}
    assert not auto.small_pairs, "a job of one pair would wait for that of another"
    assert made_by(auto, "correlate", PAIR)["floor"] == {"null_quantile": 0.99, "n_blocks": 20}
    assert "floor" not in made_by(given, "correlate", PAIR)


def test_auto_needs_null_models(paths):
    with pytest.raises(ConfigError, match=r"min_r: auto is what a null model reaches"):
        configured("screened", min_r="auto", controls={"document_seeds": [], "untrained_seeds": []})
    settings = Correlation(method="screened", screening=Screening(min_r="auto"))
    folders = [paths.stores(model, 2) for model in ("f-s", "g-s")]
    with pytest.raises(ConfigError, match=r"Give a number"):
        correlate_step(CorrelationRequest(*folders, "mean", settings, Dask()), paths.root / "x")

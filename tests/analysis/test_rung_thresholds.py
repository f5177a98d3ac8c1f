"""A group in two ladders, with a threshold each: what is told of a rung is of the neurons that its
count counts.
"""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.columns import CONTEXT_COLUMNS
from rosetta.analysis.counts import count_table
from rosetta.analysis.depth import depth_table
from rosetta.analysis.groups import polarization_tables, selectivity_table, specialization_tables
from rosetta.analysis.populations import load_populations, rungs_of
from rosetta.analysis.replicates import ladder_thresholds, read_all_nulls, replicate_table
from rosetta.config import parse_config
from rosetta.correlation.neighbor_tables import LEFT_OUT
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import write_parquet

N_UNITS, N_MATCHES = 40, 30
NULL_R = {"a--b": 0.2, "a--c": 0.5}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The pair a--b alone in the ladder `low`, and in `high` with a pair whose null matches have a
    higher r.
    """
    ladders = {"low": [["a", "b"]], "high": [["a", "b"], ["a", "c"]]}
    seeds = {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": [0, 1]}
    config = parse_config(
        {"models": {m: {"path": m} for m in "abc"}, "ladders": ladders, "controls": seeds}
    )
    paths, rng = Paths(tmp_path_factory.mktemp("run")), np.random.default_rng(0)
    for model in "abc":
        place = {"layer": 0, "unit": np.arange(N_UNITS)}
        write_manifest(
            paths.model_manifest(model), {"kind": "model", "n_layers": 1, "d_mlp": N_UNITS}
        )
        statistics = ("mean", "variance", "skewness", "kurtosis")
        measured = {f"activation_{name}": rng.random(N_UNITS) for name in statistics}
        table = pd.DataFrame(
            {**place, **measured, "fraction_active": 0.5, "domain_information": 0.1}
        )
        table["domain_firing"] = [[0.5]] * N_UNITS
        write_parquet(paths.neurons(model), table, {"domains": ["d"], "domain_tokens": [100]})
        write_parquet(
            paths.vocabulary(model), pd.DataFrame({**place, "excess_kurtosis": rng.random(N_UNITS)})
        )
        contexts = pd.DataFrame(
            {**dict.fromkeys(CONTEXT_COLUMNS, 0), **place, "domain": "d", "value": 2.0}
        )
        write_parquet(paths.contexts(model), contexts)
    for pair, null_r in NULL_R.items():
        other = pair[-1]
        names = {
            "model_a": "a",
            "layer_a": 0,
            "model_b": other,
            "layer_b": 0,
            "rank_a": 1,
            "rank_b": 1,
        }
        unit = np.arange(N_MATCHES)
        matches = pd.DataFrame(
            {**names, "unit_a": unit, "unit_b": unit, "r": np.linspace(0.1, 0.9, N_MATCHES)}
        )
        matches = matches.assign(margin_a=0.0, margin_b=0.0)
        facts = {"n_positions": 9, "n_dead_a": 0, "n_dead_b": 0, **dict.fromkeys(LEFT_OUT, 0)}
        write_parquet(paths.matches(pair), matches[MATCH_COLUMNS], facts)
        rosetta = {
            "model_anchor": "a",
            "layer_anchor": 0,
            "unit_anchor": unit,
            "model": other,
            "layer": 0,
        }
        table = pd.DataFrame(
            {**dict.fromkeys(ROSETTA_COLUMNS, 0), **rosetta, "unit": unit, "r": matches["r"]}
        )
        write_parquet(paths.rosetta(pair), table[ROSETTA_COLUMNS])
        null = pd.concat(
            [matches.head(1).assign(r=null_r, unit_a=i, seed=i % 2) for i in range(200)]
        )
        write_parquet(paths.null_matches("untrained", pair), null)
        write_parquet(
            paths.replicates(pair),
            matches.assign(half_sample=0).head(0),
            {"interval": "none", "n_half_samples": 0},
        )
    return config, paths


def test_what_is_told_of_a_rung_is_of_the_neurons_that_it_counts(run):
    config, paths = run
    nulls = read_all_nulls(config, paths)
    limits = ladder_thresholds(nulls, config.controls.null_quantile)
    assert limits["low"]["above_untrained"] + 0.2 < limits["high"]["above_untrained"]
    counts = count_table(config, paths, limits, replicate_table(config, paths, nulls))
    counts = counts.set_index(["ladder", "rung"])["above_untrained"].to_dict()
    assert counts["low", 0] > counts["high", 0] > 0
    populations = load_populations(config, paths)
    rungs = list(rungs_of(config, populations))
    pooled, _ = polarization_tables(rungs, config)
    pooled = pooled[
        (pooled["group"] == "rosetta_above_untrained") & (pooled["statistic"] == "excess_kurtosis")
    ]
    _, special = specialization_tables(populations.values(), rungs, config)
    special = special[special["group"] == "rosetta_above_untrained"]
    depth = depth_table(rungs, config.bootstrap).query("statistic == 'above_untrained'")
    for table, per_match in (
        (pooled, 2),
        (special, 2),
        (depth.drop_duplicates(["ladder", "rung"]), 1),
    ):
        told = table.set_index(["ladder", "rung"])["n"].to_dict()
        assert told == {place: per_match * count for place, count in counts.items()}
    of_b = selectivity_table(populations.values()).query("model == 'b'")["above_untrained"].sum()
    assert of_b == counts["high", 0], (
        "what is told of a model takes the highest threshold of the group's ladders"
    )

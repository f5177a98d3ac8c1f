"""What a finished run of the tiny preset has written."""

import html
import json
import os
import re

import pandas as pd
import pytest
import yaml
from pooled_reference import reference
from transformers import AutoModelForCausalLM
from workflow_runs import TINY, read_matches, run_of

from rosetta.activations.folders import open_stores
from rosetta.config import load_config
from rosetta.run.stages import job_names

MATCH_COLUMNS = [  # part of the contract, so written out
    "model_a",
    "layer_a",
    "unit_a",
    "model_b",
    "layer_b",
    "unit_b",
    "r",
    "rank_a",
    "rank_b",
    "margin_a",
    "margin_b",
    "r_ci_low",
    "r_ci_high",
    "p_permutation",
    "p_documents",
    "p_untrained",
]


def test_the_contract(finished):
    results = finished / "results"
    config = yaml.safe_load((results / "run_config.yaml").read_text())
    assert config["matching"]["k"] == 1
    counts = pd.read_csv(results / "tables" / "counts.csv")
    assert counts.columns.tolist()[:11] == [
        "ladder",
        "rung",
        "models",
        "n_neurons",
        "n_positions",
        "matches",
        "n_dead_a",
        "n_dead_b",
        "mean_r",
        "above_documents",
        "above_untrained",
    ]
    assert counts["ladder"].tolist() == ["pythia-opt", "pythia-opt", "pythia-opt-qwen"]
    assert counts["n_neurons"].tolist() == [32, 96, 32]
    scaling = pd.read_csv(results / "tables" / "scaling.csv")
    assert scaling.columns.tolist() == [
        "ladder",
        "statistic",
        "alpha",
        "alpha_ci_low",
        "alpha_ci_high",
        "alpha_resampled_low",
        "alpha_resampled_high",
        "half_sample_bias",
        "alpha_extrapolated",
        "alpha_extrapolated_low",
        "alpha_extrapolated_high",
        "c",
        "dispersion",
        "alpha_ols",
        "r2",
        "n_rungs",
        "df",
        "sigma_training",
        "sigma_rung",
        "sigma_residual",
        "n_groups",
        "n_trainings",
        "few_matches",
        "reason",
    ]
    assert scaling["statistic"].tolist() == ["plain", "above_documents", "above_untrained"] * 2
    check_controls(results / "tables", counts)
    for row in counts.itertuples():
        rosetta = pd.read_parquet(results / "rosetta" / f"{row.models}.parquet")
        assert len(rosetta.drop_duplicates(["layer_anchor", "unit_anchor"])) == row.matches > 0
    theory = {
        "simulation": [
            "beta",
            "neurons",
            "n",
            "run",
            "matches",
            "true_matches",
            "matches_above_null",
            "isolation_rosetta",
            "isolation_rest",
            "alpha_from_r",
        ],
        "exponents": ["beta", "neurons", "quantity", "predicted", "fitted", "ci_low", "ci_high"],
        "ngrams": [
            "order",
            "n_features",
            "beta",
            "ci_low",
            "ci_high",
            "standard_error",
            "range_error",
        ],
        "beta": ["ladder", "route", "beta", "ci_low", "ci_high", "n"],
    }
    for name, columns in theory.items():
        assert pd.read_csv(results / "tables" / f"theory_{name}.csv").columns.tolist() == columns
    compared = pd.read_csv(results / "tables" / "theory_vs_measured.csv")
    assert set(compared["ladder"]) == {"pythia-opt", "pythia-opt-qwen"}
    assert set(compared["route"]) <= {"ngrams", "loss"}
    by_quantity = compared.groupby("quantity")["statistic"].agg(set)
    assert by_quantity["matches"] == {"plain", "above_documents", "above_untrained"}
    assert "excess_kurtosis" in by_quantity["isolation_rosetta"] & by_quantity["isolation_rest"]
    predicted = pd.read_csv(results / "tables" / "theory_predictions.csv")
    assert {"count", "fraction", "isolation_gain", "selectivity of rosetta"} <= set(
        predicted["quantity"]
    )
    compared = pd.read_csv(results / "tables" / "instruments.csv")
    assert set(compared["instrument"]) == set(TINY["matching"]["instruments"])
    laws = pd.read_csv(results / "tables" / "instrument_scaling.csv")
    assert set(laws["ladder"]) == set(TINY["ladders"])
    similarity = pd.read_csv(results / "tables" / "similarity.csv")
    assert similarity["calibrated"].between(0, 1).all()
    coded = pd.read_csv(results / "tables" / "sae.csv")
    assert coded["explained_variance"].between(0, 1).all()
    assert coded["n_features"].tolist() == (4 * coded["n_neurons"]).tolist()
    features = pd.read_csv(results / "tables" / "sae_features.csv")
    assert features["ladder"].tolist() == ["pythia-opt", "pythia-opt", "pythia-opt-qwen"]
    assert (features["above_documents"] <= features["matches"]).all()
    matches = pd.read_parquet(results / "matches" / "pythia-m--opt-m.parquet")
    assert matches.columns.tolist() == MATCH_COLUMNS
    assert matches["r"].between(-1, 1).all()
    assert matches[["p_permutation", "p_documents", "p_untrained"]].gt(0).all(axis=None)
    assert (matches["r_ci_low"] < matches["r"]).all()
    assert (matches["r"] < matches["r_ci_high"]).all()
    assert (matches[["margin_a", "margin_b"]] >= 0).all(axis=None)
    for suffix in ("png", "pdf"):
        assert (results / "figures" / f"scaling.{suffix}").stat().st_size > 5000
    model = AutoModelForCausalLM.from_pretrained(results / "models" / "qwen-s")
    assert model.config.model_type == "qwen2"


def check_controls(tables, counts):
    controls = pd.read_csv(tables / "controls.csv")
    assert controls.columns.tolist() == ["ladder", "rung", "control", "seed", "matches", "mean_r"]
    assert len(controls) == 3 * (1 + 2 + 2), "rungs × seeds of the controls"
    k_sweep = pd.read_csv(tables / "k_sweep.csv")
    assert k_sweep["k"].tolist() == [1] * 3 + [2] * 3 + [3] * 3
    assert k_sweep["matches"].tolist()[:3] == counts["matches"].tolist()
    assert (k_sweep.groupby(["ladder", "rung"])["matches"].diff().dropna() > 0).all()
    stability = pd.read_csv(tables / "stability.csv")
    assert set(stability["sweep"]) == {"budget", "split_half", "pooling"}
    for _, part in stability[stability["setting"] == "main"].groupby("sweep"):
        assert part["matches"].tolist() == counts["matches"].tolist()
    assert stability["jaccard"].dropna().between(0, 1).all()
    exclusions = pd.read_csv(tables / "exclusions.csv")
    assert exclusions["exclusions"].unique().tolist() == ["main", "first_position"]
    assert (
        exclusions.loc[exclusions["exclusions"] == "first_position", "n_first_position"] > 0
    ).all()


def test_the_contract_of_single_neurons(finished):
    results = finished / "results"
    columns = {
        "polarization": ["ladder", "rung", "group", "statistic", "mean", "ci_low", "ci_high", "n"],
        "specialization": ["model", "group", "domain", "normalized_fire", "ci_low", "ci_high"],
    }
    tables = {path.stem: pd.read_csv(path) for path in (results / "tables").glob("*.csv")}
    for name, expected in columns.items():
        assert tables[name].columns.tolist() == expected
    selectivity = tables["selectivity"]
    assert selectivity.columns.tolist()[:5] == [
        "model",
        "layer",
        "unit",
        "is_rosetta",
        "excess_kurtosis",
    ]
    assert selectivity.groupby("model").size().to_dict() == {
        "opt-m": 96,
        "opt-s": 32,
        "pythia-m": 96,
        "pythia-s": 32,
        "qwen-s": 32,
    }
    matched = pd.read_parquet(results / "rosetta" / "pythia-m--opt-m.parquet")
    assert selectivity.loc[selectivity["model"] == "opt-m", "is_rosetta"].sum() == len(matched)
    assert set(tables["specialization"]["domain"]) == {"arithmetic", "licence", "python"}
    shares = (
        tables["depth"]
        .query("n > 0")
        .groupby(["ladder", "rung", "model", "statistic"])["share"]
        .sum()
    )
    assert shares.xs("plain", level="statistic").tolist() == pytest.approx([1] * 7)
    assert shares.tolist() == pytest.approx([1] * len(shares))
    assert tables["layer_pairs"].query("model_a == 'pythia-m'")["matches"].sum() == len(matched)
    assert tables["findings"]["finding"].value_counts().to_dict() == dict.fromkeys(
        ("count sublinear", "share falling", "polarization", "specialization"), 2 * 3
    )
    report = (results / "report.html").read_text()
    assert all(sentence in html.unescape(report) for sentence in tables["findings"]["sentence"])
    for name in ("polarization", "statistics", "specialization", "depth", "layer_pairs"):
        for suffix in ("png", "pdf"):
            assert (results / "figures" / f"{name}.{suffix}").stat().st_size > 5000


def test_the_contract_of_filtering(finished):
    table = pd.read_csv(finished / "results" / "tables" / "filtering.csv")
    assert table.columns.tolist() == [
        "filter",
        "seed",
        "precision",
        "recall",
        "f1",
        "selected_tokens",
        "perplexity",
    ]
    assert table.set_index("filter").loc[["base", "rosetta"], "perplexity"].gt(1).all()
    folder = finished / "results" / "filtering" / "sums"
    counts = json.loads((folder / "corpus.json").read_text())["counts"]
    scores = pd.read_parquet(folder / "scores.parquet")
    assert (
        counts["selected"] + counts["not_selected"]
        == counts["pool"]
        == len(scores)
        == scores["id"].nunique()
    )


def test_every_job_has_a_log_and_a_benchmark(finished):
    """Under the names that the package knows them by."""
    results = finished / "results"
    logs, benchmarks = (
        {
            str(p.relative_to(results / kind).with_suffix(""))
            for p in (results / kind).rglob(f"*.{suffix}")
        }
        for kind, suffix in (("logs", "log"), ("benchmarks", "tsv"))
    )
    jobs = job_names(load_config(results / "run_config.yaml"))
    assert benchmarks == logs == {f"{rule}/{job}" for rule, names in jobs.items() for job in names}


def test_the_report_is_self_contained_and_escapes_text(finished):
    page = (finished / "results" / "report.html").read_text()
    assert not re.search(r"""src=["'](?!data:)""", page)
    links = re.findall(r"""href=["']([^"']*)""", page)
    beside = {link.partition("#")[0] for link in links} - {""}
    assert "viewer.html" in beside
    for link in beside:
        assert (finished / "results" / link).is_file(), link
    for word in (
        "pythia-m--opt-m",
        "held-out bits per byte",
        "held-out bits per byte as captured",
        "torch 2.13.0",
        "activations",
        "data:image/webp",
        "vocab_size",
    ):
        assert word in page
    assert "<script" not in page


def test_the_matches_are_what_numpy_finds(finished):
    """The end of the pipeline against its stores, by the definition."""
    stores = [
        open_stores(finished / "results" / "activations" / model / "2-shards")
        for model in ("pythia-m", "opt-m")
    ]
    r = reference(*stores, "mean")
    best_b, best_a = r.argmax(axis=1), r.argmax(axis=0)
    expected = {(u, v) for u, v in enumerate(best_b) if best_a[v] == u and r[u, v] > -1}
    table = pd.read_parquet(finished / "results" / "matches" / "pythia-m--opt-m.parquet")
    found = set(
        zip(table.layer_a * 48 + table.unit_a, table.layer_b * 48 + table.unit_b, strict=True)
    )
    assert found == expected
    errors = [
        abs(row.r - r[row.layer_a * 48 + row.unit_a, row.layer_b * 48 + row.unit_b])
        for row in table.itertuples()
    ]
    assert max(errors) < 1e-5


def test_steps_run_by_hand(finished, tmp_path):
    stores = finished / "results" / "activations"
    run_of(
        tmp_path,
        "match",
        "--a",
        stores / "pythia-m/2-shards",
        "--b",
        stores / "opt-m/2-shards",
        "--out",
        tmp_path / "m.parquet",
        "--precision",
        "float32",
    )
    found, expected = (
        pd.read_parquet(tmp_path / "m.parquet"),
        read_matches(finished)["pythia-m--opt-m.parquet"],
    )
    noted = [
        "r_ci_low",
        "r_ci_high",
        "p_permutation",
        "p_documents",
        "p_untrained",
    ]  # of the run's intervals and null models
    assert found[noted].isna().all(axis=None)
    pd.testing.assert_frame_equal(found.drop(columns=noted), expected.drop(columns=noted))
    assert set(os.listdir(tmp_path)) == {"m.parquet", ".m.parquet.digest"}
    assert "pythia-opt" in run_of(tmp_path, "fit", finished / "results/tables/counts.csv").out
    plan = run_of(finished, "plan", "--configfile", "run.yaml").out
    assert "per model, from results/corpus" in plan
    help_page = run_of(tmp_path, "--help").out
    for step in (
        "corpus",
        "train",
        "activations",
        "correlate",
        "match",
        "anchors",
        "fit",
        "plan",
        "report",
    ):
        assert step in help_page

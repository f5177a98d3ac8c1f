"""The steps of autoencoders on two families that mix the same planted features in ways of their
own: features match across models, and neurons do not.
"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from helpers import save_image_stores, save_stores
from planted_features import (
    N_DOCUMENTS,
    best_cosines,
    byte_ranges,
    directions,
    save_mixture,
    sparse_features,
)

from rosetta.activations.folders import open_stores
from rosetta.analysis.bootstrap import mean_estimate
from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS, VOCABULARY_COLUMNS
from rosetta.config import Bootstrap, parse_config
from rosetta.correlation.steps import neighbors_step
from rosetta.errors import ConfigError, ModelError, StoreError
from rosetta.matching.steps import anchors_step, intervals_step, matches_step, nulls_step
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.sae.columns import (
    SAE_COLUMNS,
    SAE_FEATURE_COLUMNS,
    SAE_FEATURE_SCALING_COLUMNS,
    SAE_MEASURES,
    SAE_NEURON_COLUMNS,
    SAE_POLARIZATION_COLUMNS,
    SAE_TREND_COLUMNS,
)
from rosetta.sae.models import read_autoencoders
from rosetta.sae.steps import sae_encode_step, sae_match_step, sae_step, sae_tables_step
from rosetta.sae.tables import weighted
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_csv, read_parquet, write_parquet

K = 2
SIZES = {"1": (40, 24), "2": (80, 48)}  # planted features, and neurons that mix them
RUNGS = [[f"a{number}", f"b{number}"] for number in SIZES]
MODELS = [name for rung in RUNGS for name in rung]
SAE = {
    "width": 2,
    "k": K,
    "steps": 400,
    "batch_size": 256,
    "learning_rate": 0.01,
    "dead_after": 50,
    "heldout_one_in": 3,
}


def content(root, **sections):
    return {
        "results": str(root),
        "models": {name: {"path": name} for name in MODELS},
        "ladders": {"ab": RUNGS},
        "activations": {"n_shards": 2, "dtype": "float32"},
        "correlation": {"max_k": 1, "precision": "float32"},
        "controls": {
            "untrained_seeds": [],
            "permutation_seeds": [],
            "document_seeds": [0, 1, 2],
            "null_quantile": 0.8,
        },
        "intervals": {"n_blocks": 4},
        "bootstrap": {"n_resamples": 200, "min_clusters": 5},
        "sae": SAE,
        **sections,
    }


def write_profiles(paths, model, d_mlp):
    """Write what else is known of neurons: nothing that these tests ask."""
    units = pd.DataFrame({"layer": np.int32(0), "unit": np.arange(d_mlp, dtype=np.int32)})
    neurons = units.reindex(columns=NEURON_COLUMNS).fillna(1.0)
    neurons = neurons.assign(layer=np.int32(0), unit=units["unit"], domain_firing=[[1.0]] * d_mlp)
    facts = {"domains": ["d"], "domain_tokens": [100]}
    write_parquet(paths.neurons(model), neurons, facts)
    write_parquet(paths.vocabulary(model), units.reindex(columns=VOCABULARY_COLUMNS))
    contexts = pd.DataFrame(columns=CONTEXT_COLUMNS)
    write_parquet(paths.contexts(model), contexts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("run") / "results"
    rng, paths, config = np.random.default_rng(0), Paths(root), parse_config(content(root))
    mixings = {}
    for rung, (n_features, d) in zip(RUNGS, SIZES.values(), strict=True):
        planted = sparse_features(rng, N_DOCUMENTS * 100, n_features, K)
        for name in rung:
            mixings[name] = directions(rng, n_features, d)
            folder, made = paths.stores(name, 2), {"model": name}
            save_mixture(folder, planted, mixings[name], 0.01, rng, n_shards=2, made_by=made)
            facts = {"architecture": "gpt2", "n_neurons": d, **NeuronShape(1, d).facts}
            write_manifest(paths.model_manifest(name), {"kind": "model", "made_by": {}, **facts})
            write_profiles(paths, name, d)
    paths.split("match").parent.mkdir(parents=True)
    ids = {"id": np.arange(N_DOCUMENTS, dtype=np.uint64), "domain": "d"}
    source = [f"p/file-{number}.py#0" for number in range(N_DOCUMENTS)]
    write_parquet(paths.split("match"), pd.DataFrame(ids).assign(source=source))
    for model in MODELS:
        sae_step(config, paths, model)
        sae_encode_step(config, paths, model)
    for a, b in RUNGS:
        pair = f"{a}--{b}"
        sae_match_step(config, paths, pair, 1)
        neighbors_step(config, paths, pair, 0)
    return config, paths, mixings


def match_neurons(config, paths):
    """Match the neurons themselves, with nulls and intervals as a run has them."""
    for a, b in RUNGS:
        pair = f"{a}--{b}"
        nulls_step(config, paths, "documents", pair)
        intervals_step(config, paths, pair, 1)
        matches_step(config, paths, pair)
        anchors_step([paths.matches(pair)], paths.rosetta(pair))


def test_planted_features_are_found_in_every_model(run):
    _, paths, mixings = run
    for name in MODELS:
        (of,) = read_autoencoders(paths, name)
        cosines = best_cosines(mixings[name], of.decoder.numpy())
        assert cosines.mean() > 0.9, name
        assert (cosines > 0.9).mean() > 0.8, name
        holds = read_manifest(paths.autoencoder_manifest(name), "sae")["holds"]
        assert holds["explained_variance"] > 0.9
        assert holds["n_heldout"] == 2000
        assert holds["n_trained_on"] == 400 * 256


def test_features_are_stored_as_they_are_encoded(run):
    _, paths, _ = run
    (of,) = read_autoencoders(paths, "a1")
    for store, features in zip(
        open_stores(paths.stores("a1", 2)), open_stores(paths.features.stores("a1", 2)), strict=True
    ):
        x = store.activations(0, slice(0, 300), slice(None))
        z = features.activations(0, slice(0, 300), slice(None))
        np.testing.assert_array_equal(z, of.encode(x))
        assert features.n_positions == store.n_positions
        np.testing.assert_array_equal(features.read("document_ids"), store.read("document_ids"))


def test_features_match_across_models_and_neurons_do_not(run):
    config, paths, mixings = run
    match_neurons(config, paths)
    for (a, b), (n_features, _) in zip(RUNGS, SIZES.values(), strict=True):
        pair = f"{a}--{b}"
        of_features = read_parquet(paths.features.matches(pair))
        of_neurons = read_parquet(paths.matches(pair))
        alike = of_features[of_features["r"] > 0.9]
        assert len(alike) > 0.6 * n_features
        assert of_neurons["r"].max() < 0.9
        null = read_parquet(paths.features.null_matches("documents", pair))
        assert null["r"].max() < 0.5
        # Matched features stand for the same planted one.
        planted = [
            (mixings[name] @ read_autoencoders(paths, name)[0].decoder.numpy().T).argmax(axis=0)
            for name in (a, b)
        ]
        same = planted[0][alike["unit_a"]] == planted[1][alike["unit_b"]]
        assert same.mean() > 0.95
        assert alike["r_ci_low"].notna().all()


@pytest.fixture(scope="module")
def tables(run):
    config, paths, _ = run
    match_neurons(config, paths)
    sae_tables_step(config, paths)
    columns = {
        "sae": SAE_COLUMNS,
        "sae_neurons": ["model", *SAE_NEURON_COLUMNS],
        "sae_polarization": SAE_POLARIZATION_COLUMNS,
        "sae_polarization_by_model": ["model", "n_neurons"],
        "sae_trends": SAE_TREND_COLUMNS,
        "sae_features": SAE_FEATURE_COLUMNS,
        "sae_feature_scaling": SAE_FEATURE_SCALING_COLUMNS,
    }
    return {name: read_csv(paths.table(name), wanted) for name, wanted in columns.items()}


def test_matches_of_features_are_counted_above_exchanged_samples(run, tables):
    _, paths, _ = run
    counts = tables["sae_features"]
    assert counts["n_neurons"].tolist() == [24, 48]
    assert counts["n_features"].tolist() == [48, 96]
    for row, rung, (n_features, _) in zip(counts.itertuples(), RUNGS, SIZES.values(), strict=True):
        matches = read_parquet(paths.features.matches("--".join(rung)))
        assert row.matches == len(matches)
        assert row.above_documents == (matches["r"] > row.r_threshold).sum()
        assert 0.8 * n_features < row.above_documents < 1.2 * n_features
        assert row.above_documents_ci_low <= row.above_documents <= row.above_documents_ci_high
        live = [
            read_manifest(paths.autoencoder_manifest(name), "sae")["holds"]["n_live"]
            for name in rung
        ]
        assert row.n_live == np.mean(live)
    models = tables["sae"].set_index("model")
    assert (models["explained_variance_ci_low"] < models["explained_variance"]).all()
    assert (models["explained_variance"] < models["explained_variance_ci_high"]).all()
    samples = read_parquet(paths.autoencoder_samples("a1"))
    assert samples["cluster"].is_unique
    explained = 1 - samples["error"].sum() / samples["total"].sum()
    assert models.loc["a1", "explained_variance"] == pytest.approx(explained)
    assert models["dead_share"].tolist() == (1 - models["n_live"] / models["n_features"]).tolist()


def test_their_laws_are_against_neurons_and_live_features(tables):
    laws = tables["sae_feature_scaling"].set_index(["size", "statistic"])
    counts = tables["sae_features"]
    for size in ("n_neurons", "n_live"):
        slope, _ = np.polyfit(np.log(counts[size]), np.log(counts["above_documents"]), 1)
        assert laws.loc[(size, "above_documents"), "alpha_ols"] == pytest.approx(slope)
        assert laws.loc[(size, "above_documents"), "alpha"] == pytest.approx(slope, abs=1e-3)


def test_means_are_of_rosetta_neurons_and_of_the_others(run, tables):
    _, paths, _ = run
    neurons = tables["sae_neurons"]
    means = tables["sae_polarization"]
    rosetta = read_parquet(paths.rosetta("a2--b2"))
    mine = {("a2", unit) for unit in rosetta["unit_anchor"]}
    mine |= {(name, unit) for name, unit in zip(rosetta["model"], rosetta["unit"], strict=True)}
    keys = pd.Series(list(zip(neurons["model"], neurons["unit"], strict=True)))
    of_rung = neurons["model"].isin(["a2", "b2"])
    rows = means[means["rung"] == 1].set_index(["group", "statistic"])
    for measure in SAE_MEASURES:
        own = neurons[of_rung & keys.isin(mine)][measure].mean()
        others = neurons[of_rung & ~keys.isin(mine)][measure].mean()
        assert rows.loc[("rosetta", measure), "mean"] == pytest.approx(own)
        assert rows.loc[("non_rosetta", measure), "mean"] == pytest.approx(others)
        assert rows.loc[("difference", measure), "mean"] == pytest.approx(own - others)
        assert rows.loc[("difference", measure), "n_neurons"] == 48
    trends = tables["sae_trends"].set_index(["group", "statistic"])
    for measure in SAE_MEASURES:
        at = means[(means["group"] == "difference") & (means["statistic"] == measure)]["mean"]
        slope = trends.loc[("difference", measure), "slope"]
        assert slope == pytest.approx(at.iloc[1] - at.iloc[0])  # a doubling


def test_weighted_estimates_have_the_error_of_independent_ones():
    rng, settings = np.random.default_rng(0), Bootstrap(n_resamples=500)
    parts = [
        mean_estimate(rng.normal(loc=number, size=(200, 1)), settings, "part", number)
        for number in range(3)
    ]
    weights = np.array([-0.5, 0.25, 2.0])
    found = weighted(parts, weights)
    assert found.value[0] == pytest.approx(
        sum(w * p.value[0] for w, p in zip(weights, parts, strict=True))
    )
    expected = sum(w**2 * p.variance[0] for w, p in zip(weights, parts, strict=True))
    assert found.variance[0] == pytest.approx(expected)
    low, high = found.interval()
    assert low[0] < found.value[0] < high[0]
    spread = (high[0] - low[0]) / (2 * 1.96)
    assert spread == pytest.approx(np.sqrt(expected), rel=0.15)


def test_one_autoencoder_per_layer(run, tmp_path):
    _, source, _ = run
    paths = Paths(tmp_path / "results")
    values = [
        np.concatenate(
            [
                s.activations(0, slice(None), slice(None))
                for s in open_stores(source.stores(name, 2))
            ]
        )
        for name in ("a1", "b1")
    ]
    save_stores(paths.stores("a1", 2), np.stack(values), byte_ranges(), N_DOCUMENTS, n_shards=2)
    shutil.copytree(source.split("match").parent, paths.split("match").parent)
    settings = {**SAE, "per": "layer", "steps": 40}
    config = parse_config(content(paths.root, sae=settings))
    sae_step(config, paths, "a1")
    sae_encode_step(config, paths, "a1")
    found = read_autoencoders(paths, "a1")
    assert [of.d_in for of in found] == [24, 24]
    table = read_parquet(paths.autoencoder_neurons("a1"))
    assert table.groupby("layer").size().tolist() == [24, 24]
    features = open_stores(paths.features.stores("a1", 2))[1]
    assert (features.n_layers, features.d_mlp) == (2, 48)
    x = open_stores(paths.stores("a1", 2))[1]
    for layer, of in enumerate(found):
        expected = of.encode(x.activations(layer, slice(0, 50), slice(None)))
        got = features.activations(layer, slice(0, 50), slice(None))
        np.testing.assert_array_equal(got, expected)


def test_a_run_s_own_autoencoder_is_read_by_another(run, tmp_path):
    _, paths, _ = run
    other = Paths(tmp_path / "results")
    shutil.copytree(paths.stores("a1", 2), other.stores("a1", 2))
    shutil.copytree(paths.split("match").parent, other.split("match").parent)
    read = {**SAE, "path": {"a1": str(paths.autoencoders("a1") / "0")}}
    sae_step(parse_config(content(other.root, sae=read)), other, "a1")
    mine, theirs = (
        read_manifest(one.autoencoder_manifest("a1"), "sae")["holds"] for one in (other, paths)
    )
    assert (mine["origin"], theirs["origin"]) == ("loaded", "trained")
    for name in ("explained_variance", "n_live", "l0", "n_heldout"):
        assert mine[name] == theirs[name]
    assert mine["n_trained_on"] == 0
    pd.testing.assert_frame_equal(
        read_parquet(other.autoencoder_neurons("a1")), read_parquet(paths.autoencoder_neurons("a1"))
    )


def test_the_same_configuration_makes_the_same_files(run, tmp_path):
    config, paths, _ = run
    other = Paths(tmp_path / "results")
    shutil.copytree(paths.stores("a1", 2), other.stores("a1", 2))
    shutil.copytree(paths.split("match").parent, other.split("match").parent)
    sae_step(config, other, "a1")
    for name in ("cfg.json", "sae_weights.safetensors"):
        mine, theirs = (one.autoencoders("a1") / "0" / name for one in (other, paths))
        assert mine.read_bytes() == theirs.read_bytes()


def test_models_that_see_images_have_autoencoders_too(tmp_path):
    rng, paths = np.random.default_rng(0), Paths(tmp_path / "results")
    planted = sparse_features(rng, 1500 * 4, 40, K).reshape(1, 1500, 4, 40)
    for name in "xy":
        values = (planted @ directions(rng, 40, 24)).astype(np.float32)
        save_image_stores(paths.stores(name, 1), values, (2, 2), n_shards=1)
    size = {"n_layers": 1, "d_mlp": 24, "n_parameters": 9}
    entry = {"modality": "images", "dimensions": size}
    sections = {
        "images": {"source": {"kind": "procedural", "n_images": 1500}},
        "models": {name: {"path": name, **entry} for name in "xy"},
        "ladders": {"xy": [["x", "y"]]},
        "activations": {"n_shards": 1, "dtype": "float32"},
        "sae": SAE,
    }
    config = parse_config(content(paths.root, **sections))
    for name in "xy":
        sae_step(config, paths, name)
        sae_encode_step(config, paths, name)
    sae_match_step(config, paths, "x--y", 1)
    matches = read_parquet(paths.features.matches("x--y"))
    assert (matches["r"] > 0.9).sum() > 0.6 * 40


BAD = {
    "k": (
        {"k": 49},
        ConfigError,
        r"sae\.k: is 49, but an autoencoder of 24 neurons has 48 features",
    ),
    "path": (
        {"path": {"a1": "nowhere"}},
        ModelError,
        r"sae\.path\.a1: nowhere has neither cfg\.json of SAELens nor config\.json",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_told_before_the_training(run, tmp_path, case):
    _, paths, _ = run
    settings, kind, message = BAD[case]
    config = parse_config(content(paths.root, sae={**SAE, **settings}))
    with pytest.raises(kind, match=message):
        sae_step(config, paths, "a1")


def test_inputs_of_a_loaded_one_are_those_of_the_model(run):
    _, paths, _ = run
    path = {"a1": str(paths.autoencoders("a2") / "0")}
    config = parse_config(content(paths.root, sae={**SAE, "path": path}))
    with pytest.raises(ModelError, match="reads 48 inputs, but there are 24 neurons to read"):
        sae_step(config, paths, "a1")


def test_a_damaged_autoencoder_is_not_read(run, tmp_path):
    _, paths, _ = run
    other = Paths(tmp_path)
    shutil.copytree(paths.autoencoders("a1"), other.autoencoders("a1"))
    manifest = paths.autoencoder_manifest("a1")
    shutil.copy(manifest, other.autoencoder_manifest("a1"))
    path = other.autoencoders("a1") / "0" / "cfg.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "k": 99}))
    with pytest.raises(StoreError, match=r"cfg\.json"):
        read_autoencoders(other, "a1")


def test_without_the_section_nothing_is_done(run):
    _, paths, _ = run
    config = parse_config(content(paths.root, sae=None))
    with pytest.raises(ConfigError, match=r"sae: is null, so no autoencoder is asked for"):
        sae_step(config, paths, "a1")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sae": {**SAE, "path": {"c": "x"}}},
            r"sae\.path: 'c' is no model of a ladder; these are",
        ),
        (
            {"controls": {"document_seeds": []}},
            r"controls\.document_seeds: is empty, but matches of sae's features.*Give a seed",
        ),
    ],
)
def test_a_configuration_that_cannot_be_run_is_rejected(tmp_path, change, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(content(tmp_path, **change))

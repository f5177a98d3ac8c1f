"""Populations of models that see images: what is measured on the images of each rung, from tables
of known content.
"""

import numpy as np
import pandas as pd
import pytest

from rosetta.analysis.columns import IMAGE_NEURON_COLUMNS
from rosetta.analysis.depth import depth_table
from rosetta.analysis.groups import polarization_tables, specialization_tables
from rosetta.analysis.image_populations import IMAGE_MEASURES, load_image_rungs
from rosetta.config import parse_config
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet

LAYERS, UNITS, N_MATCHES, NULL_R = 2, 20, 16, 0.45
N = LAYERS * UNITS
LAYER, UNIT = np.divmod(np.arange(N), UNITS)
PAIRS = ("a--b", "g--a")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A ladder on drawn images, and one of a generator that shares the model a; c is beside b."""
    models = {name: {"path": name, "modality": "images"} for name in "abcg"}
    models["g"]["generator"] = True
    config = parse_config(
        {
            "models": models,
            "ladders": {"drawn": [["a", "b"]], "made": [["g", "a"]], "more": [["b", "c"]]},
            "controls": {"permutation_seeds": [], "document_seeds": [], "untrained_seeds": [0, 1]},
            "bootstrap": {"n_resamples": 200, "min_clusters": 4},
        }
    )
    paths = Paths(tmp_path_factory.mktemp("run"))
    numbers = {"a": {"a": 0, "a@g": 4}, "b": {"b": 1}, "c": {"c": 2}, "g": {"g": 3}}
    for model, stores in numbers.items():
        _write_model(paths, model, stores)
    for pair in (*PAIRS, "b--c"):
        _write_pair(paths, pair)
    return config, paths


def _write_model(paths, model, stores):
    """Write the tables of a model whose stores have numbers."""
    found = [_tables(store, number) for store, number in stores.items()]
    facts = {"domains": ["x", "y"], "domain_images": [30, 10], "chance_purity": 0.8}
    of_stores = {"stores": dict.fromkeys(stores, facts)}
    for name in found[0]:
        table = pd.concat([one[name] for one in found])
        write_parquet(getattr(paths, name)(model), table, of_stores)


def _tables(store, number):
    """Tables of stores whose numbers are known: of neuron i in store s, 100 s + i."""
    key = {"layer": LAYER, "unit": UNIT}
    measured = dict.fromkeys(IMAGE_NEURON_COLUMNS, 0.0) | {"domain_purity": 100.0 * number + UNIT}
    table = pd.DataFrame({**measured, **key, "activation_variance": (np.arange(N) < N - 1) * 1.0})
    table["domain_firing"] = [[0.5, 0.5]] * N
    # Of every neuron one top image of class x that it fires on, one of y, and one of y that it does
    # not fire on more than on average.
    tops = pd.DataFrame({name: np.repeat(of, 3) for name, of in key.items()})
    rows = {"rank": [1, 2, 3] * N, "image": 0, "image_id": 0, "domain": ["x", "y", "y"] * N}
    tops = tops.assign(**rows, score=[2.0, 1.0, -1.0] * N)
    tops["map"] = [np.zeros(4, np.float32)] * len(tops)
    scores = [
        pd.DataFrame({**key, "encoder": encoder, "monosemanticity": value, "mean_similarity": 0.0})
        for encoder, value in (("c", 0.1 + number), ("b", 0.2 + number), ("a", 0.3 + number))
    ]
    names = dict.fromkeys(("factor", "value", "factor_2", "value_2"), "")
    by_chance = {"explained_variance_chance": 0.0, "iou_chance": 0.0, "is_explained": True}
    explained = {"explained_variance": 0.5 + number, "iou": 0.25 + number}
    factors = pd.DataFrame({**key, **names, **explained, **by_chance})
    tables = {
        "neurons": table[IMAGE_NEURON_COLUMNS],
        "top_images": tops,
        "monosemanticity": pd.concat(scores),
        # In another order; nothing is known of what a generator makes.
        "factors": factors.iloc[::-1] if store in "abc" else factors.iloc[:0],
    }
    return {name: one.assign(stores=store) for name, one in tables.items()}


def _write_pair(paths, pair):
    anchor, other = pair.split("--")
    unit = np.arange(N_MATCHES)
    place = {"layer_a": 1, "unit_a": unit, "layer_b": 0, "unit_b": unit}
    r = np.linspace(0.1, 0.9, N_MATCHES)
    whole = {
        **dict.fromkeys(MATCH_COLUMNS, 1),
        "model_a": anchor,
        "model_b": other,
        **place,
        "r": r,
    }
    matches = pd.DataFrame(whole)[MATCH_COLUMNS]
    write_parquet(paths.matches(pair), matches)
    rosetta = {"model_anchor": anchor, "layer_anchor": 1, "unit_anchor": unit}
    rosetta |= {"model": other, "layer": 0, "unit": unit, "r": r}
    write_parquet(paths.rosetta(pair), pd.DataFrame(rosetta)[ROSETTA_COLUMNS])
    null = pd.concat([matches.head(1).assign(r=NULL_R, seed=i % 2, unit_a=i) for i in range(200)])
    write_parquet(paths.null_matches("untrained", pair), null)


def test_every_rung_has_what_its_models_do_on_its_images(run):
    rungs = {(rung.ladder, rung.number): rung for rung in load_image_rungs(*run)}
    assert list(rungs) == [("drawn", 0), ("made", 0), ("more", 0)]
    # By rung and place: number of the stores, and encoder: neither a nor b, and of g--a not a.
    expected = {
        ("drawn", 0): [(0, 0.1), (1, 0.1)],
        ("made", 0): [(3, 0.2), (4, 0.2)],
        ("more", 0): [(1, 0.3), (2, 0.3)],
    }
    for place, numbers in expected.items():
        for one, (store, score) in zip(rungs[place].populations, numbers, strict=True):
            table = one.neurons
            assert table.columns.tolist() == ["layer", "unit", *IMAGE_MEASURES]
            assert table["domain_purity"].tolist() == (100.0 * store + UNIT).tolist()
            np.testing.assert_allclose(table["monosemanticity"], score + store)
            if place == ("made", 0):
                assert table[["explained_variance", "iou"]].isna().all(axis=None)
            else:
                np.testing.assert_allclose(table["explained_variance"], 0.5 + store)
                np.testing.assert_allclose(table["iou"], 0.25 + store)
            assert one.dead.tolist() == [False] * (N - 1) + [True]
            assert one.categories == ["x", "y"]
            # Half of the activating images are of each class, of which x has three quarters.
            np.testing.assert_allclose(one.fire, np.tile([0.5 / 0.75, 0.5 / 0.25], (N, 1)))


def test_rosetta_neurons_are_those_of_the_rung(run):
    for rung in load_image_rungs(*run):
        for layer, one in zip((1, 0), rung.sample, strict=True):
            found = np.flatnonzero(one.rosetta)
            assert found.tolist() == (layer * UNITS + np.arange(N_MATCHES)).tolist()
            above = np.linspace(0.1, 0.9, N_MATCHES) > NULL_R
            assert one.above["above_untrained"][found].tolist() == above.tolist()
            assert list(one.population.clusters) == [rung.group]


def test_depth_specialization_and_means_take_them_as_those_of_text(run):
    config, paths = run
    rungs = load_image_rungs(config, paths)
    depth = depth_table(rungs, config.bootstrap)
    plain = depth[(depth["ladder"] == "made") & (depth["statistic"] == "plain")]
    shares = plain.set_index(["model", "bin"])["share"].to_dict()
    assert shares == {("g", 0): 0.0, ("g", 1): 1.0, ("a", 0): 1.0, ("a", 1): 0.0}
    _, special = specialization_tables([], rungs, config)
    fire = special[special["group"] == "rosetta"].groupby("domain")["normalized_fire"].unique()
    assert fire["x"] == pytest.approx(2 / 3)
    assert fire["y"] == pytest.approx(2)
    means, _ = polarization_tables(rungs, config)
    means = means[means["group"] == "rosetta"].set_index(["ladder", "statistic"])["mean"]
    assert means["drawn", "domain_purity"] == pytest.approx(50 + np.arange(N_MATCHES).mean())
    assert means["drawn", "explained_variance"] == pytest.approx(1.0)
    assert np.isnan(means["made", "explained_variance"])
    assert means["made", "monosemanticity"] == pytest.approx(3.7)

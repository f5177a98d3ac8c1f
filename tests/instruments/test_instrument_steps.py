"""The steps of instruments on planted models: half of the neurons of either are shared."""

from typing import get_args

import numpy as np
import pandas as pd
import pytest
from helpers import save_image_stores, save_stores
from scipy.stats import t

from rosetta.alignment.samples import deal
from rosetta.config import parse_config
from rosetta.config.matching import Instrument
from rosetta.correlation.resample import half_samples
from rosetta.errors import ConfigError
from rosetta.instruments.columns import (
    INSTRUMENT_COLUMNS,
    INSTRUMENT_SCALING_COLUMNS,
    SIMILARITY_COLUMNS,
)
from rosetta.instruments.laws import instrument_laws
from rosetta.instruments.measure import FOUND_COLUMNS
from rosetta.instruments.steps import instrument_tables_step, instruments_step
from rosetta.instruments.tables import null_limit, read_measured, rung_tables
from rosetta.models.neurons import NeuronShape
from rosetta.run.paths import Paths
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import read_csv, read_parquet, read_parquet_metadata, write_parquet

NAMES = list(get_args(Instrument))
N_FILES, PIECES, TOKENS = 30, 3, 12
WIDTHS = {"1": 8, "2": 16, "3": 32}
RUNGS = [[f"a{number}", f"b{number}"] for number in WIDTHS]


def content(root, **sections):
    models = {name: {"path": name} for rung in RUNGS for name in rung}
    models["again"] = {"path": "again", "replicate_of": "a1"}
    return {
        "results": str(root),
        "models": models,
        "ladders": {"ab": RUNGS},
        "activations": {"n_shards": 1},
        "correlation": {"max_k": 2, "precision": "float64"},
        "matching": {"instruments": NAMES},
        "instruments": {"n_permutations": 39, "null_quantile": 0.8},
        "controls": {"untrained_seeds": [], "permutation_seeds": []},
        **sections,
    }


def write_models(paths, widths):
    for name, width in widths.items():
        facts = {"architecture": "gpt2", "n_neurons": 2 * width, **NeuronShape(2, width).facts}
        write_manifest(paths.model_manifest(name), {"kind": "model", "made_by": {}, **facts})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Models of two layers. Of every layer, the first half of the neurons is shared."""
    root = tmp_path_factory.mktemp("run") / "results"
    rng, paths = np.random.default_rng(0), Paths(root)
    n_documents = N_FILES * PIECES
    file = rng.permutation(np.repeat(np.arange(N_FILES), PIECES))
    document = np.repeat(np.arange(n_documents), TOKENS)
    start = np.tile(np.arange(TOKENS), n_documents)
    ranges = [part.astype(np.int32) for part in (np.arange(len(start)), start, start + 1, document)]
    values = {}
    for number, width in WIDTHS.items():
        common = rng.normal(size=(2, len(start), width // 2))
        for name in (f"a{number}", f"b{number}", *(["again"] if number == "1" else [])):
            own = rng.normal(size=(2, len(start), width))
            own[..., : width // 2] = common + 0.6 * own[..., : width // 2]
            values[name] = own.astype(np.float32)
            folder = paths.stores(name, 1)
            made = {"model": name}
            save_stores(folder, values[name], ranges, n_documents, n_shards=1, made_by=made)
    write_models(paths, {name: part.shape[2] for name, part in values.items()})
    paths.split("match").parent.mkdir(parents=True)
    ids = {"id": np.arange(n_documents, dtype=np.uint64), "domain": "d"}
    source = [f"p/file-{f}.py#{i}" for i, f in enumerate(file)]
    write_parquet(paths.split("match"), pd.DataFrame(ids).assign(source=source))
    config = parse_config(content(root))
    for pair in ("a1--b1", "again--b1", "a2--b2", "a3--b3"):
        instruments_step(config, paths, pair)
    clusters = np.array([f"p/file-{f}.py" for f in file])
    return config, paths, values, clusters


def flat(values):
    return np.concatenate(list(np.float64(values)), axis=1)


def mutual(a, b):
    r = np.corrcoef(a.T, b.T)[: a.shape[1], a.shape[1] :]
    best = r.argmax(axis=1)
    return {(u, v): r[u, v] for u, v in enumerate(best) if r[:, v].argmax() == u}


def test_every_half_is_matched_as_by_plain_correlation(run):
    _, paths, values, clusters = run
    table = read_parquet(paths.instruments("a2--b2"))
    assert list(table.columns) == FOUND_COLUMNS
    part = deal(clusters, 4)
    for number, half in enumerate(half_samples(4)):
        kept = np.repeat(half[part], TOKENS)
        real = table[(table["instrument"] == "mutual_nearest") & ~table["null"]]
        found = real[real["half_sample"] == number]
        expected = mutual(flat(values["a2"])[kept], flat(values["b2"])[kept])
        u, v = (found[f"layer_{side}"] * 16 + found[f"unit_{side}"] for side in "ab")
        got = dict(zip(zip(u, v, strict=True), found["r"], strict=True))
        assert got.keys() == expected.keys()
        r = [got[key] for key in expected]
        np.testing.assert_allclose(r, list(expected.values()), atol=1e-5)


def test_facts_are_kept_beside_the_matches(run):
    _, paths, *_ = run
    known = read_parquet_metadata(paths.instruments("a2--b2"))
    assert known["n_positions"] == N_FILES * PIECES * TOKENS
    assert known["reasons"] == {}
    assert known["similarity"]["p"] == 1 / 40
    assert known["similarity"]["n_clusters"] == N_FILES
    assert all(0.98 < share <= 1.0001 for share in known["variance_shares"])
    of_cca = [told for told in known["halves"] if told["instrument"] == "cca"]
    assert [told["half_sample"] for told in of_cca] == [0, 1, 2, 3, 4, 5, 0, 1]
    assert min(told["svcca"] for told in of_cca if not told["null"]) > 0.3
    assert max(abs(told["svcca"]) for told in of_cca if told["null"]) < 0.1


def test_further_trainings_have_no_null_of_their_own(run):
    _, paths, *_ = run
    table = read_parquet(paths.instruments("again--b1"))
    assert not table["null"].any()
    assert set(table["instrument"]) == set(NAMES)
    assert "similarity" not in read_parquet_metadata(paths.instruments("again--b1"))


@pytest.fixture(scope="module")
def tables(run):
    config, paths, *_ = run
    instrument_tables_step(config, paths)
    columns = {
        "instruments": INSTRUMENT_COLUMNS,
        "instrument_scaling": INSTRUMENT_SCALING_COLUMNS,
        "similarity": SIMILARITY_COLUMNS,
    }
    return {name: read_csv(paths.table(name), wanted) for name, wanted in columns.items()}


def test_what_is_shared_is_counted_above_the_null(tables):
    counts = tables["instruments"]
    assert len(counts) == 3 * len(NAMES)
    assert counts["reason"].isna().all()
    for name in ("mutual_nearest", "absolute", "spearman", "hungarian", "cca"):
        rows = counts[counts["instrument"] == name]
        shared = np.array([8, 16, 32])
        # Every neuron has a partner in an assignment, and every direction one in CCA: of those by
        # chance, a fifth is above the quantile 0.8.
        by_chance = 0.2 * shared if name in ("hungarian", "cca") else 0
        np.testing.assert_allclose(rows["matches"], shared + by_chance, rtol=0.15, err_msg=name)
        assert (rows["matches_ci_low"] <= rows["matches"]).all()
        assert (rows["matches"] <= rows["matches_ci_high"]).all()
        assert (rows["mean_r"] > 0.5).all()
    assert set(counts["n_groups"][counts["rung"] == 0]) == {2}


def test_by_chance_follows_from_what_is_below_the_limit(run, tables):
    _, paths, *_ = run
    counts = tables["instruments"].set_index(["instrument", "rung"])
    shares = {name: [] for name in NAMES}
    for (name, rung), row in counts.iterrows():
        found = read_parquet(paths.instruments(row["models"]))
        mine = found[found["instrument"] == name]
        null, own = mine[mine["null"]], mine[~mine["null"].astype(bool)]
        share = (null["r"] > row["r_threshold"]).mean()
        below = (own["r"] <= row["r_threshold"]).sum() / own["half_sample"].nunique()
        assert row["by_chance"] == pytest.approx(below * share / (1 - share)), (name, rung)
        shares[name].append(share)
    assert np.mean(shares["hungarian"]) == pytest.approx(0.2, abs=0.05)


def test_intervals_hold_the_error_of_the_threshold(run, tables):
    """Thresholds of the two halves of the null differ, so counts of an instrument that pairs all
    neurons scatter more than above a fixed one.
    """
    config, paths, *_ = run
    measured = read_measured(config, paths)
    row = tables["instruments"].set_index(["instrument", "rung"]).loc["hungarian", 2]
    limit = null_limit(config, measured, "ab", "hungarian")
    assert len(limit.drawn) == 6
    middle = np.tanh(np.arctanh(limit.drawn).reshape(3, 2).mean(axis=1))
    np.testing.assert_allclose(middle, row["r_threshold"])
    found = read_parquet(paths.instruments(row["models"]))
    real = found[(found["instrument"] == "hungarian") & ~found["null"]]
    halves = [real["r"][real["half_sample"] == half] for half in range(6)]
    on_drawn = [(r > one).sum() for r, one in zip(halves, limit.drawn, strict=True)]
    assert row["matches"] == np.mean([(r > limit.whole).sum() for r in halves])
    half_width = t.ppf(0.975, 3) * np.std(on_drawn)
    assert half_width > 0
    assert row["matches_ci_high"] == pytest.approx(row["matches"] + half_width)


def test_a_null_whose_half_is_empty_leaves_a_count_without_an_interval(run, tables):
    config, paths, *_ = run
    measured = read_measured(config, paths)
    for one in measured.values():
        one.found.pop(("hungarian", True, 0), None)
    table = rung_tables(config, paths, measured).rungs.set_index(["instrument", "rung"])
    assert table.loc["hungarian", "matches"].notna().all()
    assert table.loc["hungarian", "matches_ci_low"].isna().all()
    assert table.loc["soft", "matches_ci_low"].notna().all()


def test_overlaps_without_a_threshold_are_not_known(run, tables):
    config, paths, *_ = run
    measured = read_measured(config, paths)
    for one in measured.values():
        for half in (0, 1):
            one.found.pop(("mutual_nearest", True, half), None)
    table = rung_tables(config, paths, measured).rungs
    assert table["jaccard"].isna().all()
    assert table["kept"].isna().all()
    assert table["matches"].notna().equals(table["instrument"] != "mutual_nearest")
    assert tables["instruments"]["jaccard"].notna().all()


def test_exponents_are_of_counts_beyond_chance():
    """Counts 4 · n plus chance, which grows with the square of n, have an exponent of 1."""
    sizes = np.array([50, 100, 200, 400])
    points = pd.DataFrame(
        {
            "instrument": "mutual_nearest",
            "ladder": "ab",
            "rung": range(4),
            "models": [f"a{n}--b{n}" for n in sizes],
            "families": "a--b",
            "modality": "text",
            "n_neurons": sizes.astype(float),
            "matches": 4.0 * sizes + sizes**2,
            "by_chance": sizes**2.0,
        }
    )
    rows = [
        {**place, "statistic": "plain", "half_sample": half, "mean_r": 0.5}
        for place in points[["instrument", "ladder", "rung", "matches", "by_chance"]].to_dict(
            "records"
        )
        for half in range(6)
    ]
    law = instrument_laws(points, pd.DataFrame(rows)).iloc[0]
    assert law["alpha"] == pytest.approx(1, abs=1e-3)
    none = points.assign(by_chance=points["matches"] + 1)
    law = instrument_laws(none, pd.DataFrame(rows)).iloc[0]
    assert (np.isnan(law["alpha"]), law["reason"]) == (True, "no rung has a match")


def test_sharing_with_mutual_nearest_neighbours_is_told(tables):
    counts = tables["instruments"].set_index(["instrument", "rung"])
    assert (counts.loc["mutual_nearest", ["jaccard", "kept"]] == 1).all(axis=None)
    assert (counts.loc["hungarian", "kept"] > 0.95).all()
    assert (counts.loc["hungarian", "jaccard"] > 0.8).all()
    assert counts.loc["procrustes", "kept"].isna().all()


def test_the_planted_exponent_is_found_with_both_intervals(tables):
    counts, laws = tables["instruments"], tables["instrument_scaling"].set_index("instrument")
    for name in ("mutual_nearest", "spearman", "hungarian"):
        law, rungs = laws.loc[name], counts[counts["instrument"] == name]
        sizes = np.log(rungs["n_neurons"])
        planted, _ = np.polyfit(sizes, np.log(rungs["matches"]), 1)
        assert planted == pytest.approx(1, abs=0.1), name
        slope, _ = np.polyfit(sizes, np.log(rungs["matches"] - rungs["by_chance"]), 1)
        assert law["alpha"] == pytest.approx(slope, abs=0.1), name
        assert law["alpha"] == pytest.approx(1, abs=0.15), name
        assert law["alpha_ci_low"] < law["alpha"] < law["alpha_ci_high"]
        assert law["alpha_resampled_low"] <= law["alpha"] <= law["alpha_resampled_high"]
        both, trainings, samples = (
            law[f"alpha_{kind}_high"] - law["alpha"] for kind in ("ci", "trainings", "resampled")
        )
        assert both == pytest.approx(np.hypot(trainings, samples))
    assert np.isnan(laws.loc["mutual_nearest", "difference"])
    spearman = laws.loc["spearman"]
    assert spearman["difference"] == pytest.approx(
        spearman["alpha"] - laws.loc["mutual_nearest", "alpha"]
    )
    assert spearman["difference_ci_low"] < 0 < spearman["difference_ci_high"]


def test_every_rung_has_one_calibrated_similarity(tables):
    similarity = tables["similarity"]
    assert similarity["rung"].tolist() == [0, 1, 2]
    assert (similarity["score"] > similarity["threshold"]).all()
    assert (similarity["calibrated"] > 0.05).all()
    assert (similarity["svcca"] > similarity["svcca_by_chance"] + 0.2).all()


CASES = {
    "size": (
        {"instruments": {"max_neurons": 31}},
        r"\d\d neurons are more than instruments.max_n",
    ),
    "memory": ({"correlation": {"memory_gb": 1e-5}}, "needs .* GB, above correlation.memory_gb"),
    "samples": ({"instruments": {"max_samples": 12}}, "fewer than 20 independent samples"),
}


@pytest.mark.parametrize("case", CASES)
def test_pairs_that_do_not_fit_are_left_out_with_a_reason(run, tmp_path, case, capsys):
    _, paths, *_ = run
    sections, reason = CASES[case]
    config = parse_config(content(paths.root, **sections))
    kept = Paths(tmp_path)
    for name in ("activations", "corpus", "models"):
        (tmp_path / name).symlink_to(paths.root / name)
    for pair in ("a1--b1", "again--b1", "a2--b2", "a3--b3"):
        instruments_step(config, kept, pair)
    assert len(read_parquet(kept.instruments("a2--b2"))) == 0
    told = read_parquet_metadata(kept.instruments("a2--b2"))["reasons"]
    assert set(told) == {*NAMES, "similarity"}
    assert pd.Series(told.values()).str.fullmatch(f".*{reason}.*").all()
    assert "a2--b2: cca is left out: " in capsys.readouterr().err
    instrument_tables_step(config, kept)
    counts = read_csv(kept.table("instruments"), INSTRUMENT_COLUMNS)
    largest = counts[counts["rung"] == 2]
    assert largest["matches"].isna().all()
    assert largest["reason"].str.contains(reason).all()
    laws = read_csv(kept.table("instrument_scaling"), INSTRUMENT_SCALING_COLUMNS)
    assert laws["alpha"].isna().all()
    assert laws["reason"].notna().all()
    similarity = read_csv(kept.table("similarity"), SIMILARITY_COLUMNS)
    assert np.isnan(similarity["calibrated"].iloc[2])
    assert pd.Series(similarity["reason"].iloc[2]).str.fullmatch(f".*{reason}.*").all()


LEFT_OUT = {
    "cca": ("rosetta.instruments.cca.LARGEST_SHARE", 0.01, "32 components are more than"),
    "soft": ("rosetta.instruments.soft._MOST_STEPS", 2, "after 2 steps a unit's mass is still off"),
    "similarity": (
        "rosetta.instruments.sizes.similarity_bytes",
        lambda *_: 10**12,
        "30 clusters of samples and 4 layers need 1e+03 GB",
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_does_not_serve_is_left_out_alone(run, tmp_path, name, monkeypatch, capsys):
    config, paths, *_ = run
    place, value, reason = LEFT_OUT[name]
    monkeypatch.setattr(place, value)
    kept = Paths(tmp_path)
    for folder in ("activations", "corpus"):
        (tmp_path / folder).symlink_to(paths.root / folder)
    instruments_step(config, kept, "a2--b2")
    known = read_parquet_metadata(kept.instruments("a2--b2"))
    assert set(known["reasons"]) == {name}
    assert known["reasons"][name].startswith(reason)
    assert f"a2--b2: {name} is left out: {reason}" in capsys.readouterr().err
    found = read_parquet(kept.instruments("a2--b2"))
    assert set(found["instrument"]) == set(NAMES) - {name}
    assert ("similarity" in known) == (name != "similarity")


def test_spearman_alone_is_left_out_where_its_ranks_do_not_fit(run, tmp_path):
    _, paths, *_ = run
    config = parse_config(content(paths.root, correlation={"memory_gb": 3e-4}))
    kept = Paths(tmp_path)
    for name in ("activations", "corpus"):
        (tmp_path / name).symlink_to(paths.root / name)
    instruments_step(config, kept, "a1--b1")
    known = read_parquet_metadata(kept.instruments("a1--b1"))
    assert set(known["reasons"]) == {"spearman"}
    assert "1,080 positions need" in known["reasons"]["spearman"]
    found = read_parquet(kept.instruments("a1--b1"))
    assert set(found["instrument"]) == set(NAMES) - {"spearman"}


def test_permuted_positions_are_a_weaker_null_than_exchanged_samples(run, tmp_path):
    """Here no sample has anything of its own, so both find as little."""
    _, paths, *_ = run
    settings = {"n_permutations": 19, "null": "permutation", "null_seed": 3}
    config, kept = parse_config(content(paths.root, instruments=settings)), Paths(tmp_path)
    for name in ("activations", "corpus"):
        (tmp_path / name).symlink_to(paths.root / name)
    instruments_step(config, kept, "a2--b2")
    found = read_parquet(kept.instruments("a2--b2"))
    null = found[found["null"]]
    assert set(null["half_sample"]) == {0, 1}
    assert null["r"].abs().max() < 5 / np.sqrt(500)
    pd.testing.assert_frame_equal(
        found[~found["null"]].reset_index(drop=True),
        read_parquet(paths.instruments("a2--b2")).query("~null").reset_index(drop=True),
        atol=1e-6,
    )


def test_models_that_see_images_are_compared_as_well(tmp_path):
    rng, paths = np.random.default_rng(1), Paths(tmp_path / "results")
    common = rng.normal(size=(1, 60, 9, 6))
    for name in "xy":
        values = (common + 0.5 * rng.normal(size=common.shape)).astype(np.float32)
        save_image_stores(paths.stores(name, 1), values, (3, 3), n_shards=1)
    size = {"n_layers": 1, "d_mlp": 6, "n_parameters": 9}
    entry = {"modality": "images", "dimensions": size}
    sections = {
        "images": {"source": {"kind": "procedural", "n_images": 60}},
        "models": {name: {"path": name, **entry} for name in "xy"},
        "ladders": {"xy": [["x", "y"]]},
    }
    instruments_step(parse_config(content(paths.root, **sections)), paths, "x--y")
    found = read_parquet(paths.instruments("x--y"))
    real = found[(found["instrument"] == "mutual_nearest") & ~found["null"]]
    assert (real["unit_a"] == real["unit_b"]).all()
    assert (real.groupby("half_sample").size() == 6).all()
    assert read_parquet_metadata(paths.instruments("x--y"))["similarity"]["n_clusters"] == 60


def test_what_others_are_compared_with_has_to_be_asked_for(tmp_path):
    with pytest.raises(ConfigError, match=r"matching\.instruments: lacks mutual_nearest.*Add it"):
        parse_config(content(tmp_path, matching={"instruments": ["soft"]}))

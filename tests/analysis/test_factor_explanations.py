"""The exact judge on neurons whose explanation is planted, and against direct correlations."""

import numpy as np
import pytest
from helpers import save_image_stores

from rosetta.activations import store
from rosetta.analysis import neuron_blocks
from rosetta.analysis.columns import FACTOR_COLUMNS
from rosetta.analysis.factor_explanations import CHANCE_QUANTILE, explain_by_factors
from rosetta.inputs.images.factors import FactorMaps
from rosetta.inputs.images.scenes import draw_scenes

GRID, N_IMAGES, N_NOISE = (4, 4), 300, 60
MAPS = FactorMaps.of(draw_scenes(1, range(N_IMAGES), 0.3), 16, GRID, 10)
CELLS = np.einsum("ncr,nrf->ncf", MAPS.shares, MAPS.in_regions())
DISC = ("shape", "disc", "", "")
DARK = ("background", "dark", "", "")
BOTH = ("texture", "plain", "colour", "red")


def cells_of(name):
    return CELLS[:, :, MAPS.names.index(name)]


@pytest.fixture(scope="module")
def planted():
    """Values (1, n_images, n_cells, n_units): by unit, see the test; the last are noise."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(N_IMAGES, 16, N_NOISE))
    mixed = sum(cells_of(name) / cells_of(name).std() for name in (DISC, DARK))
    place = rng.normal(size=16) + np.zeros((N_IMAGES, 1))
    units = [
        cells_of(DISC),
        3 * cells_of(BOTH) + 100,
        mixed,
        -cells_of(DISC),
        place,
        np.zeros((N_IMAGES, 16)),
        cells_of(DISC) + 0.5 * rng.normal(size=(N_IMAGES, 16)),
    ]
    return np.concatenate([np.stack(units, axis=2), noise], axis=2)[None].astype(np.float32)


@pytest.fixture(scope="module")
def explained(planted, tmp_path_factory):
    stores = save_image_stores(tmp_path_factory.mktemp("s") / "b", planted, GRID, n_shards=2)
    return explain_by_factors(stores, MAPS, seed=4)


def told(row):
    return tuple(row[["factor", "value", "factor_2", "value_2"]])


def test_a_neuron_that_is_a_map_is_explained_whole(explained):
    assert list(explained.columns) == FACTOR_COLUMNS
    for unit, name in ((0, DISC), (1, BOTH)):
        row = explained.iloc[unit]
        assert told(row) == name
        assert row["explained_variance"] == pytest.approx(1, abs=1e-6)
        assert row["iou"] == 1
        assert row["explained_variance_chance"] < 0.1
        assert row["iou_chance"] < 0.5
        assert row["is_explained"]


def test_of_a_mixture_one_half_is_explained(explained):
    row = explained.iloc[2]
    assert told(row) in (DISC, DARK) or {told(row)[:2], told(row)[2:]} & {DISC[:2], DARK[:2]}
    assert 0.4 < row["explained_variance"] < 0.7
    assert row["iou"] < 0.9
    assert row["is_explained"]


def test_noise_and_place_are_explained_by_chance_only(explained):
    noise = explained.iloc[-N_NOISE:]
    assert noise["is_explained"].mean() < 0.1
    assert noise["explained_variance"].median() == pytest.approx(
        noise["explained_variance_chance"].median(), rel=0.3
    )
    place = explained.iloc[4]
    assert place["explained_variance"] < 2 * place["explained_variance_chance"]


def test_what_goes_against_a_map_is_not_explained_by_it(explained):
    against = explained.iloc[3]
    assert told(against) != DISC
    assert against["explained_variance"] < 0.3


def test_a_dead_neuron_has_no_explanation(explained):
    dead = explained.iloc[5]
    assert told(dead) == ("", "", "", "")
    numbers = ["explained_variance", "iou", "explained_variance_chance", "iou_chance"]
    assert dead[numbers].isna().all()
    assert not dead["is_explained"]


def test_the_best_of_all_correlations_is_taken(explained, planted):
    """Against NumPy's correlations with all maps, and thresholds by a fitted line."""
    flat = planted[0].reshape(-1, planted.shape[3]).astype(np.float64)
    maps = CELLS.reshape(-1, CELLS.shape[2])
    for unit in (2, 6, 10, 20):
        r = np.array([np.corrcoef(flat[:, unit], of)[0, 1] for of in maps.T])
        row = explained.iloc[unit]
        assert told(row) == MAPS.names[r.argmax()]
        assert row["explained_variance"] == pytest.approx(r.max() ** 2, rel=1e-6)
        best = maps[:, r.argmax()]
        slope, start = np.polyfit(best, flat[:, unit], 1)
        fires, covered = flat[:, unit] >= start + slope / 2, best >= 0.5
        iou = (fires & covered).sum() / (fires | covered).sum()
        assert row["iou"] == pytest.approx(iou, abs=1e-3)
    permuted = CELLS[np.random.default_rng(4).permutation(N_IMAGES)].reshape(maps.shape)
    r = np.array([np.corrcoef(flat[:, 6], of)[0, 1] for of in permuted.T])
    assert explained.iloc[6]["explained_variance_chance"] == pytest.approx(r.max() ** 2, rel=1e-5)
    chance = explained["explained_variance_chance"].dropna()
    limit = np.quantile(chance, CHANCE_QUANTILE)
    above = explained["explained_variance"].to_numpy() > limit
    np.testing.assert_array_equal(explained["is_explained"], above)


def test_blocks_chunks_and_shards_do_not_matter(planted, tmp_path, monkeypatch, explained):
    monkeypatch.setattr(store, "CHUNK_POSITIONS", 1000)
    monkeypatch.setattr(neuron_blocks, "CHUNK_UNITS", 30)
    again = explain_by_factors(save_image_stores(tmp_path / "b", planted, GRID), MAPS, seed=4)
    numbers = ["explained_variance", "iou", "explained_variance_chance", "iou_chance"]
    np.testing.assert_allclose(again[numbers], explained[numbers], rtol=1e-6, atol=1e-3)
    names = ["layer", "unit", "factor", "value", "factor_2", "value_2", "is_explained"]
    assert again[names].equals(explained[names])

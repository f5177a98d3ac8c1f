"""Images: planted neurons on two grids against closed forms, and what survives which null model."""

import numpy as np
import pandas as pd
import pytest
from helpers import save_image_stores
from whole_tiles import correlate_tile, tile_neighbors

from rosetta.alignment.images import sample_facts
from rosetta.config.exclusions import Exclusions
from rosetta.correlation.aligned import align_pair
from rosetta.correlation.plan import Tile
from rosetta.correlation.view import View
from rosetta.errors import StoreError
from rosetta.storage.tables import write_parquet

SIDE = 56  # pixels: 8 cells of 7, or 7 cells of 8


def local_means(pixels, n):
    """Neurons that see the mean of a channel over n × n cells: (1, n_images, n·n, units)."""
    step = SIDE // n
    cells = pixels.reshape(len(pixels), n, step, n, step, -1).mean(axis=(2, 4))
    return np.ascontiguousarray(cells.reshape(1, len(pixels), n * n, -1), np.float32)


def local_mean_r():
    """The r of two neurons that see local means of white noise, on 8 × 8 cells and on 7 × 7.

    Both axes are alike and independent, so that r = c² / (a·b) of sums over the cells of one axis.
    Cell i of 8 has the pixels 7i to 7i + 6. Of those, i lie in cell i − 1 of 7 and 7 − i in cell
    i. Its centre is at 7i/8 − 1/16 among theirs, so cell i weighs t = (15 − 2i)/16 and cell i − 1
    the rest; at either end one cell weighs 1.
    """
    inner = np.arange(1, 7)
    t = (15 - 2 * inner) / 16
    covariance = np.sum((1 - t) * inner + t * (7 - inner)) / 56 + 2 * 7 / 56
    of_eights = 8 / 7
    of_sevens = np.sum((1 - t) ** 2 + t**2) / 8 + 2 / 8
    return covariance**2 / (of_eights * of_sevens)


def correlations(stores, view=None):
    pair = align_pair(*stores, view or View())
    tile = Tile(0, pair.a.n_neurons, 0, pair.b.n_neurons)
    return correlate_tile(pair, tile, "mean", "float64")[0].numpy()


def test_r_of_local_means_on_two_grids_is_that_of_the_closed_form(tmp_path):
    rng = np.random.default_rng(0)
    field = rng.normal(size=(300, SIDE, SIDE + 8, 4)).astype(np.float32)
    seen, shifted = field[:, :, :SIDE], field[:, :, 8:]  # by one patch of the second model
    order = [2, 0, 3, 1]
    a = save_image_stores(tmp_path / "a", local_means(seen, 8), (8, 8), n_shards=2)
    b = save_image_stores(tmp_path / "b", local_means(seen, 7)[..., order], (7, 7), n_shards=2)
    c = save_image_stores(tmp_path / "c", local_means(shifted, 7)[..., order], (7, 7), n_shards=2)
    r = correlations((a, b))
    same = np.arange(4)[:, None] == order
    assert local_mean_r() == pytest.approx(0.6239, abs=1e-4)
    np.testing.assert_allclose(r[same], local_mean_r(), atol=0.02)
    np.testing.assert_allclose(r[~same], 0, atol=0.03)
    np.testing.assert_allclose(correlations((b, a)), r.T, atol=1e-12)
    assert (correlations((a, c))[same] < 0.5 * local_mean_r()).all()
    found = tile_neighbors(align_pair(a, b), Tile(0, 4, 0, 4), "mean", "float32", 1)
    assert found.a.index[:, 0].tolist() == np.argsort(order).tolist()


# ---- what survives which null model

N_IMAGES, N_CLASSES = 240, 3
SHARED = {"place": slice(0, 4), "class": slice(4, 8), "content": slice(8, 12)}
NOISE = 0.7
EXPECTED = 1 / (1 + NOISE**2)


def maps(rng, n):
    """Four neurons that read borders, a corner and two ramps, standardised over n × n cells."""
    y, x = (np.indices((n, n)) + 0.5) / n
    border = (np.minimum(y, x) < 1 / n) | (np.maximum(y, x) > 1 - 1 / n)
    drawn = np.stack([border, (y < 0.3) & (x < 0.3), x, y], axis=-1).reshape(n * n, 4)
    return (drawn - drawn.mean(axis=0)) / drawn.std(axis=0)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Stores of two models that share neurons of place, of the image's class and of the image's
    content, on one grid, with noise of their own; and the table of the images.
    """
    folder, rng, n = tmp_path_factory.mktemp("planted"), np.random.default_rng(1), 6
    classes = rng.integers(0, N_CLASSES, N_IMAGES)
    of_class = rng.normal(size=(N_CLASSES, 4))
    of_class = (of_class - of_class[classes].mean(axis=0)) / of_class[classes].std(axis=0)
    common = np.empty((N_IMAGES, n * n, 12))
    common[..., SHARED["place"]] = maps(rng, n)
    common[..., SHARED["class"]] = of_class[classes][:, None]
    common[..., SHARED["content"]] = rng.normal(size=(N_IMAGES, n * n, 4))
    stores = []
    for name in "ab":
        values = (common + rng.normal(size=common.shape, scale=NOISE))[None].astype(np.float32)
        if name == "b":  # outliers at random cells, of all neurons, as register-like patches
            where = rng.random((N_IMAGES, n * n)) < 0.2
            values[0, where] += 50 * rng.choice([-1, 1], size=(int(where.sum()), 12))
        stores.append(save_image_stores(folder / name, values, (n, n), n_shards=2))
    table = pd.DataFrame(
        {
            "id": np.arange(N_IMAGES, dtype=np.uint64),
            "domain": [f"class-{c}" for c in classes],
            "caption": "",
        }
    )
    write_parquet(folder / "table.parquet", table.sample(frac=1, random_state=0))
    return stores, folder / "table.parquet", int(where.sum())


def mean_r(stores, view):
    r = np.diag(correlations(stores, view))
    return {name: r[some].mean() for name, some in SHARED.items()}


def test_neurons_of_place_survive_an_exchange_of_images_and_nothing_else_does(planted):
    stores, table, n_outliers = planted
    kept = Exclusions(max_norm=5.0)
    found = mean_r(stores, View(kept))
    assert found == pytest.approx(dict.fromkeys(SHARED, EXPECTED), abs=0.03)
    for known in (table, None):
        pair = align_pair(*stores, View(kept, exchange_seed=3, sample_table=known))
        assert pair.left_out.n_high_norm == n_outliers
        exchanged = mean_r(stores, View(kept, exchange_seed=3, sample_table=known))
        assert exchanged["place"] == pytest.approx(EXPECTED, abs=0.03), "cells meet at their place"
        assert abs(exchanged["class"]) < 0.2
        assert abs(exchanged["content"]) < 0.05
    permuted = mean_r(stores, View(kept, permute_seeds=(3,)))
    assert max(map(abs, permuted.values())) < 0.05


def test_outlier_cells_hide_what_models_share_unless_they_are_left_out(planted):
    assert mean_r(planted[0], View())["content"] < 0.1


def test_facts_of_images_are_their_domains_and_each_is_alone(planted):
    _, table, _ = planted
    ids = np.array([7, 3, 200], np.uint64)
    facts = sample_facts(ids, table)
    known = pd.read_parquet(table).set_index("id")["domain"]
    assert facts.labels.tolist() == known[ids].tolist()
    assert facts.clusters.tolist() == ["0000000000000007", "0000000000000003", "00000000000000c8"]
    assert set(facts.strata) == {""}
    unknown = sample_facts(ids, None)
    assert (set(unknown.labels), len(set(unknown.clusters))) == ({""}, 3)


def test_a_table_that_lacks_an_image_is_rejected(planted, tmp_path):
    stores, table, _ = planted
    some = pd.read_parquet(table).query("id != 9")
    write_parquet(tmp_path / "some.parquet", some)
    message = r"some\.parquet: has no image 0{15}9, which the stores hold\. Give the table of the"
    with pytest.raises(StoreError, match=message):
        align_pair(*stores, View(exchange_seed=0, sample_table=tmp_path / "some.parquet"))
    write_parquet(tmp_path / "no.parquet", some.assign(domain=1))
    with pytest.raises(StoreError, match=r"no\.parquet: domain: not text throughout"):
        align_pair(*stores, View(sample_table=tmp_path / "no.parquet"))

"""Sweeps of models that see images: other grids, other images, fewer images."""

import numpy as np
import pytest
import torch
from helpers import save_image_stores

from rosetta.analysis.stability import stability_table
from rosetta.config import parse_config
from rosetta.errors import ConfigError
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.matching.steps import sweeps_step
from rosetta.models.neurons import NeuronShape
from rosetta.plan.checks import check_config
from rosetta.run.paths import Paths
from rosetta.storage.manifests import write_manifest
from rosetta.storage.tables import read_parquet, read_parquet_metadata, write_parquet

N_IMAGES, N_GENERATED, UNITS = 40, 24, 6
GRIDS = {"a": (4, 4), "b": (2, 2)}


def entry(name, **said):
    return {
        "path": name,
        "modality": "images",
        "dimensions": {"n_layers": 1, "d_mlp": UNITS, "n_parameters": 9},
        **said,
    }


def config_of(root, **sections):
    return parse_config(
        {
            "results": str(root),
            "images": {
                "source": {"kind": "procedural", "n_images": N_IMAGES},
                "generated": {"n_images": N_GENERATED},
            },
            "models": {"g": entry("g", generator=True), "a": entry("a"), "b": entry("b")},
            "ladders": {"ab": [["a", "b"]], "ga": [["g", "a"]], "gb": [["g", "b"]]},
            "activations": {"n_shards": 2},
            "correlation": {"max_k": 1, "precision": "float64"},
            "controls": {"permutation_seeds": [], "untrained_seeds": []},
            **sections,
        }
    )


def resampled(values, target):
    """Return (n, *target, units) by torch's own bilinear interpolation."""
    planes = torch.from_numpy(values).permute(0, 3, 1, 2)
    found = torch.nn.functional.interpolate(planes, target, mode="bilinear", align_corners=False)
    return found.permute(0, 2, 3, 1).numpy()


def nearest(a, b, target, n):
    """Return mutual nearest neighbours of the first n images on one grid, by NumPy float64."""
    a, b = (resampled(one[:n], target).reshape(-1, UNITS) for one in (a, b))
    r = np.corrcoef(a.T, b.T)[:UNITS, UNITS:]
    return {(i, j) for i, j in enumerate(r.argmax(1)) if r[:, j].argmax() == i and r[i, j] > 0}


@pytest.fixture
def run(tmp_path):
    """Two models that agree on half of their units on each kind of images, and on others on the
    other kind.
    """
    rng, paths = np.random.default_rng(3), Paths(tmp_path / "results")
    values = {}
    for kind, n, order in (
        ("", N_IMAGES, [0, 1, 2, 3, 4, 5]),
        ("@g", N_GENERATED, [5, 1, 2, 4, 3, 0]),
    ):
        common = rng.normal(size=(n, 2, 2, UNITS))
        for name, grid in GRIDS.items():
            shown = common if name == "a" else common[..., order]
            noise = rng.normal(size=(n, *grid, UNITS))
            values[name + kind] = resampled(shown, grid) + noise
            save_image_stores(
                paths.stores(name + kind, 2),
                values[name + kind].reshape(1, n, -1, UNITS).astype(np.float32),
                grid,
                np.arange(n, dtype=np.uint64),
                n_shards=2,
            )
    made = rng.normal(size=(1, N_GENERATED, 16, UNITS)).astype(np.float32)
    save_image_stores(paths.stores("g", 2), made, (4, 4), n_shards=2)
    return paths, values


def test_each_setting_is_matched_as_by_plain_correlation(run):
    paths, values = run
    swept = {"budgets": True, "grid": ["larger", "smaller", "anchor"], "image_source": True}
    sweeps_step(config_of(paths.root, sweeps=swept), paths, "a--b")
    table = read_parquet(paths.sweeps("a--b"))
    facts = read_parquet_metadata(paths.sweeps("a--b"))["settings"]
    expected = {
        ("budget", "20"): ("", (4, 4), 20),
        ("budget", "10"): ("", (4, 4), 10),
        ("grid", "smaller"): ("", (2, 2), N_IMAGES),
        ("grid", "anchor"): ("", (4, 4), N_IMAGES),
        ("image_source", "source"): ("", (4, 4), N_GENERATED),
        ("image_source", "generated"): ("@g", (4, 4), N_GENERATED),
    }
    assert [(fact["sweep"], fact["setting"]) for fact in facts] == list(expected)
    for fact in facts:
        kind, grid, n = expected[fact["sweep"], fact["setting"]]
        assert fact["n_positions"] == n * grid[0] * grid[1]
        rows = table[(table["sweep"] == fact["sweep"]) & (table["setting"] == fact["setting"])]
        found = set(zip(rows["unit_a"], rows["unit_b"], strict=True))
        assert found == nearest(values[f"a{kind}"], values[f"b{kind}"], grid, n), fact


def test_generated_images_are_compared_with_as_many_of_the_source(run):
    paths, values = run
    config = config_of(paths.root, sweeps={"image_source": True})
    for name in ("a--b", "g--a", "g--b"):
        sweeps_step(config, paths, name)
    found = {
        kind: nearest(values[f"a{kind}"], values[f"b{kind}"], (4, 4), N_GENERATED)
        for kind in ("", "@g")
    }
    swept = read_parquet(paths.sweeps("a--b"))
    assert read_parquet(paths.sweeps("g--a")).empty, "a pair that no sweep applies to"
    source = swept[swept["setting"] == "source"][MATCH_COLUMNS]
    for name, rows in {"a--b": source, "g--a": source[:0], "g--b": source[:0]}.items():
        write_parquet(paths.matches(name), rows, {"n_positions": 1})
    for name in "gab":
        content = {"kind": "model", **NeuronShape(1, UNITS).facts, "n_neurons": UNITS}
        write_manifest(paths.model_manifest(name), content)
    table = stability_table(config, paths).set_index(["ladder", "setting"])
    row = table.loc["ab", "generated"]
    both, either = found[""] & found["@g"], found[""] | found["@g"]
    assert row["compared_with"] == "source"
    assert row["matches"] == len(found["@g"])
    assert row["jaccard"] == pytest.approx(len(both) / len(either))


@pytest.mark.parametrize(
    ("sweeps", "ladders", "message"),
    [
        ({"image_source": True}, {"ab": [["a", "b"]]}, r"sweeps\.image_source: no two models"),
        ({"image_source": True}, {"ab": [["a", "b"]], "ga": [["g", "a"]]}, r"with one generator"),
    ],
)
def test_a_sweep_that_no_pair_can_have_is_rejected(tmp_path, sweeps, ladders, message):
    config = config_of(tmp_path / "results", sweeps=sweeps, ladders=ladders)
    with pytest.raises(ConfigError, match=message):
        check_config(config, need_sources=False)


def test_one_grid_is_not_tried_twice(run, tmp_path):
    paths, _ = run
    config = config_of(paths.root, sweeps={"grid": ["smaller"]})
    sweeps_step(config, paths, "g--a")  # both have 4 × 4 cells
    assert read_parquet_metadata(paths.sweeps("g--a"))["settings"] == []

"""What the viewer shows of models that see images: top images of a group, with all known maps."""

import base64

import numpy as np
import pandas as pd
import pytest
from helpers import save_image_stores

from rosetta.analysis.contexts import members_of, with_margins
from rosetta.analysis.image_excerpts import ImageMember, image_group_excerpts
from rosetta.analysis.image_profiles import ProfileSettings, profile_on_images
from rosetta.analysis.neuron_maps import partner_images
from rosetta.config import Viewer
from rosetta.matching.mutual import rosetta_neurons

GRIDS = {"g": (2, 3), "a": (2, 2), "b": (2, 2)}
N_IMAGES, N_TOP, UNITS = 9, 3, 4


@pytest.fixture
def group(tmp_path):
    """A generator and two models: values, and what is read of them. Units match those of as many
    places further on.
    """
    rng = np.random.default_rng(0)
    values, stores, tops = {}, {}, {}
    images = pd.DataFrame({"id": np.arange(N_IMAGES, dtype=np.uint64), "domain": "x"})
    for name, grid in GRIDS.items():
        values[name] = rng.normal(size=(1, N_IMAGES, grid[0] * grid[1], UNITS)).astype(np.float32)
        stores[name] = save_image_stores(tmp_path / name, values[name], grid, n_shards=2)
        tops[name] = profile_on_images(
            stores[name], images, ProfileSettings(N_TOP, "mean")
        ).top_images
    matches, partners = [], []
    for step, other in enumerate("ab", 1):
        units = np.arange(UNITS)
        table = pd.DataFrame(
            {
                "model_a": "g",
                "layer_a": 0,
                "unit_a": units,
                "model_b": other,
                "layer_b": 0,
                "unit_b": (units + step) % UNITS,
                "r": 0.9 - 0.1 * units,
                "rank_a": 1,
                "rank_b": 1,
                "margin_a": 0.5,
                "margin_b": 0.25 * step,
            }
        )
        matches.append(table)
        partners.append(
            partner_images(table, (tops["g"], tops[other]), (stores["g"], stores[other]))
        )
    shown = [
        ImageMember(name, f"{name}@g", stores[name], tops[name], table)
        for name, table in zip("gab", [partners[0], *partners], strict=True)
    ]
    return values, with_margins(members_of(rosetta_neurons(matches)), matches), shown


def described(images):
    return [
        {"document": f"{i}", "domain": "x", "text": f"t{i}", "picture": f"data:{i}"} for i in images
    ]


def decoded(encoded):
    return np.frombuffer(base64.b64decode(encoded), np.uint8)


def test_neurons_are_shown_on_their_top_images_with_the_maps_that_are_known(group):
    values, members, shown = group
    found = image_group_excerpts(members, shown, described, Viewer(n_neurons=3, n_contexts=2))
    assert found["models"] == ["g@g", "a@g", "b@g"]
    assert found["grids"] == [[2, 3], [2, 2], [2, 2]]
    assert [neuron["partners"][0]["unit"] for neuron in found["neurons"]] == [0, 1, 2]
    for neuron in found["neurons"]:
        places = [partner["unit"] for partner in neuron["partners"]]
        assert places == [places[0], (places[0] + 1) % UNITS, (places[0] + 2) % UNITS]
        own = [values[name][0, :, :, unit] for name, unit in zip("gab", places, strict=True)]
        best = [np.argsort(-one.mean(axis=1), kind="stable")[:2].tolist() for one in own]
        images = {int(found["excerpts"][c["excerpt"]]["document"]): c for c in neuron["contexts"]}
        assert set(images) == {image for one in best for image in one}
        for image, context in images.items():
            ranks = [one.index(image) + 1 if image in one else 0 for one in best]
            assert context["ranks"] == ranks
            # The two models beside the anchor were not compared with each other.
            anchored = bool(ranks[0])
            known = [True, anchored or bool(ranks[1]), anchored or bool(ranks[2])]
            for i, score in enumerate(context["scores"]):
                expected = own[i][image].mean() if known[i] else None
                assert score == (
                    expected if expected is None else pytest.approx(expected, rel=1e-3)
                )
                assert (context["maps"][i] is not None) == known[i]
        for i, one in enumerate(own):
            drawn = [image for image, c in images.items() if c["maps"][i] is not None]
            low, high = one[drawn].min(), one[drawn].max()
            for image in drawn:
                share = (one[image] - low) / (high - low)
                np.testing.assert_allclose(
                    decoded(images[image]["maps"][i]), 255 * share, atol=0.51
                )


def test_margins_are_the_smallest_and_histograms_of_all_cells(group):
    _, members, shown = group
    found = image_group_excerpts(members, shown, described, Viewer(n_neurons=1, n_contexts=1))
    (neuron,) = found["neurons"]
    assert neuron["r"] == pytest.approx(0.9)
    assert neuron["margin"] == 0.25
    for partner, name in zip(neuron["partners"], "gab", strict=True):
        assert sum(partner["histogram"]) == N_IMAGES * GRIDS[name][0] * GRIDS[name][1]


def test_a_group_without_matches_shows_nothing(group):
    _, members, shown = group
    found = image_group_excerpts(members[:0], shown, described, Viewer())
    assert (found["neurons"], found["excerpts"]) == ([], [])

"""Contact sheets: the top images of each match, and both neurons' maps as on contact cards."""

import numpy as np
import pandas as pd
from planted_neurons import COLORS, PAIR, SIZE, plant, scores

from rosetta.activations.folders import open_stores
from rosetta.analysis.image_tables import read_image_table
from rosetta.analysis.neuron_maps import neuron_maps, partner_images
from rosetta.config import load_config
from rosetta.drawing.heat_maps import heat_maps
from rosetta.matching.mutual import MATCH_COLUMNS
from rosetta.report.contact_sheets import N_IMAGES, draw_contact_sheet
from rosetta.run.paths import Paths
from rosetta.storage.tables import write_parquet


def test_maps_are_those_of_contact_cards(tmp_path):
    config, paths = load_config(plant(tmp_path)), Paths(tmp_path / "results")
    rows = [("v-s", 0, 1, "w-s", 1, 3, 0.5), ("v-s", 1, 2, "w-s", 0, 2, 0.9)]
    matches = pd.DataFrame(rows, columns=MATCH_COLUMNS[:7]).reindex(columns=MATCH_COLUMNS)
    write_parquet(paths.matches(PAIR), matches.fillna(0.0))
    stores = {name: open_stores(paths.stores(name, 2)) for name in ("v-s", "w-s")}
    tops = tuple(read_image_table(paths, "top_images", name) for name in stores)
    partners = partner_images(matches, tops, tuple(stores.values()))
    write_parquet(paths.partner_images(PAIR), partners)
    sheet = draw_contact_sheet(config, paths, PAIR)
    best_first = [matches.iloc[1], matches.iloc[0]]
    for part, match in zip(sheet.subfigs, best_first, strict=True):
        drawn = [np.asarray(axes.images[0].get_array()) for axes in part.axes]
        top = np.argsort(-scores(match["unit_a"]), kind="stable")[:N_IMAGES]
        for i, number in enumerate(top):
            expected = np.broadcast_to(COLORS[number % 6], (SIZE, SIZE, 3))
            np.testing.assert_array_equal(drawn[3 * i], expected)
        for side, name in enumerate(stores):
            place = match[f"layer_{'ab'[side]}"], match[f"unit_{'ab'[side]}"]
            expected = heat_maps(neuron_maps(stores[name], *place)[top], 128)
            np.testing.assert_array_equal(np.stack(drawn[1 + side :: 3]), expected)

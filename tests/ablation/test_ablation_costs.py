"""What ablating is priced at: all samples that are read lie in memory."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from workflow_runs import VISION

from rosetta.config import parse_config
from rosetta.config.ablation import ablated_rungs
from rosetta.plan.costs.ablation import ablate
from rosetta.plan.resources import known_at_most
from rosetta.run.paths import Paths

TINY = Path(__file__).parents[2] / "workflow" / "presets" / "tiny.yaml"


def priced(config, tmp_path, **extent):
    """Bytes of ablating the first rung that is asked for, if the run is of such an extent."""
    known = known_at_most(config, Paths(tmp_path))
    known = replace(known, extent=replace(known.extent, **extent))
    (_, group), *_ = ablated_rungs(config)
    return ablate(known, group).n_bytes


@pytest.mark.parametrize("limit", [60, None])
def test_the_whole_split_of_text_is_paid_for(tmp_path, limit):
    content = yaml.safe_load(TINY.read_text())
    content["ablation"]["max_documents"] = limit
    config = parse_config(content)
    held = [priced(config, tmp_path, corpus_bytes=n) for n in (1e9, 3e9)]
    assert held[1] - held[0] >= 2e9 * config.corpus.splits.heldout


def test_all_images_are_paid_for(tmp_path):
    def of(limit, n_images):
        asked = {"ladder": "vit-mae", "max_images": limit}
        return priced(parse_config({**VISION, "ablation": asked}), tmp_path, images=n_images)

    splits, size = VISION["images"]["splits"], VISION["images"]["size"]
    n_read = 10**6 * splits["heldout"] / splits["match"]
    assert of(None, 10**6) - of(100, 10**6) >= 0.99 * n_read * 3 * size**2
    assert of(100, 10**6) == of(100, 2 * 10**6)

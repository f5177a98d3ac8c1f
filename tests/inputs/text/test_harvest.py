"""The embedded source as it is installed here: where its text is from, and what lands in which
split.
"""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import yaml

from rosetta.config import parse_config
from rosetta.inputs.text.build import build_corpus, read_split
from rosetta.inputs.text.documents import cluster_of, split_of
from rosetta.inputs.text.environment import BY_PACKAGE, MAX_SHARE
from rosetta.run.paths import Paths

ROOT = Path(__file__).parents[3]
BUDGET = 250_000
SPLITS = ("train", "match", "pool", "heldout")


@pytest.fixture(scope="module")
def corpus():
    """The main job's splits and documents, of less text."""
    base = {"models": {"m": {"path": "x"}, "n": {"path": "y"}}, "ladders": {"l": [["m", "n"]]}}
    domains = [*BY_PACKAGE, "cpp", "licence"]
    source = {"kind": "environment", "bytes_per_domain": BUDGET, "domains": domains}
    mine = yaml.safe_load((ROOT / "config.yaml").read_text("utf-8"))["corpus"]
    return parse_config({**base, "corpus": {**mine, "source": source}}).corpus


@pytest.fixture(scope="module")
def documents(corpus, tmp_path_factory):
    """Every document with its split, its file and its package."""
    paths = Paths(tmp_path_factory.mktemp("harvest"))
    build_corpus(corpus, paths, {})
    table = pd.concat([read_split(paths, split).assign(split=split) for split in SPLITS])
    return table.assign(
        file=table["source"].map(cluster_of), package=table["source"].str.partition("/")[0]
    )


def test_no_file_is_in_two_splits(documents):
    parts = documents.groupby("file")["source"].nunique()
    assert (parts > 1).sum() > 10, "files that could have been torn apart"
    assert documents.groupby("file")["split"].nunique().max() == 1
    assert set(documents["split"]) == set(SPLITS)


def test_no_package_of_the_pool_or_of_the_held_out_text_is_anywhere_else(documents):
    mine = documents[documents["domain"].isin(BY_PACKAGE)]
    place = mine["split"].replace({"train": "known", "match": "known"})
    assert place.groupby(mine["package"]).nunique().max() == 1
    assert set(place) == {"known", "pool", "heldout"}
    assert set(mine["domain"]) == set(BY_PACKAGE)
    both = set(mine.loc[mine["split"] == "train", "package"]) & set(
        mine.loc[mine["split"] == "match", "package"]
    )
    assert both, "packages are shared out among train and match, so that match is of many"


def test_a_domain_is_drawn_from_as_many_packages_and_files_as_there_are(documents):
    sizes = documents["text"].str.encode("utf-8").str.len()
    # Characters are counted, of which some have two bytes or more.
    assert (
        sizes.groupby([documents["domain"], documents["file"]]).sum().max()
        < 1.2 * BUDGET / MAX_SHARE
    )
    found = documents.groupby("domain").agg(
        files=("file", "nunique"), packages=("package", "nunique")
    )
    assert found.loc["python", "packages"] > 60
    assert found.loc["cpp", "files"] > 40, "less what is cleaned away, a file gives one section"


def test_a_group_is_in_one_place_and_its_files_are_shared_out():
    fractions = SimpleNamespace(train=0.5, match=0.2, pool=0.2, heldout=0.1)
    groups = [f"package-{i}" for i in range(400)]
    splits = {
        (group, file): split_of(group, f"{group}/{file}.py#{file % 3}", fractions, 0)
        for group in groups
        for file in range(10)
    }
    shares = Counter(splits.values())
    np.testing.assert_allclose(
        [shares[split] / 4000 for split in SPLITS], [0.5, 0.2, 0.2, 0.1], atol=0.05
    )
    seen = [{splits[group, file] for file in range(10)} for group in groups]
    assert all(found in ({"pool"}, {"heldout"}) or found <= {"train", "match"} for found in seen)
    assert {"train", "match"} in seen
    parts = {split_of("package", f"package/file.py#{number}", fractions, 0) for number in range(50)}
    assert len(parts) == 1
    assert any(
        split_of(group, group, fractions, 0) != split_of(group, group, fractions, 1)
        for group in groups
    )

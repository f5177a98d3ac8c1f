"""`rosetta.open_run`: results as data frames, checked, and errors that say what there is."""

import os
import shutil

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr
from small_runs import PAIR
from workflow_runs import TINY

import rosetta
from rosetta.analysis.counts import COUNT_COLUMNS
from rosetta.api.run import Run
from rosetta.config import load_config, parse_config
from rosetta.errors import ConfigError, ModelError, StoreError
from rosetta.run.paths import Paths
from rosetta.run.provenance import stamp
from rosetta.storage.digests import stamping
from rosetta.storage.tables import write_csv, write_parquet


@pytest.fixture
def run(small_run):
    return rosetta.open_run(small_run)


@pytest.fixture
def copied(small_run, tmp_path):
    """A copy of the run that a test may damage."""
    return shutil.copytree(small_run, tmp_path / "results")


def test_the_results_of_a_run_are_those_in_its_files(small_run, run):
    assert run.models == ["first", "second"]
    assert run.pairs == [("first", "second")]
    assert run.groups == [PAIR]
    assert run.config == load_config(small_run / "run_config.yaml")
    for name in ("counts", "scaling", "scaling_pooled", "findings"):
        plain = pd.read_csv(small_run / "tables" / f"{name}.csv")
        assert getattr(run, name).equals(run.table(name))
        assert run.table(name).columns.tolist() == plain.columns.tolist()
        numbers = plain.select_dtypes("number").dropna(axis=1, how="all")
        np.testing.assert_allclose(run.table(name)[numbers.columns].astype(float), numbers)
    for found, path in (
        (run.matches("first", "second"), f"matches/{PAIR}.parquet"),
        (run.rosetta_neurons(PAIR), f"rosetta/{PAIR}.parquet"),
        (run.rosetta_neurons(["first", "second"]), f"rosetta/{PAIR}.parquet"),
        (run.neurons("second"), "neurons/second.parquet"),
        (run.vocabulary("second"), "vocabulary/second.parquet"),
        (run.contexts("first"), "contexts/first.parquet"),
    ):
        assert len(found)
        assert found.equals(pq.read_table(small_run / path).to_pandas())


def test_the_store_of_a_run_is_read_as_one_array_per_layer(small_run, run):
    store = run.store("first")
    assert (store.model, store.n_layers, store.d_mlp, store.dtype) == ("first", 2, 24, "float32")
    shards = [
        zarr.open_group(small_run / f"activations/first/2-shards/{shard}.zarr")
        for shard in range(2)
    ]
    for layer in range(2):
        whole = np.concatenate([shard[f"activations/{layer}"][...] for shard in shards])
        lazy = store.layer(layer)
        assert lazy.shape == (store.n_positions, store.d_mlp)
        np.testing.assert_array_equal(lazy.compute(), whole)
        np.testing.assert_array_equal(lazy[5:9, 3].compute(), whole[5:9, 3])
    ids = np.concatenate(
        [shard["document_ids"][...][shard["document_index"][...]] for shard in shards]
    )
    positions = store.positions()
    assert positions["document"].tolist() == ids.tolist()
    assert (
        positions["token_id"].tolist()
        == np.concatenate([shard["token_ids"][...] for shard in shards]).tolist()
    )


def test_top_contexts_have_the_value_and_the_text_that_the_store_and_the_corpus_have(
    small_run, run
):
    top = run.contexts("first", "L1/U3")
    assert top["rank"].tolist() == list(range(1, len(top) + 1))
    assert (top[["layer", "unit"]].drop_duplicates().to_numpy() == [[1, 3]]).all()
    store = run.store("first")
    positions = store.positions().assign(value=store.layer(1)[:, 3].compute())
    documents = pd.read_parquet(small_run / "corpus" / "match.parquet").set_index("id")["text"]
    for row in top.itertuples():
        mine = positions[
            (positions["document"] == row.document) & (positions["byte_start"] == row.byte_start)
        ]
        assert mine["value"].tolist() == [pytest.approx(row.value)]
        data = documents[row.document].encode()
        assert row.token == data[row.byte_start : row.byte_end].decode("utf-8", "replace")
        assert row.before == data[max(0, row.byte_start - 120) : row.byte_start].decode(
            "utf-8", "replace"
        )
        assert row.after == data[row.byte_end : row.byte_end + 120].decode("utf-8", "replace")
    assert top["value"].iloc[0] == pytest.approx(positions["value"].max())


def test_the_neighbours_of_a_run_make_its_matches(run):
    lists = run.neighbors("first", "second")
    assert lists.k == 3
    matches = run.matches("first", "second")
    assert rosetta.match(lists).equals(matches[rosetta.match(lists).columns])
    assert len(rosetta.match(lists, k=3)) > len(matches)


MISSING = [
    (
        lambda run: run.matches("second", "first"),
        r"no pair \(second, first\); it has \(first, second\)",
    ),
    (lambda run: run.rosetta_neurons("a--b"), f"no group 'a--b'; it has {PAIR}"),
    (lambda run: run.neurons("third"), "no model 'third'; it has first, second"),
    (lambda run: run.vocabulary("third"), "no model 'third'"),
    (lambda run: run.contexts("third"), "no model 'third'"),
    (lambda run: run.store("third"), "no model 'third'"),
    (
        lambda run: run.table("count"),
        "no table 'count'; it has counts, findings, scaling, scaling_pooled",
    ),
    (
        lambda run: run.store("first").layer(2),
        "layer: 2 is not in first, which has 0 to 1",
    ),
]


@pytest.mark.parametrize(("ask", "message"), MISSING)
def test_what_is_not_there_is_named_with_what_is(run, ask, message):
    with pytest.raises(ConfigError, match=message):
        ask(run)


def test_a_neuron_that_is_not_in_the_model_is_named(run):
    with pytest.raises(ModelError, match="L2/U0 is not in the model"):
        run.contexts("first", "L2/U0")


def test_a_folder_that_is_no_run_is_named_with_the_one_that_is(small_run, tmp_path):
    with pytest.raises(ConfigError, match="no such folder"):
        rosetta.open_run(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"has no run_config\.yaml, so it is not"):
        rosetta.open_run(tmp_path)
    with pytest.raises(ConfigError, match=r"results is one"):
        rosetta.open_run(small_run.parent)


@pytest.mark.parametrize(
    ("path", "ask"),
    [
        ("tables/counts.csv", lambda run: run.counts),
        (f"matches/{PAIR}.parquet", lambda run: run.matches("first", "second")),
        (f"neighbors/{PAIR}/0-of-1.parquet", lambda run: run.neighbors("first", "second")),
        ("contexts/first.parquet", lambda run: run.contexts("first")),
        ("activations/first/2-shards", lambda run: run.store("first")),
    ],
)
def test_an_unfinished_run_names_what_is_missing(copied, path, ask):
    run = rosetta.open_run(copied)
    shutil.rmtree(copied / path) if (copied / path).is_dir() else os.remove(copied / path)
    with pytest.raises(StoreError, match=rf"{path}: is not there\. `rosetta status"):
        ask(run)


def test_a_damaged_table_is_found_before_it_is_read(copied):
    path = copied / "tables" / "counts.csv"
    path.write_text(path.read_text().replace("256", "257"))
    with pytest.raises(StoreError, match="damaged, or of another run"):
        _ = rosetta.open_run(copied).counts


def test_a_table_of_another_configuration_is_rejected(copied):
    run = rosetta.open_run(copied)
    other = run.config.model_copy(update={"ladders": {"other": run.config.ladders["both"]}})
    with stamping(stamp(run.config, "counts")):
        write_csv(run.paths.table("counts"), run.counts)
    assert len(run.counts) == 3
    with stamping(stamp(other, "counts")):
        write_csv(run.paths.table("counts"), pd.DataFrame(columns=COUNT_COLUMNS))
    with pytest.raises(StoreError, match="made with another configuration"):
        _ = run.counts


def test_trainings_and_steps_are_opened_by_their_names(small_run, tmp_path):
    """`~2` is a further training of a size, `~step-10` a step of it."""
    content = {
        **TINY,
        "zoo": {**TINY["zoo"], "sizes": {**TINY["zoo"]["sizes"]}},
        "training_ladders": {"early": {"models": ["pythia-s", "opt-s"], "steps": [1]}},
        "results": str(tmp_path),
    }
    content["zoo"]["sizes"]["s"] = {**content["zoo"]["sizes"]["s"], "replicates": 2}
    run = Run(parse_config(content), Paths(tmp_path))
    written = pd.read_parquet(small_run / f"matches/{PAIR}.parquet")
    for pair in (("pythia-s~2", "opt-s"), ("pythia-s~step-1", "opt-s~step-1")):
        with pytest.raises(StoreError, match=rf"matches/{'--'.join(pair)}\.parquet: is not there"):
            run.matches(*pair)
        write_parquet(tmp_path / "matches" / f"{'--'.join(pair)}.parquet", written)
        assert run.matches(*pair).equals(written)
        with pytest.raises(StoreError, match=f"neighbors/{'--'.join(pair)}/.*: is not there"):
            run.neighbors(*pair)
        with pytest.raises(StoreError, match=f"activations/{pair[0]}/.*: is not there"):
            run.store(pair[0])
    for a, b in (("pythia-s~3", "opt-s"), ("pythia-s~step-1", "opt-s"), ("opt-s", "pythia-s")):
        with pytest.raises(ConfigError, match=rf"has no pair \({a}, {b}\); it has .*opt-s~step-1"):
            run.matches(a, b)
    with pytest.raises(ConfigError, match=r"has no model 'pythia-s~step-2'; it has .*~step-1"):
        run.store("pythia-s~step-2")
    with pytest.raises(ConfigError, match="has no model 'pythia-s~2'"):
        run.neurons("pythia-s~2")


def test_a_whole_run_of_the_workflow_can_be_read(finished):
    run = rosetta.open_run(finished / "results")
    assert {"counts", "scaling", "scaling_pooled", "findings"} <= {
        path.stem for path in (finished / "results" / "tables").glob("*.csv")
    }
    for table in (run.counts, run.scaling, run.scaling_pooled, run.findings):
        assert len(table)
    for a, b in run.pairs:
        assert len(rosetta.match(run.neighbors(a, b), k=run.config.matching.k)) == len(
            run.matches(a, b)
        )
    for group in run.groups:
        assert set(run.rosetta_neurons(group)["model"]) < set(run.models)
    for model in run.models:
        store = run.store(model)
        assert len(run.neurons(model)) == len(run.vocabulary(model)) == store.n_neurons
        assert store.layer(0).shape == (store.n_positions, store.d_mlp)

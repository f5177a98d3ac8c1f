"""Tiles on clusters: worker processes, one of which dies, give the lists that threads give."""

import os
import signal
import threading
import time

import numpy as np
import pytest
from distributed import LocalCluster
from store_pairs import make_pair

import rosetta.correlation.plan
import rosetta.correlation.schedule
from rosetta.config import Correlation, Dask, Screening
from rosetta.correlation.neighbor_tables import read_lists
from rosetta.correlation.plan import Budget, PairSize, plan_tiles
from rosetta.correlation.request import CorrelationRequest
from rosetta.correlation.schedule import run_tasks
from rosetta.correlation.steps import correlate_step
from rosetta.errors import ClusterError, StoreError

EXACT = Correlation(max_k=3, memory_gb=0.68, precision="float32")
SCREENED = Correlation(
    method="screened",
    max_k=1,
    memory_gb=0.75,
    precision="float32",
    screening=Screening(sketch_rows=64, min_r=0.9),
)


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as local:
        yield local


def lists(folder, settings, dask):
    out = folder / "n.parquet"
    correlate_step(CorrelationRequest(folder / "a", folder / "b", "mean", settings, dask), out)
    return read_lists([out])[0]


@pytest.mark.parametrize("settings", [EXACT, SCREENED], ids=["exact", "screened"])
def test_worker_processes_give_the_same_bits_as_threads(tmp_path, monkeypatch, cluster, settings):
    monkeypatch.setattr(rosetta.correlation.plan, "STRIP_BYTES", 0)
    # so that a small budget means tiles; screening plans for whole blocks of rows, tiles for 22
    value_bytes = 150 if settings is SCREENED else 28_000
    monkeypatch.setitem(rosetta.correlation.plan.ROW_VALUE_BYTES, "float32", value_bytes)
    make_pair(tmp_path, 3, (2, 40), (1, 70), 2, "float32")
    here = lists(tmp_path, settings, Dask())
    there = lists(tmp_path, settings, Dask(scheduler=cluster.scheduler_address))
    for one, other in ((here.a, there.a), (here.b, there.b)):
        assert np.array_equal(one.index, other.index)
        assert np.array_equal(one.r, other.r, equal_nan=True)


def test_a_worker_that_dies_half_way_changes_nothing(tmp_path, monkeypatch, cluster):
    monkeypatch.setattr(rosetta.correlation.plan, "STRIP_BYTES", 0)
    monkeypatch.setitem(rosetta.correlation.plan.ROW_VALUE_BYTES, "float32", 28_000)
    make_pair(tmp_path, 3, (2, 400), (1, 800), 2, "float32")
    here = lists(tmp_path, EXACT, Dask())
    seen = []

    def kill_one():
        while not (done := list(tmp_path.glob(".tiles-*/*.npz"))):
            time.sleep(0.01)
        seen.append(len(done))
        os.kill(next(iter(cluster.workers.values())).process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one)
    killer.start()
    there = lists(tmp_path, EXACT, Dask(scheduler=cluster.scheduler_address))
    killer.join()
    n_tiles = len(plan_tiles(PairSize(800, 800, 22), Budget(EXACT.memory_gb)).tiles)
    assert seen[0] < n_tiles / 2, "the worker died with most of the work ahead"
    assert np.array_equal(here.a.index, there.a.index)
    assert np.array_equal(here.a.r, there.a.r, equal_nan=True)


def test_an_error_in_a_worker_keeps_its_message(tmp_path, cluster):
    def fails():
        raise StoreError("x.zarr: truncated.")

    with pytest.raises(StoreError, match=r"x\.zarr: truncated"):
        run_tasks(fails, [()], Dask(scheduler=cluster.scheduler_address), label="nothing")


def test_a_scheduler_that_does_not_answer_is_named(monkeypatch):
    monkeypatch.setattr(rosetta.correlation.schedule, "CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"dask\.scheduler: .*tcp://127\.0\.0\.1:9"):
        run_tasks(abs, [(1,)], Dask(scheduler="tcp://127.0.0.1:9"), label="nothing")


def test_local_processes_are_started_and_stopped():
    assert run_tasks(abs, [(-1,), (2,)], Dask(scheduler="processes", n_workers=2), label="abs") == [
        1,
        2,
    ]

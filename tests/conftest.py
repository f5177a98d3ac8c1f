"""Settings shared by all tests: no network, few threads, quiet libraries."""

import gc
import os
import shutil
import sys

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["MPLBACKEND"] = "Agg"
# Threads that wait for one another sleep. By default they spin, and where tests are run in as many
# workers as there are cores, two threads of a small product took nearly 30 times the time of one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

settings.register_profile(
    "rosetta",
    deadline=None,
    max_examples=25,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("rosetta")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for parallel workers: one begins with the finished run, the others with what
    does not need it.
    """
    items.sort(
        key=lambda item: (
            0 if item.path.stem == "test_workflow" else 1 + ("finished" in item.fixturenames)
        )
    )


def pytest_collection_finish() -> None:
    """Leave what is there before the first test, such as modules and tests, out of garbage
    collections, which some tests start often.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def the_next_test_begins_again():
    """Close what a test has drawn and kept, as matplotlib warns, and so fails a later test, at 20
    open figures. Compute on one thread again: commands set a number for the rest of their process.
    """
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """A few hundred short documents of code, prose and numbers."""
    from rosetta.inputs.text.arithmetic import arithmetic_texts

    numbers = arithmetic_texts(0)
    code = "def add_{0}(left, right):\n    # the sum of both\n    return left + right * {0}\n"
    prose = (
        "The {0}th neuron fires on café, naïve and 東京 whenever the river is {0} metres wide.\n"
    )
    return [t for i in range(100) for t in (next(numbers).text, code.format(i), prose.format(i))]


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, texts):
    """The results folder of a small run of two tiny models; not to be modified."""
    from small_runs import make_small_run

    return make_small_run(tmp_path_factory.mktemp("small_run"), texts)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """A project folder in which the tiny preset has run to the end; not to be modified. Workers
    share it.
    """
    from workflow_runs import TINY, copy_project, jobs_of, run_snakemake

    def make(folder):
        done = run_snakemake(copy_project(folder), config={**TINY, "results": "results"})
        assert jobs_of(done)["train_and_profile"] == 5

    return made_once(tmp_path_factory, worker_id, "finished", make)


@pytest.fixture(scope="session")
def mixed(tmp_path_factory, worker_id):
    """A project folder with a finished run on images and text, whose jobs were no processes of
    their own; not to be modified. Workers share it.
    """
    from mixed_config import MIXED
    from workflow_runs import copy_project, run_jobs_here

    def make(folder):
        run_jobs_here(copy_project(folder), config=MIXED)

    return made_once(tmp_path_factory, worker_id, "mixed", make)


def made_once(tmp_path_factory, worker_id, name, make):
    """Return a project folder that the first worker makes that needs it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / name / "p"
    with FileLock(f"{folder.parent}.lock"):
        if not (folder / "done").exists():
            shutil.rmtree(folder.parent, ignore_errors=True)
            folder.parent.mkdir()
            make(folder)
            (folder / "done").touch()
    return folder

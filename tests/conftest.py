"""Settings shared by all tests: no network, few threads, quiet libraries."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "rosetta", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("rosetta")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests for parallel workers: what needs the finished run is one group, and first; else a file is one."""

    def runs_the_workflow(item: pytest.Item) -> bool:
        return "finished" in item.fixturenames or item.path.stem == "test_workflow"

    items.sort(key=lambda item: not runs_the_workflow(item))
    for item in items:
        item.add_marker(pytest.mark.xdist_group("workflow" if runs_the_workflow(item) else item.path.stem))


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """A few hundred short documents of code, prose and numbers."""
    from rosetta.corpus.arithmetic import arithmetic_texts

    numbers = arithmetic_texts(0)
    code = "def add_{0}(left, right):\n    # the sum of both\n    return left + right * {0}\n"
    prose = "The {0}th neuron fires on café, naïve and 東京 whenever the river is {0} metres wide.\n"
    return [t for i in range(100) for t in (next(numbers).text, code.format(i), prose.format(i))]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project folder in which the tiny preset has run to the end; not to be modified."""
    from workflow_runs import TINY, copy_project, jobs_of, run_snakemake

    folder = copy_project(tmp_path_factory.mktemp("project") / "p")
    done = run_snakemake(folder, config={**TINY, "results": "results"})
    assert jobs_of(done)["activations"] == 10
    return folder

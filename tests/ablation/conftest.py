"""A small run with held-out text, whose Rosetta Neurons are ablated; its jobs run here."""

import pytest
from commands import run_here
from small_runs import PAIR, make_small_run


@pytest.fixture(scope="session")
def ablated_run(tmp_path_factory, texts):
    """The results folder of a run after all of its ablation; not to be modified."""
    changes = {
        "corpus": {"splits": {"train": 0.0, "match": 0.6, "pool": 0.0, "heldout": 0.4}},
        "ablation": {"ladder": "both", "n_draws": 20},
    }
    results = make_small_run(tmp_path_factory.mktemp("ablated"), texts, changes)
    config = ("--config", "results/run_config.yaml")
    for command in (
        ("attribution", *config, "--pair", PAIR),
        ("attribution-tables", *config),
        ("attribution-figures", *config),
        ("ablation", "group", *config, "--group", PAIR),
        ("ablation", "tables", *config),
        ("ablation", "figures", *config),
    ):
        done = run_here(*command, folder=results.parent)
        assert done.code == 0, done
    return results

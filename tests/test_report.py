"""What the report shows."""

import numpy as np
import pytest

from rosetta.config import parse_config
from rosetta.jobs import job_names
from rosetta.paths import Paths
from rosetta.report.page import format_number
from rosetta.report.phases import phase_table
from rosetta.stages import VERSIONS

ZOO = {
    "families": {"f": {"architecture": "gpt2", "seed": 1}, "g": {"architecture": "opt", "seed": 2}},
    "sizes": {"s": {"n_layers": 1, "d_model": 16, "d_mlp": 32, "n_heads": 2}},
}
CONFIG = {
    "zoo": ZOO,
    "models": {
        **{f"{family}-s": {"zoo": {"family": family, "size": "s"}} for family in "fg"},
        "twin": {"untrained": {"of": "g-s"}},
        "unused": {"hub": "somebody/unused", "revision": "main"},
    },
    "ladders": {"l": [["f-s", "twin"]]},
    "activations": {"n_shards": 2, "sequence_length": 64},
}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.000123456, "0.0001235"), (1.5e-7, "1.500e-07"), (-0.00071, "-0.0007100"), (0.5, "0.5000"), (99.996, "100.0"),
        (0.0, "0"), (12_345.67, "12,345.7"), (1_234_567, "1,234,567"), (np.float64(36.0), "36"), (np.nan, "–"),
    ],
)  # fmt: skip
def test_numbers_are_shown_with_significant_digits(value, shown):
    assert format_number(value) == shown


def save_benchmark(paths, rule, job, seconds):
    path = paths.benchmark(rule, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"s\th:m:s\tmax_rss\n{seconds}\t0:00:01\t{100 * seconds}\n")


def test_every_rule_has_its_jobs_and_no_model_that_nobody_needs():
    jobs = job_names(parse_config(CONFIG))
    assert set(jobs) == set(VERSIONS)
    assert jobs["tokenizer"] == ["f", "g"]
    assert jobs["train"] == ["f-s", "g-s"]
    assert jobs["model"] == ["twin"]
    assert jobs["activations"] == ["f-s.0-of-2", "f-s.1-of-2", "twin.0-of-2", "twin.1-of-2"]
    assert jobs["correlate"] == ["f-s--twin.0-of-1"]


def test_the_times_are_those_of_the_jobs_that_the_configuration_asks_for(tmp_path):
    paths = Paths(tmp_path)
    for rule, job, seconds in [
        ("corpus", "all", 5), ("train", "f-s", 2), ("train", "g-s", 3), ("report", "all", 1),
        ("activations", "f-s.0-of-2", 1), ("activations", "f-s.1-of-2", 1),
        ("activations", "twin.0-of-2", 1), ("activations", "twin.1-of-2", 4),
        # of other shard counts, ladders and versions of the workflow
        ("activations", "f-s.0-of-1", 100), ("train", "q-s", 100), ("match", "f-s--g-s", 100), ("retired", "all", 100),
    ]:  # fmt: skip
        save_benchmark(paths, rule, job, seconds)
    rows = {row.phase: tuple(row)[1:] for row in phase_table(parse_config(CONFIG), paths).itertuples(index=False)}
    assert rows == {"activations": (4, 7, 4, 400), "corpus": (1, 5, 5, 500), "train": (2, 5, 3, 300)}
    more = parse_config({**CONFIG, "activations": {**CONFIG["activations"], "n_shards": 1}})
    assert phase_table(more, paths).set_index("phase")["seconds"].to_dict() == {
        "activations": 100,
        "corpus": 5,
        "train": 5,
    }

"""`rosetta judge` on stores of models that see images: what is asked, and what is written."""

import numpy as np
import pandas as pd
import pytest
from chat_server import fault
from commands import assert_rejected, run_here
from judges import exact, judge_section, says
from planted_neurons import DEAD, GRIDS, N_ROSETTA, is_monosemantic, plant

from rosetta.config import load_config
from rosetta.judging.candidates import candidates_of
from rosetta.run.paths import Paths
from rosetta.storage.tables import read_parquet, write_parquet

pytest.importorskip(
    "openai", reason="the openai package is not installed (pip install 'rosetta-neurons[annotate]')"
)


def test_neurons_of_a_run_are_judged(server, tmp_path):
    """Also with fewer images, by a second judge that says no to all, and with a validation."""

    def both(body):
        return says(False) if body["model"] == "no" else exact(body)

    server.answers = [both]
    second = {"base_url": server.url, "model": "no", "api_key_variable": "TEST_KEY"}
    second |= {"requests_per_minute": 1e6, "price_per_call": 0.5}
    settings = judge_section(
        server,
        second=second,
        top_k_sweep=[2],
        n_per_trial=2,
        n_validated=3,
        price_per_call=0.01,
    )
    file = plant(tmp_path, judge=settings)
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert done.code == 0, done.err
    calls, validation = 2 * 2 * 2 * 2, 2 * 2 * 2 * 3
    cost = 0.01 * (2 * calls + validation) + 0.5 * calls
    assert (
        f"judge: {3 * calls + validation} calls ({2 * calls} for verdicts, {validation} for the "
        f"validation, {calls} of the second judge); {cost:.2f}"
    ) in done.err
    assert len(server.requests) <= 3 * calls + validation, "a question is asked once"
    paths = Paths(tmp_path / "results")
    verdicts = pd.read_parquet(paths.verdicts)
    assert len(verdicts) == 3 * calls
    assert set(verdicts["store"]) == set(GRIDS)
    assert not verdicts["unit"].isin([DEAD]).any()
    assert ((verdicts["unit"] < N_ROSETTA) == verdicts["is_rosetta"]).all()
    main = verdicts[(verdicts["judge"] == "m") & (verdicts["top_k"] == 5)]
    assert main["is_monosemantic"].tolist() == [is_monosemantic(unit) for unit in main["unit"]]
    shares = pd.read_csv(paths.table("judge")).set_index(["store", "top_k", "judge", "neurons"])
    of_one = main[(main["store"] == "w-s") & main["is_rosetta"]]
    assert shares.loc[("w-s", 5, "m", "rosetta"), "monosemantic"] == pytest.approx(
        np.mean([is_monosemantic(unit) for unit in of_one["unit"]])
    )
    assert (shares.xs("no", level="judge")["monosemantic"] == 0).all()
    trials = pd.read_csv(paths.table("judge_trials"))
    assert trials["n_rosetta"].tolist() == [30, 30]
    assert trials["n_others"].tolist() == [28, 28]
    found = pd.read_csv(paths.table("judge_validation"))
    assert set(found["measure"]) == {"accuracy", "precision", "recall", "f1"}
    assert (found["mean"] > found["chance"]).all()
    agreement = pd.read_csv(paths.table("judge_agreement"), keep_default_na=False)
    of_all = agreement[agreement["store"] == ""].set_index("other")
    assert (of_all["n"].astype(int) == calls).all()
    n_mono = main["is_monosemantic"].sum()
    columns = ["both", "first_only", "second_only", "neither"]
    assert of_all.loc["no", columns].tolist() == [0, n_mono, 0, calls - n_mono]
    assert of_all.loc["exact", columns].tolist() == [n_mono, 0, 0, calls - n_mono]
    assert float(of_all.loc["exact", "kappa"]) == 1.0
    before = len(server.requests)
    assert run_here("judge", "--config", file, folder=tmp_path).code == 0
    assert len(server.requests) == before, "all replies are kept"


def test_a_stopped_judge_goes_on(server, tmp_path):
    server.answers = [*[exact] * 9, fault(500)]
    file = plant(tmp_path, judge=judge_section(server, n_parallel=1, max_retries=0, models=["v-s"]))
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert_rejected(done, r"judge\.base_url: .* 9 of 24 neurons are judged and kept; run again")
    before, server.answers = len(server.requests), [exact]
    assert run_here("judge", "--config", file, folder=tmp_path).code == 0
    assert len(server.requests) - before == 24 - 9


def test_too_few_neurons_are_told(server, tmp_path):
    server.answers = [says(True)]
    file = plant(tmp_path, judge=judge_section(server, n_per_trial=50, models=["w-s"], top_k=2))
    done = run_here("judge", "--config", file, folder=tmp_path)
    note = "w-s: 30 Rosetta Neurons and 28 others, so 2 disjoint trials of 14 of the same layers"
    assert done.code == 0, done.err
    assert note in done.err
    table = pd.read_csv(tmp_path / "results" / "tables" / "judge_trials.csv")
    assert table["note"].tolist() == [f"{note} instead of 50"]


def test_a_model_without_enough_neurons_is_left_out(server, tmp_path):
    """One Rosetta Neuron of w-s is matched with all of v-s."""
    server.answers = [says(True)]
    file = plant(tmp_path, judge=judge_section(server, top_k=2))
    paths = Paths(tmp_path / "results")
    table = read_parquet(paths.rosetta("v-s--w-s"))
    write_parquet(paths.rosetta("v-s--w-s"), table.assign(layer=0, unit=0))
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert done.code == 0, done.err
    assert "w-s: 1 Rosetta Neurons and 57 others, too few" in done.err
    shares = pd.read_csv(paths.table("judge"))
    assert shares["store"].tolist() == ["v-s"] * 3
    assert shares["n_answered"].tolist() == [12, 12, 24]


def test_without_rosetta_neurons_nothing_is_asked(server, tmp_path):
    file = plant(tmp_path, judge=judge_section(server))
    paths = Paths(tmp_path / "results")
    write_parquet(paths.rosetta("v-s--w-s"), read_parquet(paths.rosetta("v-s--w-s")).head(1))
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert done.code == 0, done.err
    assert not server.requests
    assert pd.read_parquet(paths.verdicts).empty
    for name in ("judge", "judge_validation", "judge_agreement"):
        table = pd.read_csv(paths.table(name))
        assert table.empty, name
        assert len(table.columns) > 5, "a table without rows has its columns"
    assert pd.read_csv(paths.table("judge_trials"))["note"].str.endswith("; not judged").all()


def test_a_judge_has_to_be_configured(tmp_path):
    file = plant(tmp_path)
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert_rejected(done, r"judge: is not configured\. Give base_url")


def test_a_neuron_of_another_group_is_no_other_neuron(tmp_path):
    """Rosetta Neurons of stores are those of the groups compared on them; others are of none."""
    ladders = {"vw": [["v-s", "w-s"]], "wv": [["w-s", "v-s"]]}
    file = plant(tmp_path, ladders=ladders)
    paths = Paths(tmp_path / "results")
    table = read_parquet(paths.rosetta("v-s--w-s"))
    table = table.assign(model_anchor="w-s", model="v-s", unit_anchor=20, unit=21).head(1)
    write_parquet(paths.rosetta("w-s--v-s"), table)
    found = candidates_of(load_config(file), Paths(tmp_path / "results"), "v-s")
    assert [0, 21] in found.rosetta.tolist()
    assert [0, 21] not in found.others.tolist()
    assert len(found.rosetta) == 31
    assert len(found.others) == 27

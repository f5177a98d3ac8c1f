"""Judges of known accuracy, through a local server: the shares that come out are theirs."""

import numpy as np
import pandas as pd
import pytest
from chat_server import completion, fault
from judges import bits_of, inquiry_of, judge_settings, says
from scipy import stats

from rosetta.errors import EndpointError
from rosetta.judging.replies import Reply
from rosetta.judging.trials import Candidates, draw_trials
from rosetta.judging.verdicts import judge_neurons, mean_interval, monosemantic_fractions

pytest.importorskip(
    "openai", reason="the openai package is not installed (pip install 'rosetta-neurons[annotate]')"
)
# Of each ten Rosetta Neurons seven are monosemantic, of ten others two.
KIND = {True: 7, False: 2}
ROSETTA = np.array([(0, unit) for unit in range(100)])
OTHERS = np.array([(0, unit) for unit in range(100, 200)])


class Told:
    """Shows a neuron by its number, and how much is shown."""

    def question(self, neuron, top_k):
        return [{"role": "user", "content": f"{neuron.layer} {neuron.unit} {top_k}"}]


def unit_of(body):
    return int(body["messages"][0]["content"].split()[1])


def truth(unit):
    return unit % 10 < KIND[unit < 100]


def knowing(body):
    return says(truth(unit_of(body)))


def judged(server, folder, top_k=5, **changes):
    settings = judge_settings(server.url, **changes)
    trials = draw_trials(Candidates("m", ROSETTA, OTHERS), settings).trials
    return judge_neurons(trials, {"m": Told()}, inquiry_of(settings, folder), top_k)


def row(verdicts, neurons):
    table = monosemantic_fractions(verdicts)
    return table[table["neurons"] == neurons].iloc[0]


def test_an_exact_judge_finds_the_shares_of_the_trials(server, tmp_path):
    server.answers = [knowing]
    verdicts = judged(server, tmp_path)
    assert len(verdicts) == 200
    assert verdicts["is_monosemantic"].tolist() == [truth(unit) for unit in verdicts["unit"]]
    assert set(verdicts["judge"]) == {"m"}
    shares = []
    for neurons, share, of in (("rosetta", 0.7, True), ("others", 0.2, False)):
        some = row(verdicts, neurons)
        assert some["monosemantic"] == pytest.approx(share)
        assert some["n_answered"] == 100
        means = [
            np.mean([truth(unit) for unit in part["unit"]])
            for _, part in verdicts[verdicts["is_rosetta"] == of].groupby("trial")
        ]
        shares.append(np.array(means))
        low, high = stats.t.interval(0.95, 4, np.mean(means), stats.sem(means))
        assert (some["ci_low"], some["ci_high"]) == pytest.approx((low, high))
    gap, apart = row(verdicts, "difference"), shares[0] - shares[1]
    assert gap["monosemantic"] == pytest.approx(0.5)
    low, high = stats.t.interval(0.95, 4, 0.5, stats.sem(apart))
    assert (gap["ci_low"], gap["ci_high"]) == pytest.approx((low, high))


def test_a_judge_that_always_agrees_finds_all(server, tmp_path):
    server.answers = [says(True)]
    verdicts = judged(server, tmp_path)
    for neurons, share in (("rosetta", 1.0), ("others", 1.0), ("difference", 0.0)):
        some = row(verdicts, neurons)
        assert (some["monosemantic"], some["ci_low"], some["ci_high"]) == (share, share, share)


def test_a_coin_finds_half_of_either_kind(server, tmp_path):
    server.answers = [lambda body: says(bool(bits_of(body, 1)[0]))]
    verdicts = judged(server, tmp_path)
    for neurons in ("rosetta", "others"):
        # With 100 neurons, 4 standard errors of a fair coin.
        assert abs(row(verdicts, neurons)["monosemantic"] - 0.5) < 4 * 0.05
    assert 0 < verdicts["is_monosemantic"].sum() < 200


def test_what_is_no_answer_is_left_out_and_counted(server, tmp_path):
    def mixed(body):
        unit = unit_of(body)
        if unit % 10 == 9:
            return completion(refusal="I would rather not")
        if unit % 10 == 8:
            return completion('{"is_monosemantic": "yes", "description": "x"}')
        return knowing(body)

    server.answers = [mixed]
    verdicts = judged(server, tmp_path)
    some = row(verdicts, "rosetta")
    assert (some["n_answered"], some["n_refused"], some["n_malformed"]) == (80, 10, 10)
    assert some["monosemantic"] == pytest.approx(7 / 8, abs=0.03), "per trial, of those answered"
    assert verdicts.loc[verdicts["status"] != "answered", "is_monosemantic"].isna().all()
    assert len(server.requests) == 200 + 20, "a malformed answer is asked for once more"
    again = judged(server, tmp_path)
    pd.testing.assert_frame_equal(again, verdicts)
    assert len(server.requests) == 220 + 2 * 20, "and by the next run"


@pytest.mark.parametrize(
    "reply",
    [
        "yes",
        "{}",
        '{"is_monosemantic": true}',
        '{"is_monosemantic": 1, "description": "x"}',
        '{"is_monosemantic": true, "description": " "}',
        '{"is_monosemantic": true, "description": "x", "certainty": 0.9}',
    ],
)
def test_malformed_verdicts_are_no_verdicts(server, tmp_path, reply):
    server.answers = [completion(reply)]
    verdicts = judged(server, tmp_path, n_trials=2, n_per_trial=1)
    assert set(verdicts["status"]) == {"malformed"}
    some = row(verdicts, "rosetta")
    assert (some["n_trials"], some["n_malformed"]) == (0, 2)
    assert np.isnan(some["monosemantic"])


def test_every_reply_is_kept_as_it_came(server, tmp_path):
    server.answers = [knowing]
    verdicts = judged(server, tmp_path, n_trials=2, n_per_trial=3)
    for _, found in verdicts.iterrows():
        kept = Reply.model_validate_json((tmp_path / f"{found['question']}.json").read_text())
        assert (kept.model, kept.status, kept.question) == ("m", "answered", found["question"])
        assert kept.raw == says(truth(found["unit"]))[1]["choices"][0]["message"]["content"]


def test_a_judge_goes_on_where_it_stopped(server, tmp_path):
    """After a fault that lasts, with a wait that is asked for on the way."""
    waits = (*fault(429), {"Retry-After": "0"})
    server.answers = [says(True), waits, says(True), says(True), fault(500)]
    few = {"n_trials": 2, "n_per_trial": 5, "n_parallel": 1, "max_retries": 1}
    with pytest.raises(EndpointError, match=r"3 of 20 neurons are judged and kept; run again"):
        judged(server, tmp_path, **few)
    before, server.answers = len(server.requests), [knowing]
    verdicts = judged(server, tmp_path, **few)
    assert (verdicts["status"] == "answered").all()
    assert len(server.requests) - before == 17


def test_a_slow_judge_runs_into_the_time_out_and_keeps_what_it_said(server, tmp_path):
    few = {"n_trials": 2, "n_per_trial": 5, "n_parallel": 1, "max_retries": 0}
    asked = []

    def slower(body):
        asked.append(body)
        server.delay = 3.0 if len(asked) == 3 else 0.0
        return says(True)

    server.answers = [slower]  # the delay begins once an answer is chosen, so with the next one
    with pytest.raises(EndpointError, match=r"APITimeoutError.* 3 of 20 neurons are judged"):
        judged(server, tmp_path, timeout=1.0, **few)
    assert (judged(server, tmp_path, **few)["status"] == "answered").all()


def test_numbers_of_images_and_judges_are_told_apart(server, tmp_path):
    server.answers = [lambda body: says(int(body["messages"][0]["content"].split()[2]) < 10)]
    few = {"n_trials": 2, "n_per_trial": 4}
    some = [judged(server, tmp_path, top_k, **few) for top_k in (2, 50)]
    some.append(judged(server, tmp_path, 2, **few, model="another"))
    table = monosemantic_fractions(pd.concat(some, ignore_index=True))
    shares = table[table["neurons"] == "rosetta"].set_index(["top_k", "judge"])["monosemantic"]
    assert shares.to_dict() == {(2, "m"): 1.0, (50, "m"): 0.0, (2, "another"): 1.0}
    assert len(server.requests) == 3 * 16


def test_neurons_that_are_alike_are_asked_about_once(server, tmp_path, monkeypatch):
    def alike(self, neuron, top_k):
        return [{"role": "user", "content": "0 1 5"}]

    monkeypatch.setattr(Told, "question", alike)
    server.answers = [says(True)]
    verdicts = judged(server, tmp_path, n_trials=2, n_per_trial=10, n_parallel=8)
    assert len(server.requests) == 1
    assert verdicts["is_monosemantic"].all()


def test_means_over_trials():
    values = np.array([0.2, 0.5, 0.4, np.nan])
    low, high = stats.t.interval(0.95, 2, values[:3].mean(), stats.sem(values[:3]))
    assert mean_interval(values) == pytest.approx((values[:3].mean(), low, high))
    assert mean_interval(np.array([0.3, np.nan]))[0] == 0.3
    assert np.isnan(mean_interval(np.array([0.3]))[1:]).all()
    assert np.isnan(mean_interval(np.array([]))).all()

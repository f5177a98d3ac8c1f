"""What a judge costs: told before the first call, and never more than is allowed."""

import pytest
from chat_server import completion
from commands import assert_rejected, run_here
from judges import judge_section, judge_settings
from planted_neurons import plant

from rosetta.errors import ConfigError, EndpointError
from rosetta.judging.budget import Calls, Purse, check_cost

pytest.importorskip(
    "openai", reason="the openai package is not installed (pip install 'rosetta-neurons[annotate]')"
)


def test_a_judge_that_costs_too_much_does_not_start(server, tmp_path):
    file = plant(tmp_path, judge=judge_section(server, price_per_call=0.25, max_cost=11.99))
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert_rejected(
        done, r"judge\.max_cost: is 11\.99, but the judge needs 48 calls .*; 12\.00\. Lower"
    )
    assert not server.requests
    check = run_here("check", "--configfile", file, folder=tmp_path)
    assert_rejected(check, r"judge\.max_cost: is 11\.99, but the judge needs 48 calls")
    plan = run_here("plan", "--configfile", file, folder=tmp_path)
    assert plan.code == 0, plan.err
    assert "judge: at most 48 calls" in plan.out
    assert "the run would not start. judge.max_cost" in plan.out


def test_answers_in_no_form_do_not_go_beyond_the_limit(server, tmp_path):
    server.answers = [completion("no JSON")]
    file = plant(
        tmp_path, judge=judge_section(server, price_per_call=0.25, max_cost=12.0, n_parallel=1)
    )
    done = run_here("judge", "--config", file, folder=tmp_path)
    assert_rejected(done, r"judge\.max_cost: the next call would cost more than 12\.00")
    assert len(server.requests) == 48


def test_a_plan_knows_what_small_models_have(server, tmp_path, monkeypatch):
    """60 neurons make at most 2 × 2 × 15 questions of either model. A plan needs no key."""
    monkeypatch.delenv("TEST_KEY")
    file = plant(tmp_path, judge=judge_section(server, n_per_trial=1000, n_validated=1000))
    plan = run_here("plan", "--configfile", file, folder=tmp_path)
    assert (
        "judge: at most 360 calls (120 for verdicts, 240 for the validation, 0 of the second "
        "judge); their cost is not known (judge.price_per_call)"
    ) in plan.out


def test_costs_are_of_calls_with_a_price(server):
    calls = Calls(verdicts=100, validation=10, second=50)
    plain = judge_settings(server.url, price_per_call=0.02)
    assert plain.second is None
    assert calls.cost(plain) == pytest.approx(2.2)
    assert calls.cost(judge_settings(server.url)) is None
    second = {"base_url": server.url, "model": "n", "price_per_call": 1.0}
    assert calls.cost(judge_settings(server.url, price_per_call=0.02, second=second)) == (
        pytest.approx(52.2)
    )
    check_cost(judge_settings(server.url, price_per_call=0.02, max_cost=2.2), calls)
    with pytest.raises(ConfigError, match=r"judge\.max_cost: is 2\.19"):
        check_cost(judge_settings(server.url, price_per_call=0.02, max_cost=2.19), calls)


def test_a_purse_is_open_up_to_its_limit():
    ask = Purse(1.0).paying(lambda messages, schema: "x", 0.01)
    assert [ask([], None) for _ in range(100)] == ["x"] * 100
    with pytest.raises(EndpointError, match=r"judge\.max_cost: the next call"):
        ask([], None)
    free = Purse(None).paying(lambda messages, schema: "x", 5.0)
    assert [free([], None) for _ in range(9)]

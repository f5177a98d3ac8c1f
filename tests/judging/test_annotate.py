"""Annotation against a local server that speaks the protocol, in good and in bad manners."""

import os
import subprocess
import sys

import pandas as pd
import pytest
from chat_server import GOOD, KEY, completion, fault

from rosetta.config import Annotation
from rosetta.errors import ConfigError, EndpointError
from rosetta.judging.annotate import annotate_neurons
from rosetta.judging.endpoint import Endpoint, RateLimit, Refusal, check_endpoint
from rosetta.judging.forms import MalformedAnswer, parse_form
from rosetta.judging.prompt import Answer, annotation_messages

pytest.importorskip(
    "openai", reason="the openai package is not installed (pip install 'rosetta-neurons[annotate]')"
)


def settings(server, **changes):
    values = {
        "base_url": server.url,
        "model": "m",
        "api_key_variable": "TEST_KEY",
        "requests_per_minute": 1e6,
    }
    return Annotation(**{**values, **changes})


QUESTION = [{"role": "user", "content": "what?"}]


def questions(n):
    return {("a", 0, unit): [{"role": "user", "content": f"neuron {unit}"}] for unit in range(n)}


def test_the_request_carries_what_is_configured(server):
    assert Endpoint(settings(server)).ask(QUESTION) == GOOD
    path, authorization, body = server.requests[0]
    assert (path, authorization) == ("/v1/chat/completions", f"Bearer {KEY}")
    assert body == {"model": "m", "messages": QUESTION, "temperature": 0.0}
    Endpoint(settings(server, temperature=None)).ask(QUESTION)
    assert "temperature" not in server.requests[1][2]


@pytest.mark.parametrize("first", [fault(429), fault(500), fault(503), fault(408)])
def test_passing_failures_are_tried_again(server, first):
    server.answers = [first, first, completion(GOOD)]
    assert Endpoint(settings(server)).ask(QUESTION) == GOOD
    assert len(server.requests) == 3


def test_pauses_grow_and_tries_end(server):
    server.answers = [fault(500, f"broken, dear {KEY}")]
    pauses = []
    with pytest.raises(
        EndpointError, match=r"failed 5 time\(s\) for model 'm' \(InternalServerError"
    ) as caught:
        Endpoint(settings(server, max_retries=4)).ask(QUESTION, pause=pauses.append)
    assert KEY not in str(caught.value)
    assert len(server.requests) == 5
    for number, pause in enumerate(pauses):
        assert 0.5 <= pause / (0.001 * 2**number) <= 1


def test_time_outs_and_a_missing_server_are_failures(server):
    server.delay = 0.5
    with pytest.raises(EndpointError, match="APITimeoutError"):
        Endpoint(settings(server, timeout=0.05, max_retries=1)).ask(QUESTION)
    server.close()
    with pytest.raises(EndpointError, match="APIConnectionError"):
        Endpoint(settings(server, max_retries=1)).ask(QUESTION)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fault(401, f"Incorrect key {KEY}"), r"rejects the key in TEST_KEY \(status 401\)"),
        (fault(404, "no such model"), "failed 1 time.*no such model"),
        (fault(400, "too long", "context_length_exceeded"), "failed 1 time.*too long"),
        ((200, "<html>"), "does not answer as chat completions do"),
        ((200, {"object": "list"}), "does not answer as chat completions do"),
    ],
)
def test_lasting_failures_are_not_tried_again(server, answer, message):
    server.answers = [answer]
    with pytest.raises(EndpointError, match=message) as caught:
        Endpoint(settings(server)).ask(QUESTION)
    assert KEY not in str(caught.value)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        completion(refusal="I will not"),
        completion("", finish_reason="content_filter"),
        fault(400, "no", "content_filter"),
    ],
)
def test_refusals_are_told_apart(server, answer):
    server.answers = [answer]
    with pytest.raises(Refusal):
        Endpoint(settings(server)).ask(QUESTION)


def test_a_key_that_a_reply_repeats_is_not_kept(server, tmp_path):
    answer = GOOD.replace("rivers", f"rivers of {KEY}")
    server.answers = [completion(answer), completion(refusal=f"not with {KEY}")]
    found = annotate_neurons(
        questions(2), Endpoint(settings(server, n_parallel=1)).ask, tmp_path, settings(server)
    )
    assert found["name"].dropna().tolist() == ["rivers of ***"]
    files = [path.read_text() for path in tmp_path.glob("*.json")]
    assert len(files) == 2
    assert not any(KEY in text for text in files)


def test_the_rate_is_kept():
    now, slept = [0.0], []
    limit = RateLimit(per_minute=60, clock=lambda: now[0])
    for _ in range(3):
        limit.wait(slept.append)
    now[0] = 10.0
    limit.wait(slept.append)
    assert slept == [0, 1, 2, 0]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "a river",
        "[1]",
        '{"name": "x"',
        '{"name": "", "examples": [], "is_monosemantic": true}',
        '{"name": "x", "examples": "y", "is_monosemantic": true}',
        '{"name": "x", "examples": []}',
        '{"name": "x", "examples": [], "is_monosemantic": "yes"}',
    ],
)
def test_malformed_answers_are_rejected(reply):
    with pytest.raises(MalformedAnswer):
        parse_form(reply, Answer)


@pytest.mark.parametrize("reply", [GOOD, f"```json\n{GOOD}\n```", f"\n```\n{GOOD}```\n"])
def test_answers_are_read(reply):
    answer = parse_form(reply, Answer)
    assert (answer.name, answer.examples, answer.is_monosemantic) == (
        "rivers",
        ["Oder", "Elbe", "Rhine"],
        True,
    )


def test_the_prompt_marks_the_tokens():
    contexts = pd.DataFrame({"document": [7, 7], "byte_start": [4, 0], "byte_end": [7, 3]})
    system, user = annotation_messages(contexts, {7: "the öre is"}, 2)
    assert "JSON" in system["content"]
    assert user["content"] == "Text 1:\ne «ör»e \n\nText 2:\n«the» \ufffd"


def by_content(body):
    """Answer by what is asked, so that the order of requests does not matter."""
    number = int(body["messages"][0]["content"].split()[-1])
    return [completion(GOOD), completion(refusal="no"), completion("not JSON")][number % 3]


def test_every_neuron_gets_its_answer_once(server, tmp_path):
    server.answers = [by_content]
    ask, limits = Endpoint(settings(server)).ask, settings(server)
    found = annotate_neurons(questions(9), ask, tmp_path, limits)
    assert found["status"].tolist() == ["annotated", "refused", "malformed"] * 3
    assert found["unit"].tolist() == list(range(9))
    assert found["name"].dropna().tolist() == ["rivers"] * 3
    assert found["is_monosemantic"].isna().sum() == 6
    assert len(server.requests) == 3 + 3 + 2 * 3
    again = annotate_neurons(questions(9), ask, tmp_path, limits)
    pd.testing.assert_frame_equal(again, found)
    assert len(server.requests) == 12 + 2 * 3, "only malformed answers are asked for again"
    other = settings(server, model="another")
    annotate_neurons(questions(1), Endpoint(other).ask, tmp_path, other)
    assert len(server.requests) == 19


def test_a_failure_keeps_the_answers_before(server, tmp_path):
    server.answers = [completion(GOOD)] * 4 + [fault(500)]
    limits = settings(server, n_parallel=1, max_retries=1)
    with pytest.raises(
        EndpointError, match=r"4 of 9 neurons are annotated and kept; run again to go on"
    ):
        annotate_neurons(questions(9), Endpoint(limits).ask, tmp_path, limits)
    server.answers, before = [completion(GOOD)], len(server.requests)
    assert (
        annotate_neurons(questions(9), Endpoint(limits).ask, tmp_path, limits)["status"]
        == "annotated"
    ).all()
    assert len(server.requests) - before == 5


def test_a_damaged_answer_is_asked_for_again(server, tmp_path):
    limits = settings(server)
    annotate_neurons(questions(1), Endpoint(limits).ask, tmp_path, limits)
    (kept,) = tmp_path.glob("*.json")
    for damaged in ('{"status"', kept.read_text().replace("rivers", "ravers")):
        kept.write_text(damaged)
        assert annotate_neurons(questions(1), Endpoint(limits).ask, tmp_path, limits)[
            "name"
        ].tolist() == ["rivers"]
    assert len(server.requests) == 3


def test_a_missing_key_is_told_by_its_variable(server, monkeypatch):
    monkeypatch.delenv("TEST_KEY")
    with pytest.raises(
        ConfigError,
        match=r"annotation\.api_key_variable: the environment variable TEST_KEY is not set",
    ):
        check_endpoint(settings(server))


def test_the_key_is_nowhere_to_be_seen(server, tmp_path):
    """Nor in the files, nor in the output of a process, with the client's own logging at its most
    talkative.
    """
    server.answers = [completion(GOOD), fault(401, f"wrong key {KEY}")]
    script = f"""
import sys
from pathlib import Path
from rosetta.judging.annotate import annotate_neurons
from rosetta.judging.endpoint import Endpoint
from rosetta.config import Annotation
from rosetta.errors import RosettaError
settings = Annotation(base_url={server.url!r}, model="m", api_key_variable="TEST_KEY", n_parallel=1)
try:
    annotate_neurons({questions(2)!r}, Endpoint(settings).ask, Path({str(tmp_path)!r}), settings)
except RosettaError as error:
    sys.exit(f"rosetta: {{error}}")
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "TEST_KEY": KEY, "OPENAI_LOG": "debug"},
    )
    assert "rejects the key in TEST_KEY" in done.stderr
    assert "1 of 2 neurons" in done.stderr
    files = [path.read_text() for path in tmp_path.glob("*.json")]
    assert len(files) == 1
    assert not any(KEY in text for text in [done.stdout, done.stderr, *files])

"""What an endpoint asks for: to wait, and to be spared of schemas."""

import time
from email.utils import formatdate

import pytest
from chat_server import GOOD, completion, fault
from judges import judge_settings, says

from rosetta.errors import EndpointError
from rosetta.judging.endpoint import Endpoint, retry_after
from rosetta.judging.forms import schema_of
from rosetta.judging.questions import Verdict

pytest.importorskip(
    "openai", reason="the openai package is not installed (pip install 'rosetta-neurons[annotate]')"
)
QUESTION = [{"role": "user", "content": "what?"}]
SCHEMA = schema_of(Verdict)


def busy(wait):
    return *fault(429), {"Retry-After": wait}


def test_the_wait_that_is_asked_for_is_kept(server):
    server.answers = [busy("7"), busy("0"), completion(GOOD)]
    pauses = []
    endpoint = Endpoint(judge_settings(server.url))
    assert endpoint.ask(QUESTION, pause=pauses.append) == GOOD
    assert pauses[0] == 7
    assert 0.001 <= pauses[1] <= 0.002, "never less than the growing pause"


def test_too_long_a_wait_ends_it(server):
    server.answers = [busy("86400")]
    endpoint = Endpoint(judge_settings(server.url))
    with pytest.raises(
        EndpointError, match=r"judge\.base_url: .* asks to be called again in 86400 seconds"
    ):
        endpoint.ask(QUESTION, pause=[].append)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("12", 12),
        ("1.5", 1.5),
        ("-3", 0),
        ("soon", 0),
        ("inf", 0),
        (formatdate(1_000_030, usegmt=True), 30),
        (formatdate(999_000, usegmt=True), 0),
    ],
)
def test_waits_are_seconds_or_dates(said, expected):
    assert retry_after({"retry-after": said}, now=lambda: 1_000_000.0) == expected
    assert retry_after({}) == 0


def test_the_schema_goes_along(server):
    server.answers = [says(True)]
    Endpoint(judge_settings(server.url)).ask(QUESTION, SCHEMA)
    sent = server.requests[0][2]["response_format"]
    assert sent["type"] == "json_schema"
    assert (sent["json_schema"]["name"], sent["json_schema"]["strict"]) == ("Verdict", True)
    schema = sent["json_schema"]["schema"]
    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == sorted(schema["properties"])


def test_an_endpoint_without_schemas_is_asked_without(server, capsys):
    def strict(body):
        if "response_format" in body:
            return fault(400, "Unrecognized request argument supplied: response_format")
        return says(True)

    server.answers = [strict]
    endpoint = Endpoint(judge_settings(server.url, max_retries=0))
    replies = [endpoint.ask(QUESTION, SCHEMA) for _ in range(2)]
    assert replies == [says(True)[1]["choices"][0]["message"]["content"]] * 2
    assert ["response_format" in body for _, _, body in server.requests] == [True, False, False]
    assert capsys.readouterr().err.count("takes no JSON schema") == 1


def test_other_bad_requests_are_no_matter_of_schemas(server):
    server.answers = [fault(400, "image is too large")]
    with pytest.raises(EndpointError, match="image is too large"):
        Endpoint(judge_settings(server.url)).ask(QUESTION, SCHEMA)
    assert len(server.requests) == 1


def test_a_slow_endpoint_is_waited_for_up_to_the_limit(server):
    server.answers, server.delay = [says(True)], 0.3
    assert Endpoint(judge_settings(server.url, timeout=30)).ask(QUESTION)
    started = time.monotonic()
    with pytest.raises(EndpointError, match="APITimeoutError"):
        Endpoint(judge_settings(server.url, timeout=0.05, max_retries=1)).ask(QUESTION)
    assert time.monotonic() - started < 30

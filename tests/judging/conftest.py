"""A local server for endpoints, whose key is in the environment."""

import pytest
from chat_server import KEY, Server

from rosetta.judging import endpoint


@pytest.fixture
def server(monkeypatch):
    """Failures are tried again after milliseconds."""
    monkeypatch.setenv("TEST_KEY", KEY)
    monkeypatch.setattr(endpoint, "FIRST_PAUSE", 0.001)
    started = Server()
    yield started
    started.close()

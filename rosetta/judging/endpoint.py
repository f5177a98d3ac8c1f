"""An OpenAI-compatible endpoint: rate-limited, retried, its key kept out of sight."""

from __future__ import annotations

import os
import random
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from rosetta.config import Annotation
from rosetta.errors import ConfigError, EndpointError
from rosetta.extras import require_extra

FIRST_PAUSE = 1.0  # seconds; doubled after every failure
LONGEST_PAUSE = 60.0


class Refusal(Exception):
    """The model, or a filter before it, declines to answer."""


class RateLimit:
    """Lets callers pass at most so many times a minute, evenly spaced, over all threads."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 60.0 / per_minute
        self._clock = clock
        self._next = clock()
        self._lock = threading.Lock()

    def wait(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Return when the caller's turn has come."""
        with self._lock:
            now = self._clock()
            turn = max(now, self._next)
            self._next = turn + self._interval
        sleep(turn - now)


def check_endpoint(settings: Annotation) -> str:
    """Return the key of the endpoint, from the environment.

    Raises
    ------
    ConfigError
        If the variable that should hold it is not set or holds no key.
    MissingExtraError
        If the `openai` package is not installed.
    """
    require_extra("annotate", "annotation")
    key = os.environ.get(settings.api_key_variable)
    if not key:
        raise ConfigError(
            f"annotation.api_key_variable: the environment variable {settings.api_key_variable} "
            "is not set. "
            "Put the key there, or any word if the endpoint asks for none."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        # It would make an illegal header, and an error about it may repeat it.
        raise ConfigError(
            f"annotation.api_key_variable: {settings.api_key_variable} holds a blank, a line "
            "break or another sign "
            "that no key has. Set it to the key alone."
        )
    return key


class Endpoint:
    """The chat completions of one model.

    Parameters
    ----------
    settings : Annotation
        Address, model and limits. The key is read from the environment variable that they name.

    Raises
    ------
    ConfigError
        As `check_endpoint`.
    """

    def __init__(self, settings: Annotation) -> None:
        self._key = check_endpoint(settings)
        import openai  # optional, so only where it is used

        self._openai = openai
        self._settings = settings
        self._limit = RateLimit(settings.requests_per_minute)
        # Tries are renewed here, so that they count against the rate limit too.
        self._client = openai.OpenAI(
            base_url=settings.base_url, api_key=self._key, timeout=settings.timeout, max_retries=0
        )

    def ask(
        self, messages: list[dict[str, str]], pause: Callable[[float], None] = time.sleep
    ) -> str:
        """Return the model's reply.

        Raises
        ------
        Refusal
            If it declines, or a content filter does.
        EndpointError
            If the endpoint does not answer after all tries, or rejects the key, the model or the
            request.
        """
        failures = 0
        while True:
            self._limit.wait()
            try:
                return self._reply(messages)
            except self._openai.APIError as error:
                failures += 1
                if failures > self._settings.max_retries or not self._may_pass(error):
                    raise EndpointError(self._tell(error, failures)) from None
            pause(_pause(failures))

    def _reply(self, messages: list[dict[str, str]]) -> str:
        temperature = self._settings.temperature
        extra: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
        try:
            response = self._client.chat.completions.create(
                model=self._settings.model, messages=messages, **extra
            )
        except self._openai.BadRequestError as error:
            if error.code == "content_filter":
                raise Refusal("content filter") from None
            raise
        except ValueError:  # what came is not even JSON
            response = None
        choices = getattr(response, "choices", None)
        if not choices:
            raise EndpointError(
                f"annotation.base_url: {self._settings.base_url} does not answer as chat "
                "completions do."
            )
        if choices[0].message.refusal or choices[0].finish_reason == "content_filter":
            raise Refusal(choices[0].message.refusal or "content filter")
        return choices[0].message.content or ""

    def _may_pass(self, error: Any) -> bool:
        """Tell whether a failure may be gone at the next try: no connection, a time-out, too many
        requests, a fault.
        """
        if isinstance(error, self._openai.APIStatusError):
            return error.status_code in (408, 409, 429) or error.status_code >= 500
        return isinstance(error, self._openai.APIConnectionError)  # time-outs are of this kind

    def _tell(self, error: Any, tries: int) -> str:
        """Say what went wrong. What an endpoint writes may repeat the key, so it is not told where
        the key is wrong.
        """
        place = f"annotation.base_url: {self._settings.base_url}"
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            return (
                f"{place} rejects the key in {self._settings.api_key_variable} (status {status})."
            )
        reason = " ".join(str(error).split())
        for form in (self._key, quote(self._key, safe=""), b64encode(self._key.encode()).decode()):
            reason = reason.replace(form, "***")
        what = f"{type(error).__name__}: {reason[:300]}"
        return f"{place} failed {tries} time(s) for model {self._settings.model!r} ({what})."


def _pause(failures: int) -> float:
    """Return the seconds to wait after so many failures: doubling, with chance so that threads do
    not come together.
    """
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)) * random.uniform(0.5, 1.0)

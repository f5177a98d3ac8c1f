"""An OpenAI-compatible endpoint: rate-limited, retried, its key kept out of sight."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import quote

from rosetta.config import ChatEndpoint
from rosetta.errors import ConfigError, EndpointError
from rosetta.extras import require_extra
from rosetta.progress import say

FIRST_PAUSE = 1.0  # seconds; doubled after every failure
LONGEST_PAUSE = 60.0
LONGEST_WAIT = 600.0  # that an endpoint may ask for (Retry-After)

# A message of a chat; its content is text, or a list of parts (text and images).
Messages = list[dict[str, Any]]
Schema = dict[str, Any]


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


def check_endpoint(settings: ChatEndpoint) -> str:
    """Return the key of the endpoint, from the environment.

    Raises
    ------
    ConfigError
        If the variable that should hold it is not set or holds no key.
    MissingExtraError
        If the `openai` package is not installed.
    """
    require_extra("annotate", settings.key)
    key = os.environ.get(settings.api_key_variable)
    if not key:
        raise ConfigError(
            f"{settings.key}.api_key_variable: the environment variable "
            f"{settings.api_key_variable} "
            "is not set. Put the key there, or any word if the endpoint asks for none."
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        # It would make an illegal header, and an error about it may repeat it.
        raise ConfigError(
            f"{settings.key}.api_key_variable: {settings.api_key_variable} holds a blank, a line "
            "break or another sign that no key has. Set it to the key alone."
        )
    return key


class Endpoint:
    """The chat completions of one model.

    Parameters
    ----------
    settings : ChatEndpoint
        Address, model and limits. The key is read from the environment variable that they name.

    Raises
    ------
    ConfigError
        As `check_endpoint`.
    """

    def __init__(self, settings: ChatEndpoint) -> None:
        self._key = check_endpoint(settings)
        import openai  # optional, so only where it is used

        self._openai = openai
        self._settings = settings
        self._takes_schemas = True
        self._limit = RateLimit(settings.requests_per_minute)
        # Tries are renewed here, so that they count against the rate limit too.
        self._client = openai.OpenAI(
            base_url=settings.base_url, api_key=self._key, timeout=settings.timeout, max_retries=0
        )

    def ask(
        self,
        messages: Messages,
        schema: Schema | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> str:
        """Return the model's reply.

        Parameters
        ----------
        messages : list of dict
            The chat so far.
        schema : dict, optional
            JSON schema that the endpoint is to keep the reply to. If it rejects such requests, they
            are made without from then on.
        pause : callable
            Waits so many seconds: growing ones, or what the endpoint asks for (`Retry-After`).

        Raises
        ------
        Refusal
            If the model declines, or a content filter does.
        EndpointError
            If the endpoint does not answer after all tries, asks for too long a wait, or rejects
            the key, the model or the request.
        """
        failures = 0
        while True:
            self._limit.wait()
            asked = schema if self._takes_schemas else None
            try:
                return self._reply(messages, asked)
            except self._openai.APIError as error:
                if asked is not None and self._rejects_schema(error):
                    continue
                failures += 1
                if failures > self._settings.max_retries or not self._may_pass(error):
                    raise EndpointError(self._tell(error, failures)) from None
                wait = max(_pause(failures), self._wanted_wait(error, failures))
            pause(wait)

    def _reply(self, messages: Messages, schema: Schema | None) -> str:
        temperature = self._settings.temperature
        extra: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
        if schema is not None:
            named = {"name": schema["title"], "schema": schema, "strict": True}
            extra["response_format"] = {"type": "json_schema", "json_schema": named}
        try:
            response = self._client.chat.completions.create(
                model=self._settings.model, messages=cast(Any, messages), **extra
            )
        except self._openai.BadRequestError as error:
            if error.code == "content_filter":
                raise Refusal("content filter") from None
            raise
        except ValueError:  # what came is not even JSON
            response = None
        choices = getattr(response, "choices", None)
        if not choices:
            raise EndpointError(f"{self._place} does not answer as chat completions do.")
        if choices[0].message.refusal or choices[0].finish_reason == "content_filter":
            raise Refusal(self._without_key(choices[0].message.refusal or "content filter"))
        return self._without_key(choices[0].message.content or "")

    @property
    def _place(self) -> str:
        return f"{self._settings.key}.base_url: {self._settings.base_url}"

    def _rejects_schema(self, error: Any) -> bool:
        """Tell whether an endpoint does not know schemas, and make no more requests with any."""
        status = getattr(error, "status_code", None)
        said = f"{getattr(error, 'param', None)} {error}"
        if status not in (400, 422) or not any(
            word in said for word in ("response_format", "json_schema")
        ):
            return False
        if self._takes_schemas:  # of several threads, the first one says so
            self._takes_schemas = False
            say(f"{self._place} takes no JSON schema; answers are checked here alone")
        return True

    def _may_pass(self, error: Any) -> bool:
        """Tell whether a failure may be gone at the next try: no connection, a time-out, too many
        requests, a fault.
        """
        if isinstance(error, self._openai.APIStatusError):
            return error.status_code in (408, 409, 429) or error.status_code >= 500
        return isinstance(error, self._openai.APIConnectionError)  # time-outs are of this kind

    def _wanted_wait(self, error: Any, tries: int) -> float:
        """Return the seconds that an endpoint asks to wait.

        Raises
        ------
        EndpointError
            If they are too many.
        """
        response = getattr(error, "response", None)
        wait = retry_after(response.headers) if response is not None else 0.0
        if wait > LONGEST_WAIT:
            raise EndpointError(
                f"{self._tell(error, tries)} It asks to be called again in {wait:.0f} seconds."
            )
        return wait

    def _tell(self, error: Any, tries: int) -> str:
        """Say what went wrong. What an endpoint writes may repeat the key, so it is not told where
        the key is wrong.
        """
        status = getattr(error, "status_code", None)
        if status in (401, 403):
            return (
                f"{self._place} rejects the key in {self._settings.api_key_variable} "
                f"(status {status})."
            )
        reason = self._without_key(" ".join(str(error).split()))
        what = f"{type(error).__name__}: {reason[:300]}"
        return f"{self._place} failed {tries} time(s) for model {self._settings.model!r} ({what})."

    def _without_key(self, text: str) -> str:
        """Return what an endpoint wrote without the key, in any form: replies are kept in files."""
        for form in (self._key, quote(self._key, safe=""), b64encode(self._key.encode()).decode()):
            text = text.replace(form, "***")
        return text


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float:
    """Return the seconds that the header `Retry-After` asks to wait: a number of them, or a date.

    Zero if there is no such header, or it says neither.
    """
    said = headers.get("retry-after", "")
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - now()
        except ValueError:
            return 0.0
    return max(0.0, seconds) if math.isfinite(seconds) else 0.0


def _pause(failures: int) -> float:
    """Return the seconds to wait after so many failures: doubling, with chance so that threads do
    not come together.
    """
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (failures - 1)) * random.uniform(0.5, 1.0)

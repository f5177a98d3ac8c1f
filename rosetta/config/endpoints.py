"""What sections on a model behind an endpoint have in common."""

from __future__ import annotations

import re
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from rosetta.config.base import Section


class ChatEndpoint(Section):
    """A model behind an OpenAI-compatible endpoint.

    Attributes
    ----------
    key : str
        The section's key in the configuration, for messages.
    """

    key: ClassVar[str]
    base_url: str = Field(description="address of the endpoint, e.g. http://localhost:8000/v1")
    model: str = Field(description="name of the model there")
    api_key_variable: str = Field(
        "OPENAI_API_KEY",
        description="environment variable that holds the key; the key itself is never in a file",
    )
    temperature: float | None = Field(0.0, ge=0, description="null: not sent")
    requests_per_minute: float = Field(
        60, gt=0, description="upper limit, first tries and renewed ones together"
    )
    n_parallel: int = Field(4, ge=1, le=1000, description="requests under way at once")
    timeout: float = Field(60, gt=0, description="seconds until a request counts as failed")
    max_retries: int = Field(
        5, ge=0, description="renewed tries, after growing pauses, before giving up"
    )

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, address: str) -> str:
        # Not shown: the configuration is written into the results and the report, and messages go
        # into logs.
        try:
            parts = urlsplit(address)
            is_plain = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            )
        except ValueError:
            is_plain = False
        if not is_plain or not address.isprintable() or " " in address:
            raise PydanticCustomError(
                "secret", "must be an address that begins with http:// or https://"
            )
        if "@" in address or parts.query or parts.fragment:
            raise PydanticCustomError(
                "secret",
                "must hold no user, password or parameters; the key comes from the environment "
                "only",
            )
        return address

    @field_validator("api_key_variable")
    @classmethod
    def _a_variable(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Z_][A-Z0-9_]*", name):
            raise PydanticCustomError(
                "secret",
                "must be the name of an environment variable, in capitals, not the key itself; "
                "keep that there",
            )
        return name

"""Replies of a model: asked for in parallel, kept by the hash of the question, asked for once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rosetta.config import ChatEndpoint
from rosetta.errors import EndpointError
from rosetta.judging.endpoint import Messages, Refusal, Schema
from rosetta.judging.forms import MalformedAnswer, parse_form, schema_of
from rosetta.progress import bar, say
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import digest_json, read_bytes, write_text

MALFORMED_TRIES = 2
ANSWERED, REFUSED, MALFORMED = "answered", "refused", "malformed"

K = TypeVar("K", bound=Hashable)
A = TypeVar("A", bound=BaseModel)
Ask = Callable[[Messages, Schema | None], str]


class Reply(BaseModel):
    """What became of a question.

    Attributes
    ----------
    question : str
        Hash of all that shapes the reply: the endpoint's address, model and temperature, and the
        messages.
    model : str
        Who was asked.
    status : {'answered', 'refused', 'malformed'}
    raw : str
        The reply as it came, or why there is none.
    answer : dict or None
        The answer in the form that was asked for.
    """

    model_config = ConfigDict(extra="forbid")

    question: str
    model: str
    status: Literal["answered", "refused", "malformed"]
    raw: str
    answer: dict[str, Any] | None = None


@dataclass(frozen=True)
class Inquiry(Generic[A]):
    """How questions are asked, and where their replies are kept.

    Attributes
    ----------
    ask : callable
        From messages, and a JSON schema or None, to the reply, as `Endpoint.ask`.
    settings : ChatEndpoint
        What identifies the model, and how many requests are under way at once.
    answers : Path
        Folder of the replies so far. Refusals are kept too. A malformed reply is kept to be looked
        at, and asked for again by the next run.
    form : type
        What an answer holds.
    enforced : bool
        Whether the endpoint is told the form's schema.
    verb : str
        What is done, such as 'annotated', for messages.
    """

    ask: Ask
    settings: ChatEndpoint
    answers: Path
    form: type[A]
    enforced: bool
    verb: str

    @property
    def schema(self) -> Schema | None:
        """What the endpoint is told of the form."""
        return schema_of(self.form) if self.enforced else None

    def identity(self, messages: Messages) -> str:
        """Return the hash of everything that shapes a reply."""
        settings = self.settings
        told = [self.schema] if self.enforced else []
        return digest_json(
            [settings.base_url, settings.model, settings.temperature, messages, *told]
        )


def ask_each(
    inquiry: Inquiry[A], keys: Sequence[K], question: Callable[[K], Messages]
) -> dict[K, Reply]:
    """Return the replies to questions, in the order of their keys.

    Parameters
    ----------
    inquiry : Inquiry
        How they are asked.
    keys : sequence
        What they are about.
    question : callable
        Makes the messages on a key. It is called when it is their turn, because pictures of all
        neurons would not fit into memory.

    Raises
    ------
    EndpointError
        If the endpoint fails; the replies before are kept.
    """
    found: dict[K, Reply] = {}
    # Neurons that are alike make one question, which is asked once.
    locks: dict[str, threading.Lock] = {}

    def reply(key: K) -> Reply:
        messages = question(key)
        with locks.setdefault(inquiry.identity(messages), threading.Lock()):
            return _reply(inquiry, messages)

    with ThreadPoolExecutor(inquiry.settings.n_parallel) as pool:
        asked = {pool.submit(reply, key): key for key in keys}
        shown = bar(as_completed(asked), total=len(asked), label=inquiry.verb, unit="neuron")
        try:
            for future in shown:
                found[asked[future]] = future.result()
        except EndpointError as error:
            kept = f"{len(found)} of {len(keys)} neurons are {inquiry.verb} and kept"
            raise EndpointError(f"{error} {kept}; run again to go on.") from None
        finally:
            _cancel(asked)
    return {key: found[key] for key in keys}


def _cancel(futures: Iterable[Future[Reply]]) -> None:
    for future in futures:
        future.cancel()


def _reply(inquiry: Inquiry[A], messages: Messages) -> Reply:
    identity = inquiry.identity(messages)
    path = inquiry.answers / f"{identity}.json"
    known = _kept(path)
    if known is not None and known.status != MALFORMED:
        return known
    reply = _asked(inquiry, messages, identity)
    write_text(path, reply.model_dump_json())
    return reply


def _asked(inquiry: Inquiry[A], messages: Messages, identity: str) -> Reply:
    def reply(status: Literal["answered", "refused", "malformed"], raw: str) -> Reply:
        model = inquiry.settings.model
        return Reply(question=identity, model=model, status=status, raw=raw)

    raw = ""
    for _ in range(MALFORMED_TRIES):
        try:
            raw = inquiry.ask(messages, inquiry.schema)
            answer = parse_form(raw, inquiry.form).model_dump(mode="json")
        except MalformedAnswer:
            continue
        except Refusal as refusal:
            return reply("refused", str(refusal))
        return reply("answered", raw).model_copy(update={"answer": answer})
    return reply("malformed", raw)


def _kept(path: Path) -> Reply | None:
    """Return a kept reply; one that is damaged counts as none and is asked for again."""
    if not path.exists():
        return None
    try:
        return Reply.model_validate_json(read_bytes(path))
    except (DamageError, ValidationError):
        say(f"{path}: damaged; asking again")
        return None

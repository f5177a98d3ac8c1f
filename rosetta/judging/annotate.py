"""Annotation of neurons: answers are stored by the hash of the question, asked once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import pandas as pd

from rosetta.config import Annotation
from rosetta.errors import EndpointError
from rosetta.judging.endpoint import Refusal
from rosetta.judging.prompt import MalformedAnswer, parse_answer
from rosetta.progress import bar, say
from rosetta.storage.damage import DamageError
from rosetta.storage.digests import digest_json, read_bytes, write_text

ANNOTATION_COLUMNS = ["model", "layer", "unit", "status", "name", "examples", "is_monosemantic"]
ANNOTATED, REFUSED, MALFORMED = "annotated", "refused", "malformed"
MALFORMED_TRIES = 2

Neuron = tuple[str, int, int]  # model, layer, unit
Messages = list[dict[str, str]]


def annotate_neurons(
    questions: dict[Neuron, Messages],
    ask: Callable[[Messages], str],
    answers: Path,
    settings: Annotation,
) -> pd.DataFrame:
    """Return what the language model says of each neuron.

    Parameters
    ----------
    questions : dict
        By neuron, the messages of `prompt.annotation_messages`.
    ask : callable
        From messages to the reply, as `Endpoint.ask`.
    answers : Path
        Folder of the answers so far. Refusals are kept too; malformed answers are not, and are
        asked for again by the next run.
    settings : Annotation
        What identifies the language model, and how many requests are under way at once.

    Returns
    -------
    DataFrame
        `ANNOTATION_COLUMNS`, in the order of `questions`. `status` is 'annotated', 'refused' or
        'malformed'; in the latter cases there is no name, no example and no verdict.

    Raises
    ------
    EndpointError
        If the endpoint fails; the answers before are kept.
    """
    found: dict[Neuron, dict[str, Any]] = {}
    with ThreadPoolExecutor(settings.n_parallel) as pool:
        asked = {
            pool.submit(
                _annotate, messages, ask, answers / f"{_identity(messages, settings)}.json"
            ): neuron
            for neuron, messages in questions.items()
        }
        try:
            for future in bar(
                as_completed(asked), total=len(asked), label="annotate", unit="neuron"
            ):
                found[asked[future]] = future.result()
        except EndpointError as error:
            _cancel(asked)
            kept = (
                f"{len(found)} of {len(questions)} neurons are annotated and kept; run again "
                "to go on."
            )
            raise EndpointError(f"{error} {kept}") from None
    rows = [{"model": n[0], "layer": n[1], "unit": n[2], **found[n]} for n in questions]
    return pd.DataFrame(rows, columns=ANNOTATION_COLUMNS).astype({"is_monosemantic": "boolean"})


def _cancel(futures: Iterable[Future]) -> None:
    for future in futures:
        future.cancel()


def _identity(messages: Messages, settings: Annotation) -> str:
    """Return the hash of everything that shapes an answer."""
    return digest_json([settings.base_url, settings.model, settings.temperature, messages])


def _annotate(messages: Messages, ask: Callable[[Messages], str], kept: Path) -> dict[str, Any]:
    known = _read(kept)
    if known is not None:
        return known
    for _ in range(MALFORMED_TRIES):
        try:
            answer = {"status": ANNOTATED, **parse_answer(ask(messages)).model_dump()}
        except MalformedAnswer:
            continue
        except Refusal:
            answer = _without_name(REFUSED)
        write_text(kept, json.dumps(answer, ensure_ascii=False))
        return answer
    return _without_name(MALFORMED)


def _read(kept: Path) -> dict[str, Any] | None:
    """Return a kept answer; one that is damaged counts as none and is asked for again."""
    if not kept.exists():
        return None
    try:
        return json.loads(read_bytes(kept))
    except (DamageError, ValueError):
        say(f"{kept}: damaged; asking again")
        return None


def _without_name(status: str) -> dict[str, Any]:
    return {"status": status, "name": None, "examples": [], "is_monosemantic": None}

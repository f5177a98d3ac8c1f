"""Annotation of neurons: what a language model says of each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rosetta.config import Annotation
from rosetta.judging.endpoint import Messages
from rosetta.judging.prompt import Answer
from rosetta.judging.replies import ANSWERED, Ask, Inquiry, Reply, ask_each

ANNOTATION_COLUMNS = ["model", "layer", "unit", "status", "name", "examples", "is_monosemantic"]
ANNOTATED = "annotated"

Neuron = tuple[str, int, int]  # model, layer, unit


def annotate_neurons(
    questions: dict[Neuron, Messages], ask: Ask, answers: Path, settings: Annotation
) -> pd.DataFrame:
    """Return what the language model says of each neuron.

    Parameters
    ----------
    questions : dict
        By neuron, the messages of `prompt.annotation_messages`.
    ask : callable
        From messages and None to the reply, as `Endpoint.ask`.
    answers : Path
        Folder of the answers so far (`replies.Inquiry`).
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
    inquiry = Inquiry(ask, settings, answers, Answer, enforced=False, verb=ANNOTATED)
    replies = ask_each(inquiry, list(questions), questions.__getitem__)
    rows = [(*neuron, *_told(reply)) for neuron, reply in replies.items()]
    return pd.DataFrame(rows, columns=ANNOTATION_COLUMNS).astype({"is_monosemantic": "boolean"})


def _told(reply: Reply) -> tuple[str, str | None, list[str], bool | None]:
    if reply.status != ANSWERED:
        return reply.status, None, [], None
    answer = Answer.model_validate(reply.answer)
    return ANNOTATED, answer.name, answer.examples, answer.is_monosemantic

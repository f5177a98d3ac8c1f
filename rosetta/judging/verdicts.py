"""Verdicts of a judge, and the share of neurons that it finds monosemantic (method, section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rosetta.analysis.intervals import t_quantile
from rosetta.judging.endpoint import Messages
from rosetta.judging.questions import Verdict
from rosetta.judging.replies import ANSWERED, MALFORMED, REFUSED, Inquiry, Reply, ask_each
from rosetta.judging.trials import TRIAL_COLUMNS
from rosetta.models.neurons import Neuron

if TYPE_CHECKING:  # exhibits read stores, which brings torch
    from rosetta.judging.exhibits import Exhibit

ANSWER_COLUMNS = ["top_k", "judge", "status", "is_monosemantic", "description", "question"]
VERDICT_COLUMNS = [*TRIAL_COLUMNS, *ANSWER_COLUMNS]
COUNT_COLUMNS = ["n_trials", "n_answered", "n_refused", "n_malformed"]
FRACTION_COLUMNS = [
    "store",
    "top_k",
    "judge",
    "neurons",
    "monosemantic",
    "ci_low",
    "ci_high",
    *COUNT_COLUMNS,
]
ROSETTA, OTHERS, DIFFERENCE = "rosetta", "others", "difference"

Judged = tuple[str, int, int]  # store, layer, unit


def judge_neurons(
    trials: pd.DataFrame, exhibits: Mapping[str, Exhibit], inquiry: Inquiry[Verdict], top_k: int
) -> pd.DataFrame:
    """Return what a judge says of the neurons of trials.

    Parameters
    ----------
    trials : DataFrame
        `TRIAL_COLUMNS`, of one or more stores; no neuron twice.
    exhibits : mapping of str to Exhibit
        By store, what is shown of its neurons.
    inquiry : Inquiry
        Who is asked, and where replies are kept.
    top_k : int
        Images or contexts that are shown.

    Returns
    -------
    DataFrame
        `VERDICT_COLUMNS`, in the order of `trials`. `status` is 'answered', 'refused' or
        'malformed'; in the latter cases there is no verdict and no description. `question` is the
        hash of the question, by which the reply is kept as it came.

    Raises
    ------
    EndpointError
        If the endpoint fails; the replies before are kept.
    """
    keys = neurons_of(trials)

    def question(key: Judged) -> Messages:
        return exhibits[key[0]].question(Neuron(*key[1:]), top_k)

    replies = ask_each(inquiry, keys, question)
    rows = [(top_k, *told(replies[key])) for key in keys]
    answers = pd.DataFrame(rows, columns=ANSWER_COLUMNS, index=trials.index)
    return trials.join(answers.astype({"is_monosemantic": "boolean"}))[VERDICT_COLUMNS]


def neurons_of(trials: pd.DataFrame) -> list[Judged]:
    """Return the neurons of trials, in order."""
    named = (trials[name].tolist() for name in ("store", "layer", "unit"))
    return list(zip(*named, strict=True))


def told(reply: Reply) -> tuple[str, str, bool | None, str | None, str]:
    """Return judge, status, verdict, description and question of a reply."""
    if reply.status != ANSWERED:
        return reply.model, reply.status, None, None, reply.question
    verdict = Verdict.model_validate(reply.answer)
    words = verdict.is_monosemantic, verdict.description
    return reply.model, reply.status, *words, reply.question


def mean_interval(values: np.ndarray) -> tuple[float, float, float]:
    """Return the mean of trials, and its 95% interval by Student's t with n − 1 degrees of freedom.

    NaN trials, in which nothing was answered, are left out. With fewer than two there is no
    interval (NaN), with none no mean.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return np.nan, np.nan, np.nan
    mean = float(known.mean())
    if len(known) == 1:
        return mean, np.nan, np.nan
    half = t_quantile(len(known) - 1) * float(known.std(ddof=1)) / len(known) ** 0.5
    return mean, mean - half, mean + half


def monosemantic_fractions(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the share of neurons that are judged monosemantic, its mean over trials.

    Parameters
    ----------
    verdicts : DataFrame
        `VERDICT_COLUMNS`, of any number of stores, judges and numbers of images.

    Returns
    -------
    DataFrame
        `FRACTION_COLUMNS`: per store, number of images and judge a row for `neurons` 'rosetta',
        'others', and 'difference', which is the first less the second, trial by trial. Neurons
        without an answer are left out of shares, and counted. Intervals are not cut off at 0 and 1.
    """
    rows = []
    for of, part in verdicts.groupby(["store", "top_k", "judge"], sort=False):
        shares = _trial_shares(part)
        means = {
            ROSETTA: (shares[True], part[part["is_rosetta"]]),
            OTHERS: (shares[False], part[~part["is_rosetta"]]),
            DIFFERENCE: (shares[True] - shares[False], part),
        }
        for neurons, (values, some) in means.items():
            interval = mean_interval(values.to_numpy(np.float64))
            rows.append((*of, neurons, *interval, *count_statuses(values, some)))
    return pd.DataFrame(rows, columns=FRACTION_COLUMNS)


def count_statuses(values: pd.Series, rows: pd.DataFrame) -> list[int]:
    """Return `COUNT_COLUMNS`: trials with a value, and neurons by the status of their reply."""
    statuses = (ANSWERED, REFUSED, MALFORMED)
    return [int(values.notna().sum()), *(int((rows["status"] == one).sum()) for one in statuses)]


def _trial_shares(verdicts: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each trial, a column per kind of neuron; NaN without any answer."""
    known = verdicts.assign(share=verdicts["is_monosemantic"].astype("Float64"))
    means = known.groupby(["trial", "is_rosetta"])["share"].mean().unstack("is_rosetta")
    return means.reindex(columns=[True, False]).astype("float64")

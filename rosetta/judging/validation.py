"""Is the judge right? It predicts which further images activate the neurons that it has judged.

After its verdict it is shown ten images that it has not seen, without maps: the five that follow
the top ones, and five of the half with the lowest scores. A judge that has understood the neuron
tells them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import astuple, dataclass
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rosetta.judging.endpoint import Messages
from rosetta.judging.questions import (
    N_ACTIVATING,
    N_QUIET,
    VALIDATION_LETTERS,
    Prediction,
    Verdict,
    prediction_question,
)
from rosetta.judging.replies import ANSWERED, Inquiry, Reply, ask_each
from rosetta.judging.trials import VALIDATION_TRIAL_COLUMNS
from rosetta.judging.verdicts import (
    ANSWER_COLUMNS,
    COUNT_COLUMNS,
    Judged,
    count_statuses,
    mean_interval,
    neurons_of,
    told,
)
from rosetta.models.neurons import Neuron

if TYPE_CHECKING:  # exhibits read stores, which brings torch
    from rosetta.judging.exhibits import ImageExhibit

MEASURES = ["accuracy", "precision", "recall", "f1"]
PREDICTION_COLUMNS = [
    *VALIDATION_TRIAL_COLUMNS,
    *ANSWER_COLUMNS,
    "predicted",
    "activating",
    *MEASURES,
]
VALIDATION_COLUMNS = [
    "store",
    "judge",
    "measure",
    "mean",
    "ci_low",
    "ci_high",
    "chance",
    *COUNT_COLUMNS,
]


@dataclass(frozen=True)
class Scores:
    """How right a prediction is.

    Attributes
    ----------
    accuracy : float
        Share of the letters that are on the right side.
    precision : float
        Share of the predicted letters that activate; 0 where none is predicted.
    recall : float
        Share of the activating letters that are predicted.
    f1 : float
        Harmonic mean of both; 0 where no predicted letter activates.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float


def score_counts(n_hits: int, n_false: int, n_activating: int, n_quiet: int) -> Scores:
    """Return the scores of a prediction of so many activating and so many other letters."""
    n_predicted = n_hits + n_false
    return Scores(
        accuracy=(n_hits + n_quiet - n_false) / (n_activating + n_quiet),
        precision=n_hits / n_predicted if n_predicted else 0.0,
        recall=n_hits / n_activating,
        f1=2 * n_hits / (n_activating + n_predicted),
    )


def score_letters(predicted: Collection[str], activating: Collection[str]) -> Scores:
    """Return the scores of predicted letters, of `VALIDATION_LETTERS`."""
    n_hits = len(set(predicted) & set(activating))
    n_quiet = len(VALIDATION_LETTERS) - len(activating)
    return score_counts(n_hits, len(set(predicted)) - n_hits, len(activating), n_quiet)


def chance_scores(n_activating: int = N_ACTIVATING, n_quiet: int = N_QUIET) -> Scores:
    """Return the expected scores of a judge that names each letter with probability ½, exactly.

    All numbers of hits and of other letters are gone through with their binomial weights. For five
    and five: accuracy 0.5, precision 0.5 · (1 − 2⁻¹⁰) = 0.4995, recall 0.5, F1 0.4865.
    """
    total = np.zeros(4)
    for n_hits in range(n_activating + 1):
        for n_false in range(n_quiet + 1):
            weight = comb(n_activating, n_hits) * comb(n_quiet, n_false)
            scores = score_counts(n_hits, n_false, n_activating, n_quiet)
            total += weight * np.array(astuple(scores))
    return Scores(*(total / 2 ** (n_activating + n_quiet)).tolist())


@dataclass(frozen=True)
class Validation:
    """What the two questions of the validation are asked with.

    Attributes
    ----------
    verdicts, predictions : Inquiry
        Who is asked the first and the second question; one judge.
    top_k : int
        Images on the card.
    """

    verdicts: Inquiry[Verdict]
    predictions: Inquiry[Prediction]
    top_k: int


def validate_judge(
    trials: pd.DataFrame, exhibits: Mapping[str, ImageExhibit], validation: Validation
) -> pd.DataFrame:
    """Return which images a judge predicts to activate the neurons of trials.

    Parameters
    ----------
    trials : DataFrame
        `VALIDATION_TRIAL_COLUMNS`; no neuron twice.
    exhibits : mapping of str to ImageExhibit
        By store; each with the lettered images of its neurons.
    validation : Validation
        Who is asked, and for what.

    Returns
    -------
    DataFrame
        `PREDICTION_COLUMNS`, in the order of `trials`. `status` is that of the last question that
        was asked; without a verdict there is no second one. Letters are joined, such as 'ADF';
        without an answer there are no letters and no scores. `question` is the hash of the last
        question.

    Raises
    ------
    EndpointError
        If the endpoint fails; the replies before are kept.
    """
    top_k = validation.top_k

    def first(key: Judged) -> Messages:
        return exhibits[key[0]].question(Neuron(*key[1:]), top_k)

    keys = neurons_of(trials)
    verdicts = ask_each(validation.verdicts, keys, first)
    answered = [key for key in keys if verdicts[key].status == ANSWERED]

    def second(key: Judged) -> Messages:
        grid = exhibits[key[0]].grid(Neuron(*key[1:]))
        return prediction_question(first(key), verdicts[key].raw, grid)

    predictions = ask_each(validation.predictions, answered, second)
    rows = []
    for key in keys:
        activating = exhibits[key[0]].lettered[Neuron(*key[1:])].activating
        rows.append((top_k, *_row(verdicts[key], predictions.get(key), activating)))
    columns = PREDICTION_COLUMNS[len(VALIDATION_TRIAL_COLUMNS) :]
    answers = pd.DataFrame(rows, columns=columns, index=trials.index)
    kinds = {"is_monosemantic": "boolean", **dict.fromkeys(MEASURES, "float64")}
    return trials.join(answers.astype(kinds))[PREDICTION_COLUMNS]


def _row(verdict: Reply, prediction: Reply | None, activating: str) -> list[object]:
    """Return what is told of a neuron, from the status of the last reply on."""
    judge, status, is_monosemantic, description, question = told(verdict)
    words = [judge, status, is_monosemantic, description, question]
    if prediction is None:
        return [*words, None, None, *[np.nan] * len(MEASURES)]
    words = [judge, prediction.status, is_monosemantic, description, prediction.question]
    if prediction.status != ANSWERED:
        return [*words, None, activating, *[np.nan] * len(MEASURES)]
    letters = Prediction.model_validate(prediction.answer).predicted_activating
    scores = astuple(score_letters(letters, activating))
    return [*words, "".join(letters), activating, *scores]


def validation_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return how right a judge's predictions are: means over trials of the means over neurons.

    Parameters
    ----------
    predictions : DataFrame
        `PREDICTION_COLUMNS`, of any number of stores and judges.

    Returns
    -------
    DataFrame
        `VALIDATION_COLUMNS`: per store and judge a row for each of `MEASURES`, with what is
        expected by chance (`chance_scores`). Neurons without a prediction are left out, and
        counted.
    """
    chance = astuple(chance_scores())
    rows = []
    for of, part in predictions.groupby(["store", "judge"], sort=False):
        for measure, expected in zip(MEASURES, chance, strict=True):
            means = part.groupby("trial")[measure].mean()
            interval = mean_interval(means.to_numpy(np.float64))
            rows.append((*of, measure, *interval, expected, *count_statuses(means, part)))
    return pd.DataFrame(rows, columns=VALIDATION_COLUMNS)

"""Whether a judge is right, with judges of known accuracy on images of known colours."""

from dataclasses import astuple
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from chat_server import completion
from judges import (
    always_yes,
    coin,
    colors,
    exact,
    inquiry_of,
    is_second_turn,
    judge_settings,
    pictures,
    says,
)
from planted_neurons import COLORS, DEAD, N_ROSETTA, is_monosemantic, plant, scores
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score

from rosetta.activations.folders import open_stores
from rosetta.analysis.image_tables import read_top_maps
from rosetta.config import load_config
from rosetta.inputs.images.shown_images import ShownImages
from rosetta.judging.exhibits import ImageExhibit
from rosetta.judging.lettered_images import letter_images
from rosetta.judging.questions import Prediction
from rosetta.judging.validation import (
    MEASURES,
    Validation,
    chance_scores,
    score_letters,
    validate_judge,
    validation_scores,
)
from rosetta.models.neurons import Neuron
from rosetta.run.paths import Paths

pytest.importorskip(
    "openai", reason="the openai package is not installed (pip install 'rosetta-neurons[annotate]')"
)
TOP_K = 5
LETTERS = "ABCDEFGHIJ"


@pytest.fixture(scope="module")
def exhibit(tmp_path_factory):
    """What is shown of all neurons of a model that are not dead."""
    folder = tmp_path_factory.mktemp("planted")
    config, paths = load_config(plant(folder)), Paths(folder / "results")
    neurons = [Neuron(layer, unit) for layer in range(2) for unit in range(DEAD)]
    tops = read_top_maps(paths, "v-s", neurons)
    lettered = letters(paths, tops, seed=3)
    return ImageExhibit(ShownImages.of(config, paths, "v-s"), tops, lettered)


def letters(paths, tops, seed):
    cards = {neuron: top.images[:TOP_K] for neuron, top in tops.items()}
    return letter_images(open_stores(paths.stores("v-s", 2)), cards, seed)


def validated(server, exhibit, folder, units, n_trials=2):
    rows = [("v-s", 0, unit, 1 + number % n_trials) for number, unit in enumerate(units)]
    trials = pd.DataFrame(rows, columns=["store", "layer", "unit", "trial"])
    settings = judge_settings(server.url)
    asked = inquiry_of(settings, folder), inquiry_of(settings, folder, Prediction)
    return validate_judge(trials, {"v-s": exhibit}, Validation(*asked, TOP_K))


def means(predictions):
    return validation_scores(predictions).set_index("measure")


def test_chance_is_that_of_every_set_of_letters():
    """By going through all 1,024 sets; these are the numbers of the study."""
    sets = [some for n in range(11) for some in combinations(LETTERS, n)]
    everything = np.array([astuple(score_letters(some, "ABCDE")) for some in sets])
    assert len(everything) == 1024
    np.testing.assert_allclose(everything.mean(axis=0), astuple(chance_scores()), atol=1e-12)
    assert [round(value, 4) for value in astuple(chance_scores())] == [0.5, 0.4995, 0.5, 0.4865]
    sizes = np.array([len(some) for some in sets])
    assert chance_scores(1, 1).f1 == pytest.approx((0 + 1 + 0 + 2 / 3) / 4)
    assert everything[sizes == 0].tolist() == [[0.5, 0, 0, 0]]


@pytest.mark.parametrize("predicted", ["", "A", "ABCDE", "FGHIJ", "ACEGI", LETTERS])
def test_scores_are_those_of_scikit_learn(predicted):
    truth, said = ([letter in some for letter in LETTERS] for some in ("BCDGH", predicted))
    expected = [
        accuracy_score(truth, said),
        precision_score(truth, said, zero_division=0),
        recall_score(truth, said),
        f1_score(truth, said),
    ]
    assert astuple(score_letters(predicted, "BCDGH")) == pytest.approx(tuple(expected))


@pytest.mark.parametrize("unit", [1, 3, 20])
def test_the_pictures_that_are_sent_are_the_images(exhibit, unit):
    """The card has the top images in order; the grid the next five, and five of the lower half."""
    order = np.argsort(-scores(unit), kind="stable")
    first = exhibit.question(Neuron(1, unit), TOP_K)
    card = pictures(first[1], across=4, n_pictures=3)
    np.testing.assert_array_equal(colors(card), COLORS[order[:TOP_K] % 6])
    assert (card == card[:, :1, :1]).all(), "every pixel of an image of one colour has it"
    lettered = exhibit.lettered[Neuron(1, unit)]
    grid = pictures({"content": [exhibit.grid(Neuron(1, unit))]}, across=5, n_pictures=1)
    np.testing.assert_array_equal(colors(grid), COLORS[lettered.numbers % 6])
    activating = {lettered.numbers[LETTERS.index(letter)] for letter in lettered.activating}
    assert activating == set(order[TOP_K : TOP_K + 5].tolist())
    quiet = set(lettered.numbers.tolist()) - activating
    assert len(quiet) == 5
    assert quiet <= set(order[30:].tolist())


def test_letters_follow_from_the_seed(exhibit, tmp_path):
    plant(tmp_path)
    neuron = Neuron(1, 3)
    some = {neuron: exhibit.tops[neuron]}
    again, other = (letters(Paths(tmp_path / "results"), some, seed)[neuron] for seed in (3, 4))
    assert again.numbers.tolist() == exhibit.lettered[neuron].numbers.tolist()
    assert other.numbers.tolist() != again.numbers.tolist()


def test_an_exact_judge_is_right(server, exhibit, tmp_path):
    """It knows what fires a monosemantic neuron, and two of the five images that fire another."""
    server.answers = [exact]
    units = [1, 2, 3, 6, 15, 16, 17, 18]
    predictions = validated(server, exhibit, tmp_path, units)
    mono = np.array([is_monosemantic(unit) for unit in units])
    assert predictions["is_monosemantic"].tolist() == mono.tolist()
    assert 0 < mono.sum() < len(units)
    half = predictions[~mono]
    np.testing.assert_array_equal(predictions.loc[mono, MEASURES], 1.0)
    assert (half["recall"] == 0.4).all()
    found = means(predictions)
    for measure in MEASURES:
        per_trial = [
            np.mean([found for found in predictions.loc[predictions["trial"] == trial, measure]])
            for trial in (1, 2)
        ]
        mean, error = np.mean(per_trial), stats.sem(per_trial)
        low, high = stats.t.interval(0.95, 1, mean, error) if error else (mean, mean)
        told = found.loc[measure, ["mean", "ci_low", "ci_high"]].astype(float)
        assert told.tolist() == pytest.approx([mean, low, high])
    assert (found["n_trials"] == 2).all()
    second = [body for _, _, body in server.requests if is_second_turn(body)]
    assert len(second) == len(units)
    for body in second:
        roles = [message["role"] for message in body["messages"]]
        assert roles == ["system", "user", "assistant", "user"]
        assert "is_monosemantic" in body["messages"][2]["content"], "its own first answer"


def test_a_judge_that_names_all_letters_is_as_right_as_that(server, exhibit, tmp_path):
    server.answers = [always_yes]
    found = means(validated(server, exhibit, tmp_path, range(6)))
    assert found["mean"].round(6).to_dict() == {
        "accuracy": 0.5,
        "precision": 0.5,
        "recall": 1.0,
        "f1": round(2 / 3, 6),
    }


def test_a_coin_is_right_by_chance(server, exhibit, tmp_path):
    server.answers = [coin]
    predictions = validated(server, exhibit, tmp_path, range(29))
    found = means(predictions)
    errors = predictions[MEASURES].std() / np.sqrt(len(predictions))
    for measure, expected in zip(MEASURES, astuple(chance_scores()), strict=True):
        assert abs(found.loc[measure, "mean"] - expected) < 4 * errors[measure], measure
        assert found.loc[measure, "chance"] == expected


def test_neurons_without_a_prediction_are_counted(server, exhibit, tmp_path):
    """Refusals at the first turn and at the second, and malformed predictions."""
    kinds = []

    def moody(body):
        if not is_second_turn(body):
            top = tuple(colors(pictures(body["messages"][1], across=4, n_pictures=3))[0])
            kinds.append(top)
            return completion(refusal="no") if top == tuple(COLORS[1]) else says(True)
        top = tuple(colors(pictures(body["messages"][1], across=4, n_pictures=3))[0])
        if top == tuple(COLORS[2]):
            return completion(refusal="no")
        if top == tuple(COLORS[4]):
            return completion('{"predicted_activating": ["K"]}')
        return exact(body)

    server.answers = [moody]
    predictions = validated(server, exhibit, tmp_path, [1, 2, 4, 5, 7, 8, 10, 11])
    by_unit = predictions.set_index("unit")
    assert by_unit["status"].to_dict() == {
        1: "refused",
        2: "refused",
        4: "malformed",
        5: "answered",
        7: "refused",
        8: "refused",
        10: "malformed",
        11: "answered",
    }
    assert by_unit.loc[1, "is_monosemantic"] is pd.NA
    assert by_unit.loc[2, "is_monosemantic"], "its verdict stands"
    found = means(predictions).loc["f1"]
    assert (found["n_answered"], found["n_refused"], found["n_malformed"]) == (2, 4, 2)
    assert found["mean"] == 1.0
    assert len(set(kinds)) == 4


def test_predictions_name_letters_of_the_grid():
    answer = '{"neuron_description": "", "predicted_activating": %s, "reasoning": ""}'
    said = Prediction.model_validate_json(answer % '["C", "A", "C"]')
    assert said.predicted_activating == ["A", "C"]
    for wrong in ('["K"]', '["a"]', '"A"', "[1]"):
        with pytest.raises(ValueError, match="predicted_activating"):
            Prediction.model_validate_json(answer % wrong)


def test_planted_neurons_are_of_both_kinds():
    kinds = {(unit < N_ROSETTA, is_monosemantic(unit)) for unit in range(29)}
    assert len(kinds) == 4

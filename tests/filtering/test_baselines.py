"""Random scores and the bag-of-tokens classifier."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from rosetta.errors import CorpusError
from rosetta.filtering.baselines import Classifier, random_scores


def test_random_scores_are_uniform_and_differ_by_seed_only():
    ids = np.arange(20_000, dtype=np.uint64)
    first, second = random_scores(ids, 0), random_scores(ids, 1)
    assert np.array_equal(random_scores(ids[5:9], 0), first[5:9])
    for values in (first, second):
        assert values.min() >= 0
        assert values.max() < 1
        assert np.histogram(values, 10, (0, 1))[0] == pytest.approx(2000, abs=200)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.03
    assert len(set(first)) == len(ids)


def test_the_classifier_is_scikit_learns():
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 3 == 0
    documents = [rng.integers(0, 30, size=rng.integers(1, 40)) + 10 * label for label in labels]
    fitted = Classifier.fit(documents, labels, 50)
    vectorizer = TfidfVectorizer(analyzer=list, vocabulary=range(50), lowercase=False)
    regression = LogisticRegression(class_weight="balanced", C=10.0, max_iter=1000)
    regression.fit(vectorizer.fit_transform(documents), labels)
    others = [rng.integers(0, 50, size=n) for n in (1, 7, 30)]
    expected = regression.decision_function(vectorizer.transform(others))
    again = Classifier.from_table(fitted.to_table())
    assert again.scores(others) == pytest.approx(expected, abs=1e-6)


def test_one_class_alone_is_rejected():
    with pytest.raises(CorpusError, match=r"0 of the 2 documents of the split `match`"):
        Classifier.fit([np.array([1]), np.array([2])], np.zeros(2, bool), 3)

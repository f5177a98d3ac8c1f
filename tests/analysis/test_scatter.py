"""Which kinds of effects a design tells apart, against ranks of their covariances."""

import itertools

import numpy as np
import pytest

from rosetta.analysis.scatter import RESIDUAL, RUNG, TRAINING, Scatter, own_trainings


def pairs(trainings, families="ab", ladders=1):
    """Rungs, and the trainings of all groups: `trainings` per rung, of the first and second
    family.
    """
    rows = [
        ((ladder, rung), models)
        for ladder in range(ladders)
        for rung, sizes in enumerate(trainings)
        for models in itertools.product(
            *[
                [f"{f}{ladder}-{rung}~{i}" for i in range(n)]
                for f, n in zip(families, sizes, strict=True)
            ]
        )
    ]
    rungs, models = zip(*rows, strict=True)
    return list(rungs), list(models)


def law_of(rungs):
    """The design of one law: a height, and the exponent of the rungs' sizes."""
    return np.array([(1.0, np.sqrt(1 + rung[1])) for rung in rungs])


def covariances(design, rungs, models):
    """Of each kind, what is seen beside the design, in the order residual, rung, training."""
    contrasts = np.linalg.svd(design)[0][:, np.linalg.matrix_rank(design) :]
    sharing = [
        [[i == j for j in range(len(rungs))] for i in range(len(rungs))],
        [[one == other for other in rungs] for one in rungs],
        [[len(set(one) & set(other)) for other in models] for one in models],
    ]
    return [contrasts.T @ np.array(each, float) @ contrasts for each in sharing]


@pytest.mark.parametrize(
    ("trainings", "kept"),
    [
        ([(1, 1)] * 4, [RESIDUAL]),
        ([(2, 2)] * 4, [RESIDUAL, RUNG, TRAINING]),
        ([(1, 2)] * 4, [RESIDUAL, RUNG]),
        ([(2, 2), (1, 1), (1, 1)], [RESIDUAL, RUNG, TRAINING]),
        ([(3, 1), (2, 2), (1, 1), (1, 1)], [RESIDUAL, RUNG, TRAINING]),
    ],
    ids=["one each", "two of both", "two of one", "two at one rung", "three of one"],
)
def test_kinds_are_kept_that_no_others_are_a_combination_of(trainings, kept):
    rungs, models = pairs(trainings)
    design = law_of(rungs)
    found = Scatter.of(design, rungs, models)
    assert found.names == kept
    assert list(found.merged) == [name for name in (RESIDUAL, RUNG, TRAINING) if name not in kept]
    seen = np.array([each.ravel() for each in covariances(design, rungs, models)])
    assert np.linalg.matrix_rank(seen, tol=1e-8) == len(kept)


@pytest.mark.parametrize("seed", range(8))
def test_as_many_kinds_are_kept_as_covariances_are_independent(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 12))
    rungs = [(0, int(rung)) for rung in np.sort(rng.integers(0, 4, n))]
    models = [tuple(rng.choice(6, 2, replace=False)) for _ in range(n)]
    design = law_of(rungs)
    if np.linalg.matrix_rank(design) < 2:
        design = design[:, :1]
    seen = np.array([each.ravel() for each in covariances(design, rungs, models)])
    kept = Scatter.of(design, rungs, models).names
    assert len(kept) == np.linalg.matrix_rank(seen, tol=1e-6)


def test_ladders_that_share_trainings_tell_these_from_counts_with_one_group_per_rung():
    rungs = [(ladder, rung) for ladder in range(3) for rung in range(4)]
    models = [
        tuple(f"{family}-{rung}" for family in "abc" if family != "abc"[ladder])
        for ladder, rung in rungs
    ]
    found = Scatter.of(law_of(rungs), rungs, models)
    assert found.names == [RESIDUAL, TRAINING]
    assert found.factors[1].shape == (12, 12)
    assert (found.factors[1].sum(axis=1) == 2).all(), "of two trainings each"
    assert (found.factors[1].sum(axis=0) == 2).all(), "each in the pairs of two ladders"


def test_factors_say_which_counts_have_an_effect():
    rungs, models = pairs([(2, 2)] * 3)
    found = Scatter.of(law_of(rungs), rungs, models)
    residual, rung, training = found.factors
    assert (residual == np.eye(12)).all()
    expected = [[float(one == other) for other in rungs] for one in rungs]
    assert (rung @ rung.T == expected).all()
    shared = [[len(set(one) & set(other)) for other in models] for one in models]
    assert (training @ training.T == shared).all()
    assert found.per_count.tolist() == [1.0, 1.0, 2.0]


def test_what_things_are_called_and_their_order_do_not_matter():
    rungs, models = pairs([(2, 2), (1, 2), (1, 1), (1, 1)], ladders=2)
    order = np.random.default_rng(0).permutation(len(rungs))
    called = {name: number for number, name in enumerate(reversed(sorted(sum(models, ()))))}
    other_rungs = [f"rung {rungs[i]}" for i in order]
    others = [[called[model] for model in reversed(models[i])] for i in order]
    design = law_of(rungs)
    one, other = Scatter.of(design, rungs, models), Scatter.of(design[order], other_rungs, others)
    assert one.names == other.names
    for mine, theirs in zip(one.factors, other.factors, strict=True):
        assert (theirs @ theirs.T == (mine @ mine.T)[np.ix_(order, order)]).all()


def test_variances_are_those_known_and_none_without_freedom():
    rungs, models = pairs([(2, 2)] * 3)
    design, counts = law_of(rungs), np.random.default_rng(0).poisson(50, 12) * 3.0
    scatter = Scatter.of(design, rungs, models)
    assert not scatter.fit(design, counts, 0).model.variances.any()
    assert scatter.fit(design, counts, 1).model.variances.any()
    known = {RUNG: 0.3, TRAINING: 0.1, "other": 9.0}
    assert scatter.fit(design, counts, 1, known=known).model.variances.tolist() == [0.0, 0.3, 0.1]


def test_groups_of_unknown_trainings_share_none():
    members = [set(group) for group in own_trainings(5)]
    assert len(set.union(*members)) == sum(map(len, members)) == 5

"""Which neurons are drawn beside the targets: of the same layers, alike, and never a target."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from rosetta.ablation.populations import (
    ABLATE,
    ACTIVE,
    ALL,
    KEEP,
    KURTOTIC,
    MATCHED,
    NONE,
    ROSETTA,
    NeuronFacts,
    highest,
    matched_draws,
    too_few,
    treatments,
)
from rosetta.config.ablation import AblationSettings

SETTINGS = AblationSettings()


def random_facts(rng, shape):
    dead = rng.random(shape) < 0.1
    mean, kurtosis = rng.normal(size=shape), rng.normal(size=shape)
    variance = np.where(dead, 0.0, rng.gamma(1.0, size=shape))
    kurtosis[rng.random(shape) < 0.1] = np.nan
    return NeuronFacts(mean, variance, kurtosis, rng.gamma(1.0, size=shape) * np.sqrt(variance))


@st.composite
def models(draw):
    """Targets and facts of a model of any shape, some of whose layers have no target."""
    shape = draw(st.integers(1, 4)), draw(st.integers(4, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    facts = random_facts(rng, shape)
    share = rng.choice([0.0, 0.1, 0.3], size=(shape[0], 1))
    targets = (rng.random(shape) < share) & facts.alive
    return targets, facts


@given(models(), st.integers(1, 8))
def test_draws_are_of_the_same_layers_alive_and_no_targets(model, n_nearest):
    targets, facts = model
    if too_few(targets, facts):
        return
    settings = AblationSettings(n_nearest=n_nearest)
    draws = matched_draws(targets, facts, settings, "m")
    assert draws.masks.shape == (20, *targets.shape)
    assert not (draws.masks & targets).any()
    assert not (draws.masks & ~facts.alive).any()
    np.testing.assert_array_equal(
        draws.masks.sum(axis=2), np.broadcast_to(targets.sum(axis=1), (20, len(targets)))
    )
    if targets.any():
        pairs = [(a & b).sum() / a.sum() for a, b in permutations(draws.masks, 2)]
        assert draws.overlap == pytest.approx(np.mean(pairs))
    again = matched_draws(targets, facts, settings, "m")
    np.testing.assert_array_equal(draws.masks, again.masks)


def test_draws_are_nearer_in_rank_than_random_neurons():
    """The gaps are mean distances of pairs; random pairs of ranks are 1/3 apart on average."""
    rng = np.random.default_rng(0)
    facts = random_facts(rng, (2, 600))
    top = np.quantile(facts.output_norm, 0.6)
    targets = (facts.output_norm > top) & (rng.random((2, 600)) < 0.2)
    draws = matched_draws(targets, facts, SETTINGS, "m")
    assert draws.gaps.max() < 0.06
    ranks = rankdata(facts.output_norm, axis=1) / 600
    means = [ranks[mask].mean() for mask in draws.masks]
    assert np.mean(means) == pytest.approx(ranks[targets].mean(), abs=0.02)
    assert len({mask.tobytes() for mask in draws.masks}) == 20


def test_with_one_nearest_a_target_takes_its_twin():
    """Neurons come in twins that differ by next to nothing; one of each is a target."""
    mean, norm = np.random.default_rng(1).permuted(np.tile(np.linspace(1, 2, 30), (2, 1)), axis=1)
    both = [np.repeat(values, 2)[None] for values in (mean, norm)]
    nudge = np.tile([0.0, 1e-6], 30)[None]
    facts = NeuronFacts(both[0] + nudge, np.ones((1, 60)), np.zeros((1, 60)), both[1] + nudge)
    targets = np.zeros((1, 60), bool)
    targets[0, ::2] = True
    draws = matched_draws(targets, facts, AblationSettings(n_nearest=1), "m")
    assert draws.masks[:, 0, 1::2].all()
    np.testing.assert_allclose(draws.gaps, 1 / 60)


def test_too_few_others_are_told():
    facts = NeuronFacts(*(np.ones((2, 5)) for _ in range(4)))
    targets = np.zeros((2, 5), bool)
    assert too_few(targets, facts) == "there is no such neuron"
    targets[1, :2] = True
    assert too_few(targets, facts) == ""
    targets[1, :3] = True
    assert too_few(targets, facts).startswith("layer 1 has 2 others that are not dead")
    dead = NeuronFacts(facts.mean, facts.variance * (np.arange(5) > 3), facts.kurtosis, facts.mean)
    targets[1, :3] = [True, True, False]
    assert "1 others" in too_few(targets, dead)


@given(models())
def test_the_highest_are_as_many_per_layer_by_brute_force(model):
    targets, facts = model
    for values in (facts.activity, facts.kurtosis):
        found = highest(targets, values, facts)
        for layer, wanted in enumerate(targets.sum(axis=1)):
            order = sorted(
                range(targets.shape[1]),
                key=lambda unit: (
                    -values[layer, unit]
                    if facts.alive[layer, unit] and not np.isnan(values[layer, unit])
                    else np.inf,
                    unit,
                ),
            )
            assert set(np.flatnonzero(found[layer])) == set(order[:wanted])


def test_treatments_ablate_populations_and_all_but_them():
    rng = np.random.default_rng(2)
    facts = random_facts(rng, (2, 50))
    targets = (rng.random((2, 50)) < 0.2) & facts.alive
    draws = matched_draws(targets, facts, SETTINGS, "m")
    found = list(treatments(targets, facts, draws))
    assert [one[:3] for one in found[:4]] == [
        (NONE, NONE, 0),
        (ABLATE, ALL, 0),
        (ABLATE, ROSETTA, 0),
        (KEEP, ROSETTA, 0),
    ]
    assert not found[0].held.any()
    assert found[1].held.all()
    assert len(found) == 2 + 2 * (1 + 20 + 2)
    held = {one[:3]: one.held for one in found}
    for (treatment, population, draw), mask in held.items():
        if treatment == KEEP:
            np.testing.assert_array_equal(mask, ~held[ABLATE, population, draw])
    assert {one.population for one in treatments(targets, facts, None)} == {
        NONE,
        ALL,
        ROSETTA,
        ACTIVE,
        KURTOTIC,
    }
    assert (held[ABLATE, MATCHED, 3] == draws.masks[3]).all()

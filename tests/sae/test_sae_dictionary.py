"""Encoding and decoding, the gradient of the training's loss, and measures of neurons, each against
NumPy in float64.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import rosetta.sae.dictionary
import rosetta.sae.measures
from rosetta.sae.dictionary import Dictionary, Standard, in_own_units, strongest
from rosetta.sae.measures import Fit, neuron_measures
from rosetta.sae.topk import Recipe, TopKAutoencoder, UnitAdam

KINDS = ("topk", "jumprelu", "standard")


def random_dictionary(rng, n_features, d, kind, centred, k=2):
    parts = [rng.normal(size=shape) for shape in ((n_features, d), n_features, (n_features, d), d)]
    arrays = [torch.from_numpy(part).float() for part in parts]
    threshold = torch.from_numpy(rng.uniform(0, 1, n_features)).float()
    return Dictionary(
        *arrays,
        centred=centred,
        k=k if kind == "topk" else None,
        threshold=threshold if kind == "jumprelu" else None,
    )


def encoded(of, x):
    """Return features as NumPy makes them."""
    encoder, e, b = (
        part.numpy().astype(float) for part in (of.encoder, of.encoder_bias, of.decoder_bias)
    )
    before = (x - b * of.centred) @ encoder.T + e
    z = np.maximum(before, 0)
    if of.threshold is not None:
        z[before <= of.threshold.numpy()] = 0
    if of.k is not None:
        for row in z:
            row[np.argsort(-row, kind="stable")[of.k :]] = 0
    return z


@given(
    n=st.integers(1, 7),
    n_features=st.integers(1, 9),
    d=st.integers(1, 6),
    k=st.integers(1, 9),
    kind=st.sampled_from(KINDS),
    centred=st.booleans(),
    seed=st.integers(0, 99),
)
def test_features_and_what_they_make_are_those_of_numpy(n, n_features, d, k, kind, centred, seed):
    rng = np.random.default_rng(seed)
    of = random_dictionary(rng, n_features, d, kind, centred, k)
    x = rng.normal(size=(n, d))
    z = of.encode(torch.from_numpy(x).float())
    expected = encoded(of, x)
    np.testing.assert_allclose(z.numpy(), expected, atol=2e-5)
    made = expected @ of.decoder.numpy().astype(float) + of.decoder_bias.numpy()
    np.testing.assert_allclose(of.decode(z).numpy(), made, atol=1e-4)
    assert of.kind == kind
    assert (z.numpy() >= 0).all()


@pytest.fixture(params=[1024, 4])
def features_at_once(request, monkeypatch):
    """Blocks of features that hold all of them, and smaller ones that do not divide them."""
    for module in (rosetta.sae.dictionary, rosetta.sae.measures):
        monkeypatch.setattr(module, "FEATURES_AT_ONCE", request.param)
    monkeypatch.setattr(rosetta.sae.measures, "UNITS_AT_ONCE", request.param)


@pytest.mark.usefixtures("features_at_once")
@pytest.mark.parametrize("centred", [True, False])
def test_a_dictionary_of_standard_activations_is_one_of_their_own_units(centred):
    rng = np.random.default_rng(0)
    of = random_dictionary(rng, 14, 5, "topk", centred, k=3)
    mean, std = rng.normal(size=5) * 10, np.array([0.1, 1.0, 5.0, 0.0, 2.0])
    standard = Standard.of(mean, std)
    assert standard.dead.tolist() == [False, False, False, True, False]
    x = mean + rng.normal(size=(40, 5)) * std
    y = torch.from_numpy((x - mean) / standard.scale).float()
    own = in_own_units(of, standard)
    z = own.encode(torch.from_numpy(x).float())
    np.testing.assert_allclose(z.numpy(), of.encode(y).numpy(), atol=1e-3)
    made = mean + standard.scale * of.decode(of.encode(y)).numpy()
    np.testing.assert_allclose(own.decode(z).numpy(), made, atol=2e-2)


def numpy_loss(model, y, dead):
    """Return the share unexplained, the loss and its gradients as NumPy makes them, in float64."""
    encoder, e, decoder, b = (
        part.detach().numpy()
        for part in (model.encoder, model.encoder_bias, model.decoder, model.bias)
    )
    recipe, (n, d) = model.recipe, y.shape
    before = (y - b) @ encoder.T + e

    def kept(values, k):
        order = np.argsort(-values, axis=1, kind="stable")[:, :k]
        mask = np.zeros(values.shape, bool)
        np.put_along_axis(mask, order, True, axis=1)
        return mask & (values > 0)

    active = kept(before, recipe.k)
    z = before * active
    left = y - z @ decoder - b
    at_made = -2 * left / (n * d)
    at_z = (at_made @ decoder.T) * active
    gradients = [
        at_z.T @ (y - b),
        at_z.sum(0),
        z.T @ at_made,
        at_made.sum(0) - (at_z @ encoder).sum(0),
    ]
    value = unexplained = (left**2).mean()
    if dead.any():
        active = kept(np.where(dead, before, -np.inf), recipe.aux_k) & dead
        z = np.where(active, before, 0.0)
        further = left - z @ decoder
        value += recipe.aux_weight * (further**2).sum() / (left**2).sum()
        at_made = -2 * recipe.aux_weight * further / (left**2).sum()
        at_z = (at_made @ decoder.T) * active
        gradients[0] += at_z.T @ (y - b)
        gradients[1] += at_z.sum(0)
        gradients[2] += z.T @ at_made
        gradients[3] -= (at_z @ encoder).sum(0)
    return unexplained, value, gradients


@pytest.mark.parametrize("n_dead", [0, 1, 5])
def test_the_gradient_is_that_of_the_equations(n_dead):
    rng = np.random.default_rng(n_dead)
    recipe = Recipe(n_features=14, k=3, aux_k=2, aux_weight=0.3, dead_after=4)
    model = TopKAutoencoder(6, recipe, seed=1).double()
    with torch.no_grad():
        model.encoder_bias += torch.from_numpy(0.1 * rng.normal(size=14))
        model.bias += torch.from_numpy(0.1 * rng.normal(size=6))
    model.silent[:n_dead] = 4
    y = rng.normal(size=(9, 6))
    unexplained, expected, gradients = numpy_loss(model, y, np.arange(14) < n_dead)
    loss, told = model.loss(torch.from_numpy(y))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-12)
    assert told == pytest.approx(unexplained, rel=1e-12)
    found = (model.encoder, model.encoder_bias, model.decoder, model.bias)
    for parameter, gradient in zip(found, gradients, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), gradient, atol=1e-14)


def test_what_is_silent_is_counted_in_steps():
    model = TopKAutoencoder(4, Recipe(8, 1, 2, 0.1, 5), seed=0)
    y = torch.eye(4)
    active = (strongest(y @ model.encoder.detach().T, 1) > 0).any(dim=0)
    for step in range(1, 4):
        model.loss(y)
        assert model.silent.tolist() == [0 if on else step for on in active.tolist()]


def test_steps_keep_directions_at_length_1_and_move_along_the_sphere():
    rng = np.random.default_rng(0)
    model = TopKAutoencoder(5, Recipe(20, 4, 2, 0.1, 5), seed=0)
    np.testing.assert_allclose(model.encoder.detach(), model.decoder.detach())
    optimizer = UnitAdam(model.parameters(), model.decoder, 0.01)
    for _ in range(5):
        model.loss(torch.from_numpy(rng.normal(size=(32, 5))).float())[0].backward()
        before = model.decoder.detach().clone()
        optimizer.step()
        along = (model.decoder.grad * before).sum(dim=1)
        np.testing.assert_allclose(along, 0, atol=1e-6)
        optimizer.zero_grad()
        np.testing.assert_allclose(model.decoder.detach().norm(dim=1), 1, atol=1e-6)
    assert not np.allclose(before, model.decoder.detach())


@pytest.mark.usefixtures("features_at_once")
def test_measures_of_neurons_are_those_of_brute_force():
    rng = np.random.default_rng(3)
    d, n_features = 7, 11
    of = random_dictionary(rng, n_features, d, "topk", centred=False)
    fires = rng.integers(0, 2, n_features) * 5
    dead = np.arange(d) == 2
    total = np.where(np.arange(d) == 4, 0.0, rng.uniform(1, 2, d))
    fit = Fit(fires, 0, rng.uniform(0, 3, d), total, np.zeros(1), np.zeros(1))
    found = neuron_measures(of, fit, dead)
    w = of.decoder.numpy().astype(float)[fires > 0]
    lengths = np.linalg.norm(w, axis=0)
    for u in range(d):
        row = found.iloc[u]
        if u == 2:
            assert row.isna().all()
            continue
        others = [v for v in range(d) if v not in (u, 2)]
        cosines = [abs(w[:, u] @ w[:, v]) / (lengths[u] * lengths[v]) for v in others]
        assert row["interference"] == pytest.approx(max(cosines), abs=1e-6)
        squares = w[:, u] ** 2
        assert row["participation"] == pytest.approx(squares.sum() ** 2 / (squares**2).sum())
        share = min(fit.error[u] / total[u], 1) if u != 4 else np.nan
        np.testing.assert_allclose(row["unexplained"], share)


@pytest.mark.usefixtures("features_at_once")
def test_one_feature_per_neuron_is_a_participation_of_1_without_interference():
    eye = torch.eye(5)
    of = Dictionary(eye, torch.zeros(5), eye, torch.zeros(5), centred=False, k=2)
    fit = Fit(np.ones(5, int), 0, np.zeros(5), np.ones(5), np.zeros(1), np.zeros(1))
    found = neuron_measures(of, fit, np.zeros(5, bool))
    np.testing.assert_allclose(found["participation"], 1)
    np.testing.assert_allclose(found["interference"], 0)
    same = Dictionary(eye, torch.zeros(5), torch.ones(5, 5), torch.zeros(5), centred=False, k=2)
    found = neuron_measures(same, fit, np.zeros(5, bool))
    np.testing.assert_allclose(found["participation"], 5)
    np.testing.assert_allclose(found["interference"], 1, atol=1e-6)


def test_measures_without_features_or_without_others_are_not_known():
    of = random_dictionary(np.random.default_rng(0), 4, 3, "topk", centred=False)
    none = Fit(np.zeros(4, int), 0, np.ones(3), np.ones(3), np.zeros(1), np.zeros(1))
    found = neuron_measures(of, none, np.zeros(3, bool))
    assert found[["participation", "interference"]].isna().all(axis=None)
    some = Fit(np.ones(4, int), 0, np.ones(3), np.ones(3), np.zeros(1), np.zeros(1))
    alone = neuron_measures(of, some, np.array([True, False, True]))
    assert alone["interference"].isna().all()
    assert alone["participation"].notna().tolist() == [False, True, False]

"""Training: planted features are found, dead ones come to life, and a resumed one is the same."""

import numpy as np
import pytest
import torch
from helpers import save_stores
from planted_features import best_cosines, byte_ranges, directions, save_mixture, sparse_features

from rosetta.activations.folders import open_stores
from rosetta.config.sae import Sae
from rosetta.errors import ModelError
from rosetta.models.zoo import training_loop
from rosetta.sae.dictionary import Standard
from rosetta.sae.measures import fit_of
from rosetta.sae.models import ModelRows, make_autoencoders
from rosetta.sae.rows import CountedRows, standard_of
from rosetta.sae.topk import Recipe, TopKAutoencoder, UnitAdam
from rosetta.sae.training import train_autoencoder

D, F, K = 24, 32, 3
SHORT = Sae(width=2, k=K, steps=24, batch_size=64, learning_rate=0.01, checkpoint_every=10)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Stores of 24 neurons that are mixtures of 32 features, three of which are active at once."""
    rng, folder = np.random.default_rng(0), tmp_path_factory.mktemp("planted") / "a"
    mixing = directions(rng, F, D)
    save_mixture(folder, sparse_features(rng, 6000, F, K), mixing, 0.01, rng, n_shards=2)
    stores = open_stores(folder)
    return CountedRows.of(stores, None), standard_of(stores), mixing


def train(planted, settings, checkpoints):
    rows, standard, _ = planted
    kept = rows.only(~rows.heldout(10))
    return train_autoencoder(kept, (0, D), standard, settings, checkpoints)


def weights(trained):
    of = trained.dictionary
    return [of.encoder, of.encoder_bias, of.decoder, of.decoder_bias]


def test_planted_features_are_found(planted, tmp_path):
    rows, standard, mixing = planted
    settings = SHORT.model_copy(update={"steps": 600, "batch_size": 256, "dead_after": 50})
    trained = train(planted, settings, tmp_path)
    cosines = best_cosines(mixing, trained.dictionary.decoder.numpy())
    assert cosines.mean() > 0.95
    assert (cosines > 0.9).mean() > 0.9
    heldout = rows.heldout(10)
    fit = fit_of(trained.dictionary, rows, heldout, (0, D), standard)
    assert fit.error.sum() / fit.total.sum() < 0.05
    assert fit.n_active / heldout.sum() <= K
    assert trained.positions == 600 * 256


def test_the_fit_is_that_of_numpy(planted, tmp_path):
    rows, standard, _ = planted
    of = train(planted, SHORT, tmp_path).dictionary
    heldout = rows.heldout(10)
    fit = fit_of(of, rows, heldout, (0, D), standard)
    x = rows.read(0, len(rows), 0, D)
    z = of.encode(x)
    left = ((x - of.decode(z)).double().numpy() / standard.scale)[heldout] ** 2
    around = ((x.double().numpy() - standard.mean) / standard.scale)[heldout] ** 2
    np.testing.assert_allclose(fit.error, left.sum(axis=0), rtol=1e-4)
    np.testing.assert_allclose(fit.total, around.sum(axis=0), rtol=1e-4)
    np.testing.assert_array_equal(fit.fires, (z > 0).sum(dim=0).numpy())
    assert fit.n_active == int((z > 0).numpy()[heldout].sum())
    sample = rows.sample[heldout]
    for found, part in ((fit.sample_error, left), (fit.sample_total, around)):
        expected = [part[sample == number].sum() for number in range(len(rows.clusters))]
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_killed_training_goes_on_to_the_same_bits(planted, tmp_path, monkeypatch):
    settings = SHORT.model_copy(update={"dead_after": 2, "batch_size": 8})  # many are dead
    whole = train(planted, settings, tmp_path / "whole")
    step, stopped = training_loop._step, 17

    def killed(*arguments):
        nonlocal stopped
        stopped -= 1
        if stopped < 0:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(training_loop, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(planted, settings, tmp_path / "killed")
    monkeypatch.setattr(training_loop, "_step", step)
    resumed = train(planted, settings, tmp_path / "killed")
    for a, b in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(a, b)


def test_what_steps_count_is_saved_with_the_checkpoint(planted, tmp_path, monkeypatch, capsys):
    settings = SHORT.model_copy(update={"batch_size": 8})
    train(planted, settings, tmp_path)
    state = torch.load(tmp_path / "last.pt", weights_only=True)
    assert state["state"]["silent"].max() > 2
    train(planted, settings, tmp_path)
    assert "resuming at step 20" in capsys.readouterr().err
    other = settings.model_copy(update={"seed": 1})
    train(planted, other, tmp_path)
    assert "another recipe; starting from step 0" in capsys.readouterr().err


def test_the_seed_makes_another_dictionary(planted, tmp_path):
    again = train(planted, SHORT, tmp_path / "0")
    other = train(planted, SHORT.model_copy(update={"seed": 1}), tmp_path / "1")
    assert not torch.equal(weights(again)[0], weights(other)[0])


def test_dead_features_learn_what_is_left():
    """Features that point away from all inputs are never active, and only the auxiliary loss moves
    them.
    """
    rng = np.random.default_rng(0)
    y = torch.from_numpy(np.abs(rng.normal(size=(256, 8)))).float()
    alive = {}
    for weight in (0.0, 0.1):
        model = TopKAutoencoder(8, Recipe(24, 2, 4, weight, 5), seed=0)
        with torch.no_grad():
            away = -model.decoder[:12].abs()
            model.decoder[:12], model.encoder[:12] = away, away
            model.encoder_bias[:12] = -0.01
        optimizer = UnitAdam(model.parameters(), model.decoder, 0.01)
        for _ in range(150):
            optimizer.zero_grad()
            model.loss(y)[0].backward()
            optimizer.step()
        alive[weight] = int((model.silent[:12] < 5).sum())
    assert alive[0.1] > alive[0.0]


def test_a_neuron_that_never_changes_is_left_alone(planted, tmp_path):
    rows, standard, _ = planted
    dead = Standard(standard.mean, np.where(np.arange(D) == 3, 1.0, standard.scale), standard.dead)
    assert train((rows, dead, None), SHORT, tmp_path).dictionary.decoder.isfinite().all()


@pytest.mark.parametrize("n_parts", [1, 2])
def test_dead_neurons_are_not_explained_in_training_either(tmp_path, n_parts):
    """What is told of the training is near what the same rows tell of living neurons, with half of
    all dead, and in another share in every layer.
    """
    rng = np.random.default_rng(0)
    mixing = directions(rng, F, D)
    mixing[:, :9] = mixing[:, 20:23] = 0.0
    values = (sparse_features(rng, 2000, F, K) @ mixing).reshape(2000, n_parts, -1)
    save_stores(tmp_path / "a", values.swapaxes(0, 1).astype(np.float32), byte_ranges(20), 20)
    rows = ModelRows.of("a", open_stores(tmp_path / "a"), None, 10)
    assert rows.standard.dead.sum() == 12
    settings = SHORT.model_copy(
        update={"k": 1, "steps": 200, "batch_size": 256, "per": "layer" if n_parts > 1 else "model"}
    )
    made = make_autoencoders(settings, tmp_path / "checkpoints", rows)
    x = rows.trained_on.read(0, len(rows.trained_on), 0, D).double().numpy()
    left = 0.0
    for of, (low, high) in zip(made.dictionaries, rows.parts(settings.per), strict=True):
        values = torch.from_numpy(x[:, low:high]).float()
        errors = of.decode(of.encode(values)).double().numpy() - x[:, low:high]
        left += np.square(errors / rows.standard.scale[low:high]).mean(axis=0).sum()
    assert made.facts["train_explained_variance"] == pytest.approx(1 - left / 12, abs=0.02)
    assert left / 12 > 0.3, "or the dead would make no difference"


def test_a_training_that_diverges_is_told(planted, tmp_path):
    settings = SHORT.model_copy(update={"learning_rate": 1e9, "steps": 200})
    with pytest.raises(ModelError, match=r"sae\.learning_rate: the training diverged.*Lower it"):
        train(planted, settings, tmp_path)

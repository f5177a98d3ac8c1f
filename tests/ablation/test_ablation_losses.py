"""Losses document by document and image by image, against networks that are run one by one."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch
from tiny_architectures import tiny_model
from tiny_image_architectures import noise_images, saved, tiny_image_model

from rosetta.ablation.columns import WHOLE
from rosetta.ablation.effects import effect_table
from rosetta.ablation.held_neurons import HeldNeurons
from rosetta.ablation.image_loss import classifier_of, image_losses, load_whole
from rosetta.ablation.measure import Targets, measure_on_images, measure_on_text
from rosetta.ablation.text_loss import document_bits, predicted_bytes
from rosetta.activations.tokens import NOTHING, TokenizedDocument
from rosetta.config import Bootstrap
from rosetta.config.ablation import AblationSettings
from rosetta.errors import ModelError
from rosetta.models.devices import CPU
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.sites import neuron_sites

CLASSIFIERS = ["vit-classifier", "dinov2-classifier", "dinov2_with_registers"]


def documents_of(lengths, seed=0):
    """Documents of random tokens of two bytes each, the first of none."""
    rng, found = np.random.default_rng(seed), []
    for n in lengths:
        ends = 2 * np.arange(n, dtype=np.int32)
        ids = rng.integers(3, 300, n).astype(np.int32)
        found.append(TokenizedDocument(ids, np.maximum(ends - 2, 0), ends))
    return found


@torch.no_grad()
def bits_by_hand(model, documents):
    """Bits of every document, read alone, in float64."""
    found = []
    for one in documents:
        ids = torch.from_numpy(one.token_ids).long()
        if len(ids) < 2:
            found.append(0.0)
            continue
        logits = model(input_ids=ids[None]).logits[0].double().numpy()
        shares = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1))[:, None]
        shares -= logits.max(1, keepdims=True)
        found.append(-sum(shares[i, ids[i + 1]] for i in range(len(ids) - 1)) / math.log(2))
    return np.array(found)


@pytest.mark.parametrize("variant", ["gpt_neox", "opt", "gemma2", "olmoe"])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_documents_cost_what_each_costs_alone(variant, batch_size):
    model = tiny_model(variant)
    shape = neuron_shape(model.config, "m")
    documents = [*documents_of([9, 2, 1, 14, 5, 7]), NOTHING]
    held = HeldNeurons(neuron_sites(model, "m"), np.zeros((shape.n_layers, shape.d_mlp)))
    masks = [np.zeros((shape.n_layers, shape.d_mlp), bool), held_mask(shape)]
    found = document_bits(model, documents, held, masks, batch_size)
    np.testing.assert_allclose(found[0], bits_by_hand(model, documents), rtol=2e-5)
    with held.holding(masks[1]):
        expected = bits_by_hand(model, documents)
    np.testing.assert_allclose(found[1], expected, rtol=2e-5)
    assert np.abs(found[1] - found[0]).max() > 0.1
    assert [predicted_bytes(one) for one in documents] == [16, 2, 0, 26, 8, 12, 0]


def held_mask(shape):
    return np.random.default_rng(9).random((shape.n_layers, shape.d_mlp)) < 0.5


def test_a_loss_that_is_not_finite_is_told():
    model = tiny_model("gpt_neox")
    with torch.no_grad():
        model.get_output_embeddings().weight.fill_(float("nan"))
    shape = neuron_shape(model.config, "m")
    held = HeldNeurons(neuron_sites(model, "m"), np.zeros((shape.n_layers, shape.d_mlp)))
    mask = np.zeros((shape.n_layers, shape.d_mlp), bool)
    with pytest.raises(ModelError, match="loss of a held-out document is not finite"):
        document_bits(model, documents_of([5]), held, [mask], 1)


def planted_model(frequent, unit=7, layer=1):
    """A model in which one neuron alone writes to the residual stream, of all MLPs: it promotes one
    token, always.
    """
    model = tiny_model("gpt_neox")
    with torch.no_grad():
        for block in model.gpt_neox.layers:
            block.mlp.dense_4h_to_h.weight.zero_()
        mlp = model.gpt_neox.layers[layer].mlp
        mlp.dense_h_to_4h.weight[unit] = 0
        mlp.dense_h_to_4h.bias[unit] = 3
        mlp.dense_4h_to_h.weight[:, unit] = 2 * model.get_output_embeddings().weight[frequent]
    return model


@pytest.mark.parametrize("method", ["zero", "mean"])
def test_a_planted_neuron_costs_what_it_should(method):
    """It is the one target; all others write nothing, so ablating them costs exactly 0, and
    keeping only them costs as much as ablating it.
    """
    model = planted_model(frequent=17)
    shape = neuron_shape(model.config, "m")
    rng = np.random.default_rng(0)
    statistics = {
        "mean": rng.normal(size=shape.n_neurons),
        "variance": rng.gamma(1.0, size=shape.n_neurons),
        "kurtosis": rng.normal(size=shape.n_neurons),
    }
    mask = np.zeros((shape.n_layers, shape.d_mlp), bool)
    mask[1, 7] = True
    statistics["mean"][shape.d_mlp + 7] = 0.5
    tokenized = documents_of(rng.integers(4, 20, 40), seed=1)
    for one in tokenized:
        one.token_ids[rng.random(len(one.token_ids)) < 0.5] = 17
    documents = pd.DataFrame({"id": np.arange(40, dtype=np.uint64), "domain": ["a", "b"] * 20})
    documents["cluster"] = documents["id"].astype(str)
    targets = Targets(mask, statistics, AblationSettings(method=method), "m")
    measured = measure_on_text(model, documents, tokenized, targets, 16)
    changed = copy.deepcopy(model)
    module = changed.gpt_neox.layers[1].mlp.dense_4h_to_h
    with torch.no_grad():
        written = module.weight[:, 7] * (
            statistics["mean"].reshape(mask.shape)[1, 7] if method == "mean" else 0.0
        )
        module.weight[:, 7] = 0
        module.bias += written
    cost = bits_by_hand(changed, tokenized) - bits_by_hand(model, tokenized)
    size = sum(map(predicted_bytes, tokenized))
    rows = effect_table(measured.losses, Bootstrap(), "m")
    rows = rows[rows["domain"] == WHOLE].set_index(["treatment", "population"])
    assert cost.sum() / size > 0.1
    for place in (("ablate", "rosetta"), ("keep", "matched"), ("ablate", "all")):
        assert rows.loc[place, "difference"] == pytest.approx(cost.sum() / size, abs=2e-6)
    for place in (("keep", "rosetta"), ("ablate", "matched")):
        assert rows.loc[place, "difference"] == pytest.approx(0, abs=1e-9)
    excess = rows.loc[("ablate", "matched")]
    assert excess["rosetta_excess"] == pytest.approx(cost.sum() / size, abs=2e-6)
    low, high = excess["rosetta_excess_ci_low"], excess["rosetta_excess_ci_high"]
    assert np.isnan([low, high]).all(), "all draws cost the same, so they tell no error"
    told = measured.composition.set_index(["treatment", "population"])
    assert told.loc[("ablate", "matched"), "n_ablated"] == 1
    assert told.loc[("keep", "rosetta"), "n_ablated"] == shape.n_neurons - 1
    assert told.loc[("ablate", "rosetta"), "overlap"] == 1
    assert told.loc[("ablate", "matched"), "overlap"] == 0


@pytest.mark.parametrize("variant", CLASSIFIERS)
def test_images_cost_what_the_whole_classifier_says(variant, tmp_path):
    whole = tiny_image_model(variant, num_labels=4)
    source = saved(tmp_path / "m", whole)
    classifier = classifier_of(load_whole(source, CPU), source)
    images, labels = noise_images(n=7), np.array([0, 1, 2, 3, 0, 1, 2])
    shape = classifier.seeing.shape
    mask, zeros = held_mask(shape), np.zeros((shape.n_layers, shape.d_mlp))
    held = HeldNeurons(classifier.seeing.sites, zeros)
    batches = [(images[:4], labels[:4]), (images[4:], labels[4:])]
    bits, right = image_losses(classifier, batches, held, [zeros.astype(bool), mask])
    pixels = classifier.seeing.arguments(torch.from_numpy(images))
    for number, chosen in enumerate((zeros.astype(bool), mask)):
        changed = copy.deepcopy(whole)
        for sites, own in zip(neuron_sites(changed.base_model, "m"), chosen, strict=True):
            sites[0].module.weight.data[:, torch.from_numpy(own)] = 0
        with torch.no_grad():
            logits = changed(**pixels).logits.double().numpy()
        shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        expected = -np.log2(shares[np.arange(7), labels])
        np.testing.assert_allclose(bits[number], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(right[number], logits.argmax(1) == labels)
    assert np.abs(bits[1] - bits[0]).max() > 1e-3
    table = pd.DataFrame({"id": np.arange(7, dtype=np.uint64), "label": labels, "domain": "x"})
    statistics = dict.fromkeys(("mean", "variance", "kurtosis"), np.ones(shape.n_neurons))
    targets = Targets(
        held_mask(shape) & (np.arange(shape.d_mlp) < 9),
        statistics,
        AblationSettings(method="zero"),
        "m",
    )
    found = measure_on_images(classifier, table, images, targets, 4).losses
    intact = found[found["population"] == "none"]
    np.testing.assert_allclose(intact["bits"], bits[0], rtol=1e-5)
    np.testing.assert_array_equal(intact["right"], right[0])


@pytest.mark.parametrize("variant", ["vit", "vit_mae-decoder", "clip"])
def test_models_without_a_head_of_classes_are_rejected(variant, tmp_path):
    source = saved(tmp_path / "m", tiny_image_model(variant))
    with pytest.raises(ModelError, match="has no head that tells classes"):
        load_whole(source, CPU)

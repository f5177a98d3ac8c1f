"""Neurons held at fixed values, against networks whose weights say the same."""

import copy

import numpy as np
import pytest
import torch
from tiny_architectures import VARIANTS, tiny_model
from tiny_image_architectures import VARIANTS as IMAGE_VARIANTS
from tiny_image_architectures import noise_images, saved, tiny_image_model

from rosetta.ablation.held_neurons import HeldNeurons
from rosetta.models.image_models import load_image_model
from rosetta.models.neuron_counts import neuron_shape
from rosetta.models.sites import Expert, neuron_sites

IDS = torch.arange(3, 25).view(2, 11)
DENSE = [name for name in VARIANTS if "moe" not in name and name != "mixtral"]


def drawn_mask(shape, seed=0):
    return np.random.default_rng(seed).random((shape.n_layers, shape.d_mlp)) < 0.4


def edited(model, sites_of, mask, values):
    """A copy whose weights leave these neurons out, and whose biases write the fixed values."""
    changed = copy.deepcopy(model)
    with torch.no_grad():
        for sites, own, at in zip(sites_of(changed), mask, values, strict=True):
            start = 0
            for site in sites:
                inside = slice(start, start + site.width)
                _edit(site, torch.from_numpy(own[inside]), torch.from_numpy(at[inside]).float())
                start += site.width
    return changed


def _edit(site, own, values):
    if isinstance(site, Expert):
        assert not values[own].any(), "experts have no bias"
        site.module.down_proj[site.number][:, own] = 0
        return
    written = site.output_weights().float()[own].T @ values[own]
    linear = hasattr(site.module, "in_features")
    weight = site.module.weight if linear else site.module.weight.T
    weight[:, own] = 0
    if values[own].any():
        bias = site.module.bias
        kept = torch.zeros(len(written)) if bias is None else bias
        site.module.bias = torch.nn.Parameter(kept + written)


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_held_at_zero_is_a_zeroed_column(variant):
    model = tiny_model(variant)
    shape = neuron_shape(model.config, "m")
    mask, zeros = drawn_mask(shape), np.zeros((shape.n_layers, shape.d_mlp))
    intact = model(input_ids=IDS).logits
    with HeldNeurons(neuron_sites(model, "m"), zeros).holding(mask):
        found = model(input_ids=IDS).logits
    expected = edited(model, lambda one: neuron_sites(one, "m"), mask, zeros)(input_ids=IDS).logits
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=1e-6)
    assert (found - intact).abs().max() > 0.05
    torch.testing.assert_close(model(input_ids=IDS).logits, intact, atol=0, rtol=0)
    assert not any(one._forward_pre_hooks or one._forward_hooks for one in model.modules())


@pytest.mark.parametrize("variant", DENSE)
@torch.no_grad()
def test_held_at_a_value_is_a_shift_of_the_bias(variant):
    model = tiny_model(variant)
    shape = neuron_shape(model.config, "m")
    mask = drawn_mask(shape, 1)
    values = np.random.default_rng(2).normal(size=mask.shape)
    with HeldNeurons(neuron_sites(model, "m"), values).holding(mask):
        found = model(input_ids=IDS).logits
    changed = edited(model, lambda one: neuron_sites(one, "m"), mask, values)
    expected = changed(input_ids=IDS).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("implementation", ["eager", "grouped_mm", "batched_mm"])
@torch.no_grad()
def test_an_experts_neurons_are_held_where_tokens_are_routed_to_it(implementation):
    """Σ over experts of routing weight × W_down · neurons, with some of these replaced."""
    model = tiny_model("qwen2_moe")
    model.config._experts_implementation = implementation
    shape, seen = neuron_shape(model.config, "m"), []
    mask = drawn_mask(shape, 3)
    mask[:, shape.n_routed :] = False
    values = np.random.default_rng(4).normal(size=mask.shape)
    module = model.model.layers[0].mlp.experts
    handle = module.register_forward_hook(lambda _m, inputs, out: seen.append((inputs, out)))
    with HeldNeurons(neuron_sites(model, "m"), values).holding(mask):
        model(input_ids=IDS)
    handle.remove()
    ((hidden, chosen, routing), _), expected = seen[0], []
    for row, numbers, shares in zip(hidden, chosen.tolist(), routing, strict=True):
        total = torch.zeros(hidden.shape[1])
        for number, share in zip(numbers, shares, strict=True):
            gate, up = (module.gate_up_proj[number] @ row).chunk(2)
            neurons = torch.nn.functional.silu(gate) * up
            own = slice(number * shape.d_expert, (number + 1) * shape.d_expert)
            held, at = torch.from_numpy(mask[0, own]), torch.from_numpy(values[0, own]).float()
            total += share * (module.down_proj[number] @ torch.where(held, at, neurons))
        expected.append(total)
    seen.clear()
    changed = []
    with HeldNeurons(neuron_sites(model, "m"), values).holding(mask):
        # Registered after those that hold, so it sees what they made.
        handle = module.register_forward_hook(lambda _m, _inputs, out: changed.append(out))
        model(input_ids=IDS)
        handle.remove()
    torch.testing.assert_close(changed[0], torch.stack(expected), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("variant", IMAGE_VARIANTS)
@torch.no_grad()
def test_neurons_of_models_that_see_images_are_held(variant, tmp_path):
    source = saved(tmp_path / "m", tiny_image_model(variant))
    model = load_image_model(source, image_size=16)
    mask = drawn_mask(model.shape)
    values = np.random.default_rng(5).normal(size=mask.shape)
    given = model.arguments(torch.from_numpy(noise_images()))
    intact = model.module(**given).last_hidden_state
    with HeldNeurons(model.sites, values).holding(mask):
        found = model.module(**given).last_hidden_state
    changed = edited(model.module, lambda one: neuron_sites(one, "m"), mask, values)
    expected = changed(**given).last_hidden_state
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert (found - intact).abs().max() > 1e-3

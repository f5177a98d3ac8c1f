"""Vocabulary kurtosis against SciPy on weights taken by name; higher moments against SciPy."""

import numpy as np
import pytest
import torch
from helpers import ARCHITECTURES, tiny_sizes
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from transformers import AutoModelForCausalLM, OPTConfig

from rosetta.analysis import selectivity
from rosetta.analysis.columns import VOCABULARY_COLUMNS, WRITTEN_COLUMNS
from rosetta.analysis.selectivity import N_TOKENS, vocabulary_table, written_tokens
from rosetta.config.zoo import ZooFamily
from rosetta.errors import ModelError
from rosetta.models.output_weights import output_weights, unembedding
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.moments import HigherMoments

# Names in the state dictionary: down projection of layer 1, unembedding, gain of the final norm.
NAMES = {
    "gpt_neox": ("gpt_neox.layers.1.mlp.dense_4h_to_h", "lm_head", "gpt_neox.final_layer_norm"),
    "gpt2": ("transformer.h.1.mlp.c_proj", "lm_head", "transformer.ln_f"),
    "opt": (
        "model.decoder.layers.1.fc2",
        "lm_head",
        "model.decoder.final_layer_norm",
    ),
    "gemma": ("model.layers.1.mlp.down_proj", "lm_head", "model.norm"),
    "tied": ("model.layers.1.mlp.down_proj", "model.embed_tokens", "model.norm"),
}
OTHERS = ("model.layers.1.mlp.down_proj", "lm_head", "model.norm")


def tiny_model(architecture, **changes):
    size, training = tiny_sizes()
    config = zoo_model_config(
        ZooFamily(architecture=architecture, vocab_size=300, seed=0), size, training
    )
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # gains are initialised to one, which would hide a mistake
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_f" in name:
                parameter.copy_(torch.rand_like(parameter) + 0.5)
    return model


def reference(weights, directions):
    """Kurtosis of the cosines, all at once in float64."""
    weights, directions = weights.double().numpy(), directions.double().numpy()
    cosines = directions @ weights.T
    cosines /= np.linalg.norm(directions, axis=1)[:, None] * np.linalg.norm(weights, axis=1)
    return stats.kurtosis(cosines, axis=0)


@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("architecture", [*ARCHITECTURES, "tied"])
def test_the_kurtosis_is_that_of_the_weights_by_name(architecture, fold, monkeypatch):
    monkeypatch.setattr(selectivity, "TOKENS_AT_ONCE", 41)
    monkeypatch.setattr(selectivity, "UNITS_AT_ONCE", 7)
    model = (
        tiny_model("llama", tie_word_embeddings=True)
        if architecture == "tied"
        else tiny_model(architecture)
    )
    down, head, norm = NAMES.get(architecture, OTHERS)
    state = model.state_dict()
    weights = state[f"{down}.weight"] if architecture == "gpt2" else state[f"{down}.weight"].T
    directions = state[f"{head}.weight"][:290]
    if fold:
        gain = state[f"{norm}.weight"] + (architecture == "gemma")
        directions = directions * gain
        if f"{norm}.bias" in state:  # a LayerNorm also takes the mean away
            directions = directions - directions.mean(dim=1, keepdim=True)
    found = unembedding(model, "m", range(290), fold_final_norm=fold)
    table = vocabulary_table(output_weights(model, "m"), found, 2, "m")
    assert table[["layer", "unit"]].to_numpy().tolist() == [
        [layer, unit] for layer in range(2) for unit in range(24)
    ]
    own = table.loc[table["layer"] == 1, "excess_kurtosis"]
    np.testing.assert_allclose(own, reference(weights, directions), rtol=1e-4, atol=1e-5)


def opt_350m():
    """An OPT like the 350M one: narrow embeddings, projected, and no final norm."""
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(
        OPTConfig(
            vocab_size=60,
            hidden_size=16,
            word_embed_proj_dim=8,
            ffn_dim=24,
            num_hidden_layers=2,
            num_attention_heads=2,
            do_layer_norm_before=False,
            max_position_embeddings=16,
        )
    )


@pytest.mark.parametrize("fold", [False, True])
def test_a_projected_unembedding_is_followed_back(fold):
    """Cosines with what raises a logit: for OPT-350M, embedding times projection, found here as a
    gradient.
    """
    model = opt_350m().eval()
    residual = torch.zeros(16, requires_grad=True)
    logits = model.lm_head(model.model.decoder.project_out(residual))
    rows = [
        torch.autograd.grad(logits[token], residual, retain_graph=True)[0] for token in range(60)
    ]
    found = unembedding(model, "m", range(60), fold_final_norm=fold)
    torch.testing.assert_close(found, torch.stack(rows))


def test_an_unembedding_that_does_not_fit_is_rejected_by_name():
    model = opt_350m()
    model.model.decoder.project_out = None
    with pytest.raises(
        ModelError, match=r"models\.x: its unembedding vectors have 8 entries .* 16"
    ):
        unembedding(model, "models.x", range(60))


def test_the_tokens_of_the_most_extreme_cosines_are_named(monkeypatch):
    monkeypatch.setattr(selectivity, "TOKENS_AT_ONCE", 7)
    monkeypatch.setattr(selectivity, "UNITS_AT_ONCE", 2)
    rng = np.random.default_rng(1)
    weights, directions = rng.normal(size=(5, 8)), rng.normal(size=(40, 8))
    weights[3], directions[[0, 17]] = 0, 0
    names = [f"token {i}" for i in range(40)]
    made = [torch.from_numpy(part).float() for part in (weights, directions)]
    table = vocabulary_table([made[0]], made[1], 1, "m", names)
    assert list(table) == [*VOCABULARY_COLUMNS, *WRITTEN_COLUMNS]
    with np.errstate(invalid="ignore"):
        cosines = directions @ weights.T / np.linalg.norm(directions, axis=1)[:, None]
        cosines /= np.linalg.norm(weights, axis=1)
    for unit in (0, 1, 2, 4):
        order = np.argsort(cosines[:, unit])  # NaN, of the vectors without a direction, comes last
        lowest, highest = order[:N_TOKENS], order[:38][::-1][:N_TOKENS]
        for side, rows in (("promoted", highest), ("suppressed", lowest)):
            assert table.loc[unit, side] == [names[row] for row in rows]
            np.testing.assert_allclose(
                table.loc[unit, f"{side}_cosine"], cosines[rows, unit], rtol=1e-5
            )
    assert [len(table.loc[3, column]) for column in WRITTEN_COLUMNS] == [0] * 4
    few = vocabulary_table([made[0]], made[1][:4], 1, "m", names[:4])
    assert [len(few.loc[0, column]) for column in WRITTEN_COLUMNS] == [3] * 4


def test_zero_vectors_are_excluded():
    rng = np.random.default_rng(0)
    weights, directions = (
        torch.from_numpy(rng.normal(size=shape)).float() for shape in ((5, 8), (200, 8))
    )
    expected = written_tokens(weights, directions, 0).excess_kurtosis
    weights[2] = 0
    with_zeros = torch.cat([directions, torch.zeros(50, 8)])
    found = written_tokens(weights, with_zeros, 0).excess_kurtosis
    assert np.isnan(found[2])
    np.testing.assert_allclose(np.delete(found, 2), np.delete(expected, 2), rtol=1e-6)


def test_a_neuron_that_writes_to_few_tokens_stands_out():
    rng = np.random.default_rng(0)
    directions = torch.from_numpy(rng.normal(size=(500, 256))).float()
    weights = torch.stack([directions[:3].sum(0), torch.from_numpy(rng.normal(size=256))])
    kurtosis = written_tokens(weights, directions, 0).excess_kurtosis
    assert kurtosis[0] > 3
    assert abs(kurtosis[1]) < 1


@given(
    seed=st.integers(0, 10**6),
    cuts=st.lists(st.integers(0, 50), max_size=4),
    offset=st.sampled_from([0.0, 1e4]),
)
def test_merged_higher_moments_are_those_of_the_whole(seed, cuts, offset):
    values = np.random.default_rng(seed).gamma(2.0, size=(50, 3)) + offset
    merged = HigherMoments.zeros((3,))
    for part in np.split(values, sorted(cuts)):
        merged = merged.merge(HigherMoments.of(part))
    assert merged.count == 50
    np.testing.assert_allclose(merged.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(merged.variance, values.var(axis=0), rtol=1e-7)
    np.testing.assert_allclose(merged.skewness, stats.skew(values), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(merged.excess_kurtosis, stats.kurtosis(values), rtol=1e-6, atol=1e-6)


def test_moments_of_nothing_and_of_a_constant():
    assert np.isnan(HigherMoments.zeros((2,)).skewness).all()
    constant = HigherMoments.of(np.full((10, 1), 0.1, np.float32)).merge(
        HigherMoments.of(np.full((7, 1), 0.1, np.float32))
    )
    assert constant.variance == 0
    assert np.isnan(constant.excess_kurtosis)

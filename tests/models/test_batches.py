"""A document reads the same alone and in any batch: every architecture, with every kind of rotary
positions.
"""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import save_tiny_model
from tiny_architectures import CONFIGS, SIZES, VARIANTS
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from rosetta.activations.capture import forward
from rosetta.activations.tokens import TokenizedDocument
from rosetta.config.filtering import FilterScoring
from rosetta.errors import ModelError
from rosetta.filtering.document_scores import Scorer
from rosetta.filtering.perplexity import perplexity
from rosetta.models.batches import batches, length_limits
from rosetta.models.loading import load_config_of, load_model
from rosetta.models.neurons import Neuron
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import load_tokenizer

ORIGINAL = 16  # of 64 positions
ROPES = {
    "linear": {"factor": 4.0},
    "dynamic": {"factor": 4.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": ORIGINAL},
    "llama3": {
        "factor": 4.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": ORIGINAL,
    },
    "longrope": {
        "original_max_position_embeddings": ORIGINAL
    },  # and factors by the width of a head
    "proportional": {},
}
# Below, at and above both limits, in an order that mixes them.
LENGTHS = (7, 40, ORIGINAL, 0, ORIGINAL + 1, 64, 3)


def rotary_model(variant, kind):
    """A model with these rotary positions, or None if the architecture does not take them."""
    sizes = json.loads(json.dumps(CONFIGS.get(variant, SIZES)))
    config = AutoConfig.for_model(variant.split("-")[0], **sizes)
    text = getattr(config, "text_config", config)
    found = getattr(text, "rope_parameters", None)
    if not found or getattr(text, "alibi", False):
        return None if kind != "none" else attentive(config)
    if kind == "none":
        return None
    if (variant == "phi3" and kind != "longrope") or (variant == "phi" and kind == "proportional"):
        return None  # which the library rejects, or cannot run
    if variant == "phi3":
        text.original_max_position_embeddings = ORIGINAL
    width = (
        text.hidden_size // text.num_attention_heads
        if getattr(text, "head_dim", None) is None
        else text.head_dim
    )
    for rope in [value for value in found.values() if isinstance(value, dict)] or [found]:
        n = int(width * rope.get("partial_rotary_factor", 1.0)) // 2
        factors = {"short_factor": [1.0] * n, "long_factor": [8.0] * n}
        rope |= {"rope_type": kind, **ROPES[kind], **(factors if kind == "longrope" else {})}
    return attentive(config)


def attentive(config):
    """A model with weights so large that it matters which position attends to which."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1 and "embed" not in name:
                parameter.mul_(20)
    return model


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Models this small are slower with more."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def documents(lengths, seed=0):
    rng = np.random.default_rng(seed)
    rows = [rng.integers(3, 300, size=n, dtype=np.int32) for n in lengths]
    return [TokenizedDocument(row, np.zeros_like(row), np.zeros_like(row)) for row in rows]


def neurons(model, tokenized, batch_size):
    return torch.cat(list(forward(model, tokenized, batch_size, "m")), dim=1)


def test_every_kind_of_rotary_positions_is_here():
    assert set(ROPES) == set(ROPE_INIT_FUNCTIONS)


@pytest.mark.parametrize("kind", [*ROPES, "none"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_document_reads_the_same_alone_and_in_any_batch(variant, kind):
    model = rotary_model(variant, kind)
    if model is None:
        return  # not a kind of this architecture
    tokenized = documents(LENGTHS)
    alone = torch.cat(
        [neurons(model, [document], 1) for document in tokenized if len(document.token_ids)], dim=1
    )
    scale = alone.std(dim=1, keepdim=True).clamp_min(1e-6)  # some units of OPT are dead
    for batch_size in (3, 16):
        found = neurons(model, tokenized, batch_size)
        assert float(((found - alone).abs() / scale).max()) < 1e-2, batch_size


def test_frequencies_do_change_with_the_length():
    """Otherwise the test above would pass without any cut."""
    model = rotary_model("llama", "longrope")
    document = documents([40])[0]
    short = TokenizedDocument(*(values[:10] for values in vars(document).values()))
    whole, part = neurons(model, [document], 1)[:, :10], neurons(model, [short], 1)
    assert float(((whole - part).abs() / part.std(dim=1, keepdim=True)).max()) > 0.1


def test_batches_are_cut_where_the_length_limit_lies_between_two():
    config = rotary_model("llama", "longrope").config
    assert length_limits(config) == [ORIGINAL]
    cuts = [(cut.start, cut.stop) for cut in batches([16, 3, 17, 64, 0, 5, 20], 4, config)]
    assert cuts == [(0, 2), (2, 4), (4, 6), (6, 7)]
    plain = rotary_model("llama", "linear").config
    assert [(cut.start, cut.stop) for cut in batches([16, 3, 17, 64, 0], 4, plain)] == [
        (0, 4),
        (4, 5),
    ]


def test_a_longrope_of_one_kind_of_layers_without_its_limit_is_rejected(tmp_path):
    """Where one kind of rotary positions is for all layers, the library sets a limit that is
    missing.
    """
    rotary_model("gemma3_text", "longrope").config.save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    for rope in content["rope_parameters"].values():
        del rope["original_max_position_embeddings"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(
        ModelError, match=r"^models\.m: config\.json gives None as original_max_position_embeddings"
    ):
        load_config_of(ModelSource("m", str(tmp_path)))


@pytest.fixture(scope="module")
def longrope(tmp_path_factory, texts):
    """A model whose short and long texts are read differently, and its tokenizer."""
    folder = save_tiny_model(tmp_path_factory.mktemp("m") / "m", texts, "llama")
    content = json.loads((folder / "config.json").read_text())
    content["rope_parameters"] = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        **ROPES["longrope"],
        "short_factor": [1.0] * 4,
        "long_factor": [8.0] * 4,
    }
    (folder / "config.json").write_text(json.dumps(content))
    source = ModelSource("m", str(folder))
    return load_model(source), load_tokenizer(source)


def test_scores_do_not_depend_on_the_batch(longrope, texts):
    model, tokenizer = longrope
    chosen = [
        text[:n] for text, n in zip(texts[:8], (10, 200, 30, 200, 12, 25, 200, 18), strict=True)
    ]
    pool = pd.DataFrame({"id": np.arange(8), "text": chosen, "domain": "d"})
    scores = [
        Scorer(
            model,
            tokenizer,
            {"n": Neuron(1, 3)},
            FilterScoring(sequence_length=32, batch_size=n),
            "m",
        ).score(pool)
        for n in (1, 16)
    ]
    np.testing.assert_allclose(scores[1]["n"], scores[0]["n"], rtol=1e-4, atol=1e-7)


def test_perplexity_does_not_depend_on_the_batch(longrope, texts):
    model, tokenizer = longrope
    alone, together = (perplexity(model, tokenizer, texts[:8], 0, 24, n)[0] for n in (1, 16))
    assert together == pytest.approx(alone, rel=1e-6)

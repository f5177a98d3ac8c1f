"""Trainings that diverge are stopped with the step, the rate and the fix; a perplexity beyond all
numbers is `inf`.
"""

import copy
import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from helpers import save_tiny_model, tiny_sizes, tiny_tokenizer

from rosetta.config.filtering import FilterPretraining
from rosetta.config.zoo import ZooFamily
from rosetta.errors import ModelError
from rosetta.filtering.perplexity import perplexity
from rosetta.filtering.pretrain import Training, continue_training
from rosetta.models.loading import load_model
from rosetta.models.sources import ModelSource
from rosetta.models.tokenizers import load_tokenizer
from rosetta.models.zoo import training_loop
from rosetta.models.zoo.model_training import train_zoo_model
from rosetta.models.zoo.training_loop import Steps, run_steps
from rosetta.report.filtering_figures import _draw_perplexity

WORDS = (
    r"the training diverged: at step (\d+) of \d+ the loss is \S+ nats per token, at a "
    r"rate of [\d.e+]+\. Lower it\."
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory, texts):
    source = ModelSource(
        "m", str(save_tiny_model(tmp_path_factory.mktemp("m") / "m", texts, "llama"))
    )
    return load_model(source), load_tokenizer(source)


def test_a_zoo_training_at_a_wild_rate_is_stopped(texts, tmp_path):
    size, recipe = tiny_sizes()
    wild = recipe.model_copy(update={"learning_rate": 1e20, "steps": 30, "warmup_steps": 1})
    family = ZooFamily(architecture="gpt2", vocab_size=300, seed=0)
    with pytest.raises(ModelError, match=rf"^zoo\.training\.learning_rate: {WORDS}"):
        train_zoo_model(family, size, wild, tiny_tokenizer(texts), texts * 20, tmp_path)


def test_a_continued_training_at_a_wild_rate_is_stopped(loaded, texts, tmp_path):
    settings = FilterPretraining(
        model="m",
        sequence_length=16,
        batch_size=2,
        checkpoint_every=1,
        learning_rate=1e30,
        warmup=0,
    )
    training = Training(settings, 8, 1, tmp_path, "weights")
    with pytest.raises(ModelError, match=rf"^filtering\.pretraining\.learning_rate: {WORDS}"):
        continue_training(copy.deepcopy(loaded[0]), loaded[1], texts, training)


@pytest.mark.parametrize("loss", [math.nan, math.inf, 710.0])
def test_the_step_and_its_rate_are_told_and_nothing_is_saved_of_it(loss, tmp_path, monkeypatch):
    losses = iter([2.0, 708.0, loss])
    monkeypatch.setattr(training_loop, "_step", lambda *_: next(losses))
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = Steps(
        torch.zeros(5, 1, 1, dtype=torch.long), lambda step: 0.5**step, tmp_path, 3, "x", "key"
    )
    with pytest.raises(
        ModelError,
        match=rf"^key: .* at step 3 of 5 the loss is {loss:g} .* at a rate of 0\.25\. Lower",
    ):
        run_steps(model, optimizer, steps, torch.float32)
    assert not list(tmp_path.iterdir())


def with_head(loaded, factor):
    """The model and its tokenizer, its logits multiplied."""
    model, tokenizer = loaded
    shown = SimpleNamespace(device=model.device, config=model.config)

    def forward(**inputs):
        return SimpleNamespace(logits=model(**inputs).logits * factor)

    return type("Loud", (), {"__call__": staticmethod(forward), **vars(shown)})(), tokenizer


def test_a_perplexity_beyond_all_numbers_is_infinite(loaded, texts):
    value, n_tokens = perplexity(*with_head(loaded, 1e6), texts[:3], 0, 16, 2)
    assert value == math.inf
    assert n_tokens > 10


def test_a_perplexity_that_is_no_number_is_rejected(loaded, texts):
    with pytest.raises(
        ModelError,
        match=r"not a number: .*lower filtering\.pretraining\.learning_rate.*dtype: bfloat16",
    ):
        perplexity(*with_head(loaded, math.nan), texts[:3], 0, 16, 2)


def test_the_figure_shows_what_is_infinite_as_such():
    summary = pd.DataFrame(
        {
            "perplexity": [math.inf, 20.0, math.inf],
            "perplexity_ci_high": [math.nan, 21.0, math.nan],
        },
        index=["rosetta", "random", "base"],
    )
    figure, axes = plt.subplots()
    _draw_perplexity(axes, summary, ["rosetta", "random"], ["r", "g"])
    figure.canvas.draw()
    assert [text.get_text() for text in axes.texts] == ["inf"]
    assert np.isfinite(axes.get_xlim()).all()
    plt.close(figure)

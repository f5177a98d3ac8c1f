"""What trains zoo models: the fused loss, Muon, layers that start silent, seeds of replicates."""

import helpers
import pytest
import torch
from helpers import tiny_sizes, tiny_tokenizer
from transformers import AutoModelForCausalLM

from rosetta.config.zoo import ZooFamily, ZooTraining
from rosetta.errors import ConfigError
from rosetta.models.zoo.initialisation import silence_layers
from rosetta.models.zoo.model_training import train_zoo_model
from rosetta.models.zoo.optimizers import zoo_optimizer
from rosetta.models.zoo.recipes import zoo_model_config
from rosetta.models.zoo.token_loss import ROWS, next_token_loss

SIZE, _ = tiny_sizes()
TRAINING = ZooTraining(steps=6, batch_size=4, sequence_length=64, warmup_steps=2)


def family(architecture="gpt_neox", seed=3):
    return ZooFamily(architecture=architecture, vocab_size=300, seed=seed)


def model_of(architecture):
    torch.manual_seed(0)
    config = zoo_model_config(family(architecture), SIZE, TRAINING)
    return AutoModelForCausalLM.from_config(config)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("architecture", helpers.ARCHITECTURES)
def test_the_fused_loss_and_its_gradients_are_the_librarys(architecture):
    model = model_of(architecture)
    batch = torch.randint(0, 300, (4, 64))
    assert batch[:, 1:].numel() > ROWS, "several chunks, the last of them not full"
    theirs, ours = model(input_ids=batch, labels=batch).loss, next_token_loss(model, batch)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-6)
    # An outer factor reaches all gradients, as in a step that is made in parts.
    expected, found = gradients(model, 0.5 * theirs), gradients(model, 0.5 * ours)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-7, msg=name)


@pytest.mark.parametrize("architecture", [*helpers.ARCHITECTURES, "qwen2_moe"])
def test_layers_start_silent_and_learn_from_the_second_step_on(architecture):
    model = model_of(architecture).eval()
    silence_layers(model)
    batch = torch.randint(0, 300, (1, 8))
    shown = model(input_ids=batch, output_hidden_states=True).hidden_states
    torch.testing.assert_close(shown[0], shown[1], msg="the first layer adds something")
    optimizer = zoo_optimizer(model, TRAINING)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for _ in range(2):
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = [
        name for name, old in before.items() if not torch.equal(model.get_parameter(name), old)
    ]
    assert set(before) - set(moved) <= {
        name for name in before if "bias" in name or "expert" in name or "router" in name
    }


def test_each_parameter_has_one_optimizer_and_matrices_of_layers_have_muon():
    model = model_of("opt")
    adamw, muon = zoo_optimizer(model, TRAINING).parts
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    matrices, rest = (
        {names[id(one)] for group in part.param_groups for one in group["params"]}
        for part in (muon, adamw)
    )
    assert not matrices & rest
    assert matrices | rest == set(names.values())
    assert all(".layers." in name and name.endswith(".weight") for name in matrices)
    assert {"lm_head.weight", "model.decoder.embed_positions.weight"} <= rest
    assert not any(".layers." in name and "norm" not in name for name in rest if "bias" not in name)


def moved_matrix(shape, rate, decay):
    """A matrix, its gradient, and by how much a step of Muon changes it."""
    from rosetta.models.zoo.optimizers import Muon

    torch.manual_seed(1)
    matrix = torch.nn.Parameter(torch.randn(shape, dtype=torch.float64))
    gradient = torch.randn(shape, dtype=torch.float64)
    matrix.grad, before = gradient, matrix.detach().clone()
    Muon([matrix], rate, decay).step()
    return before, gradient, matrix.detach() - (1 - rate * decay) * before


@pytest.mark.parametrize(("shape", "scale"), [((12, 48), 1.0), ((48, 12), 2.0), ((20, 20), 1.0)])
def test_muon_moves_a_matrix_by_the_rate_in_all_directions(shape, scale):
    _, gradient, move = moved_matrix(shape, 0.1, 0.5)
    u, s, v = torch.linalg.svd(gradient, full_matrices=False)
    along = u.mT @ (-move) @ v.mT / (0.1 * scale)
    torch.testing.assert_close(along, torch.diag(along.diagonal()), atol=1e-6, rtol=0)
    large = along.diagonal()[s > 0.2 * s[0]]
    assert ((large > 0.6) & (large < 1.4)).all(), "singular values near 1"


def test_muon_is_the_librarys():
    """The same update as `torch.optim.Muon`, which takes bfloat16 and one matrix at a time."""
    from rosetta.models.zoo import optimizers

    torch.manual_seed(2)
    ours = [torch.nn.Parameter(torch.randn(16, 40)) for _ in range(3)]
    theirs = [torch.nn.Parameter(one.detach().clone()) for one in ours]
    both = (
        optimizers.Muon(ours, 0.1, 0.2),
        torch.optim.Muon(
            theirs,
            0.1,
            0.2,
            momentum=optimizers.MOMENTUM,
            ns_steps=optimizers.ITERATIONS,
            adjust_lr_fn="original",
        ),
    )
    for _ in range(3):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in both:
            optimizer.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, atol=3e-3, rtol=0)


def test_a_checkpoint_of_another_replicate_is_not_resumed(tmp_path, texts):
    training = TRAINING.model_copy(update={"checkpoint_every": 2})
    tokenizer = tiny_tokenizer(texts, seed=3)

    def replicate(seed, folder):
        of_seed = family().model_copy(update={"seed": seed})
        model, _ = train_zoo_model(of_seed, SIZE, training, tokenizer, texts, folder)
        return model.state_dict()

    replicate(5, tmp_path / "a")
    assert (tmp_path / "a").is_dir(), "a checkpoint lies there"
    of_five = replicate(5, tmp_path / "c")
    after, fresh = replicate(6, tmp_path / "a"), replicate(6, tmp_path / "b")
    assert all(torch.equal(after[name], fresh[name]) for name in fresh)
    assert any(not torch.equal(of_five[name], fresh[name]) for name in fresh)


def test_a_gpu_that_is_not_there_is_named_by_its_key(tmp_path, texts, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    training = TRAINING.model_copy(update={"device": "cuda"})
    with pytest.raises(ConfigError, match=r"^zoo\.training\.device: cuda, but"):
        train_zoo_model(family(), SIZE, training, None, texts, tmp_path)


def test_numbers_near_zero_count_again_after_a_training(tmp_path, texts):
    tokenizer = tiny_tokenizer(texts, seed=3)
    train_zoo_model(family(), SIZE, TRAINING, tokenizer, texts, tmp_path)
    assert float(torch.tensor(1e-39) * 1) > 0, "flushing them is the training's own affair"

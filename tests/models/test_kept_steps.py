"""Steps of a training whose weights are kept: the final model is the same, killed or not."""

import shutil

import pytest
import torch
from helpers import tiny_tokenizer
from labelled_images import IMAGES
from safetensors.torch import load_file

from rosetta.config.zoo import ZooFamily, ZooImageTraining, ZooSize, ZooTraining
from rosetta.models.zoo import training_loop
from rosetta.models.zoo.images.model_training import prepare_image_training, train_image_model
from rosetta.models.zoo.kept_steps import KeptSteps
from rosetta.models.zoo.model_training import prepare_training, train_zoo_model
from rosetta.models.zoo.training_loop import run_prepared

SIZE = ZooSize(n_layers=1, d_model=16, d_mlp=32, n_heads=2)
TRAINING = ZooTraining(
    steps=12, batch_size=4, sequence_length=16, warmup_steps=2, checkpoint_every=4
)
STEPS = (1, 3, 6, 9)


class Killed(Exception):
    pass


@pytest.fixture(scope="module")
def tokenizer(texts):
    return tiny_tokenizer(texts)


def family(architecture="gpt_neox"):
    return ZooFamily(architecture=architecture, vocab_size=300, seed=3)


def prepare(tokenizer, texts, folder, architecture="gpt_neox"):
    how = SIZE, TRAINING, tokenizer, texts
    return prepare_training(family(architecture), *how, folder / "checkpoints")


def keeper(folder, steps=STEPS, write=None):
    folders = {step: folder / f"step-{step}" for step in steps}
    return KeptSteps(folders, folder / "checkpoints", write or save)


def save(model, folder):
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    return {"is_training": float(model.training)}


def weights(folder):
    return {step: load_file(folder / f"step-{step}" / "model.safetensors") for step in STEPS}


def same(a, b):
    assert a.keys() == b.keys()
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def plain(tokenizer, texts, tmp_path_factory):
    """The final model of a training without kept steps."""
    folder = tmp_path_factory.mktemp("plain")
    model, facts = train_zoo_model(family(), SIZE, TRAINING, tokenizer, texts, folder)
    return model.state_dict(), facts


@pytest.fixture(scope="module")
def kept(tokenizer, texts, tmp_path_factory):
    """A training that keeps steps, then goes on to its end."""
    folder = tmp_path_factory.mktemp("kept")
    losses = run_prepared(prepare(tokenizer, texts, folder), keeper(folder))
    assert len(losses) == STEPS[-1]
    return folder


def test_keeping_steps_changes_no_weight_of_the_final_model(plain, kept, tokenizer, texts):
    how = SIZE, TRAINING, tokenizer, texts
    model, facts = train_zoo_model(family(), *how, kept / "checkpoints")
    assert same(model.state_dict(), plain[0])
    assert facts == plain[1]


def test_each_step_is_the_model_then_and_no_other(kept, tokenizer, texts, tmp_path):
    """By stopping trainings there: the optimizer's steps are the same."""
    found = weights(kept)
    assert not any(same(found[a], found[b]) for a in STEPS for b in STEPS if a < b)
    for step in STEPS:
        folder = tmp_path / str(step)
        run_prepared(prepare(tokenizer, texts, folder), keeper(folder, (step,)))
        alone = load_file(folder / f"step-{step}" / "model.safetensors")
        assert same(alone, found[step])


def test_what_is_kept_is_read_as_it_is_used(kept):
    facts = keeper(kept).facts()
    assert list(facts) == [str(step) for step in STEPS]
    assert all(one["is_training"] == 0 for one in facts.values())
    losses = [one["train_loss"] for one in facts.values()]
    assert losses == sorted(losses, reverse=True)


@pytest.mark.parametrize("killed_at", [2, 3, 5, 8])
def test_a_killed_training_goes_on_and_keeps_the_same(
    killed_at, kept, tokenizer, texts, tmp_path, monkeypatch
):
    step_of, made = training_loop._step, []

    def dying(*arguments):
        if len(made) == killed_at:
            raise Killed
        made.append(1)
        return step_of(*arguments)

    monkeypatch.setattr(training_loop, "_step", dying)
    with pytest.raises(Killed):
        run_prepared(prepare(tokenizer, texts, tmp_path), keeper(tmp_path))
    monkeypatch.setattr(training_loop, "_step", step_of)
    run_prepared(prepare(tokenizer, texts, tmp_path), keeper(tmp_path))
    found, expected = weights(tmp_path), weights(kept)
    assert all(same(found[step], expected[step]) for step in STEPS)
    assert keeper(tmp_path).facts() == keeper(kept).facts()


def test_a_step_that_is_lost_is_made_again(kept, tokenizer, texts, tmp_path):
    """Not taken from the checkpoint, which is beyond it."""
    shutil.copytree(kept, tmp_path / "kept")
    folder = tmp_path / "kept"
    run_prepared(prepare(tokenizer, texts, folder), keeper(folder))
    damaged = folder / "step-3" / "model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    run_prepared(prepare(tokenizer, texts, folder), keeper(folder))
    expected = weights(kept)
    assert all(same(weights(folder)[step], expected[step]) for step in STEPS)


def test_a_checkpoint_without_kept_steps_is_not_gone_on_from(kept, tokenizer, texts, tmp_path):
    """Of a training that was begun before a training ladder asked for steps."""

    def dying(_model, _folder):
        raise Killed

    with pytest.raises(Killed):  # it leaves the checkpoint of step 4
        run_prepared(prepare(tokenizer, texts, tmp_path), keeper(tmp_path, (6,), dying))
    assert (tmp_path / "checkpoints" / "last.pt").exists()
    run_prepared(prepare(tokenizer, texts, tmp_path), keeper(tmp_path))
    expected = weights(kept)
    assert all(same(weights(tmp_path)[step], expected[step]) for step in STEPS)


def test_a_mixture_is_kept_without_its_routers_loss(tokenizer, texts, tmp_path):
    experts = {"n_experts": 2, "per_token": 1, "d_shared": 16}
    size = ZooSize(n_layers=1, d_model=16, d_mlp=32, n_heads=2, experts=experts)
    shown = []

    def write(model, folder):
        shown.append(model.config.output_router_logits)
        return save(model, folder)

    prepared = prepare_training(
        family("qwen2_moe"), size, TRAINING, tokenizer, texts, tmp_path / "checkpoints"
    )
    run_prepared(prepared, keeper(tmp_path, (2,), write))
    assert shown == [False]
    assert prepared.model.config.output_router_logits


def test_a_model_of_images_keeps_steps_too(tmp_path):
    image = {"image_size": 16, "patch_size": 4}
    sees = ZooFamily(architecture="vit", seed=1, image=image)
    training = ZooImageTraining(steps={"classifier": 4}, batch_size=4, warmup_steps=1)
    how = SIZE, training, IMAGES
    alone, _ = train_image_model(sees, *how, tmp_path / "alone")
    prepared = prepare_image_training(sees, *how, tmp_path / "checkpoints")
    run_prepared(prepared, keeper(tmp_path, (1, 3)))
    assert (tmp_path / "step-1" / "model.safetensors").exists()
    going_on, _ = train_image_model(sees, *how, tmp_path / "checkpoints")
    assert same(alone.state_dict(), going_on.state_dict())

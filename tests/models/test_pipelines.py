"""Pipelines of diffusers as generators: neurons against MLPs by hand, images of their own noise."""

import numpy as np
import pytest
import torch
from torch.nn import functional

pytest.importorskip("diffusers", reason="needs the extra diffusion")

import diffusers
from tiny_pipelines import BUILDERS, save_pipeline

from rosetta.config.pipelines import Pipeline
from rosetta.errors import ModelError
from rosetta.models.diffusion.loading import facts_of, load_pipeline
from rosetta.models.generator_inputs import image_noise, noise_source
from rosetta.models.generators import generate_shard, load_generator
from rosetta.models.sources import ModelSource

SEEDS, LABELS = [11, 5, 5, 8], [0, 2, 1, 2]
NAMES = ["red fox", "owl", "cup of tea"]
SIZES = {"SanaSprintPipeline": 32, "DiTPipeline": None}
# Pipelines whose transformer runs without the condition, too, where guidance is above 1.
GUIDED = ("DiTPipeline", "StableDiffusion3Pipeline", "Flux2KleinPipeline")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    base = tmp_path_factory.mktemp("pipelines")
    return {kind: save_pipeline(base / kind, kind) for kind in BUILDERS}


def settings(kind, **changes):
    names = {} if kind == "DiTPipeline" else {"class_names": NAMES}
    return Pipeline(**{"steps": 2, "size": SIZES.get(kind, 16), **names, **changes})


def loaded(folder, kind, seed=None, **changes):
    made = settings(kind, **changes)
    return load_generator(ModelSource("g", str(folder), untrained_seed=seed, pipeline=made))


def generated(generator, seeds=SEEDS, labels=LABELS, batch_size=3):
    batches = list(generate_shard(generator, seeds, labels, batch_size))
    pixels, values = zip(*batches, strict=True)
    return np.concatenate(pixels), torch.cat(values, dim=1)


def inputs_of(generator, paths):
    """What modules of the transformer are given at each of their calls, by their paths."""
    given = {path: [] for path in paths}
    hooks = [
        generator.pipeline.transformer.get_submodule(path).register_forward_pre_hook(
            lambda _, args, kwargs, path=path: given[path].append(
                args[0] if args else kwargs["hidden_states"]
            ),
            with_kwargs=True,
        )
        for path in paths
    ]
    with torch.no_grad():
        generator.generate(SEEDS, LABELS)
    for hook in hooks:
        hook.remove()
    return given


def tanh_gelu(x):
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def affine(x, linear):
    y = x @ linear.weight.T
    return y if linear.bias is None else y + linear.bias


def of_plain(block, x):
    return tanh_gelu(affine(x, block.ff.net[0].proj))


def of_flux_single(block, x):
    return tanh_gelu(affine(x, block.proj_mlp))


def of_flux2(block, x):
    gate, up = (x @ half.T for half in block.ff.linear_in.weight.chunk(2))
    return functional.silu(gate) * up


def of_flux2_single(block, x):
    """The weight's rows: queries, keys and values, then the gate, then what it multiplies."""
    weight = block.attn.to_qkv_mlp_proj.weight
    gate, up = (x @ half.T for half in weight[3 * weight.shape[1] :].chunk(2))
    return functional.silu(gate) * up


def of_sana(block, x):
    """Pixel by pixel, and then channel by channel over 3 × 3 neighbours."""
    ff, (height, width) = block.ff, x.shape[2:]
    inverted = torch.einsum("oi,nihw->nohw", ff.conv_inverted.weight[:, :, 0, 0], x)
    inverted = functional.silu(inverted + ff.conv_inverted.bias[:, None, None])
    padded = functional.pad(inverted, (1, 1, 1, 1))
    kernels = ff.conv_depth.weight[:, 0]
    mixed = sum(
        kernels[:, i, j, None, None] * padded[:, :, i : i + height, j : j + width]
        for i in range(3)
        for j in range(3)
    )
    up, gate = (mixed + ff.conv_depth.bias[:, None, None]).chunk(2, dim=1)
    return (up * functional.silu(gate)).permute(0, 2, 3, 1).flatten(1, 2)


# By pipeline, per list of layers: how many, d_mlp, the module whose input enters the MLP, and the
# MLP by hand.
CASES = {
    "DiTPipeline": [("transformer_blocks", 2, 64, "ff", of_plain)],
    "SanaSprintPipeline": [("transformer_blocks", 2, 40, "ff", of_sana)],
    "StableDiffusion3Pipeline": [("transformer_blocks", 2, 64, "ff", of_plain)],
    "FluxPipeline": [
        ("transformer_blocks", 2, 128, "ff", of_plain),
        ("single_transformer_blocks", 3, 128, "proj_mlp", of_flux_single),
    ],
    "Flux2KleinPipeline": [
        ("transformer_blocks", 2, 96, "ff.linear_in", of_flux2),
        ("single_transformer_blocks", 3, 96, "attn.to_qkv_mlp_proj", of_flux2_single),
    ],
}


@pytest.mark.parametrize("kind", CASES)
def test_neurons_are_those_of_the_mlp_at_the_cells_of_the_image(kind, folders):
    """And of the step that is asked for, at every layer."""
    first, last = (loaded(folders[kind], kind, captured_step=step) for step in ("first", "last"))
    assert (first.step, last.step) == ("1 of 2", "2 of 2")
    n_cells = first.grid[0] * first.grid[1]
    assert n_cells == (4 if kind == "DiTPipeline" else 16)
    layers = [(f"{case[0]}.{layer}", *case[2:]) for case in CASES[kind] for layer in range(case[1])]
    given = inputs_of(first, [f"{path}.{entry}" for path, _, entry, _ in layers])
    found = [generated(generator, batch_size=len(SEEDS))[1] for generator in (first, last)]
    assert first.shape.n_layers == len(layers) == len(found[0])
    for layer, (path, d_mlp, entry, by_hand) in enumerate(layers):
        assert first.shape.d_mlp == d_mlp
        block, calls = first.pipeline.transformer.get_submodule(path), given[f"{path}.{entry}"]
        assert len(calls) == 2
        for values, call in zip(found, calls, strict=True):
            # Text tokens come first.
            wanted = by_hand(block, call).detach()[:, -n_cells:].reshape(-1, d_mlp)
            torch.testing.assert_close(values[layer], wanted, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(found[0][layer], found[1][layer], rtol=1e-2, atol=1e-2)


def test_a_step_is_asked_for_by_its_number(folders):
    kind, path = "DiTPipeline", "transformer_blocks.1.ff"
    generator = loaded(folders[kind], kind, steps=4, captured_step=2)
    assert generator.step == "2 of 4"
    _, values = generated(generator, batch_size=len(SEEDS))
    block = generator.pipeline.transformer.transformer_blocks[1]
    for step, call in enumerate(inputs_of(generator, [path])[path], start=1):
        found = of_plain(block, call).detach().flatten(0, 1)
        assert torch.allclose(values[1], found, rtol=1e-3, atol=1e-4) == (step == 2)


@pytest.mark.parametrize("kind", BUILDERS)
def test_an_image_is_the_same_in_batches_of_any_size_and_order(kind, folders):
    """Up to the last bits of sums before pixels are rounded, which may move a pixel by a level."""
    generator = loaded(folders[kind], kind, steps=1)
    pixels, values = generated(generator, batch_size=1)
    assert pixels.shape == (4, generator.size, generator.size, 3)
    assert len(np.unique(pixels.reshape(4, -1), axis=0)) == 4
    n_cells = generator.grid[0] * generator.grid[1]
    for batch_size, chosen in ((3, [0, 1, 2, 3]), (2, [3, 0])):
        others, other_values = generated(
            generator, [SEEDS[i] for i in chosen], [LABELS[i] for i in chosen], batch_size
        )
        assert np.abs(others.astype(int) - pixels[chosen]).max() <= 1
        same = values.unflatten(1, (4, n_cells))[:, chosen].flatten(1, 2)
        torch.testing.assert_close(other_values, same, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", BUILDERS)
def test_the_same_pipeline_makes_the_same_bits_again(kind, folders):
    pixels, values = generated(loaded(folders[kind], kind, steps=1))
    torch.manual_seed(123)  # a stream that is no image's own changes nothing
    again, values_again = generated(loaded(folders[kind], kind, steps=1))
    np.testing.assert_array_equal(again, pixels)
    assert torch.equal(values_again, values)


@pytest.mark.parametrize("kind", BUILDERS)
def test_an_image_starts_from_the_noise_of_its_seed_and_label(kind, folders):
    generator = loaded(folders[kind], kind)
    first = inputs_of(generator, [""])[""][0]
    shape = generator.facts.noise_shape
    if shape is None:
        drawn = [
            torch.randn((1, 4, 4, 4), generator=noise_source(*one))
            for one in zip(SEEDS, LABELS, strict=True)
        ]
        wanted = torch.cat(drawn)
    else:
        wanted = image_noise(SEEDS, LABELS, shape)
    if kind == "Flux2KleinPipeline":  # a token per cell, row by row
        wanted = wanted.flatten(2).mT
    torch.testing.assert_close(first, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", GUIDED)
def test_what_is_kept_under_guidance_is_the_pass_with_the_condition(kind, folders):
    """At the first step, where both start from the same noise, it is that of no guidance."""
    plain = loaded(folders[kind], kind, captured_step="first")
    guided = loaded(folders[kind], kind, captured_step="first", guidance=6.0)
    pixels, values = generated(plain)
    guided_pixels, guided_values = generated(guided)
    torch.testing.assert_close(guided_values, values, rtol=1e-3, atol=1e-4)
    assert (guided_pixels != pixels).mean() > 0.1
    last = loaded(folders[kind], kind, guidance=6.0)
    assert last.call == (2 if kind == "Flux2KleinPipeline" else 1)


@pytest.mark.parametrize("kind", ["SanaSprintPipeline", "FluxPipeline"])
def test_a_model_that_is_told_the_scale_runs_once_per_step(kind, folders):
    plain, told = (loaded(folders[kind], kind, steps=1, guidance=scale) for scale in (1.0, 6.0))
    assert told.call == plain.call == 0
    assert (generated(told)[0] != generated(plain)[0]).mean() > 0.01


def test_a_class_is_asked_for_by_the_prompt(folders):
    kind = "StableDiffusion3Pipeline"
    pixels, _ = generated(loaded(folders[kind], kind))
    other, _ = generated(loaded(folders[kind], kind, prompt="{label}, drawn by a child"))
    swapped, _ = generated(
        loaded(folders[kind], kind, class_names=["owl", "red fox", "cup of tea"])
    )
    assert (other != pixels).any(axis=(1, 2, 3)).all()
    third = np.array([NAMES[label] == "cup of tea" for label in LABELS])
    np.testing.assert_array_equal(swapped[third], pixels[third])
    assert (swapped[~third] != pixels[~third]).any(axis=(1, 2, 3)).all()


def test_a_label_that_the_pipeline_has_not_is_rejected(folders):
    generator = loaded(folders["DiTPipeline"], "DiTPipeline")
    assert generator.n_classes == 1000
    with pytest.raises(ModelError, match="generates classes 0 to 999, and 1000 was asked for"):
        generated(generator, labels=[0, 1, 2, 1000])


@pytest.mark.parametrize("kind", ["DiTPipeline", "FluxPipeline"])
def test_an_untrained_twin_has_a_random_transformer_and_the_other_parts(kind, folders):
    generator = loaded(folders[kind], kind)
    twin, again, other = (loaded(folders[kind], kind, seed=seed) for seed in (1, 1, 2))
    for name in ("vae", "text_encoder"):
        if hasattr(generator.pipeline, name):
            theirs = getattr(twin.pipeline, name).state_dict()
            for weight, values in getattr(generator.pipeline, name).state_dict().items():
                assert torch.equal(theirs[weight], values)
    found = [generated(one)[1] for one in (generator, twin, again, other)]
    assert torch.equal(found[1], found[2])
    assert not torch.allclose(found[1], found[0], atol=1e-2)
    assert not torch.allclose(found[1], found[3], atol=1e-2)


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (diffusers.DDPMScheduler, "DDPMScheduler draws noise that all images of a batch share"),
        (diffusers.PNDMScheduler, r"PNDMScheduler runs the transformer \d+ times in 5 steps"),
    ],
)
def test_a_scheduler_under_which_images_are_not_their_own_is_rejected(scheduler, message, folders):
    generator = loaded(folders["DiTPipeline"], "DiTPipeline", steps=5)
    generator.pipeline.scheduler = scheduler()
    with pytest.raises(ModelError, match=message):
        generated(generator)


def test_a_transformer_that_is_not_as_its_configuration_says_is_rejected(folders):
    kind = "FluxPipeline"
    generator = loaded(folders[kind], kind)
    generator.pipeline.transformer.single_transformer_blocks[1].proj_out = torch.nn.Linear(132, 32)
    with pytest.raises(ModelError, match=r"5 layers of 128 units, .* 5 layers have \[100, 128\]"):
        generator.sites()
    generator.pipeline.transformer = torch.nn.Linear(2, 2)
    with pytest.raises(ModelError, match="is a FluxTransformer2DModel, and this one is a Linear"):
        generator.sites()


def test_weights_that_do_not_fit_are_rejected_when_they_are_loaded(tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_pipeline(tmp_path / "p", "DiTPipeline")
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    del weights["decoder.conv_in.weight"]
    save_file(weights, path)
    source = ModelSource("g", str(folder), pipeline=settings("DiTPipeline"))
    with pytest.raises(ModelError, match=r"weights of vae of .* lack decoder\.conv_in\.weight"):
        load_generator(source)
    path.unlink()
    with pytest.raises(ModelError, match=r"models\.g: cannot load vae of"):
        load_pipeline(source, facts_of(source))

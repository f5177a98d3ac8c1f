"""Vision families of the zoo: what they need, and what does not fit them."""

import pytest
import yaml
from small_configs import GOOD, changed

from rosetta.config import dump_config, parse_config
from rosetta.config.zoo import ZooSize
from rosetta.errors import ConfigError

IMAGE = {"image_size": 32, "patch_size": 4}


def with_family(family, size=None):
    """The small configuration with a vision family for a model of its own."""
    zoo = GOOD["zoo"]
    sizes = {**zoo["sizes"], **({"v": size} if size else {})}
    recipe = {"family": "v", "size": "v" if size else "s"}
    return changed(
        zoo={**zoo, "families": {**zoo["families"], "v": family}, "sizes": sizes},
        models={**GOOD["models"], "v-s": {"zoo": recipe}},
    )


def test_a_vision_family_is_read_and_written_out():
    family = {"architecture": "dinov2_with_registers", "seed": 3}
    image = {**IMAGE, "n_registers": 2, "gated": True}
    config = parse_config(with_family({**family, "image": image}))
    read = config.zoo.families["v"]
    assert (read.modality, read.task, read.image.grid) == ("images", "classifier", (8, 8))
    assert config.zoo.families["f"].modality == "text"
    assert parse_config(yaml.safe_load(dump_config(config))) == config


BAD = [
    ("none", {"architecture": "vit"}, None, r"zoo\.families\.v: vit sees images; give image"),
    (
        "of text",
        {"architecture": "opt", "image": IMAGE},
        None,
        r"zoo\.families\.v: image: opt is a language model; leave the key out",
    ),
    (
        "vocabulary",
        {"architecture": "clip", "image": IMAGE, "vocab_size": 300},
        None,
        r"zoo\.families\.v: vocab_size: clip has no tokenizer; leave the key out",
    ),
    (
        "registers",
        {"architecture": "vit", "image": {**IMAGE, "n_registers": 1}},
        None,
        r"zoo\.families\.v: image: vit takes neither n_registers nor gated",
    ),
    (
        "gated",
        {"architecture": "pmf", "image": {**IMAGE, "gated": True}},
        None,
        r"zoo\.families\.v: image: pmf takes neither n_registers nor gated",
    ),
    (
        "patches",
        {"architecture": "vit", "image": {"image_size": 30, "patch_size": 4}},
        None,
        r"families\.v\.image: image_size 30 must be a multiple of patch_size 4, twice it at least",
    ),
    (
        "one patch",
        {"architecture": "vit", "image": {"image_size": 8, "patch_size": 8}},
        None,
        "twice it at least",
    ),
    (
        "tiny",
        {"architecture": "vit", "image": {"image_size": 4, "patch_size": 2}},
        None,
        r"families\.v\.image\.image_size: input should be greater than or equal to 8",
    ),
    ("misspelt", {"architecture": "vit", "image": {"patch": 4}}, None, r"image\.patch: unknown"),
    (
        "width",
        {"architecture": "dinov2_with_registers", "image": IMAGE},
        {"n_layers": 1, "d_model": 16, "d_mlp": 40, "n_heads": 2},
        r"models\.v-s\.zoo\.size: zoo\.sizes\.v\.d_mlp 40 is no width .* multiple of d_model",
    ),
    (
        "gated width",
        {"architecture": "dinov2_with_registers", "image": {**IMAGE, "gated": True}},
        {"n_layers": 1, "d_model": 16, "d_mlp": 40, "n_heads": 2},
        r"d_mlp 40 is no width .* multiple of 2 × d_model that is one of 8",
    ),
    (
        "positions",
        {"architecture": "vit_mae", "image": IMAGE},
        {"n_layers": 1, "d_model": 10, "d_mlp": 16, "n_heads": 1},
        r"models\.v-s\.zoo\.size: zoo\.sizes\.v\.d_model 10 must be a multiple of 4 for vit_mae",
    ),
    (
        "rotary positions",
        {"architecture": "pmf", "image": IMAGE},
        {"n_layers": 1, "d_model": 12, "d_mlp": 16, "n_heads": 2},
        r"d_model 12 must be a multiple of 4 × n_heads for pmf",
    ),
]


@pytest.mark.parametrize(
    ("family", "size", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_what_does_not_fit_is_told_by_its_key(family, size, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(with_family({"seed": 1, **family}, size))


@pytest.mark.parametrize("name", ["generator", "classifier", "autoencoder", "contrastive"])
def test_steps_are_given_by_what_is_learned(name):
    zoo = {**GOOD["zoo"], "image_training": {"steps": {name: 7}}}
    steps = parse_config(changed(zoo=zoo)).zoo.image_training.steps
    assert getattr(steps, name) == 7
    zoo["image_training"] = {"steps": {name: 0}}
    with pytest.raises(ConfigError, match=rf"zoo\.image_training\.steps\.{name}: input should"):
        parse_config(changed(zoo=zoo))


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("d_model", [16, 24, 36])
def test_the_mlp_ratio_gives_the_neurons_of_the_librarys_model(d_model, gated):
    from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    found = 0
    for d_mlp in range(8, 161, 8):
        size = ZooSize(n_layers=1, d_model=d_model, d_mlp=d_mlp, n_heads=2)
        ratio = size.mlp_ratio(gated)
        if ratio is None:
            continue
        config = Dinov2WithRegistersConfig(
            hidden_size=d_model,
            num_hidden_layers=1,
            num_attention_heads=2,
            mlp_ratio=ratio,
            use_swiglu_ffn=gated,
            image_size=8,
            patch_size=4,
        )
        mlp = Dinov2WithRegistersModel(config).encoder.layer[0].mlp
        assert (mlp.down_proj if gated else mlp.fc2).in_features == d_mlp
        found += 1
    assert found >= 2

"""What a configuration tells of stores of images: whose images, and who judges neurons on them."""

from __future__ import annotations

from rosetta.config.images import ProceduralImages
from rosetta.config.names import (
    PAIR_SEPARATOR,
    TWIN_SEPARATOR,
    first_training,
    generator_of_store,
    group_name,
    group_pairs,
)
from rosetta.config.root import Config


def has_factors(config: Config, store: str) -> bool:
    """Tell whether stores are of drawn images, of which all factors are known."""
    generated = config.is_generator(store) or generator_of_store(store) is not None
    return isinstance(config.images.source, ProceduralImages) and not generated


def stores_of_group(config: Config, group: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the stores of a group's models, in their order."""
    pairs = [config.stores_of(group_name(pair)) for pair in group_pairs(group)]
    return (pairs[0][0], *(other for _, other in pairs))


def shared_by_generator(config: Config, pair: str) -> dict[str, tuple[str, str]]:
    """Return by generator the stores of a pair's models on the images that it made.

    Of a pair that is compared on the images of the source, such as `vit-s--mae-s`, and of the
    generators that each of its models is compared with, too: `{"pmf-s": ("vit-s@pmf-s",
    "mae-s@pmf-s")}`.
    """
    a, b = pair.split(PAIR_SEPARATOR)
    if config.modality_of(a) != "images" or config.is_generator(a):
        return {}
    made_for = [
        {generator_of_store(store): store for store in config.stores_of_model(model)}
        for model in (a, b)
    ]
    shared = [name for name in made_for[0] if name is not None and name in made_for[1]]
    return {name: (made_for[0][name], made_for[1][name]) for name in shared}


def encoder_for(config: Config, group: tuple[str, ...]) -> str | None:
    """Return the independent encoder of a group of models that see or make images.

    It sees images and was trained, it is none of the group in any training, and it is of the
    group's size: a rung has it beside a model of the group, or beside one that is beside one, and
    so on. The nearest is taken, and of several the first in the order of the ladders.

    Parameters
    ----------
    config : Config
        The run.
    group : tuple of str
        Names of its models, such as `pmf-s` and `vit-s`.

    Returns
    -------
    str or None
        Name of a model; None where the run has no further one of that size.
    """
    own = {_trained_model(config, name) for name in group}
    reached, nearest = set(own), own
    while nearest:
        beside = {
            name for rung in config.groups("images") if nearest.intersection(rung) for name in rung
        }
        nearest = beside - reached
        reached |= nearest
        for name in config.used_models("images"):
            if name in nearest and _is_encoder(config, name, own):
                return name
    return None


def encoders_of(config: Config, store: str) -> list[str]:
    """Return the encoders of all groups that need the stores of a name, such as `vit-s@pmf-s`."""
    groups = config.groups("images")
    found = [encoder_for(config, one) for one in groups if store in stores_of_group(config, one)]
    return list(dict.fromkeys(encoder for encoder in found if encoder is not None))


def _is_encoder(config: Config, name: str, own: set[str]) -> bool:
    untrained = config.models[name].untrained is not None
    return not (untrained or config.is_generator(name) or _trained_model(config, name) in own)


def _trained_model(config: Config, name: str) -> str:
    """Return the model of which a name is a twin or a training."""
    model = first_training(name.partition(TWIN_SEPARATOR)[0])
    entry = config.models[model]
    return entry.untrained.of if entry.untrained else entry.replicate_of or model

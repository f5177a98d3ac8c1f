"""References between sections of the configuration that do not hold."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from rosetta.config.base import MAX_JOINED, Modality
from rosetta.config.controls import CALIBRATING
from rosetta.config.zoo import MIXTURES, WITH_REGISTERS, ZooFamily


def name_problems(config: Any) -> list[str]:
    """Return which names differ in the case of letters only: they are names of files, and some
    file systems take these for one.
    """
    sections = {
        "models": [config.models],
        "ladders": [config.ladders, config.training_ladders],
        "zoo.families": [config.zoo.families],
    }
    problems = []
    for section, mappings in sections.items():
        first: dict[str, str] = {}
        for name in dict.fromkeys(name for names in mappings for name in names):
            other = first.setdefault(name.casefold(), name)
            if other != name:
                problems.append(
                    f"{section}: {other!r} and {name!r} differ in the case of letters only, and "
                    "are one file where that does not count; rename one of them"
                )
    return problems


def model_problems(config: Any) -> list[str]:
    """Return what is wrong with the models of a `rosetta.config.root.Config`."""
    problems = []
    for name, entry in config.models.items():
        problems += _recipe_problems(config, name, entry)
        problems += _replicate_problems(config, name, entry)
        if entry.untrained:
            twin = config.models.get(entry.untrained.of)
            if twin is None:
                problems.append(
                    f"models.{name}.untrained.of: no model is named {entry.untrained.of!r}"
                )
            elif twin.untrained:
                problems.append(
                    f"models.{name}.untrained.of: {entry.untrained.of!r} is itself untrained"
                )
    problems += _same_recipes(config)
    context = config.zoo.training.sequence_length
    if config.activations.sequence_length > context and any(
        entry.zoo and _sees(config, entry) == "text" for entry in config.models.values()
    ):
        problems.append(
            f"activations.sequence_length: {config.activations.sequence_length} is above the "
            "context of the zoo "
            f"models (zoo.training.sequence_length {context}); lower it"
        )
    return problems


def _same_recipes(config: Any) -> list[str]:
    """Return which models of ladders are the same training as another: equal neuron by neuron."""
    named = {model for rungs in config.ladders.values() for rung in rungs for model in rung}
    found: dict[tuple[str, str, int | None], str] = {}
    problems = []
    for name, entry in config.models.items():
        if entry.zoo is None or not (name in named or entry.replicate_of in named):
            continue
        family = config.zoo.families.get(entry.zoo.family)
        seed = entry.zoo.seed if entry.zoo.seed is not None else family and family.seed
        recipe = (entry.zoo.family, entry.zoo.size, seed)
        first = found.setdefault(recipe, name)
        if first != name:
            problems.append(
                f"models.{name}.zoo: is the training of {first!r} once more, equal in every "
                "neuron; give it another seed"
            )
    return problems


def _sees(config: Any, entry: Any) -> Modality | None:
    """Return what a zoo model sees; None if its family is not there."""
    family: ZooFamily | None = config.zoo.families.get(entry.zoo.family)
    return family.modality if family else None


def _recipe_problems(config: Any, name: str, entry: Any) -> list[str]:
    """Return what is wrong with the recipe of a zoo model."""
    if entry.zoo is None:
        return []
    problems = []
    if entry.zoo.family not in config.zoo.families:
        problems.append(
            f"models.{name}.zoo.family: {entry.zoo.family!r} is not in zoo.families "
            f"({', '.join(config.zoo.families) or 'none'})"
        )
    if entry.zoo.size not in config.zoo.sizes:
        problems.append(
            f"models.{name}.zoo.size: {entry.zoo.size!r} is not in zoo.sizes "
            f"({', '.join(config.zoo.sizes) or 'none'})"
        )
    if _lacks_experts(config.zoo, entry.zoo):
        problems.append(
            f"models.{name}.zoo.size: zoo.sizes.{entry.zoo.size} has no experts, which the "
            "architecture of family "
            f"{entry.zoo.family!r} is made of; give it {{n_experts, per_token, d_shared}}"
        )
    return problems + _vision_problems(config.zoo, name, entry.zoo)


def _vision_problems(zoo: Any, name: str, recipe: Any) -> list[str]:
    """Return what of a size does not fit a vision family."""
    family, size = zoo.families.get(recipe.family), zoo.sizes.get(recipe.size)
    if family is None or size is None or family.image is None:
        return []
    key, dimensions = f"models.{name}.zoo.size", f"zoo.sizes.{recipe.size}"
    if family.architecture == WITH_REGISTERS and size.mlp_ratio(family.image.gated) is None:
        widths = "of 2 × d_model that is one of 8" if family.image.gated else "of d_model"
        return [
            f"{key}: {dimensions}.d_mlp {size.d_mlp} is no width that {family.architecture} can "
            f"have at d_model {size.d_model}; take a multiple {widths}"
        ]
    # Positions are sines and cosines of rows and columns, of whole vectors or of each head's.
    multiples = {"vit_mae": ("4", 4), "pmf": ("4 × n_heads", 4 * size.n_heads)}
    named, multiple = multiples.get(family.architecture, ("1", 1))
    if size.d_model % multiple:
        return [
            f"{key}: {dimensions}.d_model {size.d_model} must be a multiple of {named} for "
            f"{family.architecture}, whose positions are sines and cosines of rows and columns"
        ]
    return []


def _replicate_problems(config: Any, name: str, entry: Any) -> list[str]:
    """Return what is wrong with an entry that is a further training of another one."""
    if entry.replicate_of is None:
        return []
    key, of = f"models.{name}.replicate_of", config.models.get(entry.replicate_of)
    if of is None:
        return [f"{key}: no model is named {entry.replicate_of!r}"]
    if of.replicate_of is not None or entry.replicate_of == name:
        return [f"{key}: {entry.replicate_of!r} is itself a replicate; name the first training"]
    if entry.untrained or of.untrained:
        return [f"{key}: an untrained model has no trainings; see controls.untrained_seeds"]
    if any(name in rung for rungs in config.ladders.values() for rung in rungs):
        return [f"{key}: ladders name {name!r} too, and would count it twice; name it in neither"]
    return []


def _lacks_experts(zoo: Any, recipe: Any) -> bool:
    family, size = zoo.families.get(recipe.family), zoo.sizes.get(recipe.size)
    return bool(family and size and family.architecture in MIXTURES and size.experts is None)


def ladder_problems(config: Any) -> list[str]:
    """Return what is wrong with the ladders of a `rosetta.config.root.Config`."""
    problems = []
    for ladder, rungs in config.ladders.items():
        if not rungs:
            problems.append(f"ladders.{ladder}: has no rung; list at least one pair of models")
        if len({len(rung) for rung in rungs}) > 1:
            problems.append(f"ladders.{ladder}: its rungs must all have the same number of models")
        if len({tuple(rung) for rung in rungs}) < len(rungs):
            problems.append(f"ladders.{ladder}: names the same rung twice")
        for number, rung in enumerate(rungs):
            unknown = [model for model in rung if model not in config.models]
            if unknown:
                problems.append(
                    f"ladders.{ladder}[{number}]: no model is named {unknown[0]!r}; "
                    f"models has {', '.join(config.models)}"
                )
            joined = len("--".join(_longest_name(config, model) for model in rung))
            if joined > MAX_JOINED:
                problems.append(
                    f"ladders.{ladder}[{number}]: the names of its models, joined into a file "
                    f"name, have {joined} "
                    f"characters; {MAX_JOINED} is the limit, so shorten them"
                )
            if len(set(rung)) < len(rung):
                problems.append(f"ladders.{ladder}[{number}]: names a model twice")
    return problems


def image_problems(config: Any) -> list[str]:
    """Return what is wrong with ladders of models that see images, in a valid `Config` otherwise.

    A generator's activations are of images that it makes itself, so the other models of a rung
    are shown these, and it is the anchor, which all of them are compared with.
    """
    problems = []
    for ladder, rungs in config.ladders.items():
        for number, rung in enumerate(rungs):
            makers = [model for model in rung if config.is_generator(model)]
            if makers and makers != rung[:1]:
                problems.append(
                    f"ladders.{ladder}[{number}]: the generator {makers[-1]} is not the only one, "
                    "and first; the other models of a rung are shown what it makes"
                )
            if makers and config.entry(makers[0]).untrained:
                problems.append(
                    f"ladders.{ladder}[{number}]: {makers[0]} is untrained and makes images of "
                    "nothing; name the trained one, see controls.untrained_seeds"
                )
    if config.filtering and config.ladder_modality(config.filtering.ladder) != "text":
        problems.append(
            f"filtering.ladder: {config.filtering.ladder} is a ladder of models that see images; "
            "texts are filtered by a language model"
        )
    if "images" in config.modalities:
        problems += [
            f"{key}: needs tokens in spans, which images have none of; leave it out"
            for key, given in (
                ("alignment.pooling", config.alignment.pooling != "mean"),
                ("exclusions.first_position", config.exclusions.first_position),
            )
            if given and "text" not in config.modalities
        ]
    return problems


def _longest_name(config: Any, model: str) -> str:
    """Return the longest name among a model's trainings."""
    known = model in config.models and not _recipe_problems(config, model, config.models[model])
    return max(config.replicates(model), key=len) if known else model


def derived_ladders(ladders: dict[str, list[list[str]]]) -> set[str]:
    """Return the ladders of three and more models that share a pair with a ladder of pairs.

    Their Rosetta Neurons follow from the matches of pairs, so they are no further replication.

    Parameters
    ----------
    ladders : dict of str to list of list of str
        The models of every rung, by ladder.
    """
    groups = [(ladder, rung) for ladder, rungs in ladders.items() for rung in rungs]
    pairs = {frozenset(rung) for _, rung in groups if len(rung) == 2}
    return {
        ladder
        for ladder, rung in groups
        if len(rung) > 2 and any(frozenset(pair) in pairs for pair in combinations(rung, 2))
    }


# Findings per ladder and statistic whose p is of resamples: polarization and specialization of
# text, monosemanticity of images.
_RESAMPLED = {"text": 2, "images": 1}


def bootstrap_problems(config: Any) -> list[str]:
    """Return whether a `Config` has too few resamples for a finding.

    The smallest p of n resamples is 2 / (n + 1), and is multiplied by the number of verdicts that
    rest on resamples (`rosetta.analysis.verdicts`): the p of the others may be smaller, and these
    are corrected before. A ladder of one rung and a derived one have none.
    """
    derived = derived_ladders(config.ladders)
    judged = [
        ladder
        for ladder, rungs in config.ladders.items()
        if len(rungs) > 1 and ladder not in derived
    ]
    n_statistics = 1 + sum(name in CALIBRATING for name in config.controls.names)
    findings = sum(_RESAMPLED[config.ladder_modality(ladder)] for ladder in judged)
    verdicts = n_statistics * findings
    needed = 40 * verdicts
    if config.bootstrap.n_resamples >= needed:
        return []
    return [
        f"bootstrap.n_resamples: {config.bootstrap.n_resamples} are too few for {verdicts} "
        "verdicts by resamples "
        f"({len(judged)} ladders): no p could be small enough to support one. Use at least {needed}"
    ]


def matching_problems(config: Any) -> list[str]:
    """Return where a `rosetta.config.root.Config` matches with more neighbours than are kept."""
    problems, kept = [], config.correlation.max_k
    if config.matching.k > kept:
        problems.append(
            f"matching.k: {config.matching.k} is above correlation.max_k ({kept}); raise max_k"
        )
    if max(config.swept_k()) > kept:
        problems.append(
            f"sweeps.k: {max(config.swept_k())} is above correlation.max_k; raise max_k"
        )
    controls = config.controls
    if config.correlation.floor_of_nulls and not any(map(controls.seeds, CALIBRATING)):
        problems.append(
            "correlation.screening.min_r: auto is what a null model reaches, and controls has "
            "neither document_seeds nor untrained_seeds"
        )
    return problems


def sampling_problems(config: Any) -> list[str]:
    """Return what is wrong with the sampling of a `rosetta.config.root.Config`."""
    sampling = config.corpus.sampling
    if sampling is None:
        return []
    problems = []
    if sampling.tokenizer is not None:
        entry = config.models.get(sampling.tokenizer)
        if entry is None:
            problems.append(
                f"corpus.sampling.tokenizer: no model is named {sampling.tokenizer!r}; "
                f"models has {', '.join(config.models)}"
            )
        elif not (entry.path or entry.hub):
            problems.append(
                f"corpus.sampling.tokenizer: {sampling.tokenizer!r} is made after the corpus; "
                "name a model with path "
                "or hub, or give window_bytes"
            )
    if (sampling.domains or sampling.shares == "equal") and getattr(
        config.corpus.source, "domain", ""
    ) is None:
        problems.append(
            "corpus.sampling: shares equal, and domains, need corpus.source.domain; name the column"
        )
    return problems

"""The stages that make what models see: the corpus, and sets of images."""

from __future__ import annotations

from rosetta.config import SPLITS, Config
from rosetta.config.images import IMAGE_SPLITS
from rosetta.run.stages.record import Sized, Slice, Stage, Wildcards, once_of_text


def _corpus(config: Config, _name: str) -> Slice:
    sampling = config.corpus.sampling
    kept = config.corpus.model_dump(mode="json", exclude=None if sampling else {"sampling"})
    if sampling is None or sampling.tokenizer is None:
        return {"corpus": kept}
    entry = config.models[sampling.tokenizer].model_dump(include={"path", "hub", "revision"})
    length = config.activations.sequence_length
    return {"corpus": kept, "tokenizer": entry, "sequence_length": length}


def _images(config: Config, _name: str) -> Slice:
    # What generators make is theirs, and no matter of the sources.
    return {"images": config.images.model_dump(mode="json", exclude={"generated"})}


def _with_images(config: Config) -> list[Wildcards]:
    return [{}] if config.draws_images else []


STAGES = (
    Stage(
        name="corpus",
        version=2,
        phase="corpus",
        jobs=once_of_text,
        config_slice=_corpus,
        resources=Sized(by="stage"),
        makes=lambda _, paths, _job: [
            paths.corpus_manifest,
            *map(paths.split, SPLITS),
        ],
    ),
    Stage(
        name="images",
        version=1,
        phase="images",
        jobs=_with_images,
        config_slice=_images,
        resources=Sized(by="stage"),
        makes=lambda _, paths, _job: list(map(paths.image_set, IMAGE_SPLITS)),
    ),
)

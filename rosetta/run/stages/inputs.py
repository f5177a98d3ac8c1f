"""The stage that makes the corpus."""

from __future__ import annotations

from rosetta.config import SPLITS, Config
from rosetta.run.stages.record import Sized, Slice, Stage


def _corpus(config: Config, _name: str) -> Slice:
    sampling = config.corpus.sampling
    kept = config.corpus.model_dump(mode="json", exclude=None if sampling else {"sampling"})
    if sampling is None or sampling.tokenizer is None:
        return {"corpus": kept}
    entry = config.models[sampling.tokenizer].model_dump(include={"path", "hub", "revision"})
    length = config.activations.sequence_length
    return {"corpus": kept, "tokenizer": entry, "sequence_length": length}


STAGES = (
    Stage(
        name="corpus",
        version=2,
        phase="corpus",
        config_slice=_corpus,
        resources=Sized(by="stage"),
        makes=lambda _, paths, _job: [
            paths.corpus_manifest,
            *map(paths.split, SPLITS),
        ],
    ),
)

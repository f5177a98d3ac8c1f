"""The stage that asks a language model for names and verdicts."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.run.stages import files
from rosetta.run.stages.record import Slice, Stage, Wildcards, once


def _asked(config: Config) -> list[Wildcards]:
    return once(config) if config.annotation else []


def _annotate(config: Config, _name: str) -> Slice:
    # How the endpoint is reached changes how fast answers come, not what is asked.
    how = {"api_key_variable", "requests_per_minute", "n_parallel", "timeout", "max_retries"}
    kept = config.annotation.model_dump(mode="json", exclude=how) if config.annotation else None
    return {"annotation": kept}


STAGES = (
    Stage(
        name="annotate",
        version=1,
        phase="results",
        reads=("corpus", "neurons", "contexts"),
        jobs=_asked,
        config_slice=_annotate,
        inputs=files.both(files.corpus, files.of_groups("excerpts"), files.of_models("contexts")),
        makes=files.one("annotations"),
    ),
)

"""Checks of local folders of pipelines, made before any job starts, without diffusers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rosetta.config.pipelines import Pipeline
from rosetta.errors import ModelError
from rosetta.models.diffusion.facts import CONFIGURATIONS, PipelineFacts, pipeline_facts
from rosetta.models.folders import (
    PIPELINE,
    WHOLE,
    check_plain,
    read_json,
    weight_files,
    weight_shapes,
)

WHOLE_OF = {"diffusers": "diffusion_pytorch_model.safetensors", "transformers": WHOLE}


class Part(NamedTuple):
    """A part of a pipeline: its name, and the library and class that it is of."""

    name: str
    library: str
    kind: str


def parts_of(index: Mapping[str, Any], place: str) -> Iterator[Part]:
    """Yield the parts of a pipeline that `model_index.json` names.

    Raises
    ------
    ModelError
        If one is of code of its own.
    """
    for name, said in index.items():
        if not isinstance(said, list) or said == [None, None]:
            continue
        if len(said) != 2 or said[0] not in WHOLE_OF or not isinstance(said[1], str):
            raise ModelError(
                f"{place}: {PIPELINE} names {said} for {name}, which is code of its own and never "
                f"run. Parts have to be of {' or '.join(WHOLE_OF)}."
            )
        yield Part(name, *said)


def folder_facts(folder: Path, settings: Pipeline, place: str) -> PipelineFacts:
    """Return what the pipeline of a folder makes.

    Parameters
    ----------
    folder : Path
        The folder.
    settings : Pipeline
        Those of the model's entry.
    place : str
        Key of the entry, which messages name.

    Raises
    ------
    RosettaError
        If a configuration file is missing or damaged, the pipeline is not supported, or a setting
        does not fit it.
    """
    if not (folder / PIPELINE).exists():
        raise ModelError(
            f"{place}.path: {folder} has no {PIPELINE}, so it is no pipeline of diffusers. Leave "
            "`pipeline` out, or give a folder that a pipeline's save_pretrained wrote."
        )
    read = [read_json(folder / name, f"{place}.path: {folder}") for name in CONFIGURATIONS]
    return pipeline_facts(*read, settings, place)


def check_pipeline_folder(folder: Path, settings: Pipeline, place: str) -> None:
    """Check that a folder holds a supported pipeline with plain weights in safetensors, by their
    headers, and that the settings fit it.

    Raises
    ------
    RosettaError
        If it does not; see `folder_facts` and `parts_of`.
    """
    folder_facts(folder, settings, place)
    for part in _models(folder, place):
        inside = folder / part.name
        where = f"{place}.path: {inside}"
        check_plain(read_json(inside / "config.json", where), where)
        _check_not_pickled(inside, part, where)
        weight_shapes(inside, f"{place}.path", WHOLE_OF[part.library])


def _check_not_pickled(folder: Path, part: Part, where: str) -> None:
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt"))
    if pickles and not list(folder.glob("*.safetensors")):
        raise ModelError(
            f"{where} holds its weights as a pickle ({pickles[0]}), which could run code. Convert "
            f"it once, where you trust it: {part.library}.{part.kind}.from_pretrained('{folder}', "
            f"use_safetensors=False).save_pretrained('{folder}')."
        )


def n_pipeline_parameters(folder: Path, place: str) -> int:
    """Return how many parameters all parts of a folder's pipeline have together.

    Raises
    ------
    ModelError
        If a file of weights is missing or damaged.
    """
    return sum(
        math.prod(size)
        for part in _models(folder, place)
        for size in weight_shapes(
            folder / part.name, f"{place}.path", WHOLE_OF[part.library]
        ).values()
    )


def pipeline_weights(folder: Path, place: str) -> dict[str, list[Path]]:
    """Return the files of weights that are read of a folder's pipeline, by its parts.

    Raises
    ------
    ModelError
        If one is missing.
    """
    return {
        part.name: [
            folder / part.name / name
            for name in weight_files(
                folder / part.name, f"{place}.path: {folder / part.name}", WHOLE_OF[part.library]
            )
        ]
        for part in _models(folder, place)
    }


def _models(folder: Path, place: str) -> Iterator[Part]:
    """Yield the parts that have weights: not schedulers and tokenizers."""
    index = read_json(folder / PIPELINE, f"{place}.path: {folder}")
    for part in parts_of(index, f"{place}.path: {folder}"):
        if not (folder / part.name).is_dir():
            raise ModelError(
                f"{place}.path: {folder} lacks {part.name}, which {PIPELINE} names. Complete the "
                "download."
            )
        if (folder / part.name / "config.json").exists():
            yield part

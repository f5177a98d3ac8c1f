"""The Hugging Face hub: which commit a revision is, and whether it holds weights in safetensors."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from huggingface_hub import HfApi, try_to_load_from_cache
from huggingface_hub.utils import httpx

from rosetta.errors import ModelError

WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# Of a pipeline of diffusers: those of its transformer.
PIPELINE_WEIGHTS = tuple(
    f"transformer/diffusion_pytorch_model.safetensors{index}" for index in ("", ".index.json")
)
# What conversions are made of.
PICKLES = re.compile(r"(.*/)?(diffusion_)?pytorch_model.*\.bin")
# Whose pull requests the hub's own service opens, and their title; anybody else's conversion is not
# to be trusted.
CONVERTER = "SFconvertbot"
CONVERSION_TITLE = "Adding `safetensors` variant of this model"
UNANSWERED = (
    OSError,
    httpx.HTTPError,
)  # of which the hub's own errors, and the network's, are kinds
CONVERSION = (
    "Weights are read from safetensors only. `rosetta pin --configfile FILE` looks for a "
    "conversion of this model on "
    "the hub (a revision refs/pr/N); else convert it once and give the folder as `path` "
    "(docs/reproduction.md)."
)


class Pin(NamedTuple):
    """A commit that a revision stands for, and what a user should know of it, or nothing."""

    commit: str
    note: str = ""


def pin_model(
    api: Any, model: str, revision: str, place: str, weights: tuple[str, ...] = WEIGHTS
) -> Pin:
    """Return the commit of a hub model's revision, or of its safetensors conversion.

    A conversion must hold the same pickles: it is of one branch, and the weights of another, such
    as those of a step of the training, differ.

    Parameters
    ----------
    api : HfApi
        The hub.
    model, revision : str
        Id, and branch, tag or commit.
    place : str
        What messages name as the culprit.
    weights : tuple of str
        Files one of which it has to hold.

    Raises
    ------
    ModelError
        If the hub does not answer, or there is neither such a revision nor a conversion to
        safetensors.
    """
    asked = _told(api.model_info, model, revision, place, files_metadata=True)
    if _has_one(asked, weights):
        return Pin(asked.sha)
    pickles = _pickles(asked)
    for number in sorted(_conversions(api, model, place), reverse=True) if pickles else ():
        reference = f"refs/pr/{number}"
        converted = _told(api.model_info, model, reference, place, files_metadata=True)
        if _has_one(converted, weights) and _pickles(converted) == pickles:
            return Pin(
                converted.sha,
                f"{model}@{revision} holds no safetensors; pinned to {reference}, which does",
            )
    raise ModelError(
        f"{place}: {model}@{revision} holds no safetensors, and no pull request has its weights "
        f"in them. {CONVERSION}"
    )


def pin_dataset(api: Any, dataset: str, revision: str, place: str) -> Pin:
    """Return the commit of a hub dataset's revision.

    Raises
    ------
    ModelError
        If the hub does not answer, or there is no such revision.
    """
    return Pin(_told(api.dataset_info, dataset, revision, place).sha)


def check_safetensors(
    model: str, revision: str, place: str, weights: tuple[str, ...] = WEIGHTS
) -> None:
    """Check that a hub model has weights in safetensors, before anything large is fetched.

    `weights` are the files one of which it has to hold.

    Raises
    ------
    ModelError
        If it has none, or the hub cannot be asked and the local cache holds none.
    """
    if any(
        isinstance(try_to_load_from_cache(model, name, revision=revision), str) for name in weights
    ):
        return
    try:
        found = any(HfApi().file_exists(model, name, revision=revision) for name in weights)
    except UNANSWERED as error:
        raise _unanswered(error, model, revision, place) from None
    if not found:
        raise ModelError(f"{place}: {model}@{revision} holds no safetensors. {CONVERSION}")


def _has_one(info: Any, names: tuple[str, ...]) -> bool:
    return any(file.rfilename in names for file in info.siblings)


def _pickles(info: Any) -> dict[str, str]:
    """Return the content of the pickles of a revision, as git names it, by file."""
    return {
        file.rfilename: file.blob_id
        for file in info.siblings
        if PICKLES.fullmatch(file.rfilename) and file.blob_id
    }


def _conversions(api: Any, model: str, place: str) -> list[int]:
    """Return the numbers of the pull requests by which the hub's service converted a model."""
    try:
        found = list(
            api.get_repo_discussions(model, author=CONVERTER, discussion_type="pull_request")
        )
    except UNANSWERED as error:
        raise _unanswered(error, model, "refs/pr", place) from None
    return [one.num for one in found if one.author == CONVERTER and one.title == CONVERSION_TITLE]


def _told(ask: Any, name: str, revision: str, place: str, **how: bool) -> Any:
    try:
        return ask(name, revision=revision, **how)
    except UNANSWERED as error:
        raise _unanswered(error, name, revision, place) from None


def _unanswered(error: Exception, name: str, revision: str, place: str) -> ModelError:
    reason = " ".join(str(error).split())[:300]
    return ModelError(
        f"{place}: the hub does not tell about {name}@{revision} ({type(error).__name__}: "
        f"{reason}). "
        "Check id, revision and the network; gated models need `hf auth login`."
    )

"""The section `models.<name>.pipeline`: how a pipeline of diffusers makes an image of a class."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from rosetta.config.base import Place, Section

LABEL = "{label}"
MOST_CHARACTERS = 200  # of a prompt; text encoders cut longer ones off


def _check_prompt(prompt: str) -> str:
    if prompt.count(LABEL) != 1:
        raise ValueError(f"must hold {LABEL} once, in whose place the name of the class is put")
    return prompt


def _check_class_name(name: str) -> str:
    if not name.strip() or not name.isprintable():
        raise ValueError("a class has a name of visible characters")
    return name


Prompt = Annotated[str, Field(max_length=MOST_CHARACTERS), AfterValidator(_check_prompt)]
ClassName = Annotated[str, Field(max_length=MOST_CHARACTERS), AfterValidator(_check_class_name)]


class Pipeline(Section):
    """How a pipeline of diffusers makes an image of a class (docs/diffusion.md)."""

    steps: int = Field(ge=1, le=1000, description="steps from noise to image")
    captured_step: Literal["first", "last"] | Annotated[int, Field(ge=1)] = Field(
        "last", description="step whose activations are kept: `first`, `last`, or its number from 1"
    )
    guidance: float = Field(
        1.0, ge=0, description="guidance scale; 1: none, or what a distilled model is told"
    )
    size: int | None = Field(
        None,
        ge=8,
        le=2048,
        description="side of the images in pixels; null: of a pipeline of class labels the only "
        "one, of others to be given",
    )
    prompt: Prompt = Field(
        "a photo of a {label}", description="what a pipeline of prompts is asked for"
    )
    class_names: list[ClassName] | Place | None = Field(
        None,
        description="names of the classes in the order of their labels, or a text file with one "
        "per line; null: of a pipeline of class labels those that it brings",
    )

    @property
    def captured_number(self) -> int:
        """Number of the captured step, from 1."""
        if self.captured_step == "first":
            return 1
        return self.steps if self.captured_step == "last" else self.captured_step

    @model_validator(mode="after")
    def _check(self) -> Pipeline:
        if self.captured_number > self.steps:
            raise ValueError(
                f"captured_step {self.captured_step} is above steps ({self.steps}); lower it"
            )
        if self.class_names == []:
            raise ValueError("class_names holds no name; give one at least")
        return self

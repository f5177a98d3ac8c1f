"""The section `models`: a model entry says where a model comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from rosetta.config.base import Modality, Place, Recorded, Section, Seed
from rosetta.config.corpus import HubId, Revision
from rosetta.config.pipelines import Pipeline
from rosetta.config.training_ladders import MOST_STEPS
from rosetta.config.zoo import IMAGE_TASKS, Zoo, ZooRecipe


class Untrained(Section):
    """The twin of another model with architecture-default random initialisation."""

    of: str = Field(description="name of another model entry")
    seed: Seed = 0


class Dimensions(Section):
    """Dimensions of a model that is not at hand, so that a plan needs no network; checked when the
    model is loaded.
    """

    n_layers: int = Field(ge=1)
    d_mlp: int = Field(ge=1)
    n_parameters: int = Field(ge=1)
    n_cells: int = Field(
        256, ge=1, description="cells of an image, for a model that sees images: 16 × 16 of most"
    )


_PATTERN = "{step}"


class Checkpoints(Section):
    """Where the steps of a training are that is not made here, for training ladders."""

    n_steps: int = Field(
        ge=2, le=MOST_STEPS, description="steps of the whole training: what the entry itself is"
    )
    tokens_per_step: int = Field(
        ge=1, le=10**12, description="tokens that a step reads; of images, patches"
    )
    revisions: str | dict[int, Revision] | None = Field(
        None,
        description="of a hub model, the revision of a step: a pattern such as `step{step}`, or a "
        "mapping of steps to revisions, which `rosetta pin` makes of a pattern",
    )
    paths: str | dict[int, Place] | None = Field(
        None,
        description="of a local model, the folder of a step: a pattern with `{step}`, or a mapping "
        "of steps to folders",
    )

    def at(self, step: int) -> str | None:
        """Return the revision or folder of a step; None if there is none."""
        places = self.paths if self.revisions is None else self.revisions
        if isinstance(places, str):
            return places.replace(_PATTERN, str(step))
        return (places or {}).get(step)

    @model_validator(mode="after")
    def _one_place(self) -> Checkpoints:
        if (self.revisions is None) == (self.paths is None):
            raise ValueError("give one of revisions (of a hub model) and paths (of a local one)")
        for key, kind in (("revisions", Revision), ("paths", Place)):
            pattern = getattr(self, key)
            if not isinstance(pattern, str):
                continue
            if pattern.count(_PATTERN) != 1:
                raise ValueError(f"{key}: {pattern!r} must hold {_PATTERN} once")
            try:
                TypeAdapter(kind).validate_python(self.at(1))
            except ValidationError as error:
                raise ValueError(f"{key}: {pattern!r}: {error.errors()[0]['msg']}") from None
        return self


class ModelEntry(Section):
    """A model: exactly one of `path`, `hub`, `zoo`, `untrained`."""

    path: Place | None = Field(None, description="local folder in Hugging Face format")
    hub: HubId | None = Field(None, description="model id on the hub")
    revision: Revision | None = Field(
        None, description="commit or tag of the hub model; required with `hub`"
    )
    zoo: ZooRecipe | None = Field(None, description="a zoo family at a zoo size")
    untrained: Untrained | None = Field(None, description="random twin of another entry")
    dimensions: Dimensions | None = Field(
        None, description="of a hub model, for planning without the network"
    )
    replicate_of: str | None = Field(
        None,
        description="name of another entry of which this is a further training, with another "
        "seed: every rung that names that entry counts this one as well",
    )
    modality: Modality = Field(
        "text",
        description="what a model of `path` or `hub` sees; zoo models and untrained twins have "
        "their family's or base model's",
    )
    generator: bool = Field(
        False,
        description="whether a model of `path` or `hub` makes images: then it is the first of its "
        "rungs, whose other models are shown what it makes",
    )
    pipeline: Pipeline | None = Field(
        None,
        description="of a generator that is a pipeline of diffusers (`model_index.json`): how it "
        "makes images",
    )
    recorded: Recorded = Field(
        "neurons",
        description="what counts as a unit of an image model of `path` or `hub`: `neurons`, the "
        "input of a layer's down projection, or `mlp_input`, what the MLP reads, to show what a "
        "hook on its first projection finds; `dimensions.d_mlp` is then d_model",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="precision of the forward pass"
    )
    checkpoints: Checkpoints | None = Field(
        None, description="of `path` or `hub`: the steps of its training"
    )

    def modality_of(self, zoo: Zoo) -> Modality:
        """Return what the model sees; `zoo` is the section of its family."""
        return zoo.families[self.zoo.family].modality if self.zoo else self.modality

    def is_generator(self, zoo: Zoo) -> bool:
        """Tell whether the model makes images."""
        if self.zoo is None:
            return self.generator
        return IMAGE_TASKS.get(zoo.families[self.zoo.family].architecture) == "generator"

    @property
    def kind(self) -> str:
        """Which of the four kinds of entry this is."""
        return next(
            kind for kind in ("path", "hub", "zoo", "untrained") if getattr(self, kind) is not None
        )

    @model_validator(mode="after")
    def _exactly_one(self) -> ModelEntry:
        given = [
            kind for kind in ("path", "hub", "zoo", "untrained") if getattr(self, kind) is not None
        ]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of path, hub, zoo, untrained; got {given or 'none'}"
            )
        if self.generator and self.modality != "images":
            raise ValueError("generator: true needs modality: images")
        if self.pipeline and not self.generator:
            raise ValueError("pipeline needs generator: true and modality: images")
        if (self.zoo or self.untrained) and (self.generator or self.modality != "text"):
            raise ValueError("modality and generator go with path or hub; leave them out")
        if self.recorded != "neurons" and (self.modality != "images" or self.generator):
            raise ValueError("recorded: mlp_input needs modality: images, and no generator")
        if (self.hub is None) != (self.revision is None):
            raise ValueError("`hub` and `revision` go together: pin the model's commit or tag")
        self._check_checkpoints()
        return self

    def _check_checkpoints(self) -> None:
        if self.checkpoints is None:
            return
        needed = {"hub": "revisions", "path": "paths"}.get(given := self.kind)
        if needed is None:
            raise ValueError(f"checkpoints go with path or hub, not with {given}; leave them out")
        if getattr(self.checkpoints, needed) is None:
            raise ValueError(f"checkpoints: a model of {given} needs {needed}")

"""The section `models`: a model entry says where a model comes from."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from rosetta.config.base import Place, Section, Seed
from rosetta.config.corpus import HubId, Revision
from rosetta.config.zoo import ZooRecipe


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
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="precision of the forward pass"
    )

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
        if (self.hub is None) != (self.revision is None):
            raise ValueError("`hub` and `revision` go together: pin the model's commit or tag")
        return self

"""The section `activations`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from rosetta.config.base import Section

CHUNK_POSITIONS = 4096  # of a store, written and read at once: memory budgets count on it


class Activations(Section):
    """How activations are captured and stored."""

    n_shards: int = Field(
        2, ge=1, le=10_000, description="stores per model; also the unit of resuming"
    )
    shards_per_job: Literal["auto", "one", "all"] = Field(
        "auto",
        description="how many shards of a model a job captures. With all of them, the job also "
        "does what else one model needs of its stores, and one job per pair does all that a pair "
        "needs; auto: one for models of more than 20 million parameters, or of unknown size, and "
        "where stores are not kept",
    )
    max_documents: int | None = Field(
        None, ge=1, description="use at most this many match documents"
    )
    max_images: int | None = Field(None, ge=1, description="use at most this many match images")
    sequence_length: int = Field(
        1024, ge=2, le=1_000_000, description="tokens kept from the start of each document"
    )
    batch_size: Annotated[int, Field(ge=1, le=100_000)] | Literal["auto"] = Field(
        16,
        description="documents or images per forward pass; auto: as many documents as fit the "
        "memory that `devices` gives",
    )
    dtype: Literal["float16", "float32", "bfloat16"] = Field(
        "float16", description="dtype of the stores"
    )
    max_left_out: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of a shard's documents that a model may leave out because its tokens "
        "cannot be traced "
        "back to the text; more is an error",
    )
    keep: bool | Literal["temporary", "auto"] = Field(
        True,
        description="what becomes of the stores: `true` keeps them; `temporary` deletes them once "
        "they are used; `false` never writes them, and runs the models again whenever activations "
        "are read; auto: `temporary` or `false`, whichever takes less time by the sizes of the "
        "models and whether they run on a GPU (`devices.gpu_memory_gb`)",
    )

    @model_validator(mode="after")
    def _stores_are_kept(self) -> Activations:
        if self.shards_per_job == "all" and self.keep is not True:
            raise ValueError("shards_per_job: all needs keep: true, or leave it at auto")
        return self

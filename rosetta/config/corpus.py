"""The section `corpus`: where text comes from, how it is split, and which of it models read."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from rosetta.config.base import Distinct, Place, Section, Seed

# One folder or two: what a path would make of it, or of a `..` in it, is not meant.
HUB_ID = r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$"
HubId = Annotated[str, Field(pattern=HUB_ID, max_length=96)]
Revision = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*$", max_length=250)
]
EnvironmentDomain = Literal["python", "prose", "cpp", "licence", "description", "arithmetic"]
ENVIRONMENT_DOMAINS: tuple[EnvironmentDomain, ...] = get_args(EnvironmentDomain)
SPLITS = ("train", "match", "pool", "heldout")


class EnvironmentSource(Section):
    """Text harvested from the packages installed in the project's own environment."""

    kind: Literal["environment"] = "environment"
    bytes_per_domain: int = Field(
        2_000_000, ge=10_000, le=10**10, description="UTF-8 bytes to harvest for each domain"
    )
    domains: Distinct[EnvironmentDomain] = Field(
        list(ENVIRONMENT_DOMAINS), min_length=1, description="which domains to harvest or generate"
    )


class FilesSource(Section):
    """A local file, or a folder of files: JSON lines (.jsonl, .ndjson, .json, also .zst or .gz) or
    parquet.
    """

    kind: Literal["files"]
    path: Place = Field(description="file, or folder whose files are all read")
    text: str = Field(
        "text",
        description="column of the text; dots are part of its name, or reach into nested records",
    )
    domain: str | None = Field(
        None, description="column of the domain label, e.g. meta.pile_set_name"
    )
    zstd_long: int = Field(
        31,
        ge=10,
        le=31,
        description="largest window of a .zst file, as in `zstd --long=31`; reading takes up to "
        "2^31 bytes of memory",
    )


class HubSource(Section):
    """A Hugging Face dataset, streamed through `datasets`."""

    kind: Literal["hub"]
    id: Place = Field(description="dataset id, or a local folder in the same format")
    name: str | None = Field(None, description="dataset configuration")
    revision: Revision | None = Field(
        None, description="commit, tag or branch; pin it for reproducible runs"
    )
    split: str = Field("train", description="split of the dataset")
    text: str = Field(
        "text",
        description="column of the text; dots are part of its name, or reach into nested records",
    )
    domain: str | None = Field(None, description="column of the domain label")


class SplitFractions(Section):
    """Shares of the corpus; the parts of a file, or the pieces of a text, are in one split only."""

    train: float = Field(0.78, ge=0, le=1, description="trains tokenizers and zoo models")
    match: float = Field(0.06, ge=0, le=1, description="neurons are correlated on it")
    pool: float = Field(0.10, ge=0, le=1, description="documents to be filtered")
    heldout: float = Field(
        0.06, ge=0, le=1, description="losses and perplexities are measured on it"
    )

    @model_validator(mode="after")
    def _sum_to_one(self) -> SplitFractions:
        total = self.train + self.match + self.pool + self.heldout
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the four fractions must sum to 1; they sum to {total:g}")
        if self.match == 0:
            raise ValueError("match must be above 0: neurons are correlated on this split")
        return self


class Sampling(Section):
    """Which sequences of the match split the models read: a random draw without replacement."""

    max_sequences: int | None = Field(
        None, ge=1, description="draw so many; null: all that there are"
    )
    window_bytes: int | None = Field(
        None,
        ge=16,
        description="UTF-8 bytes of a sequence, the same text for all models; null: whole "
        "documents",
    )
    windows: Literal["first", "random", "all"] = Field(
        "first",
        description="of a document: its beginning, one window at a random place, or all of it, "
        "cut into windows",
    )
    short: Literal["skip", "keep"] = Field(
        "skip",
        description="what is shorter than window_bytes, or has too few tokens under `tokenizer`",
    )
    tokenizer: str | None = Field(
        None,
        description="model (with path or hub) whose tokenizer counts: a sequence with fewer than "
        "activations.sequence_length tokens is short; null: only bytes count",
    )
    shares: Literal["proportional", "equal"] = Field(
        "proportional",
        description="of domains: as the documents have it, or the same number of sequences from "
        "each",
    )
    domains: Distinct[str] | None = Field(
        None, min_length=1, description="draw from these only; null: from all"
    )
    seed: Seed = Field(0, description="seed of the draw")

    @model_validator(mode="after")
    def _fits_together(self) -> Sampling:
        if self.short == "skip" and self.window_bytes is None and self.tokenizer is None:
            raise ValueError(
                "short: skip needs window_bytes or tokenizer to tell what is short; or set "
                "short: keep"
            )
        if self.short == "keep" and self.tokenizer is not None:
            raise ValueError(
                "tokenizer: tells what is short, but short is keep; leave it out or set short: skip"
            )
        if self.windows != "first" and self.window_bytes is None:
            raise ValueError(f"windows: {self.windows} needs window_bytes")
        return self


SOURCES = (EnvironmentSource, FilesSource, HubSource)
KINDS: tuple[str, ...] = tuple(
    kind for source in SOURCES for kind in get_args(source.model_fields["kind"].annotation)
)


class Corpus(Section):
    """What text the models see."""

    source: Annotated[
        EnvironmentSource | FilesSource | HubSource,
        Field(discriminator="kind", description="where the documents come from"),
    ] = EnvironmentSource()
    min_document_bytes: int = Field(64, ge=1, description="shorter documents are dropped")
    max_document_bytes: int | None = Field(
        None,
        ge=16,
        description="longer documents are cut at line ends into pieces of at most this size",
    )
    max_documents: int | None = Field(
        None, ge=1, description="stop after this many accepted documents"
    )
    splits: SplitFractions = SplitFractions()
    sampling: Sampling | None = Field(
        None,
        description="null: the models read all documents of the match split, from their beginning",
    )
    seed: Seed = Field(0, description="seed of the split and of generated text")

    @model_validator(mode="after")
    def _lengths(self) -> Corpus:
        if (
            self.max_document_bytes is not None
            and self.min_document_bytes > self.max_document_bytes
        ):
            raise ValueError(
                f"min_document_bytes ({self.min_document_bytes}) is above max_document_bytes "
                f"({self.max_document_bytes}), so no document is left; lower it"
            )
        return self

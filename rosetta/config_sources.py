"""Where text comes from: the configuration's kinds of sources."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from rosetta.config_base import Distinct, Place, Section

# One folder or two: what a path would make of it, or of a `..` in it, is not meant.
HubId = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$", max_length=96)]
Revision = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*$", max_length=250)]
ENVIRONMENT_DOMAINS = ("python", "prose", "cpp", "javascript", "licence", "description", "arithmetic")


class EnvironmentSource(Section):
    """Text harvested from the packages installed in the project's own environment."""

    kind: Literal["environment"] = "environment"
    bytes_per_domain: int = Field(2_000_000, ge=10_000, le=10**10, description="UTF-8 bytes to harvest for each domain")
    domains: Distinct[Literal[ENVIRONMENT_DOMAINS]] = Field(
        list(ENVIRONMENT_DOMAINS), min_length=1, description="which domains to harvest or generate"
    )


class FilesSource(Section):
    """A local file, or a folder of files, in jsonl, jsonl.zst or parquet."""

    kind: Literal["files"]
    path: Place = Field(description="file, or folder whose files are all read")
    text: str = Field("text", description="column of the text; dots reach into nested records")
    domain: str | None = Field(None, description="column of the domain label, e.g. meta.pile_set_name")


class HubSource(Section):
    """A Hugging Face dataset, streamed through `datasets`."""

    kind: Literal["hub"]
    id: Place = Field(description="dataset id, or a local folder in the same format")
    name: str | None = Field(None, description="dataset configuration")
    revision: Revision | None = Field(None, description="commit, tag or branch; pin it for reproducible runs")
    split: str = Field("train", description="split of the dataset")
    text: str = Field("text", description="column of the text; dots reach into nested records")
    domain: str | None = Field(None, description="column of the domain label")

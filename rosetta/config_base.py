"""What all sections of the configuration have in common."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Base of all sections: unknown keys and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._]|-(?!-))*")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name.endswith("-"):
        raise ValueError(
            "names are letters, digits, '.', '_' and single '-', and begin with a letter or digit "
            "(they become file names)"
        )
    return name


Name = Annotated[str, AfterValidator(_check_name)]
Seed = Annotated[int, Field(ge=0)]

"""The file `tokenizer.json` of a local model folder, read before any job starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rosetta.errors import ModelError, brief

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FILE = "tokenizer.json"


def saved_tokenizer(folder: Path, place: str) -> Tokenizer | None:
    """Return what the `tokenizer.json` of a folder holds; None if there is no such file.

    Parameters
    ----------
    folder : Path
        The folder.
    place : str
        What the message names as the culprit.

    Raises
    ------
    ModelError
        If it is no tokenizer.
    """
    from tokenizers import Tokenizer  # of an extra, which images do without

    if not (folder / FILE).exists():
        return None
    try:
        return Tokenizer.from_file(str(folder / FILE))
    except Exception as error:  # plain ones are all that it raises
        raise ModelError(
            f"{place}: {FILE} is no tokenizer ({brief(error)}). Save the model's tokenizer there."
        ) from None

"""What to say of a file that is not as it was written: how exactly it is computed again.

This is the one place of the package that knows how Snakemake is called.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from rosetta.errors import StoreError
from rosetta.storage.names import FURTHER, RUN_CONFIG, digest_path

# Whether a rule makes a path, given relative to a results folder (`rosetta.run.folders`).
_IS_RESULT: ContextVar[Callable[[Path], bool]] = ContextVar("is_result", default=lambda _: True)


@contextmanager
def knowing_results(is_result: Callable[[Path], bool]) -> Iterator[None]:
    """Have errors of the block name a rule only for what a rule makes."""
    token = _IS_RESULT.set(is_result)
    try:
        yield
    finally:
        _IS_RESULT.reset(token)


class DamageError(StoreError):
    """A file that is not as it was written, and how it is recomputed.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        What is wrong with it.
    piece : Path, optional
        The output of a rule that the file is a part of, say the manifest of its store; the file
        itself if not given.
    """

    def __init__(self, path: Path, what: str, piece: Path | None = None) -> None:
        super().__init__(path, what, piece)
        self.path, self.what, self.piece = Path(path), what, Path(piece or path)
        self.fix = how_to_recompute(self.piece)

    def __str__(self) -> str:
        return f"{self.path}: {self.what}. {self.fix}"


def how_to_recompute(*pieces: Path, folder: Path | None = None) -> str:
    """Return what to type so that only these outputs of rules are recomputed, in order.

    `folder` is the one that the run was started in, where that is not the present one.
    """
    if pieces[0].name == RUN_CONFIG:
        return "Start the run again as you started it: that writes this file again."
    for root in pieces[0].parents:
        below = [piece for piece in pieces if piece.is_relative_to(root)]
        made = [piece for piece in below if _IS_RESULT.get()(piece.relative_to(root))]
        if made and ((folder or Path()) / root / RUN_CONFIG).exists():
            start = f"cd {shlex.quote(str(folder))} && " if folder else ""
            command = (
                f"snakemake --cores all --configfile {shlex.quote(str(root / RUN_CONFIG))} --force"
            )
            named = shlex.join(map(str, made))
            if any(FURTHER.search(str(piece)) for piece in made):
                plain = command.removesuffix(" --force")
                return f"Make it again: {start}rm {named} && {plain}"
            if len(made) == 1:
                return f"Make it again: {start}{command} {named}"
            # One call for all would also make again what lies between them.
            return f'Make them again: {start}for piece in {named}; do {command} "$piece"; done'
    if not pieces[0].exists():
        return "Make it with the command that writes it, or give another path."
    own = (
        f", or delete {beside} if you changed it"
        if (beside := digest_path(pieces[0])).exists()
        else ""
    )
    return f"Make it again with the command that wrote it{own}."

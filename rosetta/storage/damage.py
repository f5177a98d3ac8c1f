"""What to say of a file that is not as it was written: how exactly it is computed again.

This is the one place of the package that knows how Snakemake is called.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Literal

from rosetta.errors import StoreError
from rosetta.storage.names import RUN_CONFIG, digest_path

# What of the workflow makes a file: a rule that declares it, a job that makes it besides what its
# rule declares, or nothing.
Maker = Literal["rule", "job"] | None
# Takes a results folder and a path relative to it (`rosetta.run.folders`).
FindMaker = Callable[[Path, Path], Maker]
_MAKER: ContextVar[FindMaker] = ContextVar("maker", default=lambda _root, _path: "rule")


@contextmanager
def knowing_results(maker: FindMaker) -> Iterator[None]:
    """Have errors of the block tell what exactly makes a result again."""
    token = _MAKER.set(maker)
    try:
        yield
    finally:
        _MAKER.reset(token)


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
        place = (folder or Path()) / root
        if not (place / RUN_CONFIG).exists():
            continue
        below = [piece for piece in pieces if piece.is_relative_to(root)]
        makers = {piece: _MAKER.get()(place, piece.relative_to(root)) for piece in below}
        made = {piece: maker for piece, maker in makers.items() if maker}
        if made:
            start = f"cd {shlex.quote(str(folder))} && " if folder else ""
            return f"Make {'it' if len(made) == 1 else 'them'} again: {start}{_typed(made, root)}"
    if not pieces[0].exists():
        return "Make it with the command that writes it, or give another path."
    own = (
        f", or delete {beside} if you changed it"
        if (beside := digest_path(pieces[0])).exists()
        else ""
    )
    return f"Make it again with the command that wrote it{own}."


def _typed(made: Mapping[Path, Maker], root: Path) -> str:
    """Return the command that makes results again, by what makes each."""
    named = shlex.join(map(str, made))
    command = f"snakemake --cores all --configfile {shlex.quote(str(root / RUN_CONFIG))}"
    if "job" in made.values():
        # No rule can be asked for it. A run finds that it is missing, and which job makes it.
        return f"rm -f {named} && {command}"
    if len(made) == 1:
        return f"{command} --force {named}"
    # One call for all would also make again what lies between them.
    return f'for piece in {named}; do {command} --force "$piece"; done'

"""The commands that pass a run's neurons on, and compare them with those of others."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import check_kept, check_out
from rosetta.errors import ConfigError

atlas_app = typer.Typer(
    no_args_is_help=True,
    help="The atlas: neurons as a data set and a site, for others to use (docs/atlas.md).",
)


class TextsOption(StrEnum):
    """What an atlas tells of texts."""

    none = "none"
    ids = "ids"
    all = "all"


FolderOption = Annotated[Path, typer.Option("--out", help="folder to write")]
PagesOption = Annotated[
    int, typer.Option("--max-pages", min=0, help="neurons that get a page, those of highest r")
]


@atlas_app.command()
def export(
    out: FolderOption,
    results: Annotated[Path, typer.Argument(help="results folder of a finished run")] = Path(
        "results"
    ),
    texts: Annotated[
        TextsOption,
        typer.Option(
            help="of the samples that neurons read highest on: nothing, ids, or the texts too"
        ),
    ] = TextsOption.ids,
    pictures: Annotated[
        bool, typer.Option("--pictures", help="small pictures of the images, too")
    ] = False,
    licence: Annotated[
        str, typer.Option(help="licence of the tables of numbers, for the card")
    ] = "other",
    max_pages: PagesOption = 20_000,
) -> None:
    """Write a finished run's neurons as a data set with a card and a site."""
    from rosetta.atlas.steps import atlas_export_step

    atlas_export_step(
        results, out, max_pages, texts=texts.value, pictures=pictures, licence=licence
    )


@atlas_app.command()
def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="an atlas, or results of a run")],
    b: Annotated[Path, typer.Argument(metavar="B", help="another one")],
    out: Annotated[
        Path | None,
        typer.Option(callback=check_out, help="where to write the table, as CSV"),
    ] = None,
    same: Annotated[
        list[str] | None,
        typer.Option(metavar="A=B", help="a model of A and one of B that are the same"),
    ] = None,
) -> None:
    """Compare two atlases or runs: which neurons and matches are in both, and r against r."""
    from rosetta.atlas.steps import atlas_diff_step

    check_kept([a, b], out=out)
    told = dict(_parsed(text) for text in same or [])
    for line in atlas_diff_step(a, b, told, out):
        print(line)


def _parsed(text: str) -> tuple[str, str]:
    one, separator, other = text.partition("=")
    if not (one and separator and other):
        raise ConfigError(f"--same: {text!r} is not A=B, the names of a model in each atlas.")
    return one, other


@atlas_app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="folder or best_buddies.json of the published code, or universal.csv of "
            "universal-neurons"
        ),
    ],
    out: FolderOption,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=ID@REVISION",
            help="a model of the files, the anchor first: a name, an id on the hub, or both",
        ),
    ] = None,
    k: Annotated[
        int | None, typer.Option(min=1, help="keep ranks up to k; all if not given")
    ] = None,
    max_pages: PagesOption = 20_000,
) -> None:
    """Write another project's neurons as an atlas, with the same tables."""
    from rosetta.atlas.steps import atlas_import_step

    atlas_import_step(source, out, model or [], k=k, max_pages=max_pages)

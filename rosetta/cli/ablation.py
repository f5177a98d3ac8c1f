"""The commands on what neurons do to a model's output: attribution, and ablation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rosetta.cli.options import (
    ConfigOption,
    GroupOption,
    PairOption,
    check_kept,
    check_out,
    checked_pair,
    open_run,
    option_of,
)
from rosetta.config import Config
from rosetta.config.ablation import AblationSettings
from rosetta.config.arguments import checked
from rosetta.errors import ConfigError
from rosetta.run.paths import Paths

ablation_app = typer.Typer(
    no_args_is_help=True,
    help="The ablations of a run: its steps (docs/ablation.md). See also `rosetta ablate`.",
)


def attribution(config: ConfigOption, pair: PairOption) -> None:
    """Tell whether the partners of a pair's matches promote the same strings."""
    from rosetta.analysis.steps import attribution_step

    loaded, paths = open_run(config)
    _check_compared(loaded)
    attribution_step(loaded, paths, checked_pair(pair, loaded.pairs("text")))


def attribution_tables(config: ConfigOption) -> None:
    """Write the share of each pair's matches that their outputs confirm."""
    from rosetta.analysis.steps import attribution_tables_step

    loaded, paths = open_run(config)
    _check_compared(loaded)
    attribution_tables_step(loaded, paths)


def attribution_figures(config: ConfigOption) -> None:
    """Draw the share of matches that their outputs confirm."""
    from rosetta.report.steps import attribution_figures_step

    loaded, paths = open_run(config)
    _check_compared(loaded)
    attribution_figures_step(loaded, paths)


def _check_compared(config: Config) -> None:
    if config.attribution is None or not config.pairs("text"):
        raise ConfigError(
            "attribution: is null, or no ladder is of language models, so no two models are "
            "compared by what they write. Give the section, or such a ladder."
        )


@ablation_app.command()
def group(config: ConfigOption, group: GroupOption) -> None:
    """Measure what held-out samples cost a rung's models with neurons ablated."""
    from rosetta.ablation.steps import group_step

    group_step(*_open(config), group)


@ablation_app.command()
def tables(config: ConfigOption) -> None:
    """Write what ablations cost, with intervals."""
    from rosetta.ablation.steps import tables_step

    tables_step(*_open(config))


@ablation_app.command()
def figures(config: ConfigOption) -> None:
    """Draw what ablations cost."""
    from rosetta.report.steps import ablation_figures_step

    ablation_figures_step(*_open(config))


def _open(config: Path) -> tuple[Config, Paths]:
    loaded, paths = open_run(config)
    if loaded.ablation is None:
        raise ConfigError(
            "ablation: the configuration has no such section, so nothing is ablated. Add it."
        )
    return loaded, paths


_DEFAULTS = AblationSettings()

AblatedModel = Annotated[
    str,
    typer.Option("--model", help="folder, id on the hub, or with --config a model of that run"),
]
NeuronsFile = Annotated[Path, typer.Option(help="CSV with the columns layer and unit, both from 0")]
Texts = Annotated[
    Path | None,
    typer.Option(help="documents: JSON lines or parquet, a file or a folder of them"),
]
RunConfig = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="a run: it tells of its models, and without --texts its held-out split is read",
    ),
]
ModelOut = Annotated[
    Path | None, typer.Option("--out", callback=check_out, help="CSV to write; or printed")
]
SequenceLength = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="tokens kept from the start of each document; if not given, as many as the run reads, "
        "or the model (1024 at most)",
    ),
]
MostDocuments = Annotated[
    int | None,
    typer.Option(help="documents that are read at most", show_default=str(_DEFAULTS.max_documents)),
]
MostImages = Annotated[
    int | None,
    typer.Option(help="images that are seen at most", show_default=str(_DEFAULTS.max_images)),
]
TextColumn = Annotated[
    str | None, typer.Option(help="column of the text, with --texts", show_default="text")
]
DomainColumn = Annotated[str | None, typer.Option(help="column of a label, with --texts")]
Revision = Annotated[
    str | None, typer.Option(help="commit or tag of a model on the hub", show_default="main")
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="float32, bfloat16 or float16, of a model that is none of a run's",
        show_default="float32",
    ),
]
Nearest = Annotated[int, typer.Option(help="a neuron takes one of so many nearest others")]


def ablate(
    model: AblatedModel,
    neurons: NeuronsFile,
    texts: Texts = None,
    config: RunConfig = None,
    out: ModelOut = None,
    method: Annotated[str, typer.Option(help="mean or zero")] = _DEFAULTS.method,
    n_draws: Annotated[int, typer.Option(help="draws of other neurons")] = _DEFAULTS.n_draws,
    n_nearest: Nearest = _DEFAULTS.n_nearest,
    max_documents: MostDocuments = None,
    max_images: MostImages = None,
    seed: Annotated[int, typer.Option(help="of the draws")] = _DEFAULTS.seed,
    sequence_length: SequenceLength = None,
    batch_size: Annotated[int, typer.Option(min=1, help="per forward pass")] = 16,
    text_column: TextColumn = None,
    domain_column: DomainColumn = None,
    revision: Revision = None,
    dtype: Precision = None,
) -> None:
    """Ablate named neurons of any model: what that costs, beside as many others."""
    from rosetta.ablation.request import AblationRequest
    from rosetta.ablation.steps import ablate_step

    if texts is None and config is None:
        raise ConfigError("--texts: is not given, nor is --config. Give documents to read.")
    if dtype not in (None, "float32", "bfloat16", "float16"):
        raise ConfigError(f"--dtype: {dtype!r} is not float32, bfloat16 or float16.")
    check_kept([neurons, texts, config], out=out)
    how: dict[str, Any] = dict(method=method, n_draws=n_draws, n_nearest=n_nearest, seed=seed)
    limits = {"max_documents": max_documents, "max_images": max_images}
    how |= {name: limit for name, limit in limits.items() if limit is not None}
    settings = checked(AblationSettings, how, option_of)
    not_of_all = dict(
        **limits,
        sequence_length=sequence_length,
        text_column=text_column,
        domain_column=domain_column,
        revision=revision,
        dtype=dtype,
        config=config,
    )
    run = None if config is None else open_run(config)
    request = AblationRequest(
        model=model,
        revision=revision or "main",
        dtype=dtype or "float32",
        neurons=neurons,
        texts=texts,
        run=run,
        text_column=text_column or "text",
        domain_column=domain_column,
        settings=settings,
        sequence_length=sequence_length,
        batch_size=batch_size,
        given=frozenset(option_of(name) for name, one in not_of_all.items() if one is not None),
    )
    table = ablate_step(request, out)
    if out is None:
        print(table.dropna(axis="columns", how="all").to_string(index=False))


COMMANDS = (attribution, attribution_tables, attribution_figures, ablate)

"""The commands of the data-filtering corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, open_run, option_of
from rosetta.config.arguments import checked
from rosetta.config.filtering import FilterScoring, FilterSelection

filtering_app = typer.Typer(
    no_args_is_help=True,
    help="The filtered corpus of a run: its steps (docs/filtering.md). See also `rosetta filter`.",
)


@filtering_app.command("choose")
def choose_(config: ConfigOption) -> None:
    """Choose the neuron, and its comparisons, by their top contexts on the split `match`."""
    from rosetta.filtering.steps import choose_step

    choose_step(*open_run(config))


@filtering_app.command()
def pool(config: ConfigOption) -> None:
    """Write the pool's documents in shards."""
    from rosetta.filtering.steps import pool_step

    pool_step(*open_run(config))


@filtering_app.command()
def score(
    config: ConfigOption, shard: Annotated[int, typer.Option(help="number of the shard")]
) -> None:
    """Score one shard of the pool."""
    from rosetta.filtering.steps import score_step

    score_step(*open_run(config), shard)


@filtering_app.command()
def select(config: ConfigOption) -> None:
    """Select by every filter; write the neuron's corpus, and how well each filter finds."""
    from rosetta.filtering.steps import select_step

    select_step(*open_run(config))


@filtering_app.command()
def pretrain(
    config: ConfigOption,
    name: Annotated[
        str, typer.Option("--filter", help="whose selection is trained on; base: none")
    ],
    seed: Annotated[int, typer.Option(help="of the training, and of a random selection")],
) -> None:
    """Train a model on a selection, resuming a checkpoint; measure its held-out perplexity."""
    from rosetta.filtering.steps import pretrain_step

    pretrain_step(*open_run(config), name, seed)


@filtering_app.command()
def tables(config: ConfigOption) -> None:
    """Write the tables of all filters."""
    from rosetta.filtering.steps import tables_step

    tables_step(*open_run(config))


@filtering_app.command()
def figure(config: ConfigOption) -> None:
    """Draw what the filters find, and what that is worth."""
    from rosetta.report.steps import filtering_figure_step

    filtering_figure_step(*open_run(config))


_DEFAULTS = FilterScoring()

FilteredModel = Annotated[
    str, typer.Option(help="folder in Hugging Face format, or id of a model on the hub")
]
NeuronOption = Annotated[
    str, typer.Option(help="the neuron, like L3/U12, or L3/E17/U42 in expert 17; all from 0")
]
Pool = Annotated[
    Path,
    typer.Option(
        help="JSON lines (.jsonl, .ndjson, .json, also .zst or .gz) or parquet: a file, or "
        "a folder of them"
    ),
]
CorpusFolder = Annotated[
    Path, typer.Option(help="folder for the corpus and its scores; a killed run goes on there")
]
BudgetTokens = Annotated[
    int | None, typer.Option(help="take the best documents until they hold so many")
]
Count = Annotated[int | None, typer.Option(help="take so many documents")]
Percentile = Annotated[
    float | None,
    typer.Option(help="take documents whose score exceeds this percentile of all scores"),
]
Revision = Annotated[str, typer.Option(help="commit or tag of a model on the hub")]
TextColumn = Annotated[str, typer.Option(help="column of the text; dots reach into nested records")]
DomainColumn = Annotated[str | None, typer.Option(help="column of a label, kept beside the text")]
Score = Annotated[str, typer.Option(help="mean, max, top_mean or above")]
TopFraction = Annotated[float, typer.Option(help="of `top_mean`")]
Threshold = Annotated[float, typer.Option(help="of `above`")]
SequenceLength = Annotated[
    int | None,
    typer.Option(
        help="tokens read at a time; 1,024 if not given, or the model's context if shorter"
    ),
]
BatchSize = Annotated[int, typer.Option(help="pieces per forward pass")]
ShardMb = Annotated[
    float, typer.Option(min=0.001, help="text per shard, about; a killed run loses one")
]
Dtype = Annotated[
    str, typer.Option(help="float32, bfloat16 or float16: precision of the forward pass")
]


def filter_(
    model: FilteredModel,
    neuron: NeuronOption,
    pool: Pool,
    out: CorpusFolder,
    budget_tokens: BudgetTokens = None,
    count: Count = None,
    percentile: Percentile = None,
    revision: Revision = "main",
    text_column: TextColumn = "text",
    domain_column: DomainColumn = None,
    score: Score = _DEFAULTS.score,
    top_fraction: TopFraction = _DEFAULTS.top_fraction,
    threshold: Threshold = _DEFAULTS.threshold,
    sequence_length: SequenceLength = None,
    batch_size: BatchSize = _DEFAULTS.batch_size,
    shard_mb: ShardMb = 16.0,
    dtype: Dtype = "float32",
) -> None:
    """Filter any pool by one neuron: score all documents, write the best as a corpus."""
    from rosetta.filtering.request import FilterRequest
    from rosetta.filtering.steps import filter_step

    how = dict(score=score, top_fraction=top_fraction, threshold=threshold, batch_size=batch_size)
    length = {} if sequence_length is None else {"sequence_length": sequence_length}
    wanted = dict(budget_tokens=budget_tokens, count=count, percentile=percentile)
    model_facts = dict(model=model, revision=revision, neuron=neuron, dtype=dtype)
    columns = dict(text_column=text_column, domain_column=domain_column)
    request = FilterRequest(
        **model_facts,
        **columns,
        pool=pool,
        shard_bytes=shard_mb * 1e6,
        scoring=checked(FilterScoring, {**how, **length}, option_of),
        selection=checked(FilterSelection, wanted, option_of),
        whole_context=sequence_length is None,
    )
    filter_step(request, out)


COMMANDS = (filter_,)

"""The commands of sparse autoencoders."""

from __future__ import annotations

from rosetta.cli.options import (
    ConfigOption,
    ModelOption,
    PairOption,
    ThreadsOption,
    checked_pair,
    cores_of,
    on_cores,
    open_run,
)


def sae(config: ConfigOption, model: ModelOption) -> None:
    """Train the sparse autoencoders of a model on its stores, or read them, and judge them."""
    from rosetta.sae.steps import sae_step

    sae_step(*open_run(config), model)


def sae_encode(config: ConfigOption, model: ModelOption) -> None:
    """Write the features of a model's stores, given by their name."""
    from rosetta.sae.steps import sae_encode_step

    sae_encode_step(*open_run(config), model)


def sae_match(config: ConfigOption, pair: PairOption, threads: ThreadsOption = None) -> None:
    """Match the features of a pair, also under exchanged samples and on half of them."""
    from rosetta.sae.steps import sae_match_step

    loaded, paths = open_run(config)
    pair = checked_pair(pair, loaded.pairs())
    sae_match_step(on_cores(loaded, threads), paths, pair, cores_of(loaded, threads))


def sae_tables(config: ConfigOption) -> None:
    """Write what autoencoders say of models, neurons and rungs, and which features match."""
    from rosetta.sae.steps import sae_tables_step

    sae_tables_step(*open_run(config))


def sae_figures(config: ConfigOption) -> None:
    """Draw what autoencoders say of neurons, and how many of their features match."""
    from rosetta.report.steps import sae_figures_step

    sae_figures_step(*open_run(config))


COMMANDS = (sae, sae_encode, sae_match, sae_tables, sae_figures)

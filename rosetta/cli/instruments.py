"""The commands that compare ways to match."""

from __future__ import annotations

from rosetta.cli.options import (
    ConfigOption,
    PairOption,
    ThreadsOption,
    checked_pair,
    cores_of,
    open_run,
)
from rosetta.config import Config
from rosetta.errors import ConfigError


def instruments(config: ConfigOption, pair: PairOption, threads: ThreadsOption = None) -> None:
    """Match a pair by all instruments of the run, on halves of its samples."""
    from rosetta.instruments.steps import instruments_step

    loaded, paths = open_run(config)
    _check_asked(loaded)
    pair = checked_pair(pair, loaded.all_pairs())
    instruments_step(loaded, paths, pair, cores_of(loaded, threads))


def instrument_tables(config: ConfigOption) -> None:
    """Write counts, exponents and similarities under all instruments."""
    from rosetta.instruments.steps import instrument_tables_step

    loaded, paths = open_run(config)
    _check_asked(loaded)
    instrument_tables_step(loaded, paths)


def instrument_figures(config: ConfigOption) -> None:
    """Draw exponents, counts and similarities under all instruments."""
    from rosetta.report.steps import instrument_figures_step

    loaded, paths = open_run(config)
    _check_asked(loaded)
    instrument_figures_step(loaded, paths)


def _check_asked(config: Config) -> None:
    if not config.matching.instruments:
        raise ConfigError(
            "matching.instruments: is empty. Name those that are to be compared, mutual_nearest "
            "among them."
        )


COMMANDS = (instruments, instrument_tables, instrument_figures)

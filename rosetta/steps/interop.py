"""Steps that exchange matches with the published code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from rosetta.analysis.counts import model_shape
from rosetta.config import Config, entry_of
from rosetta.config.base import Name
from rosetta.config.messages import describe_problems
from rosetta.errors import ConfigError, StoreError
from rosetta.matching.interchange import buddies_text, read_buddies
from rosetta.matching.mutual import MATCH_COLUMNS, NOTE_COLUMNS
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.atomic import replacing
from rosetta.storage.digests import digest_file
from rosetta.storage.tables import read_parquet, write_parquet


def import_step(
    file: Path, models: tuple[str, str], out: Path, k: int | None, run: tuple[Config, Paths] | None = None
) -> None:
    """Write a `best_buddies.json` as matches of two models; what it does not tell is NaN.

    Parameters
    ----------
    file, out : Path
        What to read and to write.
    models : tuple of str
        What the file's models 1 and 2 are called.
    k : int or None
        Keep ranks up to k; all if None.
    run : tuple of Config and Paths, or None
        A run whose models these are. Every neuron must then be one of theirs.
    """
    _check_names(*models)
    matches = read_buddies(file, *models, k)
    if run:
        _check_neurons(matches, models, run, file)
    largest = int(matches[["rank_a", "rank_b"]].to_numpy().max(initial=0))
    mean = f", mean r {matches['r'].mean():.3f}, largest rank {largest}" if len(matches) else ""
    say(f"{len(matches)} matches of {models[0]} and {models[1]}{mean}")
    imported = {"imported_from": file.name, "digest": digest_file(file), "k": k or largest}
    write_parquet(out, matches.assign(**dict.fromkeys(NOTE_COLUMNS, np.nan)), imported)


def _check_names(a: str, b: str) -> None:
    for option, name in (("--a", a), ("--b", b)):
        try:
            TypeAdapter(Name).validate_python(name)
        except ValidationError as error:
            raise ConfigError(f"{option}: {describe_problems(error.errors())[0]}") from None
    if a == b:
        raise ConfigError(f"--b: {b} is the name of model 1, too. Give models different names.")


def _check_neurons(matches: pd.DataFrame, models: tuple[str, str], run: tuple[Config, Paths], file: Path) -> None:
    config, paths = run
    for side, model in zip("ab", models, strict=True):
        entry_of(config.models, model, f"--{side}: models")
        shape = model_shape(paths, model)
        layer, unit = matches[f"layer_{side}"], matches[f"unit_{side}"]
        strange = matches[(layer >= shape.n_layers) | (unit >= shape.d_mlp)]
        if len(strange):
            layer, unit = strange[[f"layer_{side}", f"unit_{side}"]].iloc[0]
            raise StoreError(
                f"{file}: has unit {unit} of layer {layer}, and {model} has {shape.n_layers} layers × {shape.d_mlp} "
                "units. Give the names in the file's order, model 1 as --a."
            )


def export_step(matches: Path, out: Path) -> None:
    """Write the matches of one pair as a `best_buddies.json`, without a digest beside it: it is for other programs."""
    table = read_parquet(matches, MATCH_COLUMNS)
    pairs = len(table[["model_a", "model_b"]].drop_duplicates())
    if pairs > 1:
        raise StoreError(f"{matches}: holds matches of {pairs} pairs; the form has room for one. Export each alone.")
    with replacing(out) as temporary:
        temporary.write_text(buddies_text(table), encoding="utf-8")
    say(f"{len(table)} matches")

"""The steps that compare ways to match: of a pair, and of all rungs."""

from __future__ import annotations

from rosetta.config import Config
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.storage.tables import write_csv, write_parquet


def instruments_step(config: Config, paths: Paths, pair: str, threads: int | None = None) -> None:
    """Match a pair by all instruments, on halves of its samples; of first trainings also under a
    null model, with a calibrated similarity.

    All cores of its tasks work, unless `threads` says how many.

    Metadata of the matches: `reasons` (why an instrument or the similarity was left out), `halves`
    (what instruments tell besides), `n_positions`, `n_components`, `variance_shares`, `similarity`.
    """
    import torch

    from rosetta.activations.folders import open_stores
    from rosetta.instruments.pair import AskedPair, measure_pair

    torch.set_num_threads(threads or config.dask.cores)
    say(f"{pair}: instruments on {torch.get_num_threads()} thread(s)")
    stores_a, stores_b = map(open_stores, files.store_folders(config, paths, pair))
    table = files.sample_table(config, paths, pair)
    asked = AskedPair(config, (stores_a, stores_b), table, calibrated=config.is_first(pair))
    measured = measure_pair(asked)
    for left_out, reason in measured.reasons.items():
        say(f"{pair}: {left_out} is left out: {reason}")
    of_pair = measured.found[~measured.found["null"].astype(bool)]
    for name, part in of_pair.groupby("instrument", sort=False):
        n_halves = part["half_sample"].nunique()
        say(f"{pair}, {name}: {len(part) / n_halves:.1f} matches, mean r {part['r'].mean():.3f}")
    facts = {**measured.facts, "halves": measured.halves, "reasons": measured.reasons}
    write_parquet(paths.instruments(pair), measured.found, facts)


def instrument_tables_step(config: Config, paths: Paths) -> None:
    """Write counts, exponents and similarities under all instruments."""
    from rosetta.instruments.laws import instrument_laws
    from rosetta.instruments.tables import read_measured, rung_tables, similarity_table

    measured = read_measured(config, paths)
    tables = rung_tables(config, paths, measured)
    write_csv(paths.table("instruments"), tables.rungs)
    write_csv(paths.table("instrument_scaling"), instrument_laws(tables.points, tables.halves))
    write_csv(paths.table("similarity"), similarity_table(config, paths, measured))

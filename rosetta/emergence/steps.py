"""The steps on training ladders: what neurons were at a step, and when they emerge."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from rosetta.config import PAIR_SEPARATOR, Config, group_name
from rosetta.config.across_seeds import seed_pairs
from rosetta.config.names import first_training
from rosetta.emergence.columns import FINAL_PAIR_COLUMNS, NOT_EXCHANGED, SEED_MATCH_COLUMNS
from rosetta.emergence.counts import emergence_table
from rosetta.emergence.groups import group_table
from rosetta.emergence.lasting import curve_table, neuron_table, survival_table
from rosetta.emergence.rungs import read_steps
from rosetta.errors import ConfigError
from rosetta.matching.mutual import PAIR_KEYS
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.run.stages import files
from rosetta.run.stages.emergence import final_pair
from rosetta.storage.tables import read_parquet, write_csv, write_parquet


def past_step(config: Config, paths: Paths, pair: str) -> None:
    """Write what all units, and the matches of the end, were at a step of a pair's training.

    `pair` is its name at the step.
    """
    import torch

    from rosetta.activations.folders import open_stores
    from rosetta.correlation.aligned import align_pair
    from rosetta.correlation.view import View
    from rosetta.emergence.own_past import final_pairs, own_past

    torch.set_num_threads(1)  # sums split over threads round differently
    pooling, n_shards = config.alignment.pooling, config.activations.n_shards
    names, view = pair.split(PAIR_SEPARATOR), View.of(config)
    a, b = (open_stores(paths.stores(name, n_shards)) for name in names)
    units = []
    for name, stores in zip(names, (a, b), strict=True):
        end = open_stores(paths.stores(first_training(name), n_shards))
        units.append(own_past(align_pair(stores, end, view), pooling, name))
    matches = read_parquet(paths.matches(final_pair(pair)), PAIR_KEYS)
    view = replace(view, sample_table=files.sample_table(config, paths, pair))
    aligned = align_pair(a, b, view)
    found = final_pairs(aligned, matches, pooling, config.intervals.n_blocks)
    every = pd.concat(units, ignore_index=True)
    say(f"{pair}: own r {every['own_r'].mean():.3f}, r of final pairs {found['r'].mean():.3f}")
    write_parquet(paths.own_past(pair), every)
    write_parquet(paths.final_pairs(pair), found)


def seed_matches_step(config: Config, paths: Paths, model: str) -> None:
    """Match the trainings of a model with one another, and with samples exchanged.

    Raises
    ------
    ConfigError
        If `across_seeds.models` does not name the model.
    """
    from rosetta.activations.folders import open_stores
    from rosetta.activations.whole_moments import dead_neurons
    from rosetta.correlation.view import View
    from rosetta.matching.views import match_view, null_view, view_scratch

    if model not in config.across_seeds.models:
        named = ", ".join(config.across_seeds.models) or "none"
        raise ConfigError(f"--model: {model} is not among across_seeds.models, which are {named}.")
    n_shards, seeds = config.activations.n_shards, config.controls.document_seeds
    out, tables, positions = paths.seed_matches(model), [], []
    with view_scratch(out) as scratch:
        for pair in seed_pairs(config, model):
            a, b = (paths.stores(name, n_shards) for name in pair)
            table = files.sample_table(config, paths, group_name(pair))
            exchanged = {seed: null_view(config, table, "documents", seed) for seed in seeds}
            for seed, view in {NOT_EXCHANGED: View.of(config), **exchanged}.items():
                matches, facts = match_view(config, a, b, scratch, view)
                told = matches.assign(training_a=pair[0], training_b=pair[1], seed=seed)
                tables.append(told[SEED_MATCH_COLUMNS])
                if seed == NOT_EXCHANGED:
                    positions.append(facts["n_positions"])
            of_pair = tables[-1 - len(seeds)]
            say(f"{group_name(pair)}: {len(of_pair)} matches, mean r {of_pair['r'].mean():.3f}")
        found = pd.concat(tables, ignore_index=True)
        stores = {name: paths.stores(name, n_shards) for name in config.replicates(model)}
        dead = {name: dead_neurons(open_stores(one)).tolist() for name, one in stores.items()}
        write_parquet(out, found, {"n_positions": min(positions), "dead": dead})


def across_seeds_step(config: Config, paths: Paths) -> None:
    """Write how many trainings of one recipe share each neuron, and whether other families do."""
    from rosetta.emergence.across_seeds import seed_tables

    tables: dict[str, list[pd.DataFrame]] = {}
    for model in config.across_seeds.models:
        found = seed_tables(config, paths, model)
        share = found["across_seeds"]["share"].iloc[0]
        say(f"{model}: a neuron has partners in {share:.0%} of the other trainings")
        for name, table in found.items():
            tables.setdefault(name, []).append(table)
    for name, parts in tables.items():
        write_csv(paths.table(name), pd.concat(parts, ignore_index=True))


def emergence_step(config: Config, paths: Paths) -> None:
    """Write when the Rosetta Neurons of all training ladders emerge, and how long matches last."""
    tables: dict[str, list[pd.DataFrame]] = {}
    for ladder in config.training_ladders:
        steps = read_steps(config, paths, ladder)
        pasts = [
            read_parquet(paths.final_pairs(step.rung.pair), FINAL_PAIR_COLUMNS)
            for step in steps[:-1]
        ]
        found = {
            "emergence": emergence_table(config, paths, ladder, steps, pasts),
            "survival": survival_table(ladder, steps),
            "survival_curve": curve_table(ladder, steps),
            "emergence_neurons": neuron_table(ladder, steps, pasts),
            "emergence_groups": group_table(config, paths, ladder, steps),
        }
        counted = found["emergence"]["above_all"].dropna().astype(int).tolist()
        say(f"{ladder}: {steps[0].reason or f'{counted} matches above all null models'}")
        for name, table in found.items():
            tables.setdefault(name, []).append(table)
    for name, parts in tables.items():
        write_csv(paths.table(name), pd.concat(parts, ignore_index=True))

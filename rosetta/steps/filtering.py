"""Steps of the filtering corpus that load no model: the pool, the selections, the tables."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rosetta.config import Config
from rosetta.config.filtering import FILTERS, Filtering, HubSource
from rosetta.errors import ConfigError, PlanError
from rosetta.filtering import corpus, pool
from rosetta.filtering.assess import Filter, amount_of, apply, assess, filters_of
from rosetta.filtering.recovery import RECOVERY_COLUMNS, SHARE_COLUMNS
from rosetta.filtering.results import results_table, summary_table
from rosetta.filtering.scores import write_all_scores
from rosetta.filtering.select import Amount
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import Document, Text, document_name
from rosetta.inputs.text.records import file_texts, hub_texts, keys_of, left_out
from rosetta.progress import say
from rosetta.run.paths import FilterPaths, Paths
from rosetta.run.stages import made_by, training_name
from rosetta.steps.filter_card import run_card
from rosetta.storage.files import read_manifest, write_manifest
from rosetta.storage.tables import read_csv, write_csv, write_parquet

SELECTIONS = "filter-selections"
TRAINING = "filter-training"


def filter_of(config: Config, paths: Paths) -> tuple[Filtering, FilterPaths]:
    """Return the section `filtering` and where its outputs lie.

    Raises
    ------
    ConfigError
        If the configuration has no such section.
    """
    if config.filtering is None:
        raise ConfigError("filtering: the configuration has no such section, so there is nothing to filter. Add it.")
    return config.filtering, paths.filtering(config.filtering.name)


def pool_step(config: Config, paths: Paths) -> None:
    """Write the pool in shards."""
    filtering, where = filter_of(config, paths)
    source, unread = filtering.pool.source, []
    if source is None:
        documents = read_split(paths, "pool")
        n_split = len(documents)
        if filtering.pool.target_share is not None:
            documents = pool.thinned(documents, filtering.target, filtering.pool.target_share, config.corpus.seed)
        counts = {"split": n_split, "thinned_out": n_split - len(documents), "accepted": len(documents)}
        taken = map(Document._make, documents[list(Document._fields)].itertuples(index=False))
    else:
        fresh, keys = pool.Fresh(known_names(paths)), keys_of("filtering.pool.source")
        if isinstance(source, HubSource):
            texts = hub_texts(source, keys)
        else:
            texts, unread = file_texts(source, keys), left_out(source.path, keys.path)
        counts, taken = fresh.counts, fresh.documents(Text._make(text) for text in texts)
    pool.write_pool(taken, where, filtering.pool.n_shards, made_by(config, "filter_pool"), counts, unread)
    say(f"pool: {counts}, {read_manifest(where.pool_manifest, pool.KIND)['domains']}")


def known_names(paths: Paths) -> set[str]:
    """Return the names of the documents that no pool of its own may hold, and of the texts that they are pieces of."""
    splits = [read_split(paths, split) for split in ("match", "heldout")]
    return {name for split in splits for name in (*map(document_name, split["id"].tolist()), *split["source"].tolist())}


def select_step(config: Config, paths: Paths) -> None:
    """Apply every filter to the pool; write what each selects and how well, and the neuron's selection as a corpus."""
    filtering, where = filter_of(config, paths)
    amount = amount_of(where, filtering.selection, filtering.target)
    neuron = apply(where, Filter("rosetta", filtering.target), amount)
    if not len(neuron.id):
        raise PlanError("filtering.selection: no document's score exceeds this percentile, so none is left. Lower it.")
    counts = corpus.count(where, neuron)
    card = run_card(config, paths, counts, amount)
    # All filters take as many tokens as the neuron, whatever the rule by which it took them.
    budget = amount.tokens or int(neuron.tokens.sum())
    held: dict[str, dict[str, int]] = {}
    rows, shares = [], []
    for chosen in filters_of(filtering.target, filtering.seeds):
        selected = neuron if chosen.name == "rosetta" else apply(where, chosen, Amount(tokens=budget))
        row, share = assess(where, chosen, selected)
        rows.append(row)
        shares.append(share)
        held[chosen.file] = {"documents": len(selected.id), "tokens": int(selected.tokens.sum())}
        write_parquet(where.selection(chosen.file), pd.DataFrame(selected._asdict()))
        say(f"{chosen.file}: {held[chosen.file]}, precision {row['precision']:.3f}, recall {row['recall']:.3f}")
    write_csv(where.recovery, pd.DataFrame(rows, columns=RECOVERY_COLUMNS))
    write_csv(where.shares, pd.concat(shares, ignore_index=True))
    write_all_scores(where, np.sort(neuron.id))
    made = made_by(config, "filter_select")
    corpus.write_corpus(where, neuron, counts, card, made)
    write_manifest(where.selections_manifest, {"kind": SELECTIONS, "made_by": made, "budget": budget, "held": held})


def filter_tables_step(config: Config, paths: Paths) -> None:
    """Write the tables of all filters: per seed, their means, and what they take of each domain."""
    filtering, where = filter_of(config, paths)
    recovered, shares = read_csv(where.recovery, RECOVERY_COLUMNS), read_csv(where.shares, SHARE_COLUMNS)
    trained = pd.DataFrame(
        [read_manifest(where.training(training_name(*job)), TRAINING) for job in filtering.trainings()],
        columns=["filter", "seed", "perplexity"],
    )
    table = results_table(recovered, trained)
    write_csv(paths.table("filtering"), table)
    summary = summary_table(table, recovered, ["base", *FILTERS])
    write_csv(paths.table("filtering_summary"), summary)
    write_csv(paths.table("filtering_domains"), shares)
    say(summary.to_string(index=False))

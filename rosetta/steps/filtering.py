"""Steps from a target domain to a filtered corpus: choose a neuron, write the pool, score it, select."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from rosetta.analysis.populations import cluster_numbers
from rosetta.analysis.profiles import CONTEXT_COLUMNS, NEURON_COLUMNS
from rosetta.config import Config, group_name
from rosetta.config_filtering import NEURON_FILTERS, Filtering, HubSource
from rosetta.corpus.build import read_split
from rosetta.corpus.documents import Document, Text, document_name
from rosetta.corpus.records import file_texts, hub_texts, keys_of
from rosetta.errors import ConfigError, PlanError
from rosetta.files import read_manifest, write_manifest
from rosetta.filtering import corpus, pool
from rosetta.filtering.assess import Filter, amount_of, apply, assess, check_target, filters_of
from rosetta.filtering.baselines import Classifier
from rosetta.filtering.choose import CHOICE, best_candidates, candidates, choose, with_roles
from rosetta.filtering.recovery import RECOVERY_COLUMNS
from rosetta.filtering.score import Neuron, Scorer, encode
from rosetta.filtering.scores import write_all_scores, write_scores
from rosetta.filtering.select import Amount
from rosetta.matching import ROSETTA_COLUMNS
from rosetta.models import loading
from rosetta.models.neurons import NeuronShape
from rosetta.paths import FilterPaths, Paths
from rosetta.progress import say
from rosetta.stages import made_by
from rosetta.steps.filter_card import run_card
from rosetta.tables import read_parquet, write_csv, write_parquet

SELECTIONS = "filter-selections"
SHOWN_CANDIDATES = 10


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


def choose_step(config: Config, paths: Paths) -> None:
    """Choose the neurons by their top contexts on the split `match`, and train the classifier on the same documents."""
    filtering, where = filter_of(config, paths)
    model, group = config.filter_model(), group_name(config.filter_group())
    neurons = read_parquet(paths.neurons(model), NEURON_COLUMNS)
    shape = NeuronShape(int(neurons["layer"].max()) + 1, int(neurons["unit"].max()) + 1)
    mask = cluster_numbers(read_parquet(paths.rosetta(group), ROSETTA_COLUMNS), model, shape) >= 0
    contexts = read_parquet(paths.contexts(model), CONTEXT_COLUMNS)
    table = candidates(neurons, contexts, mask, filtering.target, filtering.n_contexts)
    chosen = choose(table)
    table = with_roles(table, chosen)
    for role, neuron in chosen.items():
        row = table[(table["layer"] == neuron.layer) & (table["unit"] == neuron.unit)].iloc[0]
        say(f"{role}: {neuron}, purity {row['purity']:.2f}, mean normalised activation {row['mean_activation']:.2f}")
    write_parquet(where.candidates, table)
    write_csv(paths.table("filtering_candidates"), best_candidates(table, SHOWN_CANDIDATES))
    documents = read_split(paths, "match", config.activations.max_documents)
    tokenizer = loading.load_tokenizer(loading.model_source(config, paths, model))
    tokens = [found.ids[found.is_text] for found in encode(tokenizer, documents["text"].tolist())]
    is_target = (documents["domain"] == filtering.target).to_numpy()
    write_parquet(where.classifier, Classifier.fit(tokens, is_target, len(tokenizer)).to_table())
    found = {
        "model": model,
        "group": group,
        "neurons": {role: list(neuron) for role, neuron in chosen.items()},
        "n_candidates": {"rosetta": int(table["is_rosetta"].sum()), "others": int((~table["is_rosetta"]).sum())},
        "labelled_documents": len(documents),
        "labelled_target": int(is_target.sum()),
    }
    write_manifest(where.choice, {"kind": CHOICE, "made_by": made_by(config, "filter_choose"), **found})


def pool_step(config: Config, paths: Paths) -> None:
    """Write the pool in shards."""
    filtering, where = filter_of(config, paths)
    source = filtering.pool.source
    if source is None:
        documents = read_split(paths, "pool")
        n_split = len(documents)
        if filtering.pool.target_share is not None:
            documents = pool.thinned(documents, filtering.target, filtering.pool.target_share, config.corpus.seed)
        counts = {"split": n_split, "thinned_out": n_split - len(documents), "accepted": len(documents)}
        taken = map(Document._make, documents[list(Document._fields)].itertuples(index=False))
    else:
        fresh, keys = pool.Fresh(known_names(paths)), keys_of("filtering.pool.source")
        texts = hub_texts(source, keys) if isinstance(source, HubSource) else file_texts(source, keys)
        counts, taken = fresh.counts, fresh.documents(Text._make(text) for text in texts)
    pool.write_pool(taken, where, filtering.pool.n_shards, made_by(config, "filter_pool"), counts)
    say(f"pool: {counts}, {read_manifest(where.pool_manifest, pool.KIND)['domains']}")


def known_names(paths: Paths) -> set[str]:
    """Return the names of the documents that no pool of its own may hold, and of the texts that they are pieces of."""
    splits = [read_split(paths, split) for split in ("match", "heldout")]
    return {name for split in splits for name in (*map(document_name, split["id"].tolist()), *split["source"].tolist())}


def score_step(config: Config, paths: Paths, shard: int) -> None:
    """Score one shard of the pool by all chosen neurons and the classifier, in one pass."""
    filtering, where = filter_of(config, paths)
    if not 0 <= shard < filtering.pool.n_shards:
        raise ConfigError(f"--shard: {shard} is not among the {filtering.pool.n_shards} shards of filtering.pool.")
    check_target(read_manifest(where.pool_manifest, pool.KIND)["domains"], filtering)
    torch.set_num_threads(1)
    model = config.filter_model()
    source = loading.model_source(config, paths, model)
    loading.check_weights(source, read_manifest(paths.model_manifest(model), loading.KIND))
    length = filtering.scoring.sequence_length
    loading.check_context(loading.load_config_of(source), length, "filtering.scoring.sequence_length")
    choice = read_manifest(where.choice, CHOICE)
    counter = None
    if filtering.pretraining and filtering.pretraining.model != model:
        counter = loading.load_tokenizer(loading.model_source(config, paths, filtering.pretraining.model))
    scorer = Scorer(
        loading.load_model(source).to(loading.best_device()),
        loading.load_tokenizer(source),
        {name: Neuron(*choice["neurons"][name]) for name in NEURON_FILTERS},
        filtering.scoring,
        model,
        Classifier.from_table(read_parquet(where.classifier)),
        counter,
    )
    write_scores(where, shard, scorer.score(pool.read_shard(where, shard)), made_by(config, "filter_score"))


def select_step(config: Config, paths: Paths) -> None:
    """Apply every filter to the pool; write what each selects and how well, and the neuron's selection as a corpus."""
    filtering, where = filter_of(config, paths)
    amount = amount_of(where, filtering.selection, filtering.target)
    neuron = apply(where, Filter("rosetta", filtering.target), amount)
    if not len(neuron.id):
        raise PlanError("filtering.selection: no document's score exceeds this percentile, so none is left. Lower it.")
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
    counts = corpus.count(where, neuron)
    card = run_card(config, paths, counts, amount)
    corpus.write_corpus(where, neuron, counts, card, made)
    write_manifest(where.selections_manifest, {"kind": SELECTIONS, "made_by": made, "budget": budget, "held": held})

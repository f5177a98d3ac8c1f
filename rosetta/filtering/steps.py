"""The steps of filtering: choose a neuron, score a pool by it, select, train; `rosetta filter`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rosetta import __version__
from rosetta.analysis.columns import CONTEXT_COLUMNS, NEURON_COLUMNS
from rosetta.analysis.counts import model_shape
from rosetta.analysis.populations import cluster_numbers
from rosetta.config import Config, group_name
from rosetta.config.filtering import FILTERS, NEURON_FILTERS, Filtering, FilterSelection, HubSource
from rosetta.errors import ConfigError, CorpusError, PlanError
from rosetta.filtering import corpus, pool_shards, requested_pool
from rosetta.filtering.assess import (
    Filter,
    amount_of,
    apply,
    assess,
    check_target,
    filters_of,
)
from rosetta.filtering.baselines import Classifier
from rosetta.filtering.card_points import domain_points, model_point, rule_points, run_card
from rosetta.filtering.choose import CHOICE, best_candidates, candidates, choose, with_roles
from rosetta.filtering.corpus_card import render_card
from rosetta.filtering.pool_documents import Fresh, known_names, thinned
from rosetta.filtering.precision_recall import (
    PERCENTILE_COLUMNS,
    RECOVERY_COLUMNS,
    SHARE_COLUMNS,
)
from rosetta.filtering.request import FilterRequest
from rosetta.filtering.results import results_table, summary_table
from rosetta.filtering.select import Amount, read_blocks, select
from rosetta.filtering.selected_texts import SELECTIONS, least_tokens, selected_texts, selection_of
from rosetta.filtering.stored_scores import read_scores, write_all_scores, write_scores
from rosetta.inputs.text.build import read_split
from rosetta.inputs.text.documents import Document, Text
from rosetta.inputs.text.records import file_texts, hub_texts, keys_of, left_out
from rosetta.matching.mutual import ROSETTA_COLUMNS
from rosetta.models.known_sizes import Size, scoring_demand
from rosetta.models.neurons import Neuron, NeuronShape
from rosetta.models.sources import model_source
from rosetta.progress import say
from rosetta.run.paths import FilterPaths, Paths
from rosetta.run.stages import made_by, training_name
from rosetta.storage.manifests import read_manifest, write_manifest
from rosetta.storage.tables import read_csv, read_parquet, write_csv, write_parquet

TRAINING = "filter-training"
SHOWN_CANDIDATES = 10


def _filtering_of(config: Config, paths: Paths) -> tuple[Filtering, FilterPaths]:
    """Return the section `filtering` and where its outputs lie."""
    if config.filtering is None:
        raise ConfigError(
            "filtering: the configuration has no such section, so there is nothing to filter. "
            "Add it."
        )
    return config.filtering, paths.filtering(config.filtering.name)


def choose_step(config: Config, paths: Paths) -> None:
    """Choose the neurons by their top contexts on the split `match`; train the classifier on it."""
    filtering, where = _filtering_of(config, paths)
    model, group = config.filter_model(), group_name(config.filter_group())
    neurons = read_parquet(paths.neurons(model), NEURON_COLUMNS)
    shape = model_shape(paths, model)
    rosetta = read_parquet(paths.rosetta(group), ROSETTA_COLUMNS)
    mask = cluster_numbers(rosetta, model, shape) >= 0
    contexts = read_parquet(paths.contexts(model), CONTEXT_COLUMNS)
    table = candidates(neurons, contexts, mask, filtering.target, filtering.n_contexts)
    chosen = choose(table)
    table = with_roles(table, chosen)
    for role, neuron in chosen.items():
        row = table[(table["layer"] == neuron.layer) & (table["unit"] == neuron.unit)].iloc[0]
        purity, mean = f"purity {row['purity']:.2f}", f"{row['mean_activation']:.2f}"
        say(f"{role}: {shape.name(*neuron)}, {purity}, mean normalised activation {mean}")
    write_parquet(where.candidates, table)
    write_csv(paths.table("filtering_candidates"), best_candidates(table, SHOWN_CANDIDATES))
    is_target = _write_classifier(config, paths, model)
    n_rosetta = int(table["is_rosetta"].sum())
    found = {
        "model": model,
        "group": group,
        "neurons": {role: list(neuron) for role, neuron in chosen.items()},
        "n_candidates": {"rosetta": n_rosetta, "others": len(table) - n_rosetta},
        "labelled_documents": len(is_target),
        "labelled_target": int(is_target.sum()),
    }
    made = made_by(config, "filter_choose")
    write_manifest(where.choice, {"kind": CHOICE, "made_by": made, **found})


def _write_classifier(config: Config, paths: Paths, model: str) -> np.ndarray:
    """Train the classifier on the split `match`; return which documents are the target's."""
    from rosetta.filtering.document_scores import encode
    from rosetta.models.tokenizers import token_ids

    filtering, where = _filtering_of(config, paths)
    documents = read_split(paths, "match", config.activations.max_documents)
    tokenizer = _tokenizer(config, paths, model)
    tokens = [found.ids[found.is_text] for found in encode(tokenizer, documents["text"].tolist())]
    is_target = (documents["domain"] == filtering.target).to_numpy()
    classifier = Classifier.fit(tokens, is_target, max(token_ids(tokenizer)) + 1)
    write_parquet(where.classifier, classifier.to_table())
    return is_target


def _tokenizer(config: Config, paths: Paths, model: str) -> Any:
    from rosetta.models.model_manifest import checked_manifest
    from rosetta.models.tokenizers import checked_tokenizer

    source = model_source(config, paths, model)
    return checked_tokenizer(source, checked_manifest(source, paths.model_manifest(model)))


def pool_step(config: Config, paths: Paths) -> None:
    """Write the pool in shards."""
    filtering, where = _filtering_of(config, paths)
    source, unread = filtering.pool.source, []
    if source is None:
        documents = read_split(paths, "pool")
        n_split = len(documents)
        if filtering.pool.target_share is not None:
            documents = thinned(
                documents, filtering.target, filtering.pool.target_share, config.corpus.seed
            )
        counts = {
            "split": n_split,
            "thinned_out": n_split - len(documents),
            "accepted": len(documents),
        }
        taken = map(Document._make, documents[list(Document._fields)].itertuples(index=False))
    else:
        fresh, keys = Fresh(known_names(paths)), keys_of("filtering.pool.source")
        if isinstance(source, HubSource):
            texts = hub_texts(source, keys)
        else:
            texts, unread = file_texts(source, keys), left_out(source.path, keys.path)
        counts, taken = fresh.counts, fresh.documents(Text._make(text) for text in texts)
    pool_shards.write_pool(
        taken, where, filtering.pool.n_shards, made_by(config, "filter_pool"), counts, unread
    )
    say(f"pool: {counts}, {read_manifest(where.pool_manifest, pool_shards.KIND)['domains']}")


def score_step(config: Config, paths: Paths, shard: int) -> None:
    """Score one shard of the pool by all chosen neurons and the classifier, in one pass."""
    import torch

    from rosetta.filtering.document_scores import Scorer
    from rosetta.models import loading
    from rosetta.models.devices import room_here
    from rosetta.models.loading_within_memory import load_placed
    from rosetta.models.model_manifest import checked_manifest
    from rosetta.models.tokenizers import checked_tokenizer

    filtering, where = _filtering_of(config, paths)
    n_shards = filtering.pool.n_shards
    if not 0 <= shard < n_shards:
        raise ConfigError(f"--shard: {shard} is not among the {n_shards} shards of filtering.pool.")
    check_target(read_manifest(where.pool_manifest, pool_shards.KIND)["domains"], filtering)
    torch.set_num_threads(1)
    model = config.filter_model()
    source = model_source(config, paths, model)
    manifest = checked_manifest(source, paths.model_manifest(model))
    length = filtering.scoring.sequence_length
    model_config = loading.load_config_of(source)
    loading.check_context(model_config, length, "filtering.scoring.sequence_length")
    choice = read_manifest(where.choice, CHOICE)
    counter = None
    if filtering.pretraining and filtering.pretraining.model != model:
        counter = _tokenizer(config, paths, filtering.pretraining.model)
    size = Size(NeuronShape.of(manifest), manifest["n_parameters"])
    demand = scoring_demand(config, source.dtype, size)
    scorer = Scorer(
        load_placed(source, demand, room_here(config.devices), filtering.scoring.batch_size)[0],
        checked_tokenizer(source, manifest),
        {name: Neuron(*choice["neurons"][name]) for name in NEURON_FILTERS},
        filtering.scoring,
        model,
        Classifier.from_table(read_parquet(where.classifier)),
        counter,
    )
    scores = scorer.score(pool_shards.read_shard(where, shard))
    write_scores(where, shard, scores, made_by(config, "filter_score"))


def select_step(config: Config, paths: Paths) -> None:
    """Apply every filter to the pool; write the results, and the neuron's selection."""
    filtering, where = _filtering_of(config, paths)
    amount = amount_of(where, filtering.selection, filtering.target)
    neuron = apply(where, Filter("rosetta", filtering.target), amount)
    if not len(neuron.id):
        raise PlanError(
            "filtering.selection: no document's score exceeds this percentile, so none is left. "
            "Lower it."
        )
    counts = corpus.count(where, neuron)
    card = run_card(config, paths, counts, amount)
    # All filters take as many tokens as the neuron, whatever the rule by which it took them.
    budget = amount.tokens or int(neuron.tokens.sum())
    held: dict[str, dict[str, int]] = {}
    found = []
    for chosen in filters_of(filtering.target, filtering.seeds):
        selected = (
            neuron if chosen.name == "rosetta" else apply(where, chosen, Amount(tokens=budget))
        )
        found.append(assess(where, chosen, selected))
        held[chosen.file] = {"documents": len(selected.id), "tokens": int(selected.tokens.sum())}
        write_parquet(where.selection(chosen.file), pd.DataFrame(selected._asdict()))
        say(
            f"{chosen.file}: {held[chosen.file]}, precision "
            f"{found[-1].recovery['precision']:.3f}, recall {found[-1].recovery['recall']:.3f}"
        )
    rows = [one.recovery for one in found]
    write_csv(where.recovery, pd.DataFrame(rows, columns=RECOVERY_COLUMNS))
    write_csv(where.shares, pd.concat([one.shares for one in found], ignore_index=True))
    swept = pd.concat([one.percentiles for one in found], ignore_index=True)
    write_csv(where.percentiles, swept)
    write_all_scores(where, np.sort(neuron.id))
    made = made_by(config, "filter_select")
    corpus.write_corpus(where, neuron, counts, card, made)
    write_manifest(
        where.selections_manifest,
        {"kind": SELECTIONS, "made_by": made, "budget": budget, "held": held},
    )


def tables_step(config: Config, paths: Paths) -> None:
    """Write the tables of all filters: per seed, their means, what they take of each domain, and
    how they fare at other percentiles.
    """
    filtering, where = _filtering_of(config, paths)
    recovered, shares, percentiles = (
        read_csv(where.recovery, RECOVERY_COLUMNS),
        read_csv(where.shares, SHARE_COLUMNS),
        read_csv(where.percentiles, PERCENTILE_COLUMNS),
    )
    trained = pd.DataFrame(
        [
            read_manifest(where.training(training_name(*job)), TRAINING)
            for job in filtering.trainings()
        ],
        columns=["filter", "seed", "perplexity"],
    )
    table = results_table(recovered, trained)
    write_csv(paths.table("filtering"), table)
    summary = summary_table(table, recovered, ["base", *FILTERS])
    write_csv(paths.table("filtering_summary"), summary)
    write_csv(paths.table("filtering_domains"), shares)
    write_csv(paths.table("filtering_percentiles"), percentiles)
    say(summary.to_string(index=False))


def pretrain_step(config: Config, paths: Paths, name: str, seed: int) -> None:
    """Train a model on what a filter selected, and measure its perplexity.

    The filter `base` trains nothing: the model is measured as it is.
    """
    import torch

    from rosetta.filtering.perplexity import perplexity
    from rosetta.filtering.pretrain import Training, continue_training, count_steps, separator_of
    from rosetta.models import loading
    from rosetta.models.devices import best_device
    from rosetta.models.model_manifest import checked_manifest
    from rosetta.models.tokenizers import checked_tokenizer

    filtering, where = _filtering_of(config, paths)
    settings, job = filtering.pretraining, training_name(name, seed)
    if settings is None or (name, seed) not in filtering.trainings():
        raise ConfigError(f"--filter, --seed: filtering.pretraining has no training {job}.")
    heldout = _heldout_texts(paths, filtering.target)
    torch.set_num_threads(1)
    source = model_source(config, paths, settings.model)
    manifest = checked_manifest(source, paths.model_manifest(settings.model))
    length, key = settings.sequence_length, "filtering.pretraining.sequence_length"
    loading.check_context(loading.load_config_of(source), length, key)
    model = loading.load_model(source, best_device())
    tokenizer = checked_tokenizer(source, manifest)
    checkpoints = where.checkpoints(job)
    facts: dict[str, float] = {"steps": 0, "tokens": 0}
    if name != "base":
        texts = list(selected_texts(where, selection_of(filtering, name, seed)))
        n_steps = count_steps(least_tokens(filtering, where), settings)
        training = Training(settings, n_steps, seed, checkpoints, manifest["weights"])
        model, facts = continue_training(model, tokenizer, texts, training)
    separator = separator_of(tokenizer, f"models.{settings.model}")
    n_at_a_time = settings.sequences_at_a_time
    value, n_tokens = perplexity(model, tokenizer, heldout, separator, length, n_at_a_time)
    say(f"{job}: {facts}, perplexity {value:.4f} on {n_tokens:,} tokens")
    made = {"kind": TRAINING, "made_by": made_by(config, "filter_pretrain", job)}
    found = {"filter": name, "seed": seed, **facts, "perplexity": value, "heldout_tokens": n_tokens}
    write_manifest(where.training(job), {**made, **found})
    shutil.rmtree(checkpoints, ignore_errors=True)


def _heldout_texts(paths: Paths, target: str) -> list[str]:
    """Return the held-out documents of the target domain, and check that there are any."""
    heldout = read_split(paths, "heldout")
    texts = heldout.loc[heldout["domain"] == target, "text"].tolist()
    if not texts:
        none = f"none of the {len(heldout)} held-out documents is labelled {target!r}"
        hint = "Raise corpus.splits.heldout, or give more text."
        raise CorpusError(f"filtering.target: {none}. {hint}")
    return texts


def filter_step(wanted: FilterRequest, out: Path) -> None:
    """Score every document of a pool, and write the best of them as a corpus.

    What is finished is not computed again: the pool's shards if the files are the same, the scores
    of a shard if pool, model, neuron and scoring are. All that can be wrong with the request is
    found before the pool is scored.

    Raises
    ------
    RosettaError
        If the pool is empty, lacks the text column or holds less than is to be taken; if the model
        cannot be loaded, or has no such neuron.
    """
    from rosetta.filtering.requested_scoring import checked_scoring, score_pool

    if wanted.selection == FilterSelection():
        options = "--budget-tokens, --count, --percentile"
        raise ConfigError(f"{options}: give one of them, to say how much is taken.")
    where = FilterPaths(out)
    files = requested_pool.checked_files(wanted, where)
    by = checked_scoring(wanted)
    recipe = by.recipe()
    write_manifest(where.mark, {"kind": "filter", "version": __version__})
    requested_pool.write_requested_pool(wanted, files, where)
    requested_pool.check_early(wanted.selection, where)
    score_pool(by, recipe, where)
    amount = requested_pool.requested_amount(wanted.selection, where)
    scores = read_scores(where, ["id", "tokens", requested_pool.COLUMN])
    selected = select(read_blocks(scores, requested_pool.COLUMN), amount)
    if not len(selected.id):
        raise PlanError("--percentile: no document's score exceeds it, so none is left. Lower it.")
    write_all_scores(where, np.sort(selected.id))
    counts = corpus.count(where, selected)
    about = f"{by.name} of {model_point(by.source)}, layer and unit counted from 0"
    rule = rule_points(by.scoring, amount, wanted.selection.percentile)
    sections = [("Neuron", [about]), ("Rule", rule), ("Pool", _pool_points(wanted, where))]
    card = render_card(f"{wanted.pool.name}: filtered by {by.name}", counts, sections)
    made = {"rosetta": __version__, **recipe, "selection": wanted.selection.model_dump()}
    corpus.write_corpus(where, selected, counts, card, made)
    say(
        f"{counts.selected:,} of {counts.pool:,} documents, {counts.selected_tokens:,} of "
        f"{counts.pool_tokens:,} tokens, are in {where.corpus}; "
        f"{counts.not_selected:,} documents are not"
    )


def _pool_points(wanted: FilterRequest, where: FilterPaths) -> list[str]:
    read = f"source: {wanted.pool}, column `{wanted.text_column}`"
    return [read, *domain_points(where)]

"""The steps that count Rosetta Neurons, fit laws to the counts, and describe single neurons."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rosetta.analysis.columns import (
    ATTRIBUTION_COLUMNS,
    ATTRIBUTION_TABLE_COLUMNS,
    CONTEXT_COLUMNS,
    NEURON_COLUMNS,
    PARTNER_IMAGE_COLUMNS,
)
from rosetta.analysis.counts import (
    COUNT_COLUMNS,
    FLOOR_OF,
    count_table,
    model_shape,
    training_table,
)
from rosetta.analysis.depth import LAYER_PAIR_COLUMNS, depth_agreement, depth_table, layer_pairs
from rosetta.analysis.findings import findings_table
from rosetta.analysis.groups import polarization_tables, selectivity_table, specialization_tables
from rosetta.analysis.image_populations import load_image_rungs
from rosetta.analysis.null_counts import CONTROL_COLUMNS, control_table, null_summary
from rosetta.analysis.populations import load_populations, rungs_of
from rosetta.analysis.replicates import (
    REPLICATE_COLUMNS,
    check_replicates,
    counted_thresholds,
    read_all_nulls,
    replicate_table,
)
from rosetta.analysis.rung_means import rung_table
from rosetta.analysis.scaling import (
    SCALING_COLUMNS,
    STATISTIC,
    check_counts,
    null_scaling_table,
    pooled_table,
    scaling_table,
)
from rosetta.analysis.setting_laws import floor_table
from rosetta.analysis.stability import (
    exclusion_table,
    k_sweep_table,
    stability_table,
    threshold_table,
)
from rosetta.config import PAIR_SEPARATOR, Config, entry_of, group_name, group_pairs
from rosetta.config.image_stores import stores_of_group
from rosetta.config.ladders import check_scales
from rosetta.errors import ConfigError, StoreError
from rosetta.matching.mutual import MATCH_COLUMNS, ROSETTA_COLUMNS
from rosetta.models.sources import model_source
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.digests import write_text
from rosetta.storage.tables import (
    check_table,
    read_csv,
    read_parquet,
    read_parquet_metadata,
    write_csv,
    write_parquet,
)

if TYPE_CHECKING:
    from rosetta.models.readout import Readout


def control_tables_step(config: Config, paths: Paths) -> None:
    """Write the tables of the controls and of the sweeps."""
    controls = control_table(config, paths)
    tables = {
        "controls": controls,
        "null_summary": null_summary(config, paths, controls),
        "k_sweep": k_sweep_table(config, paths),
        "threshold_sweep": threshold_table(config, paths),
        "stability": stability_table(config, paths),
        "exclusions": exclusion_table(config, paths),
    }
    for name, table in tables.items():
        write_csv(paths.table(name), table)


def counts_step(config: Config, paths: Paths) -> None:
    """Count Rosetta Neurons per rung of every ladder, also on half-samples of documents."""
    check_scales(config, lambda name: model_shape(paths, name).n_neurons)  # all sizes are known now
    nulls = read_all_nulls(config, paths)
    limits = counted_thresholds(config, paths, nulls)
    replicates = replicate_table(config, paths, nulls)
    counts = count_table(config, paths, limits, replicates)
    trainings = training_table(config, paths, limits)
    write_csv(paths.table("replicates"), replicates)
    write_csv(paths.table("counts"), counts)
    write_csv(paths.table("trainings"), trainings)


def fit_step(
    counts: Path,
    replicates: Path | None,
    controls: Path | None,
    **outputs: Path | None,
) -> pd.DataFrame:
    """Fit and return the laws of a table of counts; write the tables that have a path.

    Parameters
    ----------
    counts : Path
        CSV with the columns ladder, n_neurons and matches; for other outputs than `out`, rung,
        models and families too. One row per group: several of one rung share trainings. With a
        column `statistic`, each statistic has laws of its own, in `out` alone.
    replicates, controls : Path, optional
        Counts on half-samples, and under the null models.
    **outputs : Path, optional
        Where to write the laws of the ladders (`out`), those of all ladders of pairs (`pooled`) and
        of the null models (`nulls`), the mean counts of the rungs (`rungs`), and the laws of
        matches above floors of r (`floors`): without any row if the counts have no such columns.

    Raises
    ------
    StoreError
        If a table lacks columns, holds something else than counts, or counts of several null
        models, half-samples or settings; or if half-samples lack their complements.
    """
    needed = ["ladder", "n_neurons", "matches"]
    if any(outputs.get(name) for name in ("pooled", "nulls", "rungs", "floors")):
        needed += ["rung", "models", "families"]
    table = read_csv(counts, needed, ("n_neurons", "matches"), some=True)
    check_table(table, str(counts), [], tuple(name for name in FLOOR_OF if name in table))
    check_counts(table, str(counts))
    if STATISTIC in table and len(needed) > 3:
        raise StoreError(
            f"{counts}: its rows name a {STATISTIC}, of which there are laws of ladders alone "
            "(--out). Leave the other tables out, or give the rows of one without that column."
        )
    on_halves = read_csv(replicates, REPLICATE_COLUMNS) if replicates else None
    if on_halves is not None:
        check_replicates(on_halves, str(replicates))
    of_nulls = read_csv(controls, CONTROL_COLUMNS) if controls else None
    found = scaling_table(table, on_halves)
    make = {
        "out": lambda: found,
        "pooled": lambda: pooled_table(table, on_halves, of_nulls),
        "rungs": lambda: rung_table(table, on_halves),
        "nulls": lambda: null_scaling_table(table, of_nulls),
        "floors": lambda: floor_table(table),
    }
    for name, path in outputs.items():
        if path and not (name == "nulls" and of_nulls is None):
            write_csv(path, make[name]())
    return found


def describe_step(config: Config, paths: Paths) -> None:
    """Write the tables that compare Rosetta Neurons with the others."""
    populations = load_populations(config, paths)
    rungs = [*rungs_of(config, populations), *load_image_rungs(config, paths)]
    write_csv(paths.table("selectivity"), selectivity_table(populations.values()))
    by_rung, by_model = polarization_tables(rungs, config)
    write_csv(paths.table("polarization"), by_rung)
    write_csv(paths.table("polarization_by_model"), by_model)
    of_models, of_rungs = specialization_tables(populations.values(), rungs, config)
    write_csv(paths.table("specialization"), of_models)
    write_csv(paths.table("specialization_by_rung"), of_rungs)
    write_csv(paths.table("depth"), depth_table(rungs, config.bootstrap))
    pairs = _layer_pair_table(config, paths)
    write_csv(paths.table("layer_pairs"), pairs)
    write_csv(paths.table("depth_agreement"), depth_agreement(pairs, config.bootstrap))


def findings_step(config: Config, paths: Paths) -> None:
    """Write whether the run supports each finding of the study."""
    columns = {
        "scaling": SCALING_COLUMNS,
        "counts": COUNT_COLUMNS,
        "replicates": REPLICATE_COLUMNS,
    }
    measured = [read_csv(paths.table(name), columns[name]) for name in columns]
    rungs = [*rungs_of(config, load_populations(config, paths)), *load_image_rungs(config, paths)]
    described = {(rung.ladder, rung.number): rung for rung in rungs}
    sizes = {name: model_shape(paths, name).n_neurons for name in config.used_models()}
    findings = findings_table(described, *measured, sizes, config)
    write_csv(paths.table("findings"), findings)
    for row in findings.itertuples():
        say(f"{row.ladder}, {row.finding}: {row.verdict}. {row.sentence}")


def _layer_pair_table(config: Config, paths: Paths) -> pd.DataFrame:
    parts = []
    for a, b in config.pairs():
        matches = read_parquet(paths.matches(group_name((a, b))), MATCH_COLUMNS)
        counted = layer_pairs(matches, model_shape(paths, a), model_shape(paths, b))
        parts.append(counted.assign(model_a=a, model_b=b))
    return pd.concat(parts, ignore_index=True)[LAYER_PAIR_COLUMNS]


def neurons_step(config: Config, paths: Paths, model: str) -> None:
    """Write the statistics and the top contexts of all neurons of a model."""
    import torch

    from rosetta.activations.folders import open_stores
    from rosetta.analysis.profiles import profile_neurons
    from rosetta.inputs.text.build import read_split

    entry_of(config.models, model, "models")
    torch.set_num_threads(1)
    profiles = profile_neurons(
        open_stores(paths.stores(model, config.activations.n_shards)),
        read_split(paths, "match", config.activations.max_documents),
        config.specialization.n_contexts,
        config.selectivity.firing_std,
        model,
    )
    dead = int((profiles.neurons["activation_variance"] == 0).sum())
    say(f"{model}: {dead} of {len(profiles.neurons)} neurons are dead")
    write_parquet(paths.contexts(model), profiles.contexts)
    facts = {"domains": profiles.domains, "domain_tokens": profiles.domain_tokens}
    write_parquet(paths.neurons(model), profiles.neurons, facts)


def contexts_step(config: Config, paths: Paths, group: str) -> None:
    """Write a group's top contexts with the partners' values on them; and what the viewer shows."""
    from rosetta.activations.folders import open_stores
    from rosetta.analysis.contexts import Reader, members_of, shared_contexts, with_margins
    from rosetta.analysis.excerpts import group_excerpts
    from rosetta.analysis.token_positions import TokenPositions
    from rosetta.inputs.text.build import read_split

    by_name = {group_name(models): models for models in config.groups("text")}
    if group not in by_name:
        known = ", ".join(by_name)
        raise ConfigError(f"--group: {group!r} is not a rung of a ladder; there are {known}.")
    models = by_name[group]
    documents = read_split(paths, "match", config.activations.max_documents)
    readers = {}
    for model in models:
        stores = open_stores(paths.stores(model, config.activations.n_shards))
        contexts = read_parquet(paths.contexts(model), CONTEXT_COLUMNS)
        readers[model] = Reader(stores, TokenPositions.of(stores), contexts)
    members = members_of(read_parquet(paths.rosetta(group), ROSETTA_COLUMNS))
    shared = shared_contexts(members, readers, config.alignment.pooling)
    say(f"{group}: {len(shared)} values of partners on top contexts")
    write_parquet(paths.shared_contexts(group), shared)
    pairs = [paths.matches(group_name(pair)) for pair in group_pairs(models)]
    noted = with_margins(members, [read_parquet(path, MATCH_COLUMNS) for path in pairs])
    shown = group_excerpts(noted, models, readers, documents, config.viewer)
    text = json.dumps(shown, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_text(paths.excerpts(group), text)


def vocabulary_step(config: Config, paths: Paths, model: str) -> None:
    """Write what all neurons of a model write to the vocabulary."""
    import torch

    from rosetta.analysis.selectivity import vocabulary_table

    torch.set_num_threads(1)  # sums split over threads round differently
    read = _readout(config, paths, model)
    directions, n_left_out = read.directions, read.n_left_out
    table = vocabulary_table(read.weights(), directions, read.n_layers, model, read.texts())
    fold = config.selectivity.fold_final_norm
    facts = {"n_tokens": len(directions), "n_rows_left_out": n_left_out, "fold_final_norm": fold}
    left_out = f"{n_left_out} rows of the unembedding belong to none and are left out"
    say(f"{model}: {len(directions)} tokens; {left_out}")
    write_parquet(paths.vocabulary(model), table, facts)


def _readout(config: Config, paths: Paths, model: str) -> Readout:
    from rosetta.models.readout import load_readout

    source, fold = model_source(config, paths, model), config.selectivity.fold_final_norm
    return load_readout(source, paths, config.devices, fold_final_norm=fold)


def attribution_step(config: Config, paths: Paths, pair: str) -> None:
    """Write whether the partners of a pair's matches promote the same strings."""
    import torch

    from rosetta.analysis.attribution import MIN_STRINGS, Attributions, attribution_table, living
    from rosetta.models.readout import Written, shared_directions

    assert config.attribution is not None, "the stage runs only with it"
    torch.set_num_threads(1)
    names = pair.split(PAIR_SEPARATOR)
    # One model is in memory at a time; what it writes stays.
    a, b = (Written.of(_readout(config, paths, name)) for name in names)
    of = Attributions.of((a.weights, b.weights), shared_directions(a, b))
    matches = read_parquet(paths.matches(pair), MATCH_COLUMNS)
    neurons = [read_parquet(paths.neurons(name), NEURON_COLUMNS) for name in names]
    alive = living(neurons[0], len(a.weights)), living(neurons[1], len(b.weights))
    table = attribution_table(matches, of, alive, config.attribution, pair)
    few = "" if of.n_strings >= MIN_STRINGS else ", too few to compare what neurons do to them"
    say(f"{pair}: {of.n_strings} strings are tokens of both models{few}")
    write_parquet(paths.attribution(pair), table, {"n_strings": of.n_strings})


def attribution_tables_step(config: Config, paths: Paths) -> None:
    """Write the share of each pair's matches that their outputs confirm."""
    from rosetta.analysis.attribution import confirmation_rows

    rows = []
    for pair in config.pairs("text"):
        place = paths.attribution(group_name(pair))
        table = read_parquet(place, ATTRIBUTION_COLUMNS)
        sizes = [model_shape(paths, name).n_neurons for name in pair]
        ladders = " ".join(config.ladders_of(group_name(pair)))
        named = {"ladders": ladders, "model_a": pair[0], "model_b": pair[1]}
        found = confirmation_rows(table, read_parquet_metadata(place)["n_strings"])
        rows += [{**named, "n_neurons": sum(sizes) / 2, **row} for row in found]
    table = pd.DataFrame(rows, columns=ATTRIBUTION_TABLE_COLUMNS)
    write_csv(paths.table("attribution"), table)


def image_neurons_step(config: Config, paths: Paths, model: str) -> None:
    """Write what all neurons of a model do on the images of its stores.

    Their statistics and top images; how alike these are to other models of the run; and of drawn
    images, which factors explain the neurons.
    """
    import torch

    from rosetta.analysis.image_neurons import image_neuron_tables

    if model not in config.used_models("images"):
        names = ", ".join(config.used_models("images")) or "none"
        raise ConfigError(f"--model: {model!r} sees no images in a ladder; those that do: {names}.")
    torch.set_num_threads(1)  # sums split over threads round differently
    tables, facts = image_neuron_tables(config, paths, model)
    for name in ("top_images", "monosemanticity", "factors"):
        write_parquet(getattr(paths, name)(model), tables[name])
    write_parquet(paths.neurons(model), tables["neurons"], {"stores": facts})


def partner_images_step(config: Config, paths: Paths, pair: str) -> None:
    """Write what the neurons of a pair do on the top images of their partners."""
    import torch

    from rosetta.activations.folders import open_stores
    from rosetta.analysis.image_tables import read_image_table
    from rosetta.analysis.neuron_maps import partner_images

    torch.set_num_threads(1)
    matches = read_parquet(paths.matches(pair), MATCH_COLUMNS)
    a, b = config.stores_of(pair)
    tops = read_image_table(paths, "top_images", a), read_image_table(paths, "top_images", b)
    n_shards = config.activations.n_shards
    stores = open_stores(paths.stores(a, n_shards)), open_stores(paths.stores(b, n_shards))
    found = partner_images(matches, tops, stores, config.selectivity.image_score)
    write_parquet(paths.partner_images(pair), found)


def image_excerpts_step(config: Config, paths: Paths, group: str) -> None:
    """Write what the viewer shows of a group of models that see images."""
    import torch

    from rosetta.activations.folders import open_stores
    from rosetta.analysis.contexts import members_of, with_margins
    from rosetta.analysis.image_excerpts import ImageMember, image_group_excerpts
    from rosetta.analysis.image_tables import read_image_table
    from rosetta.inputs.images.shown_images import ShownImages

    by_name = {group_name(models): models for models in config.groups("images")}
    if group not in by_name:
        known = ", ".join(by_name) or "none"
        raise ConfigError(f"--group: {group!r} is no rung of models of images; there are {known}.")
    torch.set_num_threads(1)
    models, stores = by_name[group], stores_of_group(config, by_name[group])
    pairs = [group_name(pair) for pair in group_pairs(models)]
    partners = [read_parquet(paths.partner_images(pair), PARTNER_IMAGE_COLUMNS) for pair in pairs]
    shown = [
        ImageMember(
            model,
            store,
            open_stores(paths.stores(store, config.activations.n_shards)),
            read_image_table(paths, "top_images", store),
            table,
        )
        for model, store, table in zip(models, stores, [partners[0], *partners], strict=True)
    ]
    matches = [read_parquet(paths.matches(pair), MATCH_COLUMNS) for pair in pairs]
    members = with_margins(members_of(read_parquet(paths.rosetta(group), ROSETTA_COLUMNS)), matches)
    images = ShownImages.of(config, paths, stores[0])
    excerpts = image_group_excerpts(members, shown, images.described, config.viewer)
    excerpts["score"] = config.selectivity.image_score
    text = json.dumps(excerpts, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    write_text(paths.image_excerpts(group), text)


def place_step(config: Config, paths: Paths, pair: str) -> None:
    """Write how much of the r of every match of a pair place alone makes, and where."""
    import torch

    from rosetta.activations.folders import open_stores
    from rosetta.analysis.place import place_correlations

    torch.set_num_threads(1)
    matches = read_parquet(paths.matches(pair), MATCH_COLUMNS)
    n_shards = config.activations.n_shards
    a, b = (open_stores(paths.stores(name, n_shards)) for name in config.stores_of(pair))
    table, grid = place_correlations(matches, (a, b), config.alignment.grid)
    write_parquet(paths.place(pair), table, {"grid": list(grid)})


def generated_images_step(config: Config, paths: Paths) -> None:
    """Write how a classifier of the run judges what its generators made."""
    import torch

    from rosetta.analysis.generated_images import generated_table

    torch.set_num_threads(1)
    table = generated_table(config, paths)
    write_csv(paths.table("generated_images"), table)
    for row in table.itertuples():
        say(f"{row.generator}: {row.recognised:.0%} recognised by {row.classifier}")

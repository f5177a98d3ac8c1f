"""What the card of a filtered corpus says, point by point."""

from __future__ import annotations

from rosetta.analysis.counts import model_shape
from rosetta.config import Config
from rosetta.config.filtering import FilterPool, FilterScoring, HubSource
from rosetta.filtering import pool_shards
from rosetta.filtering.choose import CHOICE, POPULATIONS
from rosetta.filtering.corpus import Counts
from rosetta.filtering.corpus_card import as_code, render_card, score_sentence
from rosetta.filtering.select import Amount
from rosetta.models.sources import ModelSource, model_source
from rosetta.run.paths import FilterPaths, Paths
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_parquet


def run_card(config: Config, paths: Paths, counts: Counts, amount: Amount) -> str:
    """Return the card of the corpus that the run's chosen neuron selected."""
    filtering = config.filtering
    assert filtering is not None
    where = paths.filtering(filtering.name)
    sections = [
        ("Neuron", _neuron_points(config, paths, where)),
        ("Rule", rule_points(filtering.scoring, amount, filtering.selection.percentile)),
        ("Pool", [f"source: {_pool_source(filtering.pool)}", *domain_points(where)]),
    ]
    return render_card(f"{filtering.name}: filtered by one neuron", counts, sections)


def model_point(source: ModelSource) -> str:
    """Return where a model comes from."""
    return source.location + (f" at {source.revision}" if source.revision else "")


def rule_points(scoring: FilterScoring, amount: Amount, percentile: float | None) -> list[str]:
    """Return how documents were scored and taken."""
    if amount.above is not None:
        taken = (
            f"documents whose score exceeds {amount.above:g}, percentile {percentile:g} of "
            "the pool's scores"
        )
    elif amount.count is not None:
        taken = f"the best {amount.count:,} documents; equal scores by id"
    else:
        taken = f"the best documents, until they held {amount.tokens:,} tokens; equal scores by id"
    return [f"score: {score_sentence(scoring)}", f"taken: {taken}"]


def domain_points(where: FilterPaths) -> list[str]:
    """Return the pool's documents per domain, and what was dropped from it."""
    manifest = read_manifest(where.pool_manifest, pool_shards.KIND)
    domains = [
        f"{as_code(name) if name else '(no label)'}: {n:,} documents"
        for name, n in manifest["domains"].items()
    ]
    return [
        *domains,
        "texts read: " + ", ".join(f"{n:,} {what}" for what, n in manifest["counts"].items()),
    ]


def _neuron_points(config: Config, paths: Paths, where: FilterPaths) -> list[str]:
    assert config.filtering is not None
    choice = read_manifest(where.choice, CHOICE)
    table = read_parquet(where.candidates).set_index(["layer", "unit"])
    rule = (
        f"of the {choice['n_candidates']['rosetta']:,} Rosetta Neurons of `{choice['model']}` "
        f"in `{choice['group']}`, "
        f"the one with the largest share of its top {config.filtering.n_contexts} contexts in "
        "the domain "
        f"`{config.filtering.target}` (purity), then the highest mean normalised activation on "
        "them; contexts are of "
        "the split `match`, which shares no document with the pool"
    )
    points = [
        f"model: `{choice['model']}`, {model_point(model_source(config, paths, choice['model']))}",
        f"rule: {rule}",
    ]
    shape = model_shape(paths, choice["model"])
    for role, place in choice["neurons"].items():
        row = table.loc[tuple(place)]
        numbers = (
            f"purity {row['purity']:.2f}, mean normalised activation {row['mean_activation']:.2f}"
        )
        made = (
            "which made this corpus"
            if role == "rosetta"
            else "a control, which did not make this corpus"
        )
        points.append(f"{POPULATIONS[role]}, {made}: {shape.name(*place)}, {numbers}")
    return points


def _pool_source(settings: FilterPool) -> str:
    if settings.source is None:
        thinned = (
            f", the target thinned out to {settings.target_share:.0%}"
            if settings.target_share
            else ""
        )
        return f"the split `pool` of the run's corpus{thinned}"
    if isinstance(settings.source, HubSource):
        return (
            f"{settings.source.id} at {settings.source.revision or 'main'}, split "
            f"{settings.source.split}"
        )
    return settings.source.path

"""The price of every stage, by the wildcards of a job; and of the jobs of rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from rosetta.config import PAIR_SEPARATOR
from rosetta.errors import StageError
from rosetta.plan.costs import ablation, filtering, models, pairs, sae, theory
from rosetta.plan.costs.base import NO_OPERATIONS, TABLES, Cost, Known
from rosetta.run.stages import STAGES, pieces_of_job
from rosetta.run.stages.record import Wildcards

Price = Callable[[Known, Wildcards], Cost]


def _on_model(price: Callable[[Known, str], Cost]) -> Price:
    return lambda known, job: price(known, job["model"])


def _on_pair(price: Callable[[Known, tuple[str, str]], Cost]) -> Price:
    return lambda known, job: price(known, _pair(job))


def _on_group(price: Callable[[Known, tuple[str, ...]], Cost]) -> Price:
    return lambda known, job: price(known, tuple(job["group"].split(PAIR_SEPARATOR)))


def _on_run(price: Callable[[Known], Cost]) -> Price:
    return lambda known, _job: price(known)


def _pair(job: Wildcards) -> tuple[str, str]:
    a, b = job["pair"].split(PAIR_SEPARATOR)
    return a, b


_LIGHT = _on_run(lambda _: Cost())  # tables and figures: seconds, in the memory of an interpreter
_TABLES = _on_run(lambda _: Cost(TABLES))
# A function for every stage. Wildcards are text where Snakemake asks, and numbers in a plan.
COSTS: Mapping[str, Price] = MappingProxyType(
    {
        "corpus": _on_run(lambda known: Cost(TABLES, disk_bytes=known.extent.corpus_bytes)),
        "images": _TABLES,
        "tokenizer": _LIGHT,
        "train_steps": _on_model(models.train_steps),
        "train": _on_model(models.train),
        "model": _on_model(models.describe_model),
        "activations": _on_model(models.activations),
        "generate": _on_model(models.activations),
        "captured": _LIGHT,
        "twins": _on_model(models.twins),
        "image_twins": _on_model(models.twin_shard),
        "correlate": _on_pair(pairs.correlate),
        "nulls": lambda known, job: pairs.nulls(known, _pair(job), job["control"]),
        "intervals": _on_pair(pairs.intervals),
        "sweeps": _on_pair(pairs.sweeps),
        "instruments": _on_pair(pairs.instruments),
        "match": _LIGHT,
        "anchors": _LIGHT,
        "past": _on_pair(pairs.past),
        "seed_matches": _on_model(pairs.seed_matches),
        "across_seeds": _LIGHT,
        "across_seeds_figures": _LIGHT,
        "emergence": _on_run(pairs.emergence),
        "emergence_figures": _LIGHT,
        "counts": _LIGHT,
        "fit": _LIGHT,
        "figures": _LIGHT,
        "control_tables": _LIGHT,
        "control_figures": _LIGHT,
        "instrument_tables": _LIGHT,
        "instrument_figures": _LIGHT,
        "sae": _on_model(sae.autoencoder),
        "sae_encode": _on_model(sae.encoded_store),
        "sae_match": _on_pair(sae.matched_features),
        "sae_tables": _on_run(sae.tables),
        "sae_figures": _LIGHT,
        "vocabulary": _on_model(models.vocabulary),
        "neurons": _on_model(models.neurons),
        "contexts": _on_group(models.contexts),
        "image_neurons": _on_model(models.image_neurons),
        "partner_images": _TABLES,
        "image_excerpts": _TABLES,
        "place": _TABLES,
        "place_maps": _LIGHT,
        "generated_images": _LIGHT,
        "contact_sheet": _LIGHT,
        "attribution": _on_pair(ablation.attribution),
        "attribution_tables": _LIGHT,
        "attribution_figures": _LIGHT,
        "ablate": _on_group(ablation.ablate),
        "ablation_tables": _LIGHT,
        "ablation_figures": _LIGHT,
        "describe": _LIGHT,
        "findings": _LIGHT,
        "neuron_figures": _LIGHT,
        "annotate": _LIGHT,
        "judge": _on_run(models.judge),
        "viewer": _LIGHT,
        "filter_choose": _TABLES,
        "filter_pool": _on_run(filtering.filter_pool),
        "filter_score": _on_run(filtering.filter_score),
        "filter_select": _on_run(filtering.filter_select),
        "filter_pretrain": lambda known, job: filtering.filter_pretrain(
            known, job["training"].rpartition("-")[0]
        ),
        "filter_tables": _LIGHT,
        "filter_figure": _LIGHT,
        "theory_simulate": lambda known, job: theory.theory_simulate(known, float(job["beta"])),
        "theory_exponents": _LIGHT,
        "theory_sweep": lambda known, job: theory.theory_sweep(
            known, job["parameter"], float(job["value"])
        ),
        "theory_sweep_table": _LIGHT,
        "theory_frontiers": _LIGHT,
        "theory_ngrams": _TABLES,
        "theory_beta": _LIGHT,
        "theory_compare": _LIGHT,
        "theory_predict": _LIGHT,
        "theory_figures": _LIGHT,
        "report": _LIGHT,
    }
)


def check_prices(prices: Mapping[str, Price]) -> None:
    """Check that every stage has a price, and that there is no price without a stage.

    Raises
    ------
    StageError
        Naming those that lack one, or have no stage.
    """
    lacking = [stage for stage in STAGES if stage not in prices]
    unknown = [stage for stage in prices if stage not in STAGES]
    if lacking or unknown:
        raise StageError(
            f"rosetta/plan/costs/stages.py: COSTS lacks {lacking or 'no stage'}, and has "
            f"{unknown or 'none'} that no file of rosetta/run/stages/ has. Give each stage a price."
        )


check_prices(COSTS)


def job_cost(known: Known, rule: str, job: Wildcards) -> Cost:
    """Return the cost of a rule's job: its pieces, one after the other."""
    pieces = pieces_of_job(known.config, rule, job)
    costs = [COSTS[stage](known, on) for stage, on in pieces]
    disk = [cost.disk_bytes for cost in costs]
    return Cost(
        max(cost.n_bytes for cost in costs),
        sum((cost.operations for cost in costs), NO_OPERATIONS),
        None if None in disk else sum(n for n in disk if n is not None),
        max(cost.scratch_bytes for cost in costs),
        max(cost.n_gpus for cost in costs),
    )

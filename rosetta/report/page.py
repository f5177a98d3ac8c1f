"""The report: one self-contained HTML file of tables, figures and matches."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import jinja2
import pandas as pd

from rosetta import __version__
from rosetta.activations.folders import documents_left_out
from rosetta.analysis.columns import GENERATED_COLUMNS, PLACE_TABLE_COLUMNS
from rosetta.analysis.counts import COUNT_COLUMNS, COUNT_OF, model_shape
from rosetta.analysis.null_counts import NULL_SUMMARY_COLUMNS
from rosetta.analysis.null_thresholds import NULL_TITLES, PLAIN
from rosetta.analysis.rung_means import RUNG_COLUMNS
from rosetta.analysis.scaling import NULL_SCALING_COLUMNS, POOLED_COLUMNS, SCALING_COLUMNS
from rosetta.analysis.setting_laws import FLOOR_SCALING_COLUMNS
from rosetta.analysis.verdicts import FINDING_COLUMNS
from rosetta.config import Config, dump_config
from rosetta.config.base import Modality
from rosetta.config.ladders import cautions
from rosetta.filtering.results import SUMMARY_COLUMNS
from rosetta.inputs.text.documents import document_name
from rosetta.models.licences import NOT_STATED
from rosetta.report.across_seeds_section import across_seeds_section
from rosetta.report.emergence_section import emergence_section
from rosetta.report.figures import TITLES
from rosetta.report.filtering_section import filtering_section
from rosetta.report.headline import (
    chance_sentence,
    floor_sentence,
    headline,
    headline_statistic,
    headline_table,
    uncounted_sentence,
)
from rosetta.report.image_section import image_section
from rosetta.report.instrument_section import instrument_section
from rosetta.report.neuron_section import neuron_section
from rosetta.report.output_section import ablation_section, attribution_section
from rosetta.report.phases import phase_table
from rosetta.report.pictures import embedded
from rosetta.report.sae_section import sae_section
from rosetta.report.summary import (
    HOW_MANY,
    MATTER,
    QUESTIONS,
    WHAT_FOR,
    WHY,
    Answer,
    generated_answer,
    like_answer,
    place_answer,
    real_answer,
    what_for_answer,
    why_answer,
)
from rosetta.report.viewer_links import viewer_link
from rosetta.run.paths import Paths
from rosetta.run.stages import figure_names, table_names
from rosetta.storage.manifests import read_manifest
from rosetta.storage.tables import read_csv
from rosetta.theory.comparison import COMPARISON_COLUMNS, verdict
from rosetta.theory.prediction import SELECTIVITY
from rosetta.theory.simulation import ALL_NEURONS

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "zarr",
    "dask",
    "snakemake",
    "numpy",
    "scipy",
    "seaborn",
)


# What a run of a modality calls its samples, and what they are classed by.
_WORDS = {
    "text": {"sample": "document", "samples": "documents", "domain": "domain"},
    "images": {"sample": "image", "samples": "images", "domain": "class"},
}


def _environment(config: Config, paths: Paths) -> jinja2.Environment:
    """Return what the templates of a run's page can call."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("rosetta.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    shapes = {model: model_shape(paths, model) for model in config.used_models()}
    environment.filters.update(document=document_name, number=format_number, image=embedded)
    environment.filters["photograph"] = partial(embedded, photograph=True)
    environment.globals["viewer_link"] = viewer_link
    environment.filters["neuron"] = lambda model, layer, unit: shapes[model].name(layer, unit)
    return environment


def render_report(config: Config, paths: Paths) -> str:
    """Return the page of a finished run, from its tables, figures, manifests and top contexts."""
    environment = _environment(config, paths)  # reads the models first: a run without any says so
    texts = "text" in config.modalities
    theory, filtering = _theory(config, paths) if texts else None, filtering_section(config, paths)
    ablation = ablation_section(config, paths)
    said = {MATTER: ablation, WHY: theory, WHAT_FOR: filtering}
    parts = {key: title for key, title in QUESTIONS.items() if said.get(key, key)}
    return environment.get_template("report.html.jinja").render(
        questions=QUESTIONS,
        parts=parts,
        summary=_summary(config, paths, filtering, ablation),
        version=__version__,
        versions={name: version(name) for name in LIBRARIES},
        machine=f"Python {platform.python_version()} on {platform.machine()}",
        config=dump_config(config),
        seen=" and the same ".join(config.modalities),
        said=words_for(config.modalities),
        corpus=read_manifest(paths.corpus_manifest, "corpus") if texts else None,
        images=image_section(config, paths),
        n_read=config.activations.max_documents or float("inf"),
        models=_model_table(config, paths),
        cautions=cautions(config),
        growth=_growth(config, paths),
        controls=_controls(config, paths),
        instruments=instrument_section(config, paths),
        emergence=emergence_section(config, paths),
        across_seeds=across_seeds_section(config, paths),
        attribution=attribution_section(config, paths),
        ablation=ablation,
        sae=sae_section(config, paths),
        theory=theory,
        filtering=filtering,
        phases=phase_table(config, paths),
        neurons=neuron_section(config, paths),
        judge=_judge(config, paths),
        titles=TITLES,
        k=config.matching.k,
    )


def words_for(modalities: Sequence[Modality]) -> dict[str, str]:
    """Return what samples and their classes are called in a run of these modalities."""
    return {
        word: " or ".join(_WORDS[modality][word] for modality in modalities)
        for word in ("sample", "samples", "domain")
    }


def _summary(
    config: Config,
    paths: Paths,
    filtering: dict[str, Any] | None,
    ablation: dict[str, Any] | None,
) -> list[Answer]:
    """Return the report in a few sentences, by question, of those that the run asks."""
    counts = read_csv(paths.table("counts"), COUNT_COLUMNS)
    pooled = read_csv(paths.table("scaling_pooled"), POOLED_COLUMNS)
    scaling = read_csv(paths.table("scaling"), SCALING_COLUMNS)
    found = [
        Answer(HOW_MANY, headline(pooled, scaling, counts), ("scaling_pooled", "counts")),
        real_answer(counts, pooled, scaling),
    ]
    if "images" in config.modalities:
        found.append(place_answer(read_csv(paths.table("place"), PLACE_TABLE_COLUMNS)))
    found.append(like_answer(read_csv(paths.table("findings"), FINDING_COLUMNS)))
    if ablation:
        found.append(Answer(MATTER, ablation["summary"], ("ablation",)))
    if "text" in config.modalities:
        compared = read_csv(paths.table("theory_vs_measured"), COMPARISON_COLUMNS)
        found.append(why_answer(compared))
    if filtering:
        summary = read_csv(paths.table("filtering_summary"), SUMMARY_COLUMNS)
        neuron = f"{filtering['neuron']} of {filtering['choice']['model']}"
        found.append(what_for_answer(summary, neuron, filtering["settings"].target))
    if table_names(config, "generated_images"):
        generated = read_csv(paths.table("generated_images"), GENERATED_COLUMNS)
        found.append(generated_answer(generated))
    return found


def _model_table(config: Config, paths: Paths) -> pd.DataFrame:
    rows = []
    for name in config.all_models():
        manifest = read_manifest(paths.model_manifest(name), "model")
        rows.append(
            {
                "model": name,
                "architecture": manifest["architecture"],
                "parameters": manifest["n_parameters"],
                "n_layers": manifest["n_layers"],
                "d_mlp": manifest["d_mlp"],
                "neurons": manifest["n_neurons"],
                **(_FACTS[config.modality_of(name)](config, paths, name, manifest)),
                # Manifests of runs begun before licences were recorded have none.
                "licence": manifest.get("licence", NOT_STATED),
            }
        )
    return pd.DataFrame(rows)


def _text_facts(
    config: Config, paths: Paths, name: str, manifest: dict[str, Any]
) -> dict[str, Any]:
    """Return what the table of models says of language models alone."""
    training = manifest["training"] or {}
    return {
        "vocabulary": manifest["vocab_size"],
        "documents left out": documents_left_out(paths.stores(name, config.activations.n_shards)),
        "training tokens": training.get("tokens", float("nan")),
        "final training loss (nats/token)": training.get("train_loss", float("nan")),
        "held-out bits per byte": training.get("heldout_bits_per_byte", float("nan")),
        "trained on": training.get("processor", NOT_STATED if training else ""),
        "held-out bits per byte as captured": training.get("captured_bits_per_byte", float("nan")),
    }


def _image_facts(
    _config: Config, _paths: Paths, _name: str, manifest: dict[str, Any]
) -> dict[str, Any]:
    """Return what the table of models says of models that see images alone."""
    training = dict(manifest["training"] or {})
    learnt = {name: value for name, value in training.items() if name.startswith("heldout_")}
    n_heldout = learnt.pop("heldout_images", float("nan"))
    quality = "; ".join(
        f"{name.removeprefix('heldout_')} {value:.3g} "
        f"(chance {training.get(name.replace('heldout_', 'chance_'), float('nan')):.3g})"
        for name, value in learnt.items()
    )
    return {
        "training images": training.get("images", float("nan")),
        "final training loss": training.get("train_loss", float("nan")),
        "on held-out images": quality,
        "held-out images": n_heldout,
        "trained on": training.get("processor", NOT_STATED if training else ""),
    }


_FACTS = {"text": _text_facts, "images": _image_facts}


def _growth(config: Config, paths: Paths) -> dict[str, Any]:
    """Return what the report says first: sentences, one table, one figure, and the tables that they
    are made of.
    """
    counts, scaling = (
        read_csv(paths.table("counts"), COUNT_COLUMNS),
        read_csv(paths.table("scaling"), SCALING_COLUMNS),
    )
    read = {
        "scaling_pooled": POOLED_COLUMNS,
        "null_summary": NULL_SUMMARY_COLUMNS,
        "null_scaling": NULL_SCALING_COLUMNS,
        "rungs": RUNG_COLUMNS,
    }
    pooled, nulls, chance, rungs = (
        read_csv(paths.table(name), columns) for name, columns in read.items()
    )
    floors = read_csv(paths.table("floor_scaling"), FLOOR_SCALING_COLUMNS)
    return {
        "headline": headline(pooled, scaling, counts),
        "table": headline_table(pooled, scaling, chance, counts, rungs, nulls),
        "figure": embedded(paths.figure("scaling", "png")),
        "chance": chance_sentence(counts, nulls),
        "uncounted": uncounted_sentence(counts, config.controls.names),
        "calibrated": headline_statistic(pooled, scaling) != PLAIN,
        "floors": floor_sentence(floors),
        "swept": len(floors) > 0,
        "tables": {
            "scaling": scaling,
            "scaling_pooled": pooled,
            "null_scaling": chance,
            "counts": counts,
            "rungs": rungs,
        },
    }


def _controls(config: Config, paths: Paths) -> dict:
    """Return the tables and figures of controls and sweeps."""
    settings = config.controls
    figures, tables = figure_names(config, "control_figures"), table_names(config, "control_tables")
    return {
        "figures": {name: embedded(paths.figure(name, "png")) for name in figures},
        "tables": {name: read_csv(paths.table(name), []) for name in tables},
        "seeds": {NULL_TITLES[name]: len(settings.seeds(name)) for name in settings.names},
        "null_quantile": settings.null_quantile,
    }


def _judge(config: Config, paths: Paths) -> dict[str, Any] | None:
    """Return what a judge said of neurons; None if the run has none."""
    if config.judge is None:
        return None
    names = table_names(config, "judge")
    return {
        "model": config.judge.model,
        "n_trials": config.judge.n_trials,
        "layer_matched": config.judge.layer_matched,
        "tables": {name: read_csv(paths.table(name), []) for name in names},
    }


THEORY_TABLES = {
    "simulated": "theory_exponents",
    "finite_size": "theory_finite_size",
    "betas": "theory_beta",
    "ngrams": "theory_ngrams",
    "compared": "theory_vs_measured",
    "matched_r": "theory_matched_r",
    "left_out": "theory_leave_one_out",
    "predicted": "theory_predictions",
    "swept": "theory_sweep_exponents",
}
# All statistics of all groups are hundreds of rows. The page shows those that its text speaks of.
_SHOWN = {
    "compared": (*COUNT_OF, SELECTIVITY[0]),
    "left_out": (PLAIN,),
    "predicted": (PLAIN, SELECTIVITY[0]),
}
THEORY_FIGURES = ("frontiers", "exponents", "beta", "prediction", "identifiability")


def _theory(config: Config, paths: Paths) -> dict[str, Any]:
    """Return the theory's tables (those that the configuration asks for) and figures."""
    absent = {
        "predicted": not config.theory.predict_sizes,
        "swept": not config.theory.sweep.points(),
    }
    tables = {
        key: read_csv(paths.table(name), [])
        for key, name in THEORY_TABLES.items()
        if not absent.get(key)
    }
    said = verdict(
        tables["compared"], tables["matched_r"], tables["left_out"], tables["finite_size"]
    )
    for key in _SHOWN.keys() & tables.keys():
        tables[key] = tables[key][tables[key]["statistic"].isin(_SHOWN[key])]
    return {
        **tables,
        "verdict": said,
        "whole": (tables["finite_size"]["neurons"] == ALL_NEURONS).any(),
        **{
            f"{name}_figure": embedded(paths.figure(f"theory_{name}", "png"))
            for name in THEORY_FIGURES
        },
    }


def format_number(value: object) -> str:
    """Return a number to read: grouped integers, four or more digits, NaN as a dash.

    A prefactor c is small when its exponent is large, so a fixed number of decimals would print it
    as 0.
    """
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "–"
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:#.4g}"

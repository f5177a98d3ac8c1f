"""The atlas of a finished run, read from its tables and manifests."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rosetta import __version__
from rosetta.atlas.folder import Atlas
from rosetta.atlas.run_neurons import Matched, context_rows, image_rows, neuron_rows, verdict_rows
from rosetta.atlas.run_tables import model_table, rung_tables
from rosetta.config import Config
from rosetta.config.corpus import HUB_ID
from rosetta.config.images import Images
from rosetta.inputs.text.build import KIND as CORPUS
from rosetta.inputs.text.build import read_split
from rosetta.run.paths import Paths
from rosetta.storage.digests import digest_json
from rosetta.storage.manifests import read_manifest

Texts = Literal["none", "ids", "all"]
LIBRARIES = ("numpy", "pandas", "pyarrow", "torch", "transformers")


def run_atlas(
    config: Config,
    paths: Paths,
    texts: Texts = "ids",
    pictures: bool = False,
    licence: str = "other",
) -> Atlas:
    """Return what a finished run knows of its matched neurons.

    Parameters
    ----------
    config, paths : Config, Paths
        The run.
    texts : {'none', 'ids', 'all'}
        What is told of the samples that neurons read highest on: nothing, their ids, or the texts
        around contexts as well.
    pictures : bool
        Whether images are told by more than their ids.
    licence : str
        Under which the tables are passed on, for the card.

    Raises
    ------
    StoreError
        If a result is missing, damaged, or of another configuration.
    """
    rungs = rung_tables(config, paths)
    matched = Matched.of(rungs["matches"])
    rows = {
        **rungs,
        "models": model_table(config, paths),
        "neurons": neuron_rows(config, paths, matched),
        "verdicts": verdict_rows(config, paths, matched),
    }
    if texts != "none":
        documents = _documents(config, paths) if texts == "all" else None
        rows["contexts"] = context_rows(config, paths, matched, documents)
        rows["images"] = image_rows(config, paths, matched, pictures)
    return Atlas.of(rows, _facts(config, paths, texts, pictures, licence))


def _documents(config: Config, paths: Paths) -> pd.DataFrame | None:
    if "text" not in config.modalities:
        return None
    return read_split(paths, "match", config.activations.max_documents)


def _facts(
    config: Config, paths: Paths, texts: Texts, pictures: bool, licence: str
) -> dict[str, Any]:
    samples = {}
    if "text" in config.modalities:
        samples["corpus"] = _corpus(config, paths)
    if "images" in config.modalities:
        samples["images"] = _images(config.images)
    content = config.model_dump(mode="json")
    del content["results"]  # where a run lies changes nothing of it
    return {
        "origin": "a run of rosetta",
        "licence": licence,
        "texts": texts,
        "pictures": pictures and texts != "none",
        "configuration": digest_json(content),
        "seeds": _seeds(config),
        "samples": samples,
        "null_quantile": config.controls.null_quantile,
        "k": config.matching.k,
        "versions": {"rosetta": __version__, **{name: version(name) for name in LIBRARIES}},
    }


def _corpus(config: Config, paths: Paths) -> dict[str, Any]:
    manifest = read_manifest(paths.corpus_manifest, CORPUS)
    held = manifest["splits"]["match"]
    return {
        "source": _source(config.corpus.source),
        "split": "match",
        "digest": manifest["files"]["match"],
        "documents": held["documents"],
        "read at most": config.activations.max_documents,
        "domains": sorted(held["domains"]),
    }


def _images(images: Images) -> dict[str, Any]:
    return {
        "source": _source(images.source),
        "split": "match",
        "images of each generator": images.generated.n_images,
    }


def _source(source: Any) -> str:
    """Return where samples come from, in words without a path of this machine."""
    if source.kind == "hub":
        known = source.id if re.fullmatch(HUB_ID, source.id) else Path(source.id).name
        revision = f" at {source.revision}" if source.revision else ""
        return f"{known}{revision}, split {source.split}"
    if source.kind in ("files", "folder"):
        return f"a file or folder called {Path(source.path).name}"
    return str(source.kind)


def _seeds(config: Config) -> dict[str, Any]:
    """Return the seeds of corpus, null models and zoo families."""
    families = {
        recipe.family: config.zoo.families[recipe.family].seed
        for model in config.used_models()
        if (recipe := config.entry(model).zoo)
    }
    nulls = {name: config.controls.seeds(name) for name in config.controls.names}
    return {"corpus": config.corpus.seed, "families": families, "null models": nulls}

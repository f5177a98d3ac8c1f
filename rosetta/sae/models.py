"""The autoencoders of a model: trained or read, judged, written, and read again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rosetta.activations.folders import open_stores
from rosetta.activations.reader import StoreReader
from rosetta.config import Config
from rosetta.config.sae import Sae
from rosetta.errors import ConfigError, ModelError
from rosetta.models.neurons import NeuronShape
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.sae.checkpoints import load_dictionary
from rosetta.sae.columns import SAE_SAMPLE_COLUMNS
from rosetta.sae.dictionary import Dictionary, Standard
from rosetta.sae.folders import check_inputs, part_folders
from rosetta.sae.measures import Fit, fit_of, neuron_measures
from rosetta.sae.rows import CountedRows, standard_of
from rosetta.sae.sizes import check_active, sae_size
from rosetta.sae.training import train_autoencoder
from rosetta.storage.manifests import check_files, read_manifest

KIND = "sae"


@dataclass(frozen=True)
class ModelSae:
    """The autoencoders of a model: one of all layers, or one per layer.

    Attributes
    ----------
    dictionaries : list of Dictionary
        In the order of layers.
    neurons : DataFrame
        `rosetta.sae.columns.SAE_NEURON_COLUMNS`.
    samples : DataFrame
        `rosetta.sae.columns.SAE_SAMPLE_COLUMNS`.
    facts : dict
        `rosetta.sae.columns.SAE_COLUMNS` of the model but its name and interval, and by part what
        is known.
    """

    dictionaries: list[Dictionary]
    neurons: pd.DataFrame
    samples: pd.DataFrame
    facts: dict[str, Any]


@dataclass(frozen=True)
class ModelRows:
    """What autoencoders of a model are trained on, and judged on.

    Attributes
    ----------
    name : str
        The model.
    shape : NeuronShape
        Its neurons.
    all_rows, trained_on : CountedRows
        All rows that count, and those that are not held out.
    heldout : ndarray of bool, shape (n_rows,)
        Which are held out.
    standard : Standard
        Means and deviations of all neurons.
    """

    name: str
    shape: NeuronShape
    all_rows: CountedRows
    trained_on: CountedRows
    heldout: np.ndarray
    standard: Standard

    @classmethod
    def of(
        cls, name: str, stores: Sequence[StoreReader], table: Path | None, one_in: int
    ) -> ModelRows:
        """Return the rows of a model's stores; one in so many samples is held out.

        Raises
        ------
        ConfigError
            If no sample is held out, or none is left.
        """
        rows = CountedRows.of(stores, table)
        heldout = rows.heldout(one_in)
        if heldout.all() or not heldout.any():
            raise ConfigError(
                f"sae.heldout_one_in: of {len(set(rows.clusters))} independent samples, one in "
                f"{one_in} cannot be held out. Lower it, or give more samples."
            )
        kept = rows.only(~heldout)
        return cls(name, stores[0].shape, rows, kept, heldout, standard_of(stores))

    @property
    def key(self) -> str:
        """What of the configuration names its autoencoders, if they are read."""
        return f"sae.path.{self.name}"

    def parts(self, per: str) -> list[tuple[int, int]]:
        """Return the ranges of neurons that an autoencoder each reads."""
        n = self.shape.n_layers if per == "layer" else 1
        width = self.shape.n_layers * self.shape.d_mlp // n
        return [(part * width, (part + 1) * width) for part in range(n)]


def make_autoencoders(settings: Sae, checkpoints: Path, rows: ModelRows) -> ModelSae:
    """Train or read the autoencoders of a model, and judge them on held-out samples.

    Parameters
    ----------
    settings : Sae
        How they are trained, or where they are.
    checkpoints : Path
        Folder of checkpoints.
    rows : ModelRows
        What they are trained and judged on.

    Raises
    ------
    ConfigError, ModelError
        If `sae.k` is above the features, the training diverges, or what is to be read does not
        fit.
    """
    size = sae_size(settings, rows.name, rows.shape)
    if not size.loaded:
        check_active(settings, size)
    found, parts, fits, tables = [], [], [], []
    for number, read in enumerate(rows.parts(settings.per)):
        dictionary, told = _dictionary(settings, checkpoints, rows, number)
        standard = rows.standard.part(*read)
        fit = fit_of(dictionary, rows.all_rows, rows.heldout, read, standard)
        found.append(dictionary)
        fits.append(fit)
        tables.append(neuron_measures(dictionary, fit, standard.dead))
        parts.append({"kind": dictionary.kind, **told, **_part_facts(fit, rows)})
    _check_same(found, rows.key)
    facts = {"per": settings.per, **_facts(rows, found, fits, parts), "parts": parts}
    neurons = _named(pd.concat(tables, ignore_index=True), rows.shape)
    return ModelSae(found, neurons, _samples(rows, fits), facts)


def _dictionary(
    settings: Sae, checkpoints: Path, rows: ModelRows, number: int
) -> tuple[Dictionary, dict[str, float]]:
    """Return one of a model's autoencoders, and what is known of its training."""
    ranges, path = rows.parts(settings.per), settings.path.get(rows.name)
    low, high = ranges[number]
    if path:
        folder, key = part_folders(Path(path), settings.per, len(ranges))[number], rows.key
        check_inputs(folder, high - low, key)
        return load_dictionary(folder, key), {}
    say(f"{rows.name}, autoencoder {number + 1} of {len(ranges)}")
    standard, folder = rows.standard.part(low, high), checkpoints / str(number)
    trained = train_autoencoder(rows.trained_on, (low, high), standard, settings, folder)
    told = {"train_loss": trained.train_loss, "positions": float(trained.positions)}
    return trained.dictionary, told


def _check_same(dictionaries: list[Dictionary], key: str) -> None:
    sizes = {of.n_features for of in dictionaries}
    if len(sizes) > 1:
        raise ModelError(
            f"{key}: its autoencoders have {', '.join(map(str, sorted(sizes)))} features."
            " Give as many in every layer."
        )


def _part_facts(fit: Fit, rows: ModelRows) -> dict[str, Any]:
    n_heldout = int(rows.heldout.sum())
    return {
        "n_features": len(fit.fires),
        "n_live": fit.n_live,
        "l0": fit.n_active / n_heldout,
        "explained_variance": _explained(fit.error.sum(), fit.total.sum()),
    }


def _explained(error: float, total: float) -> float:
    return float(1 - error / total) if total else float("nan")


def _facts(
    rows: ModelRows,
    dictionaries: list[Dictionary],
    fits: list[Fit],
    parts: list[dict[str, Any]],
) -> dict[str, Any]:
    """Return what is told of all autoencoders of a model together.

    `explained_variance` is 1 − Σ errors / Σ squared deviations over neurons and held-out positions,
    `train_explained_variance` the same of the last steps of the training, by its batches.
    """
    error, total = (sum(getattr(fit, name).sum() for fit in fits) for name in ("error", "total"))
    n_features, n_live = (sum(part[name] for part in parts) for name in ("n_features", "n_live"))
    trained = _explained_in_training(rows, parts) if "train_loss" in parts[0] else None
    return {
        "origin": "loaded" if trained is None else "trained",
        "architecture": dictionaries[0].kind,
        "n_neurons": rows.shape.n_neurons,
        "n_features": n_features,
        "n_live": n_live,
        "dead_share": 1 - n_live / n_features,
        "l0": float(np.mean([part["l0"] for part in parts])),
        "explained_variance": _explained(error, total),
        "train_explained_variance": float("nan") if trained is None else trained,
        "n_heldout": int(rows.heldout.sum()),
        "n_positions": len(rows.all_rows),
        "n_trained_on": int(sum(part.get("positions", 0) for part in parts)),
    }


def _explained_in_training(rows: ModelRows, parts: list[dict[str, Any]]) -> float:
    """Return it of all parts together: each counts with its living neurons."""
    living = [int((~dead).sum()) for dead in np.split(rows.standard.dead, len(parts))]
    left = [n * part["train_loss"] for n, part in zip(living, parts, strict=True) if n]
    return _explained(sum(left), float(sum(living)))


def _samples(rows: ModelRows, fits: list[Fit]) -> pd.DataFrame:
    """Return `SAE_SAMPLE_COLUMNS` of the samples that are held out and change at all."""
    error, total = (
        np.sum([getattr(fit, name) for fit in fits], axis=0)
        for name in ("sample_error", "sample_total")
    )
    kept = total > 0
    found = {"cluster": rows.all_rows.clusters[kept], "error": error[kept], "total": total[kept]}
    return pd.DataFrame(found)[SAE_SAMPLE_COLUMNS]


def _named(measures: pd.DataFrame, shape: NeuronShape) -> pd.DataFrame:
    layer, unit = np.divmod(np.arange(len(measures), dtype=np.int64), shape.d_mlp)
    places = {"layer": layer.astype(np.int32), "unit": unit.astype(np.int32)}
    return pd.concat([pd.DataFrame(places), measures], axis=1)


def stores_of(config: Config, paths: Paths, model: str) -> list[StoreReader]:
    """Return all shards that first trainings of a model are matched on."""
    n_shards = config.activations.n_shards
    names = config.stores_of_model(model)
    return [store for name in names for store in open_stores(paths.stores(name, n_shards))]


def read_autoencoders(paths: Paths, model: str) -> list[Dictionary]:
    """Return the autoencoders that `sae_step` wrote of a model.

    Raises
    ------
    StoreError
        If one is missing or damaged.
    """
    path = paths.autoencoder_manifest(model)
    manifest, folder = read_manifest(path, KIND), paths.autoencoders(model)
    check_files(folder, manifest["files"], path)
    n = len(manifest["holds"]["parts"])
    return [load_dictionary(folder / str(part), str(path)) for part in range(n)]

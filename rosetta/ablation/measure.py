"""What one model loses under all treatments: the treatments, the passes, and what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from rosetta.ablation.columns import COMPOSITION_COLUMNS
from rosetta.ablation.effects import loss_table
from rosetta.ablation.held_neurons import HeldNeurons
from rosetta.ablation.image_loss import Classifier, image_losses
from rosetta.ablation.populations import (
    MATCHED,
    MatchedDraws,
    NeuronFacts,
    Treatment,
    matched_draws,
    too_few,
    treatments,
)
from rosetta.ablation.text_loss import document_bits, predicted_bytes
from rosetta.activations.tokens import TokenizedDocument
from rosetta.config.ablation import AblationSettings
from rosetta.models.neurons import NeuronShape
from rosetta.models.output_weights import output_weights
from rosetta.models.sites import Site, neuron_sites
from rosetta.progress import say


@dataclass(frozen=True)
class Targets:
    """The neurons of a model whose ablation is asked for, and what is known of all of them.

    Attributes
    ----------
    mask : ndarray of bool, shape (n_layers, d_mlp)
        The Rosetta Neurons, or those that a user names.
    statistics : dict of str to ndarray of float64, shape (n_neurons,)
        `mean`, `variance` and `kurtosis` of `NeuronFacts`.
    settings : AblationSettings
        Method and draws.
    model : str
        The model's name, for messages and draws.
    """

    mask: np.ndarray
    statistics: dict[str, np.ndarray]
    settings: AblationSettings
    model: str


class Measured(NamedTuple):
    """What was measured of one model.

    Attributes
    ----------
    losses : DataFrame
        `LOSS_COLUMNS`.
    composition : DataFrame
        By treatment and population, `COMPOSITION_COLUMNS`: neurons that are ablated, share of the
        population that are targets, mean share of a draw that another has too, mean distances of
        draws in rank, why there is no draw.
    """

    losses: pd.DataFrame
    composition: pd.DataFrame


def measure_on_text(
    model: Any,
    documents: pd.DataFrame,
    tokenized: Sequence[TokenizedDocument],
    targets: Targets,
    batch_size: int,
) -> Measured:
    """Return what held-out documents cost a language model under all treatments.

    Parameters
    ----------
    model : PreTrainedModel
        A loaded causal language model.
    documents : DataFrame
        id, domain, cluster.
    tokenized : sequence of TokenizedDocument
        The same, as the model reads them. Those of less than two tokens have nothing to predict,
        and are left out.
    targets : Targets
        The neurons.
    batch_size : int
        Documents per forward pass.
    """
    sizes = np.array([predicted_bytes(one) for one in tokenized], dtype=np.float64)
    read = np.flatnonzero(sizes > 0)
    place = f"models.{targets.model}"
    chosen, held, composition = _prepared(model, neuron_sites(model, place), targets)
    masks = [one.held for one in chosen]
    shown = [tokenized[number] for number in read]
    bits = document_bits(model, shown, held, masks, batch_size)
    samples = documents.iloc[read][["id", "domain", "cluster"]].rename(columns={"id": "sample"})
    samples = samples.reset_index(drop=True).assign(size=sizes[read])
    treated = [(one.treatment, one.population, one.draw) for one in chosen]
    return Measured(loss_table(samples, treated, bits, None, targets.model), composition)


def measure_on_images(
    classifier: Classifier,
    images: pd.DataFrame,
    pixels: np.ndarray,
    targets: Targets,
    batch_size: int,
) -> Measured:
    """Return what held-out images cost a classifier under all treatments.

    Parameters
    ----------
    classifier : Classifier
        The model.
    images : DataFrame
        id, label, domain.
    pixels : ndarray of uint8, shape (n_images, side, side, 3)
        The same.
    targets : Targets
        The neurons.
    batch_size : int
        Images per forward pass.
    """
    seeing, labels = classifier.seeing, images["label"].to_numpy(np.int64)
    chosen, held, composition = _prepared(seeing.module, seeing.sites, targets)
    cuts = [slice(low, low + batch_size) for low in range(0, len(images), batch_size)]
    batches = [(pixels[cut], labels[cut]) for cut in cuts]
    bits, right = image_losses(classifier, batches, held, [one.held for one in chosen])
    samples = images[["id", "domain"]].rename(columns={"id": "sample"})
    samples = samples.assign(cluster=images["id"].astype(str), size=1.0)
    treated = [(one.treatment, one.population, one.draw) for one in chosen]
    return Measured(loss_table(samples, treated, bits, right, targets.model), composition)


def _prepared(
    model: Any, sites: list[list[Site]], targets: Targets
) -> tuple[list[Treatment], HeldNeurons, pd.DataFrame]:
    """Return all treatments of a model, what holds its neurons, and what the treatments ablate."""
    place = f"models.{targets.model}"
    norms = torch.stack([weights.norm(dim=1) for weights in output_weights(model, place)])
    facts = facts_of(targets.statistics, norms.double().numpy())
    reason, draws = too_few(targets.mask, facts), None
    if reason:
        say(f"{targets.model}: no draw matches its neurons: {reason}")
    else:
        draws = matched_draws(targets.mask, facts, targets.settings, targets.model)
    chosen = list(treatments(targets.mask, facts, draws))
    values = facts.mean if targets.settings.method == "mean" else np.zeros_like(facts.mean)
    return chosen, HeldNeurons(sites, values), _composition(chosen, targets.mask, draws, reason)


def facts_of(statistics: dict[str, np.ndarray], norms: np.ndarray) -> NeuronFacts:
    """Return the facts of all neurons, from what is measured (n_neurons,) and ‖w_out‖ (n_layers,
    d_mlp).
    """
    of = {name: values.reshape(norms.shape) for name, values in statistics.items()}
    return NeuronFacts(**of, output_norm=norms * np.sqrt(of["variance"]))


def _composition(
    chosen: list[Treatment], targets: np.ndarray, draws: MatchedDraws | None, reason: str
) -> pd.DataFrame:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for one in chosen:
        population = ~one.held if one.treatment == "keep" else one.held
        n = int(population.sum())
        rows[one.treatment, one.population] = {
            "treatment": one.treatment,
            "population": one.population,
            "n_ablated": int(one.held.sum()),
            "overlap": float((population & targets).sum() / n) if n else float("nan"),
            "reason": reason,
        }
        if draws is not None and one.population == MATCHED:
            gaps = dict(zip(("gap_activation", "gap_output_norm"), draws.gaps.mean(0), strict=True))
            rows[one.treatment, one.population] |= {"draws_overlap": draws.overlap, **gaps}
    return pd.DataFrame(rows.values(), columns=["treatment", "population", *COMPOSITION_COLUMNS])


def facts_told(measured: Measured, mask: np.ndarray) -> dict[str, Any]:
    """Return what a file of losses tells of one model."""
    composition = measured.composition.astype(object)
    return {
        "n_neurons": mask.size,
        "n_targets": int(mask.sum()),
        "layers": layers_of(mask),
        "composition": composition.where(composition.notna(), None).to_dict("records"),
    }


def layers_of(mask: np.ndarray) -> str:
    """Return the layers that have some of the neurons of a mask, as tables tell them."""
    return " ".join(map(str, np.flatnonzero(mask.any(axis=1))))


def named_mask(layers: np.ndarray, units: np.ndarray, shape: NeuronShape) -> np.ndarray:
    """Return the mask of neurons, bool (n_layers, d_mlp)."""
    mask = np.zeros((shape.n_layers, shape.d_mlp), dtype=bool)
    mask[layers, units] = True
    return mask

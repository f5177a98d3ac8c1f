"""Training a TopK autoencoder on stored activations."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from rosetta.config.sae import Sae
from rosetta.models.zoo.arithmetic import fast_and_repeatable
from rosetta.models.zoo.training_loop import Steps, mean_of_last, run_steps, warmup_linear
from rosetta.progress import say
from rosetta.sae.dictionary import Dictionary, Standard, in_own_units
from rosetta.sae.rows import CountedRows, ShuffledBatches
from rosetta.sae.topk import Recipe, TopKAutoencoder, UnitAdam
from rosetta.storage.digests import digest_bytes, digest_json, hash64

RATE_KEY = "sae.learning_rate"
# Settings that do not shape the weights.
_OTHERS = {"checkpoint_every", "path", "heldout_one_in", "per"}


@dataclass(frozen=True)
class Trained:
    """An autoencoder that was trained here.

    Attributes
    ----------
    dictionary : Dictionary
        Of activations in their own units.
    train_loss : float
        Share of the variance of living neurons left unexplained in the last steps, on what it was
        trained on; NaN if all are dead.
    positions : int
        Positions that it was shown, each as often as it was.
    """

    dictionary: Dictionary
    train_loss: float
    positions: int


def train_autoencoder(
    rows: CountedRows,
    neurons: tuple[int, int],
    standard: Standard,
    settings: Sae,
    checkpoints: Path,
) -> Trained:
    """Train an autoencoder of a range of neurons, from its last checkpoint if there is one.

    One thread does the arithmetic, so the weights are the same at any number of cores.

    Parameters
    ----------
    rows : CountedRows
        Rows to train on.
    neurons : (int, int)
        Range of neurons.
    standard : Standard
        Mean and deviation of these.
    settings : Sae
        How it is trained.
    checkpoints : Path
        Folder of the checkpoint.

    Raises
    ------
    ModelError
        If the training diverges.
    """
    torch.set_num_threads(1)
    batches = ShuffledBatches(rows, neurons, standard, settings.batch_size, settings.seed)
    run = _run(rows, neurons, settings)
    of_standard, losses = _train(batches, neurons[1] - neurons[0], settings, checkpoints, run)
    del batches  # its window of rows, before as much is taken for the weights
    # Dead neurons are 0 among standard activations: in means over all they count as explained.
    living = 1 - float(standard.dead.mean())
    left = mean_of_last(losses) / living if living else float("nan")
    sizes = f"{of_standard.n_features} features of {of_standard.d_in} neurons"
    say(f"{sizes}: {1 - left:.3f} of the variance explained")
    positions = settings.steps * settings.batch_size
    return Trained(in_own_units(of_standard, standard), left, positions)


def _train(
    batches: ShuffledBatches, d_in: int, settings: Sae, checkpoints: Path, run: str
) -> tuple[Dictionary, list[float]]:
    """Return the dictionary of standard activations, and the loss of every step; gradients and
    moments are gone by then.
    """
    model = TopKAutoencoder(d_in, Recipe.of(settings, d_in), hash64("sae", settings.seed) >> 1)
    steps = _steps(model, batches, settings, checkpoints, run)
    optimizer = UnitAdam(model.parameters(), model.decoder, settings.learning_rate)
    with fast_and_repeatable(model.device):
        losses = run_steps(model, optimizer, steps, torch.float32)
    return model.dictionary(), losses


def _run(rows: CountedRows, neurons: tuple[int, int], settings: Sae) -> str:
    """Return the digest of all that shapes the weights."""
    read = [digest_bytes(one.tobytes()) for one in rows.rows]
    stores = [store.manifest for store in rows.stores]
    recipe = settings.model_dump(mode="json", exclude=_OTHERS)
    return digest_json([recipe, list(neurons), stores, read])


def _steps(
    model: TopKAutoencoder,
    batches: ShuffledBatches,
    settings: Sae,
    checkpoints: Path,
    run: str,
) -> Steps:
    # Each step reads its own number, as often as it has positions; no memory is taken for them.
    numbers = torch.arange(settings.steps)[:, None].expand(-1, settings.batch_size)
    return Steps(
        batches=numbers,
        rate=partial(_rate, settings),
        checkpoints=checkpoints,
        checkpoint_every=settings.checkpoint_every,
        run=run,
        rate_key=RATE_KEY,
        loss_of=lambda _, number: model.loss(batches.batch(int(number[0]))),
        unit="pos",
        loss_unit="of the variance",
        state={"silent": model.silent},
    )


def _rate(settings: Sae, step: int) -> float:
    warmup = max(1, settings.steps // 20)
    return warmup_linear(settings.learning_rate, step, settings.steps, warmup)

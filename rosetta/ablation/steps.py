"""The steps that ablate neurons: of a rung's models, by hand, and the tables of all rungs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from rosetta.ablation.columns import ABLATION_COLUMNS, LOSS_COLUMNS
from rosetta.ablation.effects import told_effects
from rosetta.ablation.trend import trend_table
from rosetta.config import Config, group_name
from rosetta.config.ablation import ablated_models, ablated_rungs
from rosetta.config.image_stores import stores_of_group
from rosetta.config.ladders import families_of
from rosetta.errors import ConfigError
from rosetta.progress import say
from rosetta.run.paths import Paths
from rosetta.storage.tables import (
    read_parquet,
    read_parquet_metadata,
    write_csv,
    write_parquet,
)

if TYPE_CHECKING:
    from rosetta.ablation.request import AblationRequest


def group_step(config: Config, paths: Paths, group: str) -> None:
    """Measure what held-out samples cost the models of a rung, without its Rosetta Neurons, with
    nothing but them, and under all that this is compared with.
    """
    import torch

    from rosetta.ablation.run_inputs import rosetta_of, statistic_of
    from rosetta.ablation.run_models import measure_model

    by_name = {group_name(models): models for _, models in ablated_rungs(config)}
    if group not in by_name:
        known = ", ".join(by_name) or "none"
        raise ConfigError(f"--group: {group!r} is no rung that `ablation` asks for: {known}.")
    assert config.ablation is not None, "it asks for rungs"
    torch.set_num_threads(1)
    models = by_name[group]
    rosetta, parts, facts = rosetta_of(config, paths, models), [], {}
    text = config.modality_of(models[0]) == "text"
    stores = models if text else stores_of_group(config, models)
    for model, store in zip(models, stores, strict=True):
        if model in ablated_models(config, models):
            found, facts[model] = measure_model(config, paths, (model, store), rosetta)
            parts.append(found)
            say(f"{model}: {facts[model]['n_targets']} neurons ablated and kept")
    statistic = statistic_of(config)
    write_parquet(
        paths.ablation(group),
        pd.concat(parts, ignore_index=True),
        {"models": facts, "statistic": statistic, "method": config.ablation.method},
    )


def tables_step(config: Config, paths: Paths) -> None:
    """Write what ablations cost, and whether that changes with size."""
    assert config.ablation is not None, "the stage runs only with one"
    parts = []
    for number, group in ablated_rungs(config):
        place = paths.ablation(group_name(group))
        losses, facts = read_parquet(place, LOSS_COLUMNS), read_parquet_metadata(place)
        for model, told in facts["models"].items():
            own = losses[losses["model"] == model]
            found = told_effects(own, told, config.bootstrap, model)
            parts.append(
                found.assign(
                    ladder=config.ablation.ladder,
                    rung=number,
                    group=group_name(group),
                    method=facts["method"],
                    statistic=facts["statistic"],
                )
            )
    table = pd.concat(parts, ignore_index=True)[ABLATION_COLUMNS]
    write_csv(paths.table("ablation"), table)
    write_csv(paths.table("ablation_scaling"), trend_table(table, families_of(config.ladders)))


def ablate_step(wanted: AblationRequest, out: Path | None) -> pd.DataFrame:
    """Ablate the neurons that a user names, of any model, and return what that costs.

    Parameters
    ----------
    wanted : AblationRequest
        Model, neurons, samples.
    out : Path or None
        CSV to write.

    Raises
    ------
    RosettaError
        If the model has no loss or cannot be loaded, a neuron is not in it, or there are no
        samples.
    """
    import torch

    from rosetta.ablation.by_hand import ablate_by_hand

    torch.set_num_threads(1)
    found = ablate_by_hand(wanted)
    table = found.assign(ladder="", rung=-1, group="", statistic="named")[ABLATION_COLUMNS]
    if out is not None:
        write_csv(out, table)
    return table

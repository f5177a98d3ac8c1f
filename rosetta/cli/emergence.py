"""The commands that tell when Rosetta Neurons emerge over a training."""

from __future__ import annotations

from typing import Annotated

import typer

from rosetta.cli.options import ConfigOption, ModelOption, checked_pair, open_run
from rosetta.config.training_ladders import step_pairs


def train_steps(config: ConfigOption, model: ModelOption) -> None:
    """Train a zoo model up to the last step that training ladders keep; `train` goes on."""
    from rosetta.models.steps import train_steps_step

    train_steps_step(*open_run(config), model)


def past(
    config: ConfigOption,
    pair: Annotated[
        str,
        typer.Option(help="two models at a step, joined by --, such as a~step-32--b~step-32"),
    ],
) -> None:
    """Correlate a pair of models at a step of their training with their final selves."""
    from rosetta.emergence.steps import past_step

    loaded, paths = open_run(config)
    past_step(loaded, paths, checked_pair(pair, [], step_pairs(loaded)))


def emergence(config: ConfigOption) -> None:
    """Tell when the Rosetta Neurons of training ladders emerge, and how long matches last."""
    from rosetta.emergence.steps import emergence_step

    emergence_step(*open_run(config))


def emergence_figures(config: ConfigOption) -> None:
    """Draw when Rosetta Neurons emerge."""
    from rosetta.report.steps import emergence_figures_step

    emergence_figures_step(*open_run(config))


def seed_matches(config: ConfigOption, model: ModelOption) -> None:
    """Match the trainings of a model with one another."""
    from rosetta.emergence.steps import seed_matches_step

    seed_matches_step(*open_run(config), model)


def across_seeds(config: ConfigOption) -> None:
    """Tell how many trainings of one recipe share each neuron, and whether other families do."""
    from rosetta.emergence.steps import across_seeds_step

    across_seeds_step(*open_run(config))


def across_seeds_figures(config: ConfigOption) -> None:
    """Draw how many trainings share neurons."""
    from rosetta.report.steps import across_seeds_figures_step

    across_seeds_figures_step(*open_run(config))


COMMANDS = (
    train_steps,
    past,
    emergence,
    emergence_figures,
    seed_matches,
    across_seeds,
    across_seeds_figures,
)

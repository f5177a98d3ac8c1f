"""What a judge costs: its calls, counted before the first one is made."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from rosetta.config import Config, Judge
from rosetta.config.judge import JudgeEndpoint, judged_stores
from rosetta.config.names import model_of_store
from rosetta.errors import ConfigError, EndpointError
from rosetta.judging.endpoint import Messages, Schema
from rosetta.judging.replies import Ask


@dataclass(frozen=True)
class Calls:
    """How often judges are called if every answer is in its form.

    Attributes
    ----------
    verdicts : int
        For all numbers of images or contexts together.
    validation : int
        Two for each neuron on which the judge is tested.
    second : int
        Of the second judge.
    """

    verdicts: int
    validation: int
    second: int

    @property
    def total(self) -> int:
        """All calls."""
        return self.verdicts + self.validation + self.second

    def cost(self, settings: Judge) -> float | None:
        """Return what they cost; None if a price is not known."""
        asked: list[tuple[int, JudgeEndpoint]] = [(self.verdicts + self.validation, settings)]
        asked += [(self.second, settings.second)] if settings.second else []
        costs = [n * one.price_per_call for n, one in asked if one.price_per_call is not None]
        return sum(costs) if len(costs) == len(asked) else None

    def minutes(self, settings: Judge) -> float:
        """Return the minutes that they take at least, at the rates that endpoints are called."""
        first = (self.verdicts + self.validation) / settings.requests_per_minute
        second = self.second / settings.second.requests_per_minute if settings.second else 0.0
        return first + second

    def told(self, settings: Judge) -> str:
        """Return them in words."""
        cost = self.cost(settings)
        price = "their cost is not known (judge.price_per_call)" if cost is None else f"{cost:,.2f}"
        return (
            f"{self.total:,} calls ({self.verdicts:,} for verdicts, {self.validation:,} for the "
            f"validation, {self.second:,} of the second judge); {price}"
        )


def most_calls(config: Config, n_neurons: Callable[[str], int | None]) -> Calls:
    """Return the calls that a configured judge makes at most, before any neuron is matched.

    Parameters
    ----------
    config : Config
        With a judge.
    n_neurons : callable
        Neurons of a model by its name; None if not known.
    """
    settings = config.judge
    assert settings is not None
    verdicts = validation = 0
    for store in judged_stores(config):
        known = n_neurons(model_of_store(store))
        limits = [] if known is None else [known // settings.n_trials]
        n_each = min([settings.n_per_trial, *(limit // 2 for limit in limits)])
        verdicts += 2 * settings.n_trials * n_each
        if config.modality_of(store) == "images":
            validation += 2 * settings.n_trials * min([settings.n_validated, *limits])
    second = verdicts if settings.second else 0
    return Calls(verdicts * len(settings.all_top_k), validation, second)


def check_cost(settings: Judge, calls: Calls) -> None:
    """Check that calls may be made.

    Raises
    ------
    ConfigError
        If they cost more than `judge.max_cost`.
    """
    cost = calls.cost(settings)
    if settings.max_cost is not None and cost is not None and cost > settings.max_cost:
        raise ConfigError(
            f"judge.max_cost: is {settings.max_cost:,.2f}, but the judge needs "
            f"{calls.told(settings)}. Lower judge.n_per_trial, judge.n_validated or the number of "
            "judge.models, or raise it."
        )


class Purse:
    """Pays for the calls of one process, and allows none beyond the limit.

    Answers that are in no form are asked for again, so that calls may be more than were counted.

    Parameters
    ----------
    limit : float or None
        What all calls may cost; None for no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        self._spent = 0.0
        self._lock = threading.Lock()

    def paying(self, ask: Ask, price: float | None) -> Ask:
        """Return `ask` with a price.

        The function raises an EndpointError where a call would go beyond the limit.
        """

        def paid(messages: Messages, schema: Schema | None) -> str:
            self._pay(price or 0.0)
            return ask(messages, schema)

        return paid

    def _pay(self, price: float) -> None:
        with self._lock:
            # Sums of prices round: 100 times 0.01 is a little more than 1.
            if self._limit is not None and self._spent + price > self._limit * (1 + 1e-9):
                raise EndpointError(
                    f"judge.max_cost: the next call would cost more than {self._limit:,.2f}, "
                    "because answers in no form were asked for again."
                )
            self._spent += price

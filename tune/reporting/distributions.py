"""The search space, inferred from the trials: which parameters vary, over what range, and under which condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tune.results import Row
from tune.training.config import SET_BY_SEARCH, TrainConfig

CONDITIONS = {"gamma": ("scheduler", "step"), "momentum": ("optimizer", "sgd"), "nesterov": ("optimizer", "sgd")}
"""Fields that have an effect only under one value of another field."""

BRANCHING = ("scheduler", "optimizer")

MAX_CHOICES = 8
"""A parameter with more distinct values counts as a range."""

LOG_RATIO = 20.0
"""A range whose bounds are at least this factor apart gets a logarithmic scale."""

_DEFAULTS = TrainConfig(model="simple_cnn", lr=0.1, batch_size=1, epochs=1).to_dict()


def searched(trials: Sequence[Row]) -> list[str]:
    """The fields that differ between trials, in TrainConfig's order; lr and batch_size if none does."""
    names = [name for name in TrainConfig.fields() if name not in SET_BY_SEARCH and f"config.{name}" in trials[0]]
    varied = [name for name in names if len({row[f"config.{name}"] for row in trials}) > 1]
    return varied or ["lr", "batch_size"]


def parameters(trials: Sequence[Row]) -> tuple[dict[str, BaseDistribution], list[dict[str, Any]]]:
    """Each parameter's distribution, and each trial's values.

    A trial lacks the conditional parameters that have no effect in it, such as `gamma` without the step schedule.
    """
    names = searched(trials)
    values = [{name: row[f"config.{name}"] for name in names if is_active(name, row, trials)} for row in trials]
    found = {}
    for name in names:
        if own := [of[name] for of in values if name in of]:
            found[name] = distribution(own)
    return found, [{name: value for name, value in of.items() if name in found} for of in values]


def is_active(name: str, row: Row, trials: Sequence[Row]) -> bool:
    """Whether the parameter was searched in the trial's branch of the space."""
    if name in CONDITIONS:
        on, value = CONDITIONS[name]
        if row.get(f"config.{on}") != value:
            return False
    for on in BRANCHING:
        same = [other[f"config.{name}"] for other in trials if other[f"config.{on}"] == row[f"config.{on}"]]
        others = {other[f"config.{name}"] for other in trials if other[f"config.{on}"] != row[f"config.{on}"]}
        # At its default throughout the branch, but varied elsewhere.
        if len(same) > 2 and set(same) == {_DEFAULTS[name]} and len(others) > 2:
            return False
    return True


def distribution(values: Sequence[Any]) -> BaseDistribution:
    """A distribution from which the values may have been drawn, for Optuna."""
    different = sorted(set(values))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in different)
    if not numbers or (len(different) <= MAX_CHOICES and len(different) <= len(values) / 2):
        return CategoricalDistribution(different)
    low, high = different[0], different[-1]
    log = low > 0 and high / low >= LOG_RATIO
    if all(isinstance(value, int) for value in different):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)

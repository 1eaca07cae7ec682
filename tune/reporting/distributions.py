"""The search space as the trials show it: which parameters vary, over what, and under which condition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from tune.results import Row
from tune.training.config import TrainConfig

FIXED = ("model", "epochs", "seed")
"""Fields that the search sets itself."""

BELONG = {"gamma": ("scheduler", "step"), "momentum": ("optimizer", "sgd"), "nesterov": ("optimizer", "sgd")}
"""Fields that mean something under one value of another one only."""

BRANCHING = ("scheduler", "optimizer")

FEW = 8
"""A choice has at most so many values."""

WIDE = 20.0
"""A range whose ends are so many times apart is drawn on a logarithmic scale."""

_DEFAULTS = TrainConfig(model="simple_cnn", lr=0.1, batch_size=1, epochs=1).to_dict()


def searched(trials: Sequence[Row]) -> list[str]:
    """The fields that differ between trials, in the order of TrainConfig; of a single trial, the two all have."""
    names = [name for name in TrainConfig.fields() if name not in FIXED and f"config.{name}" in trials[0]]
    varied = [name for name in names if len({row[f"config.{name}"] for row in trials}) > 1]
    return varied or ["lr", "batch_size"]


def parameters(trials: Sequence[Row]) -> tuple[dict[str, BaseDistribution], list[dict[str, Any]]]:
    """The distribution of each parameter, and each trial's values of those that it has.

    A conditional parameter, `gamma` of the step schedule say, is missing where it means nothing.
    """
    names = searched(trials)
    values = [{name: row[f"config.{name}"] for name in names if has(name, row, trials)} for row in trials]
    found = {}
    for name in names:
        if own := [of[name] for of in values if name in of]:
            found[name] = distribution(own)
    return found, [{name: value for name, value in of.items() if name in found} for of in values]


def has(name: str, row: Row, trials: Sequence[Row]) -> bool:
    """Whether the parameter was searched in the trial's branch of the space."""
    if name in BELONG:
        on, value = BELONG[name]
        if row.get(f"config.{on}") != value:
            return False
    for on in BRANCHING:
        same = [other[f"config.{name}"] for other in trials if other[f"config.{on}"] == row[f"config.{on}"]]
        others = {other[f"config.{name}"] for other in trials if other[f"config.{on}"] != row[f"config.{on}"]}
        # Left at its default in the whole branch, and varied elsewhere.
        if len(same) > 2 and set(same) == {_DEFAULTS[name]} and len(others) > 2:
            return False
    return True


def distribution(values: Sequence[Any]) -> BaseDistribution:
    """What the values may have been drawn from: Optuna wants to know."""
    different = sorted(set(values))
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in different)
    if not numbers or (len(different) <= FEW and len(different) <= len(values) / 2):
        return CategoricalDistribution(different)
    low, high = different[0], different[-1]
    log = low > 0 and high / low >= WIDE
    if all(isinstance(value, int) for value in different):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)

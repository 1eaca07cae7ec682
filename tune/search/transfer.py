"""Transfers a trial of another search into the space of this one, or says why it does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search.sample import Domain

from tune import domains
from tune.space import SearchSpace
from tune.training.config import TrainConfig


def to_space(values: Mapping[str, Any], space: SearchSpace, *, epochs: int, seed: int) -> TrainConfig:
    """A trial's configuration with the epochs and seed of this search. ValueError names what lies outside its space.

    A field that is None did not exist in the version that trained the trial, so it takes its default.
    """
    own = {"model": space.model, "epochs": epochs, "seed": seed}
    config = TrainConfig.from_dict({name: value for name, value in values.items() if value is not None} | own)
    point = config.to_dict()
    if why := _outside(space.parameters, point):
        raise ValueError(why)
    drawn = domains.at(space.parameters, domains.locate(space.parameters, point))
    for name, value in space.config(drawn, epochs=epochs, seed=seed).to_dict().items():
        if point[name] != value:  # not a parameter of this space, so at its default there
            raise ValueError(f"{name} other than {value}")
    return config


def _outside(parameters: Mapping[str, Any], point: Mapping[str, Any]) -> str:
    """The first parameter that a point violates, with what it allows; empty if it violates none."""
    for name, parameter in parameters.items():
        try:
            domains.locate({name: parameter}, point)
        except ValueError:
            if domains.is_conditional(parameter):
                return _no_branch(name, parameter.categories, point)
            if isinstance(parameter, Domain):
                return f"{name} outside {domains.describe(parameter).removeprefix('one of ')}"
            return f"{name} other than {parameter}"
    return ""


def _no_branch(name: str, branches: Sequence[Mapping[str, Any]], point: Mapping[str, Any]) -> str:
    """Why no branch of a conditional fits: the violation in the branch with the point's constants, if there is one."""
    constants = [{k: v for k, v in branch.items() if not isinstance(v, Domain)} for branch in branches]
    for branch, fixed in zip(branches, constants, strict=True):
        if not _outside(fixed, point):
            return _outside(branch, point)
    told = [f"{key} {point[key]}" for key in constants[0] if all(key in fixed for fixed in constants)]
    return f"no branch of {name}" + (f" for {', '.join(told)}" if told else "")

"""SearchSpace, which a search-space file defines: loading and validation.

A search-space file is Python code, and loading executes it: load only files that you trust.
"""

from __future__ import annotations

import hashlib
import os
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from ray.tune.search.sample import Float

import cifar_models
import search_spaces
from tune import domains
from tune.files import printable
from tune.training.config import SET_BY_SEARCH, TrainConfig
from tune.training.image_size import preprocessing_of

MAX_TRIALS = 1_000_000

MIN_GPU_SHARE = 0.001
"""The smallest share of a GPU. Ray rounds shares to ten thousandths, and smaller ones to zero."""

PAGE = "(docs/search-space.md)"
"""The page on writing a space."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What a search may try. ValueError, with the remedy in its message, if the space is inconsistent."""

    model: str
    """Name of an architecture in `cifar_models`."""

    epochs: int
    """The horizon of a trial: its learning-rate schedule spans so many epochs."""

    trials: int
    """How many configurations to try, unless `--trials` says otherwise."""

    parameters: Mapping[str, Any]
    """TrainConfig field -> Ray Tune domain or constant. Any other name must be a conditional: a `tune.choice` of dicts,
    one per branch, such as `{"scheduler": "step", "gamma": tune.uniform(...)}`."""

    reference: Mapping[str, Any]
    """A point of the space that is known to be good. It runs first, so that ASHA compares with it from the start."""

    baselines: Sequence[Mapping[str, Any]] = ()
    """Further points of the space to compare with. They run next."""

    gpus_per_trial: float | None = None
    """Share of a GPU per trial, MIN_GPU_SHARE to 1; without a GPU, trials run on CPU cores. None: the share that gives
    the highest measured throughput."""

    cpus_per_trial: int | None = None
    """CPU cores per trial. None: one with a GPU; without, the number that gives the highest measured throughput."""

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or self.model not in cifar_models.NAMES:
            raise ValueError(f"model is {self.model!r}; it must be one of {', '.join(cifar_models.NAMES)}.")
        for name in ("epochs", "trials", "cpus_per_trial"):
            value = getattr(self, name)
            if name == "cpus_per_trial" and value is None:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1.")
        TrainConfig(model=self.model, lr=0.1, batch_size=1, epochs=self.epochs)  # ValueError if the horizon is too long
        if self.trials > MAX_TRIALS:
            raise ValueError(f"trials is {self.trials}; it must be at most {MAX_TRIALS}.")
        gpus = self.gpus_per_trial
        if gpus is not None and (not domains.is_number(gpus) or not MIN_GPU_SHARE <= gpus <= 1):
            raise ValueError(f"gpus_per_trial is {gpus!r}; it must lie between {MIN_GPU_SHARE} and 1.")
        if not isinstance(self.parameters, Mapping) or not self.parameters:
            raise ValueError("parameters must be a dict with at least one parameter.")
        points = [self.reference, *self.baselines] if isinstance(self.baselines, list | tuple) else [None]
        if not all(isinstance(point, Mapping) and all(isinstance(name, str) for name in point) for point in points):
            raise ValueError("reference must be a dict of parameter names and values, baselines a list of such dicts.")
        _check_names(self.parameters, set())
        _check_complete(self.parameters)
        self._check_points()
        self._check_values()

    def config(self, values: Mapping[str, Any], *, epochs: int, seed: int) -> TrainConfig:
        """The TrainConfig of a point of this space."""
        return TrainConfig.from_dict({**values, "model": self.model, "epochs": epochs, "seed": seed})

    def points(self) -> list[tuple[Literal["reference", "baseline"], dict[str, Any]]]:
        """The fixed configurations, as origin and flat values, the reference first."""
        return [("reference", dict(self.reference)), *(("baseline", dict(point)) for point in self.baselines)]

    def _check_points(self) -> None:
        for origin, point in self.points():
            unknown = sorted(set(point) - {name for name, _ in domains.leaves(self.parameters)})
            if unknown:
                raise ValueError(f"the {origin} sets {printable(', '.join(unknown))}, which parameters does not name.")
            try:
                domains.locate(self.parameters, point)
                self.config(point, epochs=self.epochs, seed=0)
            except ValueError as error:
                why = str(error).rstrip(".")
                raise ValueError(
                    f"the {origin} does not lie in the space: {why}. Change it, or widen the parameter."
                ) from error

    def _check_values(self) -> None:
        """Tries the bounds of every range and every category on a TrainConfig and the architecture."""
        config = self.config(self.reference, epochs=self.epochs, seed=0)
        smallest_batch = config.batch_size
        for name, parameter in domains.leaves(self.parameters):
            values = domains.samples(parameter)
            if isinstance(getattr(config, name), bool):
                if wrong := [value for value in values if not isinstance(value, bool)]:
                    raise ValueError(f"parameter {name} holds {wrong[0]!r}; write True or False.")
            elif isinstance(parameter, Float) and isinstance(getattr(config, name), int):
                raise ValueError(f"parameter {name} takes whole numbers; use tune.randint or tune.choice.")
            try:
                tried = [replace(config, **{name: value}) for value in values]
            except ValueError as error:
                raise ValueError(f"parameter {name} holds a value that no trial can take: {error}") from error
            smallest_batch = min(smallest_batch, *(item.batch_size for item in tried))
        for name, parameter in (("image_size", config.image_size), *domains.leaves(self.parameters)):
            for value in domains.samples(parameter) if name in ("image_size", "initial_scale") else []:
                preprocessing_of(replace(config, batch_size=smallest_batch, **{name: value}))


def _check_names(parameters: Mapping[str, Any], seen: set[str]) -> None:
    """Every name is a searchable field or a conditional, and no field can be set twice at once."""
    if strange := [name for name in parameters if not isinstance(name, str) or not name.isidentifier()]:
        raise ValueError(f"{strange[0]!r} is not a valid parameter name; use an identifier.")
    for name, parameter in parameters.items():
        domains.check_domain(name, parameter)
        if domains.is_conditional(parameter):
            if name in TrainConfig.fields():
                raise ValueError(f"{name} is a field of TrainConfig; give the conditional another name.")
            others = {key: value for key, value in parameters.items() if key != name}
            for branch in parameter.categories:
                _check_names(branch, seen | {field for field, _ in domains.leaves(others)})
        elif name in SET_BY_SEARCH:
            raise ValueError(f"parameter {name} is set by the search itself; remove it from parameters.")
        elif name not in TrainConfig.fields():
            known = ", ".join(field for field in TrainConfig.fields() if field not in SET_BY_SEARCH)
            raise ValueError(f"there is no parameter {name!r}; TrainConfig has {known}.")
        elif name in seen:
            raise ValueError(f"parameter {name} is set twice, inside and outside a branch; keep one.")


def _check_complete(parameters: Mapping[str, Any]) -> None:
    """Every trial gets the fields that have no default."""
    for name in ("lr", "batch_size"):
        if name not in {field for field, _ in domains.leaves(parameters)}:
            raise ValueError(f"parameters lacks {name}; every trial needs one.")
        if name not in _always_set(parameters):
            raise ValueError(f"parameter {name} is missing in some branch; every trial needs one.")


def _always_set(parameters: Mapping[str, Any]) -> set[str]:
    """The fields that are set in every combination of branches."""
    found = {name for name, parameter in parameters.items() if not domains.is_conditional(parameter)}
    for parameter in parameters.values():
        if domains.is_conditional(parameter):
            found |= set.intersection(*(_always_set(branch) for branch in parameter.categories))
    return found


def find(given: str) -> Path:
    """The file that `--space` names: a path, or a shipped space such as `simple_cnn`, for users without a checkout."""
    if (
        given.isidentifier() and given[0] != "_" and not os.path.isfile(given)
    ):  # Path.is_file raises where a name is too long
        shipped = Path(str(search_spaces.__file__)).with_name(f"{given}.py")
        if os.path.isfile(shipped):
            return shipped
    return Path(given)


def load(path: Path) -> tuple[SearchSpace, str]:
    """The `SPACE` of a search-space file, and the file's SHA-256. ValueError says what is wrong with it."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(f"The search-space file {path} cannot be read: {error.strerror}.") from error
    module = ModuleType("search_space_file")
    module.__file__ = str(path)
    try:
        sys.modules[module.__name__] = module  # dataclasses look up their module
        exec(compile(source, str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno or 1}: {printable(error.msg)}. {PAGE}") from error
    except (Exception, SystemExit) as error:
        where = next((f.lineno for f in traceback.extract_tb(error.__traceback__)[::-1] if f.filename == str(path)), 1)
        raise ValueError(f"{path}, line {where}: {printable(textwrap.shorten(_told(error), 300))} {PAGE}") from error
    finally:
        sys.modules.pop(module.__name__, None)
    space = module.__dict__.get("SPACE")
    if not isinstance(space, SearchSpace):
        raise ValueError(f"{path} must define SPACE = SearchSpace(...), from tune.space. {PAGE}")
    return space, hashlib.sha256(source).hexdigest()


def _told(error: BaseException) -> str:
    """What an exception says, for someone who writes a space file."""
    if isinstance(error, ValueError):
        return str(error)
    own, wrong = "SearchSpace.__init__() ", str(error)
    if isinstance(error, TypeError) and wrong.startswith(own):
        ends = "" if wrong.endswith("?") else "."  # Python 3.13 asks whether another name was meant
        return f"SearchSpace {wrong.removeprefix(own)}{ends} It takes {', '.join(f.name for f in fields(SearchSpace))}."
    return f"{type(error).__name__}: {error}"

"""SearchSpace: what a search-space file declares. Load it, check it.

A search-space file is Python that a user edits, and loading it runs it: load only files you trust.
"""

from __future__ import annotations

import hashlib
import sys
import textwrap
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from ray.tune.search.sample import Float

import cifar_models
from tune import domains
from tune.training.config import TrainConfig

OWN = ("model", "epochs", "seed")
"""Fields of TrainConfig that the search sets itself."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """What to try. ValueError, with the mend in the sentence, if it contradicts itself."""

    model: str
    """Name of an architecture in `cifar_models`."""

    epochs: int
    """The horizon of a trial: its schedule is spread over so many epochs."""

    trials: int
    """How many configurations to try, unless `--trials` says otherwise."""

    parameters: Mapping[str, Any]
    """TrainConfig field -> Ray Tune domain or constant. A name that is no field must be a conditional:
    a `tune.choice` of dicts, one a branch, keyed by fields: `{"scheduler": "step", "gamma": tune.uniform(...)}`."""

    reference: Mapping[str, Any]
    """A setting known to be good, within the parameters. It runs first and gives ASHA a real first bar."""

    baselines: Sequence[Mapping[str, Any]] = ()
    """Settings to compare with, within the parameters. They run next."""

    gpus_per_trial: float = 1.0
    """Share of a GPU for one trial, over 0 and at most 1; on a machine without GPU trials run on CPU cores."""

    cpus_per_trial: int = 1
    """CPU cores of one trial."""

    def __post_init__(self) -> None:
        if self.model not in cifar_models.NAMES:
            raise ValueError(f"model is {self.model!r}; it must be one of {', '.join(cifar_models.NAMES)}.")
        for name, low in (("epochs", 1), ("trials", 1), ("cpus_per_trial", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < low:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {low}.")
        if not isinstance(self.gpus_per_trial, int | float) or not 0 < self.gpus_per_trial <= 1:
            raise ValueError(f"gpus_per_trial is {self.gpus_per_trial!r}; it must lie over 0 and at most at 1.")
        if not isinstance(self.parameters, Mapping) or not self.parameters:
            raise ValueError("parameters must be a dict with at least one parameter.")
        points = [self.reference, *self.baselines] if isinstance(self.baselines, list | tuple) else [None]
        if not all(isinstance(point, Mapping) and all(isinstance(name, str) for name in point) for point in points):
            raise ValueError("reference must be a dict of parameter names and values, baselines a list of such dicts.")
        _check_names(self.parameters, set())
        self._check_points()
        self._check_values()

    def config(self, values: Mapping[str, Any], *, epochs: int, seed: int) -> TrainConfig:
        """The TrainConfig of a point of this space."""
        return TrainConfig.from_dict({**values, "model": self.model, "epochs": epochs, "seed": seed})

    def points(self) -> list[tuple[Literal["reference", "baseline"], dict[str, Any]]]:
        """What runs before anything is proposed: origin and flat values, the reference first."""
        return [("reference", dict(self.reference)), *(("baseline", dict(point)) for point in self.baselines)]

    def _check_points(self) -> None:
        for origin, point in self.points():
            unknown = sorted(set(point) - {name for name, _ in domains.leaves(self.parameters)})
            if unknown:
                raise ValueError(f"the {origin} sets {', '.join(unknown)}, which parameters does not name.")
            try:
                domains.locate(self.parameters, point)
                self.config(point, epochs=self.epochs, seed=0)
            except ValueError as error:
                why = str(error).rstrip(".")
                raise ValueError(
                    f"the {origin} does not lie in the space: {why}. Change it, or widen the parameter."
                ) from error

    def _check_values(self) -> None:
        """Tries the ends of every range and every category on a TrainConfig."""
        config = self.config(self.reference, epochs=self.epochs, seed=0)
        for name, parameter in domains.leaves(self.parameters):
            if isinstance(parameter, Float) and isinstance(getattr(config, name), int):
                raise ValueError(f"parameter {name} takes whole numbers; use tune.randint or tune.choice.")
            for value in domains.extremes(parameter):
                if isinstance(getattr(config, name), bool) and not isinstance(value, bool):
                    raise ValueError(f"parameter {name} holds {value!r}; write True or False.")
                try:
                    replace(config, **{name: value})
                except ValueError as error:
                    raise ValueError(f"parameter {name} holds a value that no trial can take: {error}") from error


def _check_names(parameters: Mapping[str, Any], seen: set[str]) -> None:
    """Each name is a field that is the search's to vary, or a conditional; no field is set twice at once."""
    if strange := [name for name in parameters if not isinstance(name, str) or not name.isidentifier()]:
        raise ValueError(f"{strange[0]!r} is no name for a parameter; use a word.")
    for name, parameter in parameters.items():
        domains.check_domain(name, parameter)
        if domains.is_conditional(parameter):
            if name in TrainConfig.fields():
                raise ValueError(f"{name} is a field of TrainConfig; give the conditional another name.")
            others = {key: value for key, value in parameters.items() if key != name}
            for branch in parameter.categories:
                _check_names(branch, seen | {field for field, _ in domains.leaves(others)})
        elif name in OWN:
            raise ValueError(f"parameter {name} is set by the search itself; take it out of parameters.")
        elif name not in TrainConfig.fields():
            known = ", ".join(field for field in TrainConfig.fields() if field not in OWN)
            raise ValueError(f"there is no parameter {name!r}; TrainConfig has {known}.")
        elif name in seen:
            raise ValueError(f"parameter {name} is set twice, in a branch and beside it; keep one.")


def load(path: Path) -> tuple[SearchSpace, str]:
    """The `SPACE` of a search-space file, and the file's SHA-256. ValueError says what is wrong with it."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ValueError(f"The search-space file {path} can not be read: {error.strerror}.") from error
    module = ModuleType("search_space_file")
    module.__file__ = str(path)
    try:
        sys.modules[module.__name__] = module  # dataclasses look their module up
        exec(compile(source, str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno or 1}: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        where = next((f.lineno for f in traceback.extract_tb(error.__traceback__)[::-1] if f.filename == str(path)), 1)
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path}, line {where}: {textwrap.shorten(what, 300)}") from error
    finally:
        sys.modules.pop(module.__name__, None)
    space = module.__dict__.get("SPACE")
    if not isinstance(space, SearchSpace):
        raise ValueError(f"{path} must define SPACE = SearchSpace(...), from tune.space.")
    return space, hashlib.sha256(source).hexdigest()

"""What a way to search is worth, by replays: how fast it finds something good, and what it has found in the end."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.replay import methods
from benchmarks.replay.curves import Curve
from benchmarks.replay.methods import Maker
from benchmarks.replay.simulate import Answer, metric, replay
from tune.results import Status
from tune.search.asha import Asha
from tune.space import SearchSpace
from tune.training.config import TrainConfig

WORKERS = 4


@dataclass(frozen=True)
class Way:
    """A way to search, as the tables name it."""

    name: str
    make: Maker
    takes_last: bool = False
    """It chooses the highest last accuracy of all trials, as Ray's `get_best_result` does, not of the whole ones."""


WAYS = (
    Way("random search, all trained whole", methods.random_whole),
    Way("this project, HyperOpt", methods.ours),
    Way("this project, Optuna's TPE", partial(methods.ours, proposals="optuna")),
    Way("Ray Tune: HyperOptSearch, ASHAScheduler", methods.PlainRayTune, takes_last=True),
    Way("Optuna: TPE, successive halving", methods.optuna_halving),
    Way("Optuna: TPE, Hyperband", methods.optuna_hyperband),
)

Course = list[tuple[int, float]]
"""After how many epochs of the search which accuracy, in per cent, its choice reaches when whole; changes alone."""


def course(way: Way, space: SearchSpace, answer: Answer, seed: int, *, horizon: int, epochs: int) -> Course:
    """Searches for `epochs` epochs, and tells what was chosen meanwhile."""
    found = replay(way.make(space, horizon, seed), answer, workers=WORKERS, epochs=epochs)
    last: dict[str, float] = {}
    course: Course = []
    whole = 0.0
    for number, item in enumerate(found.epochs, start=1):
        if way.takes_last:
            last[item.trial_id] = item.value
            whole = final(answer(found.configs[max(last, key=lambda trial_id: last[trial_id])]))
        elif item.status == "finished":
            whole = max(whole, item.value)
        if whole != (course[-1][1] if course else 0.0):
            course.append((number, whole))
    return course


def at(course: Course, epochs: int) -> float:
    """The accuracy of what was chosen after so many epochs; 0 if nothing was."""
    return next((accuracy for number, accuracy in reversed(course) if number <= epochs), 0.0)


def reached(course: Course, target: float) -> int | None:
    """After how many epochs the choice was as good as `target`; None if it never was."""
    return next((number for number, accuracy in course if accuracy >= target), None)


def final(curve: Curve) -> float:
    """Accuracy after whole training, in per cent; 0 if it diverges."""
    return metric(curve, len(curve.val_acc)) if len(curve.val_acc) == curve.config.epochs else 0.0


# Whether the best of given configurations is kept.


class Given:
    """ASHA over given configurations in their order."""

    def __init__(self, configs: Sequence[TrainConfig], asha: Asha, reference: TrainConfig | None) -> None:
        self.configs = configs
        self.asha = asha
        self.reference = reference
        self.begun = 0

    def suggest(self) -> tuple[str, TrainConfig] | None:
        if self.begun == len(self.configs):
            return None
        self.begun += 1
        return f"{self.begun - 1:04d}", self.configs[self.begun - 1]

    def report(self, trial_id: str, epoch: int, value: float) -> bool:
        spared = self.configs[int(trial_id)] == self.reference
        return self.asha.report(trial_id, epoch, value, spared=spared)

    def ended(self, trial_id: str, epoch: int, value: float, status: Status) -> None:
        if status == "diverged":
            self.asha.record(trial_id, epoch, value)


@dataclass(frozen=True)
class Kept:
    """What ASHA made of one set of configurations."""

    regret: float
    """Points between the best of all and the best of those that it let finish."""

    cost: float
    """Epochs trained, over those of training all whole."""


def kept(
    curves: Mapping[TrainConfig, Curve], configs: Sequence[TrainConfig], asha: Asha, reference: TrainConfig | None
) -> Kept:
    """ASHA over recorded curves, four workers."""
    found = replay(Given(configs, asha, reference), curves.__getitem__, workers=WORKERS)
    best = max(final(curves[config]) for config in configs)
    got = max((item.value for item in found.last().values() if item.status == "finished"), default=0.0)
    return Kept(best - got, len(found.epochs) / (len(configs) * asha.horizon))


def draw(drawn: Sequence[TrainConfig], first: Sequence[TrainConfig], count: int, seed: int) -> list[TrainConfig]:
    """`count` configurations in a random order, after `first`, none twice."""
    return [*first, *random.Random(seed).sample(list(drawn), count - len(first))]


# Figures.


def interval(values: Sequence[float]) -> list[float]:
    """The median of the values, and its 95 % interval by 2,000 bootstrap draws."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(2000))
    return [statistics.median(values), medians[50], medians[-51]]


def without_points(space: SearchSpace) -> SearchSpace:
    """The space without its reference and its baselines, for a comparison in which nobody has a head start."""
    return _Bare(**{name: getattr(space, name) for name in space.__dataclass_fields__})


class _Bare(SearchSpace):
    def points(self) -> list[Any]:
        return []

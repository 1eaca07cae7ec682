"""What a way to search is worth, by replays: how fast it finds something good, and what it has found in the end."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from benchmarks.replay import methods, promotion
from benchmarks.replay.curves import Curve
from benchmarks.replay.methods import Maker
from benchmarks.replay.promotion import Promotion
from benchmarks.replay.simulate import Answer, Replay, metric, replay
from tune.search.asha import Asha
from tune.space import SearchSpace
from tune.training.config import TrainConfig

WORKERS = 4


Choice = Literal["best_json", "last", "completed"]
"""What a search answers when it is asked for its best: this project's best.json (the best of the whole trials, before
there is one the one let go furthest); Ray's `get_best_result` (the highest last accuracy of all); Optuna's `best_trial`
(the best of the whole ones)."""


@dataclass(frozen=True)
class Way:
    """A way to search, as the tables name it."""

    name: str
    make: Maker
    chooses: Choice = "best_json"


WAYS = (
    Way("random search, all trained whole", methods.random_whole),
    Way("this project, HyperOpt", methods.ours),
    Way("this project, Optuna's TPE", partial(methods.ours, proposals="optuna")),
    Way("Ray Tune: HyperOptSearch, ASHAScheduler", methods.PlainRayTune, chooses="last"),
    Way("Optuna: TPE, successive halving", methods.optuna_halving, "completed"),
    Way("Optuna: TPE, Hyperband", methods.optuna_hyperband, "completed"),
)

Course = list[tuple[int, float]]
"""After how many epochs of the search which accuracy, in per cent, its choice reaches when whole; changes alone."""


def course(way: Way, space: SearchSpace, answer: Answer, seed: int, *, horizon: int, epochs: int) -> Course:
    """Searches for `epochs` epochs, and tells what was chosen meanwhile."""
    found = replay(way.make(space, horizon, seed), answer, workers=WORKERS, epochs=epochs)
    return list(_changes(way.chooses, found, answer))


def _changes(chooses: Choice, found: Replay, answer: Answer) -> Iterator[tuple[int, float]]:
    """Each time that the choice changes: the epochs trained until then, and the accuracy of the new one when whole."""
    places: dict[str, tuple[float, float]] = {}  # whatever the rule compares
    chosen = ""
    for number, item in enumerate(found.epochs, start=1):
        whole = item.status == "finished"
        if item.status == "diverged":
            places.pop(item.trial_id, None)
        elif chooses == "last":
            places[item.trial_id] = (item.value, 0)
        elif chooses == "best_json" or whole:
            places[item.trial_id] = (item.epoch, item.value)
        best = max(places, key=lambda trial_id: places[trial_id], default="")
        if best and best != chosen:
            chosen = best
            yield number, final(answer(found.configs[best]))


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


@dataclass(frozen=True)
class Kept:
    """What was made of one set of configurations."""

    regret: float
    """Points between the best of all and the one chosen, both when whole."""

    cost: float
    """Epochs trained, over those of training all whole."""


def kept(
    curves: Mapping[TrainConfig, Curve],
    configs: Sequence[TrainConfig],
    rule: Asha | Promotion,
    reference: TrainConfig | None,
) -> Kept:
    """A rule over recorded curves, four workers. The rule is used up."""
    best = max(final(curves[config]) for config in configs)
    if isinstance(rule, Promotion):
        finished, epochs = promotion.search(curves, configs, rule, reference, WORKERS)
        got = max(finished.values(), default=0.0)
    else:
        found = replay(methods.Listed(configs, rule, reference), curves.__getitem__, workers=WORKERS)
        got = max((item.value for item in found.last().values() if item.status == "finished"), default=0.0)
        epochs = len(found.epochs)
    return Kept(best - got, epochs / sum(config.epochs for config in configs))


def searched(way: Way, space: SearchSpace, answer: Answer, seed: int, *, horizon: int, trials: int) -> Kept:
    """A whole search of so many trials, judged by what the best of its own trials would have reached."""
    found = replay(way.make(space, horizon, seed), answer, workers=WORKERS, trials=trials)
    best = max(final(answer(config)) for config in found.configs.values())
    *_, (_, got) = _changes(way.chooses, found, answer)
    return Kept(best - got, len(found.epochs) / (trials * horizon))


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

"""The value of a search method, from replays: how fast it finds something good, and what it finds in the end."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

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
"""Which trial a search returns as its best: this project's best.json (the best complete trial, or until there is one,
the one that got furthest); Ray's `get_best_result` (the highest last accuracy of all trials); Optuna's `best_trial`
(the best complete trial)."""


@dataclass(frozen=True)
class Way:
    """A search method, by the name that the tables use."""

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
"""(epochs of the search, final accuracy (%) of its choice), for each change of the choice."""


def course(way: Way, space: SearchSpace, answer: Answer, seed: int, *, horizon: int, epochs: int) -> Course:
    """Searches for `epochs` epochs, and returns what it chose over time."""
    found = replay(way.make(space, horizon, seed), answer, workers=WORKERS, epochs=epochs)
    return list(_changes(way.chooses, found, answer))


def _changes(chooses: Choice, found: Replay, answer: Answer) -> Iterator[tuple[int, float]]:
    """For each change of the choice: the epochs trained so far, and the final accuracy of the new choice."""
    places: dict[str, tuple[float, float]] = {}  # what the rule compares
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
    """The final accuracy of the choice after `epochs`; 0 if there was none."""
    return next((accuracy for number, accuracy in reversed(course) if number <= epochs), 0.0)


def reached(course: Course, target: float) -> int | None:
    """The number of epochs until the choice was at least as good as `target`; None if it never was."""
    return next((number for number, accuracy in course if accuracy >= target), None)


def final(curve: Curve) -> float:
    """Accuracy (%) after all epochs; 0 if it diverges."""
    return metric(curve, len(curve.val_acc)) if len(curve.val_acc) == curve.config.epochs else 0.0


# Whether a stopping rule keeps the best of given configurations.


@dataclass(frozen=True)
class Kept:
    """The outcome for one set of configurations."""

    regret: float
    """Points between the best and the chosen one, both after all epochs."""

    cost: float
    """Epochs trained, relative to training every configuration to the end."""


def kept(
    curves: Mapping[TrainConfig, Curve],
    configs: Sequence[TrainConfig],
    rule: Asha | Promotion,
    reference: TrainConfig | None,
) -> Kept:
    """Applies a rule to recorded curves, with four workers. The rule cannot be used again."""
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
    """A search of `trials` trials, compared with what the best of its own trials would have reached."""
    found = replay(way.make(space, horizon, seed), answer, workers=WORKERS, trials=trials)
    best = max(final(answer(config)) for config in found.configs.values())
    *_, (_, got) = _changes(way.chooses, found, answer)
    return Kept(best - got, len(found.epochs) / (trials * horizon))


def draw(drawn: Sequence[TrainConfig], first: Sequence[TrainConfig], count: int, seed: int) -> list[TrainConfig]:
    """`count` distinct configurations: `first`, and then others in random order."""
    return [*first, *random.Random(seed).sample(list(drawn), count - len(first))]


# Statistics.


def interval(values: Sequence[float]) -> list[float]:
    """The median of the values, and its 95 % interval from 2,000 bootstrap resamples."""
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(2000))
    return [statistics.median(values), medians[50], medians[-51]]

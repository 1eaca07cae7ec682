"""Proposes configurations: the reference, a warm start's best, the baselines, random points, then TPE.

A proposal depends only on the space, the seed, the head start, its number and the known results. So it can be repeated
after a crash, or replayed without training.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tune.results import Origin
from tune.search.retrying_searcher import RetryingSearcher, TrialSpec
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.config import TrainConfig

RANDOM_STARTS = 8
"""Random points before TPE begins. Ray's default of 20 would make most searches purely random."""

MAX_DRAWS = 50
"""After so many draws that repeat earlier configurations, the space counts as used up."""

SAMPLERS: dict[Method, tuple[str, str]] = {
    "hyperopt": ("tune.search.hyperopt_tpe", "HyperOptSampler"),
    "optuna": ("tune.search.optuna_tpe", "OptunaSampler"),
    "random": ("tune.search.hyperopt_tpe", "HyperOptSampler"),
}
"""Module and class of each method's `Sampler`."""


@dataclass(frozen=True)
class Known:
    """A proposed configuration and its result."""

    config: TrainConfig
    score: float | None = None
    """Larger is better, comparable between trials (see `score`); None while it runs, or if it failed."""


def score(epoch: int, value: float, diverged: bool) -> float:
    """The score of a trial for TPE, which uses only the order: first by epochs trained, then by the metric.

    A stopped trial lost to others at its rung, so it ranks below all that continued. Ranking by the metric alone would
    compare accuracies after 1 epoch with accuracies after 50.
    """
    return -np.inf if diverged else 1000.0 * epoch + value


@dataclass(frozen=True)
class HeadStart:
    """What a warm start takes from an earlier search, in configurations of the new one."""

    known: tuple[Known, ...] = ()
    """TPE learns from these, and they are not proposed again. They count towards RANDOM_STARTS."""

    first: TrainConfig | None = None
    """Runs right after the reference; neither the reference nor a baseline."""


class Sampler(Protocol):
    """Draws points of one space."""

    def draw(self, known: Sequence[Known], seed: int) -> dict[str, Any]:
        """Flat values of a point. A pure function of `known` and `seed`; random if nothing is known."""


class Proposer:
    """Proposes configurations of one space without repetition."""

    def __init__(
        self,
        space: SearchSpace,
        *,
        epochs: int,
        seed: int,
        method: Method = "hyperopt",
        head_start: HeadStart = HeadStart(),
    ) -> None:
        self.space = space
        self.epochs = epochs
        self.seed = seed
        self.method = method
        self.head_start = head_start
        self.repeats_refused = 0
        """Draws discarded because they repeated an earlier configuration."""

        self.used_up = False
        """Whether MAX_DRAWS draws in a row found nothing new."""

        self._sampler = sampler_class(method)(space.parameters)

    def propose(self, number: int, known: Sequence[Known]) -> tuple[Origin, TrainConfig] | None:
        """Configuration `number` (from 0), given all earlier ones. None if the space is used up."""
        points = self._points()
        taken = {item.config for item in known}
        if number < len(points) and points[number][1] not in taken:
            return points[number]
        taken |= {item.config for item in self.head_start.known}
        known = self._with_head_start(known)
        random = self.method == "random" or number < len(points) + RANDOM_STARTS - len(self.head_start.known)
        for attempt in range(MAX_DRAWS):
            # TPE may keep repeating what it knows; random draws can still find something new.
            learnt_from = [] if random or attempt > MAX_DRAWS // 2 else known
            seed = int(np.random.SeedSequence([self.seed, number, attempt]).generate_state(1)[0] % 2**31)
            config = self._config(self._sampler.draw(learnt_from, seed))
            if config not in taken:
                self.repeats_refused += attempt
                return "search", config
        self.used_up = True
        return None

    def _points(self) -> list[tuple[Origin, TrainConfig]]:
        """The fixed configurations at the start."""
        points: list[tuple[Origin, TrainConfig]] = [(origin, self._config(v)) for origin, v in self.space.points()]
        if self.head_start.first is not None:
            points.insert(1, ("warm_start", self.head_start.first))
        return points

    def _with_head_start(self, known: Sequence[Known]) -> list[Known]:
        """All known configurations, each once. A head start's score holds until this search's trial has its own."""
        found = {item.config: item for item in self.head_start.known}
        for item in known:
            if item.score is not None or item.config not in found:
                found[item.config] = item
        return list(found.values())

    def _config(self, values: Mapping[str, Any]) -> TrainConfig:
        return self.space.config(values, epochs=self.epochs, seed=self.seed)


def sampler_class(method: Method) -> Callable[[Mapping[str, Any]], Sampler]:
    """The class of a method's sampler, which takes a space's parameters. Importing its library takes up to a second."""
    module, name = SAMPLERS[method]
    found: Callable[[Mapping[str, Any]], Sampler] = getattr(importlib.import_module(module), name)
    return found


def trial_id_of(number: int) -> str:
    """A trial's id from its number."""
    return f"{number:04d}"


class ProposalSearcher(RetryingSearcher):
    """Ray's searcher: asks a `Proposer`. A trial's id is its number, and is passed in its config."""

    def __init__(
        self,
        proposer: Proposer,
        metric: str,
        known: Mapping[int, Known] | None = None,
        unfinished: Mapping[int, tuple[Origin, TrainConfig]] | None = None,
        proposed: Callable[[str, Origin, TrainConfig], None] = lambda *_: None,
        trials: int | None = None,
    ) -> None:
        """`known`: earlier proposals, of which `unfinished` resume before any new one; `trials`: the most in all.

        `proposed` is called with each proposal before Ray gets it: as later ones depend on it, it must survive a crash.
        """
        super().__init__(metric)
        self.proposer = proposer
        self.known = dict(known or {})
        self._unfinished = dict(unfinished or {})
        self._proposed = proposed
        self._trials = trials

    def next(self) -> TrialSpec | None:
        if self._unfinished:
            number = min(self._unfinished)
            proposal: tuple[Origin, TrainConfig] | None = self._unfinished.pop(number)
        else:
            number = next(n for n in itertools.count() if n not in self.known)
            if number == self._trials:
                return None
            proposal = self.proposer.propose(number, [item for _, item in sorted(self.known.items())])
        if proposal is None:
            return None
        origin, config = proposal
        self.known[number] = Known(config)
        self._proposed(trial_id_of(number), origin, config)
        return {**config.to_dict(), "trial_id": trial_id_of(number), "origin": origin}

    def ended(self, trial_id: str, result: dict[str, Any] | None) -> None:
        if result is not None and "epoch" in result:
            number = int(trial_id)
            how = score(result["epoch"], result[self.metric] or 0.0, result["diverged"])
            self.known[number] = Known(self.known[number].config, how)

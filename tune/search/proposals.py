"""Which configuration comes next: the reference, a warm start's best, the baselines, random starts, then TPE.

What `Proposer.propose` answers depends on (space, seed, head start, number, what is known) alone, so it can be asked
again after a crash or replayed without training.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from tune.results import Origin
from tune.search.attempts import Attempts, Handed
from tune.settings import Method
from tune.space import SearchSpace
from tune.training.config import TrainConfig

RANDOM_STARTS = 8
"""Random draws before TPE has enough to model. Ray's default of 20 would make most searches purely random."""

ATTEMPTS = 50
"""Draws that may repeat an earlier configuration before the space counts as used up."""


@dataclass(frozen=True)
class Known:
    """A configuration that was proposed, and how it did."""

    config: TrainConfig
    score: float | None = None
    """Larger is better, comparable between trials (see `score`); None: it runs, or it failed for other reasons."""


def score(epoch: int, value: float, diverged: bool) -> float:
    """How good a trial is, for TPE, which only ranks: first how far it was let go, then the metric there.

    An early-stopped trial lost to others at its rung, so it ranks below all that went further; plain last values
    would rank an epoch-1 accuracy against an epoch-50 one.
    """
    return -np.inf if diverged else 1000.0 * epoch + value


@dataclass(frozen=True)
class HeadStart:
    """What an earlier search leaves to one that begins, in configurations of the latter."""

    known: tuple[Known, ...] = ()
    """Learnt from, and not proposed again. They count as random starts."""

    first: TrainConfig | None = None
    """Runs right after the reference; it is neither that nor a baseline."""


class Sampler(Protocol):
    """Draws a point of one space."""

    def draw(self, known: Sequence[Known], seed: int) -> dict[str, Any]:
        """Flat values, by what is known, or by chance alone where nothing is. Nothing else decides."""


class Proposer:
    """Proposes configurations of one space, none of them twice."""

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
        """Draws that repeated something, and gave way to a new one."""
        self.used_up = False
        """Nothing new was found for a trial, in ATTEMPTS draws."""
        self._sampler = sampler_of(method, space)

    def propose(self, number: int, known: Sequence[Known]) -> tuple[Origin, TrainConfig] | None:
        """Configuration `number` (from 0), given all that were proposed before. None: nothing new is left."""
        points = self._points()
        taken = {item.config for item in known}
        if number < len(points) and points[number][1] not in taken:
            return points[number]
        taken |= {item.config for item in self.head_start.known}
        known = self._with_head_start(known)
        random = self.method == "random" or number < len(points) + RANDOM_STARTS - len(self.head_start.known)
        for attempt in range(ATTEMPTS):
            # TPE may insist on what it knows; chance can still find something new.
            learnt_from = [] if random or attempt > ATTEMPTS // 2 else known
            seed = int(np.random.SeedSequence([self.seed, number, attempt]).generate_state(1)[0] % 2**31)
            config = self._config(self._sampler.draw(learnt_from, seed))
            if config not in taken:
                self.repeats_refused += attempt
                return "search", config
        self.used_up = True
        return None

    def _points(self) -> list[tuple[Origin, TrainConfig]]:
        """What runs before anything is drawn."""
        points: list[tuple[Origin, TrainConfig]] = [(origin, self._config(v)) for origin, v in self.space.points()]
        if self.head_start.first is not None:
            points.insert(1, ("warm_start", self.head_start.first))
        return points

    def _with_head_start(self, known: Sequence[Known]) -> list[Known]:
        """All that is known, each configuration once; an earlier score stands until the trial here has one."""
        found = {item.config: item for item in self.head_start.known}
        for item in known:
            if item.score is not None or item.config not in found:
                found[item.config] = item
        return list(found.values())

    def _config(self, values: Mapping[str, Any]) -> TrainConfig:
        return self.space.config(values, epochs=self.epochs, seed=self.seed)


def sampler_of(method: Method, space: SearchSpace) -> Sampler:
    if method == "optuna":
        from tune.search.optuna_tpe import OptunaSampler  # half a second to import

        return OptunaSampler(space.parameters)
    from tune.search.hyperopt_tpe import HyperOptSampler

    return HyperOptSampler(space.parameters)


def trial_id_of(number: int) -> str:
    """The id of a search's trial."""
    return f"{number:04d}"


class ProposalSearcher(Attempts):
    """Lets Ray Tune ask a `Proposer`. A trial's id is its number; it travels in the trial's config."""

    def __init__(
        self,
        proposer: Proposer,
        metric: str,
        known: Mapping[int, Known] | None = None,
        unfinished: Mapping[int, tuple[Origin, TrainConfig]] | None = None,
        proposed: Callable[[str, Origin, TrainConfig], None] = lambda *_: None,
        trials: int | None = None,
    ) -> None:
        """`known` was proposed earlier, and of that `unfinished` is to be trained again before anything new.

        `proposed` hears of each proposal before Ray does: what comes next depends on it, so it must outlive a crash.
        There are at most `trials` in all.
        """
        super().__init__(metric)
        self.proposer = proposer
        self.known = dict(known or {})
        self._unfinished = dict(unfinished or {})
        self._proposed = proposed
        self._trials = trials

    def next(self) -> Handed | None:
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

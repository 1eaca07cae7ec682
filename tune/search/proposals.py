"""Which configuration comes next: the reference, the baselines, random starts, then TPE.

What `Proposer.propose` answers depends on (space, seed, number, what is known) alone, so it can be asked again after
a crash or replayed without training.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from ray.tune.search import Searcher

from tune.results import Origin
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


class Sampler(Protocol):
    """Draws a point of one space."""

    def draw(self, known: Sequence[Known], seed: int) -> dict[str, Any]:
        """Flat values, by what is known, or by chance alone where nothing is. Nothing else decides."""


class Proposer:
    """Proposes configurations of one space, none of them twice."""

    def __init__(self, space: SearchSpace, *, epochs: int, seed: int, method: Method = "hyperopt") -> None:
        self.space = space
        self.epochs = epochs
        self.seed = seed
        self.method = method
        self.repeats_refused = 0
        self._sampler = _sampler(method, space)

    def propose(self, number: int, known: Sequence[Known]) -> tuple[Origin, TrainConfig] | None:
        """Configuration `number` (from 0), given all that were proposed before. None: nothing new is left."""
        points = self.space.points()
        taken = {item.config for item in known}
        if number < len(points):
            origin, values = points[number]
            config = self._config(values)
            if config not in taken:
                return origin, config
        random = self.method == "random" or number < len(points) + RANDOM_STARTS
        for attempt in range(ATTEMPTS):
            # TPE may insist on what it knows; chance can still find something new.
            learnt_from = [] if random or attempt > ATTEMPTS // 2 else known
            seed = int(np.random.SeedSequence([self.seed, number, attempt]).generate_state(1)[0] % 2**31)
            config = self._config(self._sampler.draw(learnt_from, seed))
            if config not in taken:
                return "search", config
            self.repeats_refused += 1
        return None

    def _config(self, values: Mapping[str, Any]) -> TrainConfig:
        return self.space.config(values, epochs=self.epochs, seed=self.seed)


def _sampler(method: Method, space: SearchSpace) -> Sampler:
    if method == "optuna":
        from tune.search.optuna_tpe import OptunaSampler  # half a second to import

        return OptunaSampler(space.parameters)
    from tune.search.hyperopt_tpe import HyperOptSampler

    return HyperOptSampler(space.parameters)


class ProposalSearcher(Searcher):  # type: ignore[misc]  # Ray ships no types for it
    """Lets Ray Tune ask a `Proposer`. A trial's id is its number; it travels in the trial's config."""

    def __init__(
        self,
        proposer: Proposer,
        metric: str,
        known: Mapping[int, Known] | None = None,
        unfinished: Mapping[int, tuple[Origin, TrainConfig]] | None = None,
    ) -> None:
        """`known` was proposed earlier, and of that `unfinished` is to be trained again before anything new."""
        super().__init__(metric=metric, mode="max")
        self.proposer = proposer
        self.known = dict(known or {})
        self._unfinished = dict(unfinished or {})
        self._numbers: dict[str, int] = {}

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True  # the proposer has its space already, and Ray asks a second time with no metric

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._unfinished:
            number = min(self._unfinished)
            proposal: tuple[Origin, TrainConfig] | None = self._unfinished.pop(number)
        else:
            number = next(n for n in itertools.count() if n not in self.known)
            proposal = self.proposer.propose(number, [item for _, item in sorted(self.known.items())])
        if proposal is None:
            finished: str = Searcher.FINISHED
            return finished
        origin, config = proposal
        self.known[number] = Known(config)
        self._numbers[trial_id] = number
        return {**config.to_dict(), "trial_id": f"{number:04d}", "origin": origin}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if result is not None and not error and "epoch" in result:
            number = self._numbers[trial_id]
            how = score(result["epoch"], result[self.metric], result["diverged"])
            self.known[number] = Known(self.known[number].config, how)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass  # a running trial is not ranked: its metric would be that of an early epoch

    def save(self, checkpoint_path: str) -> None:
        pass  # nothing to keep: what is known lies in trials.parquet

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a search is not restored through Ray's own state")

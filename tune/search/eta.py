"""How far a search has come and how long it will still take: pure arithmetic."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tune.search.expectation import expect
from tune.wording import duration

PRIOR_DECISIONS = 10
"""Weight of the prior for the share of trials that survive a rung, in observed decisions."""


class TrialProgress(NamedTuple):
    """How far a trial is."""

    epoch: int
    goes_on: bool
    exempt: bool
    """Whether ASHA never stops it: the reference, and a trial that failed."""


class Progress:
    """Epochs trained and expected, and the time left.

    A trial is expected to survive each later rung with the same probability. At first that is the probability that
    reproduces the cost simulated by `expectation`; then it follows the decisions observed.
    """

    def __init__(
        self,
        trials: int,
        horizon: int,
        workers: int,
        rungs: Iterable[int] = (),
        budget_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`rungs` is empty without ASHA; `budget_s` is what is left of the time budget, in seconds."""
        self.trials, self.horizon = trials, horizon
        self.trained = 0
        """Epochs, over all trials."""

        self.fraction = 0.0
        """Of the whole, for a progress bar. It never decreases: when more turns out to be left, it waits."""

        self._rungs = sorted(rungs)
        self._workers = max(1, min(workers, trials))
        self.expected = expect(trials, horizon, workers, asha=bool(self._rungs)).epochs
        self._prior = self._survival_costing((self.expected - horizon) / max(1, trials - 1))
        self._clock = clock
        self._budget_ends = None if budget_s is None else clock() + budget_s
        self._began: float | None = None
        self._trained_since = 0  # epochs
        self._ends: float | None = None

    def trial_started(self) -> None:
        """The first trial starts the clock, so that Ray's start-up does not count."""
        if self._began is None:
            self._began = self._clock()

    def epoch_ended(self) -> None:
        self._trained_since += 1

    def update(self, trials: Sequence[TrialProgress]) -> None:
        """Updates the estimate from all trials that have started."""
        self.trained = sum(trial.epoch for trial in trials)
        survival = self._survival(trials)
        running = [self.horizon - t.epoch if t.exempt else self._rest(t.epoch, survival) for t in trials if t.goes_on]
        waiting = max(0, self.trials - len(trials)) * self._rest(0, survival)
        if not trials:  # the first is the reference
            waiting += self.horizon - self._rest(0, survival)
        rest = sum(running) + waiting
        self.expected = self.trained + rest
        self.fraction = max(self.fraction, self.trained / self.expected if self.expected else 1.0)
        if not rest:
            self._ends = None
        elif self._began is not None and self._trained_since >= self._workers:  # too early to know the pace otherwise
            now = self._clock()
            epoch_s = (now - self._began) * self._workers / self._trained_since
            self._ends = now + epoch_s * max([rest / self._workers, *running])

    def left(self) -> str:
        """The time left, in words; empty if it is unknown or nothing is left."""
        if self._ends is None:
            return ""
        now = self._clock()
        if self._budget_ends is not None and self._budget_ends < self._ends:
            return f"{duration(max(0.0, self._budget_ends - now))} of the time budget left"
        return f"about {_rough(max(0.0, self._ends - now))} left"

    def in_words(self, ended: int) -> str:
        """`5/12 trials, 17 of about 24 epochs, about 3 min left`."""
        about = "about " if self._rungs and self.expected > self.trained else ""
        parts = [
            f"{ended}/{self.trials} trials",
            f"{self.trained:,} of {about}{self.expected:,.0f} epochs",
            self.left(),
        ]
        return ", ".join(filter(None, parts))

    def _rest(self, epoch: int, survival: float) -> float:
        """Epochs that a trial past the rung at `epoch` is still expected to train."""
        rest, chance = 0.0, 1.0
        for level in (*(rung for rung in self._rungs if rung > epoch), self.horizon):
            rest += chance * (level - epoch)
            chance, epoch = chance * survival, level
        return rest

    def _survival_costing(self, epochs: float) -> float:
        """The survival rate at which a trial costs `epochs`, by bisection: the cost grows with it."""
        low, high = 0.0, 1.0
        for _ in range(30):
            middle = (low + high) / 2
            low, high = (middle, high) if self._rest(0, middle) < epochs else (low, middle)
        return (low + high) / 2

    def _survival(self, trials: Sequence[TrialProgress]) -> float:
        """The survival rate of a rung: the prior, corrected by the decisions so far."""
        subject = [trial for trial in trials if not trial.exempt]
        passed = sum(rung < t.epoch or (t.goes_on and rung == t.epoch) for t in subject for rung in self._rungs)
        stopped = sum(not t.goes_on and t.epoch < self.horizon for t in subject)
        return (PRIOR_DECISIONS * self._prior + passed) / (PRIOR_DECISIONS + passed + stopped)


def _rough(seconds: float) -> str:
    """A duration rounded to ten seconds, as it is an estimate."""
    return duration(10 * round(seconds / 10) or 10 if seconds < 90 else seconds)

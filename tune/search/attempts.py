"""Hands Ray Tune trial after trial; one that failed is handed out once more, before anything new.

Ray's own `max_failures` covers neither a trial whose process dies before its first epoch nor one that takes over a
process which then dies: those would count as failed at once.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher

from tune.training.config import TrainConfig

Handed = dict[str, Any]
"""A TrainConfig's values, `trial_id`, `origin`, and MICRO_BATCHES if the first attempt took too much memory."""

MICRO_BATCHES = "micro_batches"

NODES_TO_LOSE = 3
"""So many nodes may die under a trial for nothing; of more than that it may be the cause."""


def train_config(handed: Mapping[str, Any]) -> TrainConfig:
    """The configuration in what a trial was handed."""
    beside = ("trial_id", "origin", MICRO_BATCHES)
    return TrainConfig.from_dict({name: value for name, value in handed.items() if name not in beside})


class Attempts(Searcher):  # type: ignore[misc]  # Ray ships no types for it
    """The base of our searchers. For Ray a second attempt is another trial; it has the `trial_id` of the first."""

    def __init__(self, metric: str) -> None:
        super().__init__(metric=metric, mode="max")
        self._running: dict[str, Handed] = {}
        self._again: list[Handed] = []
        self._failed: set[str] = set()
        self._nodes_lost: Counter[str] = Counter()
        self._over = False

    @abstractmethod
    def next(self) -> Handed | None:
        """Something new, or None if nothing is left."""

    @abstractmethod
    def ended(self, trial_id: str, result: dict[str, Any] | None) -> None:
        """Hears of a trial's end: its last result, or None if it failed for good or never had one."""

    def tries_again(self, trial_id: str, *, for_memory: bool, node_lost: bool = False) -> bool:
        """Whether a trial that has just failed has another attempt; one that takes less memory, if need be.

        The loss of its node is not its failure: the attempt that it has for one of its own is still to come.
        """
        for handed in self._again:
            if handed["trial_id"] == trial_id:
                if for_memory:
                    handed[MICRO_BATCHES] = 2
                if node_lost and self._nodes_lost[trial_id] < NODES_TO_LOSE:
                    self._nodes_lost[trial_id] += 1
                    self._failed.discard(trial_id)
                return True
        return False

    def suggest(self, trial_id: str) -> Handed | str | None:
        handed: Handed | None = None
        if self._again:
            handed = self._again.pop(0)
        elif not self._over:
            handed = self.next()
        if handed is None:
            self._over = True
            finished: str = Searcher.FINISHED  # for good: Ray does not ask again
            return None if self._running else finished
        self._running[trial_id] = handed
        return dict(handed)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        handed = self._running.pop(trial_id)
        if error and handed["trial_id"] not in self._failed:
            self._failed.add(handed["trial_id"])
            self._again.append(handed)
        else:
            self.ended(handed["trial_id"], None if error else result)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True  # the space is known already, and Ray asks a second time with no metric

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass  # a running trial is not ranked: its metric would be that of an early epoch

    def save(self, checkpoint_path: str) -> None:
        pass  # nothing to keep: what is known lies in the result folder

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a search is not restored through Ray's own state")

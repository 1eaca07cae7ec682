"""Hands trials to Ray Tune one by one. A trial that fails gets a second attempt before any new trial starts.

Ray's own `max_failures` covers neither a trial whose process dies before its first epoch nor one that inherits a
process which then dies: those would fail without a second attempt.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher

from tune.training.config import TrainConfig

TrialSpec = dict[str, Any]
"""What Ray passes to a trial as its config: a TrainConfig's values, `trial_id`, `origin`, and MICRO_BATCHES if the
first attempt ran out of memory."""

MICRO_BATCHES = "micro_batches"

MAX_NODES_LOST = 3
"""After the loss of more nodes than that, a trial itself may be the cause."""


def train_config(spec: Mapping[str, Any]) -> TrainConfig:
    """The TrainConfig in a trial's spec."""
    beside = ("trial_id", "origin", MICRO_BATCHES)
    return TrainConfig.from_dict({name: value for name, value in spec.items() if name not in beside})


class RetryingSearcher(Searcher):  # type: ignore[misc]  # Ray ships no types for it
    """Base class of our searchers. For Ray a second attempt is a new trial, with the same `trial_id` in its config."""

    def __init__(self, metric: str) -> None:
        super().__init__(metric=metric, mode="max")
        self._running: dict[str, TrialSpec] = {}
        self._again: list[TrialSpec] = []
        self._failed: set[str] = set()
        self._nodes_lost: Counter[str] = Counter()
        self._over = False

    @abstractmethod
    def next(self) -> TrialSpec | None:
        """The next new trial; None if there are no more."""

    @abstractmethod
    def ended(self, trial_id: str, result: dict[str, Any] | None) -> None:
        """Called at the end of a trial with its last result; None if it has none, or failed in its second attempt."""

    def note_failure(self, trial_id: str, *, for_memory: bool, node_lost: bool = False) -> bool:
        """Notes why a trial failed; returns whether it gets another attempt.

        After running out of memory that attempt takes half of each batch at a time. The loss of a node is not the
        trial's own failure and does not use up its second attempt.
        """
        for spec in self._again:
            if spec["trial_id"] == trial_id:
                if for_memory:
                    spec[MICRO_BATCHES] = 2
                if node_lost and self._nodes_lost[trial_id] < MAX_NODES_LOST:
                    self._nodes_lost[trial_id] += 1
                    self._failed.discard(trial_id)
                return True
        return False

    def suggest(self, trial_id: str) -> TrialSpec | str | None:
        spec: TrialSpec | None = None
        if self._again:
            spec = self._again.pop(0)
        elif not self._over:
            spec = self.next()
        if spec is None:
            self._over = True
            finished: str = Searcher.FINISHED  # final: Ray does not ask again
            return None if self._running else finished
        self._running[trial_id] = spec
        return dict(spec)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        spec = self._running.pop(trial_id)
        if error and spec["trial_id"] not in self._failed:
            self._failed.add(spec["trial_id"])
            self._again.append(spec)
        else:
            self.ended(spec["trial_id"], None if error else result)

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any) -> bool:
        return True  # the space is known already, and Ray calls this a second time without a metric

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        pass  # a running trial is not ranked: its metric is that of an early epoch

    def save(self, checkpoint_path: str) -> None:
        pass  # all state is in the result folder

    def restore(self, checkpoint_path: str) -> None:
        raise AssertionError("a search is not restored from Ray's state")

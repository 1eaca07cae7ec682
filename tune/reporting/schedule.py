"""Reconstructs when trials ran from the order and durations of epochs, as a run's files do not record it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tune.reporting.load import Run

SLACK = 0.1
"""Tolerance as a share of `spent_s`, which is recorded only every ten seconds."""


@dataclass(frozen=True)
class Span:
    """When a trial ran, in seconds since the search started."""

    start: float
    end: float


def spans(run: Run) -> dict[str, Span]:
    """Assigns trials in order to the worker that is free first, leaving out start-up and waiting."""
    free = [0.0] * workers(run)
    found = {}
    for row in run.trials:
        worker = min(range(len(free)), key=lambda index: free[index])
        start = free[worker]
        free[worker] = start + (row["wall_s"] or 0.0)
        found[row["trial_id"]] = Span(start, free[worker])
    return found


def workers(run: Run) -> int:
    """A lower bound on the number of trials that ran concurrently.

    It is the largest number of trials between their first and last epoch at the same time, or, as trials of one epoch
    do not overlap in this way, the ratio of the total training time to the duration of the search.
    """
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, row in enumerate(run.epochs):
        first.setdefault(row["trial_id"], place)
        last[row["trial_id"]] = place
    ended = {place: trial_id for trial_id, place in last.items()}
    most = running = 0
    for place, row in enumerate(run.epochs):
        running += first[row["trial_id"]] == place
        most = max(most, running)
        running -= place in ended
    spent, trained = run.about.get("spent_s"), sum(row["wall_s"] or 0.0 for row in run.trials)
    if isinstance(spent, int | float) and spent > 0:
        most = max(most, math.ceil(trained / spent - SLACK))
    return max(most, 1)


def one_at_a_time(run: Run) -> bool | None:
    """Whether trials ran one after another; None if every trial has a single epoch, which does not tell."""
    if workers(run) > 1:
        return False
    return True if len(run.epochs) > len({row["trial_id"] for row in run.epochs}) else None

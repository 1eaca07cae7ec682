"""When trials ran, as far as the epochs' order and durations tell: a run's files hold no times of day of its trials."""

from __future__ import annotations

from dataclasses import dataclass

from tune.reporting.load import Run


@dataclass(frozen=True)
class Span:
    """Of a trial, in seconds of training since the search began."""

    start: float
    end: float


def spans(run: Run) -> dict[str, Span]:
    """Trials in their order, each on the worker that is free first. Start-up and waiting are left out."""
    free = [0.0] * workers(run)
    found = {}
    for row in run.trials:
        worker = min(range(len(free)), key=lambda index: free[index])
        start = free[worker]
        free[worker] = start + (row["wall_s"] or 0.0)
        found[row["trial_id"]] = Span(start, free[worker])
    return found


def workers(run: Run) -> int:
    """The most trials that were under way at once: begun, and not yet at their last epoch."""
    first: dict[str, int] = {}
    last: dict[str, int] = {}
    for place, row in enumerate(run.epochs):
        first.setdefault(row["trial_id"], place)
        last[row["trial_id"]] = place
    ended = {place: trial_id for trial_id, place in last.items()}
    most = under_way = 0
    for place, row in enumerate(run.epochs):
        under_way += first[row["trial_id"]] == place
        most = max(most, under_way)
        under_way -= place in ended
    return max(most, 1)

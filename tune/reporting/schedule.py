"""When trials ran, as far as the epochs' order and durations tell: a run's files hold no times of day of its trials."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tune.reporting.load import Run

SLACK = 0.1
"""Of the time that the search ran, which is noted every ten seconds only."""


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
    """The most trials that were under way at once, as far as that shows: begun, and not yet at their last epoch.

    Trials of one epoch begin and end at the same place. Where all together trained for longer than the search ran, so
    many more were side by side at least.
    """
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
    spent, trained = run.about.get("spent_s"), sum(row["wall_s"] or 0.0 for row in run.trials)
    if isinstance(spent, int | float) and spent > 0:
        most = max(most, math.ceil(trained / spent - SLACK))
    return max(most, 1)


def one_at_a_time(run: Run) -> bool | None:
    """Whether no two trials ran side by side; None where trials of an epoch do not tell."""
    if workers(run) > 1:
        return False
    return True if len(run.epochs) > len({row["trial_id"] for row in run.epochs}) else None

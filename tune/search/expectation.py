"""The expected cost of a search, simulated by letting `Asha` decide on random trials."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from dataclasses import dataclass

from tune.search.asha import Asha

NOISE = 0.5
"""Standard deviation of a trial's metric around its quality, in standard deviations of quality between trials."""

REFERENCE = 1.0
"""How much better the reference, which runs first, is than the mean of the others; in the same unit."""

MAX_SEARCHES, MAX_TRIALS, MAX_TRIALS_IN_ALL = 200, 256, 10_000
"""Limit the simulation to a tenth of a second. Of a search with more than MAX_TRIALS, a part is simulated."""


@dataclass(frozen=True)
class Expected:
    """The cost of a search, in epochs."""

    epochs: float
    """The mean."""

    low: float
    high: float
    """`low` to `high` covers eight searches in ten."""

    span: float
    """Mean duration in epochs, with all workers running concurrently."""


def expect(trials: int, horizon: int, workers: int, *, asha: bool) -> Expected:
    """The cost of `trials` trials of `horizon` epochs on `workers` concurrent workers, with or without ASHA.

    Assumptions: the trials after the reference are exchangeable, so the searcher does not learn; their qualities are
    normally distributed, and so is the independent noise of the metric at each rung; all epochs take equally long; no
    trial diverges. A searcher that learns makes a search more expensive than that, a better reference cheaper.
    """
    if not asha:
        whole = float(trials * horizon)
        return Expected(whole, whole, whole, float(math.ceil(trials / workers) * horizon))
    simulated = min(trials, MAX_TRIALS)
    times = trials / simulated
    few = max(1, round(workers / times))  # as many as these trials would have: start and tail take as long as in full
    draw = random.Random(0)
    searches = min(MAX_SEARCHES, max(10, MAX_TRIALS_IN_ALL // simulated))
    costs, spans = zip(*(_simulate(simulated, horizon, few, draw) for _ in range(searches)), strict=True)
    in_order = sorted(costs)
    return Expected(
        epochs=times * statistics.mean(costs),
        low=times * in_order[searches // 10],
        high=times * in_order[-1 - searches // 10],
        span=times * few / workers * statistics.mean(spans),
    )


def _simulate(trials: int, horizon: int, workers: int, draw: random.Random) -> tuple[int, int]:
    """One search on a virtual clock: epochs trained, and the time at its end. A free worker takes the next trial."""
    asha = Asha(horizon)
    levels = [*asha.rungs, horizon]
    quality = [REFERENCE, *(draw.gauss(0, 1) for _ in range(trials - 1))]
    clock = [(levels[0], trial, 0) for trial in range(min(workers, trials))]  # (time, trial, index of its next level)
    begun, trained, time = len(clock), 0, 0
    while clock:
        time, trial, at = heapq.heappop(clock)
        epoch = levels[at]
        value = draw.gauss(quality[trial], NOISE)
        if epoch < horizon and asha.report(str(trial), epoch, value, exempt=trial == 0):
            heapq.heappush(clock, (time + levels[at + 1] - epoch, trial, at + 1))
            continue
        trained += epoch
        if begun < trials:
            heapq.heappush(clock, (time + levels[0], begun, 0))
            begun += 1
    return trained, time

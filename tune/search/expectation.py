"""How many epochs a search will train, before it has trained any: `Asha` itself decides over made-up trials."""

from __future__ import annotations

import heapq
import math
import random
import statistics
from dataclasses import dataclass

from tune.search.asha import Asha

NOISE = 0.5
"""How far a trial's figures stray from its quality. The unit is how far the qualities of trials lie apart."""

REFERENCE = 1.0
"""How much better than the others' mean the reference is, which runs first; in the same unit."""

MOST_ORDERS, MOST_TRIALS, MOST_IN_ALL = 200, 256, 10_000
"""What is simulated: a tenth of a second. A larger search is taken for a multiple of one of MOST_TRIALS."""


@dataclass(frozen=True)
class Expected:
    """The cost of a search, in epochs."""

    epochs: float
    """Trained in all, the mean."""

    low: float
    high: float
    """Eight searches in ten lie between them."""

    span: float
    """Epochs one after the other until the last trial ends, with the workers side by side; the mean."""


def expect(trials: int, horizon: int, workers: int, *, asha: bool) -> Expected:
    """The cost of `trials` trials of `horizon` epochs, `workers` side by side, with or without ASHA.

    Assumed: the trials after the reference are exchangeable, that is, the searcher does not learn; each has a quality
    from the normal distribution, and at each rung a figure that differs from it by fresh normal noise; all epochs take
    equally long; none diverges. A searcher that learns makes a search dearer than that, a better reference cheaper.
    """
    if not asha:
        whole = float(trials * horizon)
        return Expected(whole, whole, whole, float(math.ceil(trials / workers) * horizon))
    simulated = min(trials, MOST_TRIALS)
    draw = random.Random(0)
    orders = min(MOST_ORDERS, max(10, MOST_IN_ALL // simulated))
    costs, spans = zip(*(_simulate(simulated, horizon, workers, draw) for _ in range(orders)), strict=True)
    times = trials / simulated
    in_order = sorted(costs)
    return Expected(
        epochs=times * statistics.mean(costs),
        low=times * in_order[orders // 10],
        high=times * in_order[-1 - orders // 10],
        span=times * statistics.mean(spans),
    )


def _simulate(trials: int, horizon: int, workers: int, draw: random.Random) -> tuple[int, int]:
    """One search on a virtual clock: epochs trained, and the time at its end. Whoever is free takes the next trial."""
    asha = Asha(horizon)
    levels = [*asha.rungs, horizon]
    quality = [REFERENCE, *(draw.gauss(0, 1) for _ in range(trials - 1))]
    clock = [(levels[0], trial, 0) for trial in range(min(workers, trials))]  # when which trial is at which level
    begun, trained, time = len(clock), 0, 0
    while clock:
        time, trial, at = heapq.heappop(clock)
        epoch = levels[at]
        value = draw.gauss(quality[trial], NOISE)
        if epoch < horizon and asha.report(str(trial), epoch, value, spared=trial == 0):
            heapq.heappush(clock, (time + levels[at + 1] - epoch, trial, at + 1))
            continue
        trained += epoch
        if begun < trials:
            heapq.heappush(clock, (time + levels[0], begun, 0))
            begun += 1
    return trained, time

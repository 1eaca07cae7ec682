"""The evidence's figures: every way to search on one seed, and what many seeds say."""

from __future__ import annotations

import copy
import functools
from typing import Any

from benchmarks.compare import ROOT
from benchmarks.replay import curves, evidence, record, surrogate
from benchmarks.replay.evidence import WAYS, Course
from benchmarks.replay.simulate import Answer
from tune import space
from tune.search.asha import Asha
from tune.space import SearchSpace

CURVES = ROOT / "results" / "curves.parquet"
HORIZON = 27
TRIALS = (32, 100)
"""Budgets are those of training so many configurations whole."""

DRAWS = 400
"""Sets of 32 recorded configurations on which ASHA alone is judged."""

RUNGS = {
    "as shipped": Asha(HORIZON),
    "1, 4, 16: Ray's defaults, best quarter": Asha(HORIZON, 1, 4),
    "5, 10, 20: best half": Asha(HORIZON, 5),
}


@functools.cache
def _ground(head_start: bool) -> tuple[SearchSpace, Answer]:
    """The space, and who answers for its configurations: the recording where there is one, else the surrogate."""
    searched, _ = space.load(ROOT / "search_spaces" / "simple_cnn.py")
    answer = functools.cache(surrogate.load(CURVES))
    return searched if head_start else evidence.without_points(searched), answer


def courses(seed: int, *, head_start: bool, trials: int) -> dict[str, Course]:
    """Each way to search on one seed, with the epochs of training so many trials whole."""
    searched, answer = _ground(head_start)
    budget = trials * HORIZON
    return {way.name: evidence.course(way, searched, answer, seed, horizon=HORIZON, epochs=budget) for way in WAYS}


def summary(by_seed: list[dict[str, Course]], budget: int) -> dict[str, Any]:
    """Figures of each way: its accuracy at parts of the budget, and when it was as good as random search in the end."""
    first = WAYS[0].name
    target = evidence.interval([evidence.at(seed[first], budget) for seed in by_seed])
    ways: dict[str, Any] = {}
    for way in WAYS:
        mine = [seed[way.name] for seed in by_seed]
        times = [evidence.reached(course, target[0]) for course in mine]
        ways[way.name] = {
            "reached": evidence.interval([budget * 2 if time is None else time for time in times]),
            "never": sum(time is None for time in times),
            "accuracy": {
                part: evidence.interval([evidence.at(course, int(budget * part)) for course in mine])
                for part in (0.25, 0.5, 1.0)
            },
        }
    return {"budget": budget, "seeds": len(by_seed), "target": target, "ways": ways}


def kept() -> list[dict[str, Any]]:
    """ASHA alone, over sets of 32 of the recorded random draws."""
    recorded = curves.read(CURVES)
    by_config = {curve.config: curve for curve in recorded}
    drawn = [curve.config for curve in recorded if 2 <= curve.number < record.GUIDED]
    points = [curve.config for curve in recorded if curve.number < 2]
    rows = []
    for head_start in (True, False):
        for name, empty in RUNGS.items():
            results = []
            for seed in range(DRAWS):
                configs = evidence.draw(drawn, points if head_start else [], 32, seed)
                reference = points[0] if head_start else None
                results.append(evidence.kept(by_config, configs, copy.deepcopy(empty), reference))
            rows.append({
                "head_start": head_start,
                "rungs": name,
                "cost": sum(item.cost for item in results) / DRAWS,
                "regret": sum(item.regret for item in results) / DRAWS,
                "kept": sum(item.regret <= 0.5 for item in results) / DRAWS,
            })  # fmt: skip
    return rows

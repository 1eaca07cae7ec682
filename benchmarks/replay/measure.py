"""The results of the replays: each search method on one seed, and statistics over many seeds."""

from __future__ import annotations

import copy
import functools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import ROOT
from benchmarks.replay import curves, evidence, methods, record, surrogate
from benchmarks.replay.evidence import WAYS, Course, Kept
from benchmarks.replay.mortal import Mortal
from benchmarks.replay.promotion import Promotion
from benchmarks.replay.simulate import Answer, replay
from tune import space
from tune.results import RunFolder
from tune.search.asha import Asha
from tune.search.history import History
from tune.search.proposals import Proposer
from tune.space import SearchSpace

CURVES = ROOT / "results" / "curves.parquet"
HORIZON = 27
TRIALS = (32, 100)
"""Budgets, as numbers of configurations that could be trained to the end."""

DRAWS = 400
"""Sets of 32 recorded configurations on which stopping rules alone are compared."""

SEARCH = 32
"""Trials of a search that is compared with what the best of its own trials would have reached."""

RULES: dict[str, Asha | Promotion] = {
    "3, 6, 12, 24: best half (shipped)": Asha(HORIZON),
    "1, 4, 16: best quarter (Ray's defaults)": Asha(HORIZON, 1, 4),
    "1, 2, 4, 8, 16: best half": Asha(HORIZON, 1, 2),
    "3, 9: best third": Asha(HORIZON, 3, 3),
    "4, 8, 16: best half": Asha(HORIZON, 4, 2),
    "5, 10, 20: best half": Asha(HORIZON, 5, 2),
    "3, 6, 12, 24: best half promoted": Promotion((3, 6, 12, 24), 0.6, SEARCH),
    "4, 8, 16, 22: best half promoted": Promotion((4, 8, 16, 22), 0.6, SEARCH),
}
"""Which trials continue from a rung. Those that promote wait until 60 % of a rung's trials have arrived."""


@functools.cache
def _ground(head_start: bool) -> tuple[SearchSpace, Answer]:
    """The space, and a function to the curve of a configuration: the recorded one if any, else the surrogate's."""
    searched, _ = space.load(ROOT / "benchmarks" / "space.py")
    answer = functools.cache(surrogate.load(CURVES))
    return searched if head_start else _without_points(searched), answer


def courses(seed: int, *, head_start: bool, trials: int) -> dict[str, Course]:
    """Each search method on one seed, with the epochs to train `trials` configurations to the end."""
    searched, answer = _ground(head_start)
    budget = trials * HORIZON
    return {way.name: evidence.course(way, searched, answer, seed, horizon=HORIZON, epochs=budget) for way in WAYS}


def summary(by_seed: list[dict[str, Course]], budget: int) -> dict[str, Any]:
    """For each method: its accuracy at parts of the budget, and when it matched the final result of random search."""
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
    """Each rule on sets of 32 of the recorded random draws."""
    recorded = curves.read(CURVES)
    by_config = {curve.config: curve for curve in recorded}
    drawn = [curve.config for curve in recorded if 2 <= curve.number < record.GUIDED]
    points = [curve.config for curve in recorded if curve.number < 2]
    rows = []
    for head_start in (True, False):
        first, reference = (points, points[0]) if head_start else ([], None)
        for name, rule in RULES.items():
            results = [
                evidence.kept(by_config, evidence.draw(drawn, first, SEARCH, seed), copy.deepcopy(rule), reference)
                for seed in range(DRAWS)
            ]
            rows.append({"head_start": head_start, "rule": name} | means(results))
    return rows


def searched(seed: int, *, head_start: bool) -> dict[str, Kept]:
    """Each search method, as its users run it, with SEARCH trials, on one seed."""
    space, answer = _ground(head_start)
    ways = WAYS[1:]  # training every trial to the end has no regret
    return {way.name: evidence.searched(way, space, answer, seed, horizon=HORIZON, trials=SEARCH) for way in ways}


def means(results: Sequence[Kept]) -> dict[str, float]:
    """Means over many sets or searches."""
    return {
        "cost": statistics.mean(item.cost for item in results),
        "regret": statistics.mean(item.regret for item in results),
        "kept": statistics.mean(item.regret <= 0.5 for item in results),
    }


def crashed(seed: int) -> bool:
    """Whether a search decides the same if its driver dies half-way, and again after every 50 epochs."""
    searched, answer = _ground(True)
    whole = replay(methods.ours(searched, HORIZON, seed), answer, workers=evidence.WORKERS, trials=SEARCH)
    half = len(whole.epochs) // 2
    with tempfile.TemporaryDirectory() as folder:
        proposer = Proposer(searched, epochs=HORIZON, seed=seed)
        deaths = {half, *range(half, len(whole.epochs), 50)}
        mortal = Mortal(proposer, History(asha=Asha(HORIZON)), RunFolder(Path(folder)), deaths)
        died = replay(mortal, answer, workers=evidence.WORKERS, trials=SEARCH)
    return died == whole


def _without_points(space: SearchSpace) -> SearchSpace:
    """The space without its reference and baselines, for a comparison without a head start."""
    return _Bare(**{name: getattr(space, name) for name in space.__dataclass_fields__})


class _Bare(SearchSpace):
    def points(self) -> list[Any]:
        return []
